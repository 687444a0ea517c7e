//! Learns who calls whom from spans: a span and its parent in different services are a call. So is a span that names a peer and
//! that no span of another service follows: its far end is not instrumented.
//!
//! Kept in memory and bounded; what is lost on a restart is seen again with the next calls. Counts are estimates.

mod remembered;

use std::collections::{BTreeSet, HashMap, VecDeque};

use jiff::Timestamp;
use shared::calls::Calls;
use shared::clock::from_ms;
use shared::events::Span;
use shared::events::raw::SpanStatus;
use shared::graph::Callee;
use shared::store::edges::{SETTLE_S, WRITE_EVERY_S};
use shared::store::{EdgeCalls, Write};

use remembered::{Interval, Remembered, SpanKey};

/// Spans remembered in one generation; two generations are kept.
const GENERATION: usize = 20_000;
/// Edges remembered between writes; beyond this they are forgotten and learned again.
const MAX_EDGES: usize = 10_000;
/// Services remembered between writes; beyond this they are forgotten and written again.
const MAX_SERVICES: usize = 10_000;
/// Children of one parent that are remembered.
const MAX_CHILDREN: usize = 64;
/// An edge is written again after this much event time, milliseconds.
const WRITE_EVERY_MS: i64 = WRITE_EVERY_S * 1_000;
/// A service is written again after this much event time, milliseconds.
const SERVICE_EVERY_MS: i64 = 3_600_000;
/// Event time that the children of a span are waited for before its self time, or its uninstrumented far end, is taken for
/// certain, milliseconds.
const SETTLE_MS: i64 = SETTLE_S * 1_000;
/// Most that one span moves the clock of event time forward, milliseconds: a sender whose clock is ahead does not end all
/// waits at once.
const MAX_STEP_MS: i64 = 60_000;
/// Edges that are written with one span at most; the others follow with the next one.
const MAX_WRITES: usize = 100;
/// Latest time that is reckoned with, milliseconds since 1970: the year 2100. PostgreSQL does not take all that a number can be.
const LATEST_MS: i64 = 4_102_444_800_000;
/// Longest duration of a span that is reckoned with, milliseconds: a day.
const LONGEST_MS: f64 = 86_400_000.0;

/// Environment, caller and callee.
type EdgeKey = (String, String, String);

/// Calls of one edge that are not written yet.
#[derive(Debug, Default)]
struct Edge {
    calls: Calls,
    /// Whether a span of the callee was seen among them.
    is_answered: bool,
    /// First and last of them, milliseconds.
    seen_ms: Option<(i64, i64)>,
    /// By the clock of event time.
    written_ms: Option<i64>,
}

/// A child that came before its parent.
#[derive(Debug, Clone)]
struct Orphan {
    key: SpanKey,
    service: String,
    call: Call,
}

/// One call, as a span shows it.
#[derive(Debug, Clone, Copy)]
struct Call {
    ts_ms: i64,
    interval: Interval,
    is_failed: bool,
}

impl Call {
    fn of(span: &Span) -> Self {
        let ts_ms = span.ts_ms.clamp(0, LATEST_MS);
        let duration_ms =
            if span.duration_ms.is_finite() { span.duration_ms.clamp(0.0, LONGEST_MS) } else { 0.0 };
        let interval = Interval { begin_ms: ts_ms as f64, end_ms: ts_ms as f64 + duration_ms };
        Self { ts_ms, interval, is_failed: span.status == SpanStatus::Error }
    }
}

/// Joins spans to their parents, whichever comes first.
#[derive(Debug, Default)]
pub struct Edges {
    spans: Remembered,
    /// Children whose parent has not been seen yet, by the parent's key.
    orphans: HashMap<SpanKey, Vec<Orphan>>,
    /// Spans whose children are still waited for, with the end of the wait.
    unsettled: VecDeque<(i64, SpanKey)>,
    calls: HashMap<EdgeKey, Edge>,
    /// Edges with calls that are not written, with the time from which on they are.
    due: BTreeSet<(i64, EdgeKey)>,
    /// When each service was written, by environment and name.
    services: HashMap<(String, String), i64>,
    new_services: Vec<Write>,
    /// Event time: the latest of all spans, but for single ones that are far ahead.
    clock_ms: Option<i64>,
    forgotten: Forgotten,
}

