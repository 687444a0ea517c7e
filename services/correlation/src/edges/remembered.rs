//! Spans that were read lately, with what is known of their callers and of the time in which they waited for others.

use std::collections::HashMap;

use shared::events::Span;

use super::{GENERATION, MAX_CHILDREN};

/// Spans of one service above a span that learn what happened below it.
const MAX_DEPTH: usize = 16;

/// A span's place in its trace.
pub(super) type SpanKey = (String, String);

/// A time, milliseconds since 1970.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Interval {
    pub(super) begin_ms: f64,
    pub(super) end_ms: f64,
}

impl Interval {
    pub(super) fn length_ms(self) -> f64 {
        (self.end_ms - self.begin_ms).max(0.0)
    }
}

/// One span.
#[derive(Debug)]
pub(super) struct Seen {
    pub(super) environment: String,
    pub(super) service: String,
    pub(super) interval: Interval,
    pub(super) is_failed: bool,
    /// Far end that it names.
    pub(super) peer: Option<String>,
    /// Whether a span of another service was seen below it, or a span of its own service that names a far end more closely.
    pub(super) is_answered: bool,
    /// Service of its parent, where that is another one.
    pub(super) caller: Option<String>,
    /// Its parent, where that is of the same service.
    parent: Option<SpanKey>,
    /// When others worked for it: services below it, and far ends that spans of its own service name.
    others: Vec<Interval>,
}

impl Seen {
    /// Returns its duration less the time in which others worked for it, milliseconds.
    pub(super) fn self_ms(&self) -> f64 {
        let mut others = self.others.clone();
        others.sort_by(|a, b| a.begin_ms.total_cmp(&b.begin_ms));
        let (mut waited_ms, mut until_ms) = (0.0, self.interval.begin_ms);
        for other in others {
            let end_ms = other.end_ms.min(self.interval.end_ms);
            waited_ms += (end_ms - other.begin_ms.max(until_ms)).max(0.0);
            until_ms = until_ms.max(end_ms);
        }
        (self.interval.length_ms() - waited_ms).max(0.0)
    }
}

/// The spans of two generations.
#[derive(Debug, Default)]
pub(super) struct Remembered {
    young: HashMap<SpanKey, Seen>,
    old: HashMap<SpanKey, Seen>,
    /// Intervals that were left out, because a span has too many.
    dropped: u64,
}

impl Remembered {
    pub(super) fn is_full(&self) -> bool {
        self.young.len() >= GENERATION
    }

    /// Forgets the old generation and begins a new one.
    pub(super) fn turn(&mut self) {
        self.old = std::mem::take(&mut self.young);
    }

    pub(super) fn contains(&self, key: &SpanKey) -> bool {
        self.get(key).is_some()
    }

    pub(super) fn get(&self, key: &SpanKey) -> Option<&Seen> {
        self.young.get(key).or_else(|| self.old.get(key))
    }

    fn get_mut(&mut self, key: &SpanKey) -> Option<&mut Seen> {
        match self.young.get_mut(key) {
            Some(seen) => Some(seen),
            None => self.old.get_mut(key),
        }
    }

    pub(super) fn insert(&mut self, key: SpanKey, span: &Span, interval: Interval, is_failed: bool) {
        let seen = Seen {
            environment: span.environment.clone(),
            service: span.service.clone(),
            interval,
            is_failed,
            peer: span.peer.clone(),
            is_answered: false,
            caller: None,
            parent: None,
            others: Vec::new(),
        };
        self.young.insert(key, seen);
    }

    /// Returns how many intervals were left out since the last call.
    pub(super) fn take_dropped(&mut self) -> u64 {
        std::mem::take(&mut self.dropped)
    }

    /// Notes that one span is the parent of another, where both are remembered.
    pub(super) fn relate(&mut self, parent: &SpanKey, child: &SpanKey) {
        let Some(caller) = self.get(parent).map(|parent| parent.service.clone()) else { return };
        let Some(seen) = self.get_mut(child) else { return };
        let others = if seen.service == caller {
            seen.parent = Some(parent.clone());
            let own = seen.peer.is_some().then_some(seen.interval);
            seen.others.iter().copied().chain(own).collect()
        } else {
            seen.caller = Some(caller);
            vec![seen.interval]
        };
        self.add(parent, &others);
    }

    /// Adds times in which others worked for a span, to it and to the spans of its service above it.
    fn add(&mut self, key: &SpanKey, others: &[Interval]) {
        let mut next = Some(key.clone()).filter(|_| !others.is_empty());
        for _ in 0..MAX_DEPTH {
            let Some(seen) = next.take().and_then(|key| self.get_mut(&key)) else { return };
            let room = MAX_CHILDREN.saturating_sub(seen.others.len());
            seen.others.extend(others.iter().take(room));
            seen.is_answered = true;
            next.clone_from(&seen.parent);
            self.dropped += others.len().saturating_sub(room) as u64;
        }
    }
}