/// What was dropped because memory is bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Spans whose parent was not seen in time.
    pub spans: u64,
    /// Edges with calls that were not written.
    pub edges: u64,
    /// Spans that had been read before and were not counted again.
    pub repeated: u64,
    /// Calls that count as part of the caller's or callee's own time, because more are not remembered for one span.
    pub intervals: u64,
}

impl Edges {
    /// Returns what was dropped since the last call.
    pub fn take_forgotten(&mut self) -> Forgotten {
        self.forgotten.intervals += self.spans.take_dropped();
        std::mem::take(&mut self.forgotten)
    }

    /// Returns the services that have sent spans and are due to be written.
    pub fn take_services(&mut self) -> Vec<Write> {
        std::mem::take(&mut self.new_services)
    }

    /// Takes one span and returns the edges that are due to be written, sorted, so that replicas lock rows in one order.
    pub fn observe(&mut self, span: &Span) -> Vec<Write> {
        let call = Call::of(span);
        let clock_ms = self.advance(call.ts_ms);
        self.note_service(span, call.ts_ms);
        let own = (span.trace_id.clone(), span.span_id.clone());
        if self.spans.contains(&own) {
            self.forgotten.repeated += 1;
        } else {
            self.join(span, own, call, clock_ms);
        }
        self.settle(clock_ms);
        self.write(clock_ms)
    }

    fn advance(&mut self, ts_ms: i64) -> i64 {
        let clock_ms = self.clock_ms.map_or(ts_ms, |clock_ms| ts_ms.clamp(clock_ms, clock_ms + MAX_STEP_MS));
        *self.clock_ms.insert(clock_ms)
    }

    fn note_service(&mut self, span: &Span, ts_ms: i64) {
        if self.services.len() >= MAX_SERVICES {
            self.services.clear();
        }
        let key = (span.environment.clone(), span.service.clone());
        let is_due = self.services.get(&key).is_none_or(|written| ts_ms >= written + SERVICE_EVERY_MS);
        if is_due {
            self.services.insert(key, ts_ms);
            self.new_services.push(Write::SpanService {
                environment: span.environment.clone(),
                service: span.service.clone(),
                last_seen: from_ms(ts_ms),
            });
        }
    }

    /// Joins a span to its parent and to the children that came before it.
    fn join(&mut self, span: &Span, own: SpanKey, call: Call, clock_ms: i64) {
        if self.spans.is_full() {
            self.spans.turn();
            self.forgotten.spans += self.orphans.len() as u64;
            self.orphans.clear();
        }
        self.spans.insert(own.clone(), span, call.interval, call.is_failed);
        self.unsettled.push_back((clock_ms + SETTLE_MS, own.clone()));
        for child in self.orphans.remove(&own).unwrap_or_default() {
            self.relate(&own, &span.environment, &span.service, child);
        }
        let Some(parent) = &span.parent_span_id else { return };
        let parent = (span.trace_id.clone(), parent.clone());
        let child = Orphan { key: own, service: span.service.clone(), call };
        match self.spans.get(&parent).map(|parent| parent.service.clone()) {
            Some(caller) => self.relate(&parent, &span.environment, &caller, child),
            None if self.orphans.len() < GENERATION => {
                let children = self.orphans.entry(parent).or_default();
                if children.len() < MAX_CHILDREN {
                    children.push(child);
                } else {
                    self.forgotten.spans += 1;
                }
            }
            None => self.forgotten.spans += 1,
        }
    }

    /// Notes that `child` was called by the span `parent`, of the service `caller`.
    fn relate(&mut self, parent: &SpanKey, environment: &str, caller: &str, child: Orphan) {
        self.spans.relate(parent, &child.key);
        if caller == child.service {
            return;
        }
        let key = (environment.to_owned(), caller.to_owned(), child.service);
        let Call { ts_ms, interval, is_failed } = child.call;
        let edge = self.edge(&key, ts_ms);
        edge.calls.add(interval.length_ms(), is_failed);
        edge.is_answered = true;
    }

    /// Takes for certain what is known of spans whose children were waited for long enough.
    fn settle(&mut self, clock_ms: i64) {
        let is_over = |(until_ms, _): &(i64, SpanKey)| *until_ms <= clock_ms;
        // a span is remembered until at least as many came after it
        while self.unsettled.len() > GENERATION || self.unsettled.front().is_some_and(is_over) {
            let Some((_, key)) = self.unsettled.pop_front() else { return };
            let Some(span) = self.spans.get(&key) else { continue };
            let (environment, ts_ms) = (span.environment.clone(), span.interval.begin_ms as i64);
            let (service, interval, is_failed) = (span.service.clone(), span.interval, span.is_failed);
            let is_far_end = |peer: &String| !span.is_answered && *peer != span.service;
            let far_end = span.peer.clone().filter(is_far_end);
            if let Some(caller) = span.caller.clone() {
                let self_ms = span.self_ms();
                let edge = self.edge(&(environment.clone(), caller, service.clone()), ts_ms);
                edge.calls.add_self(self_ms);
                edge.is_answered = true;
            }
            if let Some(far_end) = far_end {
                let edge = self.edge(&(environment, service, far_end), ts_ms);
                edge.calls.add(interval.length_ms(), is_failed);
            }
        }
    }

    /// Returns an edge on which something was seen at `ts_ms`.
    fn edge(&mut self, key: &EdgeKey, ts_ms: i64) -> &mut Edge {
        if self.calls.len() >= MAX_EDGES && !self.calls.contains_key(key) {
            self.forgotten.edges += self.calls.values().filter(|edge| !edge.calls.is_empty()).count() as u64;
            self.calls.clear();
            self.due.clear();
        }
        let edge = self.calls.entry(key.clone()).or_default();
        if edge.seen_ms.is_none() {
            let due_ms = edge.written_ms.map_or(i64::MIN, |written_ms| written_ms + WRITE_EVERY_MS);
            self.due.insert((due_ms, key.clone()));
        }
        let (first_ms, last_ms) = edge.seen_ms.unwrap_or((ts_ms, ts_ms));
        edge.seen_ms = Some((first_ms.min(ts_ms), last_ms.max(ts_ms)));
        edge
    }

    fn write(&mut self, clock_ms: i64) -> Vec<Write> {
        let mut keys = Vec::new();
        while keys.len() < MAX_WRITES && self.due.first().is_some_and(|(due_ms, _)| *due_ms <= clock_ms) {
            keys.extend(self.due.pop_first().map(|(_, key)| key));
        }
        keys.sort_unstable();
        keys.into_iter().filter_map(|key| self.written(key, clock_ms)).collect()
    }

    fn written(&mut self, key: EdgeKey, clock_ms: i64) -> Option<Write> {
        let edge = self.calls.get_mut(&key)?;
        let (first_ms, last_ms) = edge.seen_ms.take()?;
        edge.written_ms = Some(clock_ms);
        let kind = if std::mem::take(&mut edge.is_answered) { Callee::Service } else { Callee::FarEnd };
        let calls = std::mem::take(&mut edge.calls);
        let first_seen: Timestamp = from_ms(first_ms);
        let (environment, caller, callee) = key;
        Some(Write::Edge {
            environment,
            caller,
            callee,
            last_seen: from_ms(last_ms),
            seen: Box::new(EdgeCalls { kind, first_seen, calls }),
        })
    }
}

#[cfg(test)]
mod tests;
