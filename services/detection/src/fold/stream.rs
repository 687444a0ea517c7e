//! One counter, level or histogram of one replica.

use serde::{Deserialize, Serialize};

use super::buckets::{Buckets, Count};

/// Points that wait for their window at most.
const MAX_PENDING: usize = 8;
/// Windows for which the last value of a replica stands that has not reported.
const CARRIED_WINDOWS: f64 = 2.0;
/// The same of what is added up: a replica that was replaced must not count beside its successor.
const CARRIED_WINDOWS_ADDED: f64 = 0.9;
/// Part of a count that remains where it is corrected, and not begun anew.
const CORRECTED_SHARE: f64 = 0.5;
/// How much later a start has to be to be another one, milliseconds.
const RESTART_MS: i64 = 1000;
/// Most bounds of classic buckets.
const MAX_BOUNDS: usize = 200;

/// What came of a replica before its window is closed.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
struct Pending {
    ts_ms: i64,
    /// Level, or increase.
    amount: f64,
    /// Time in which it has increased, milliseconds; 0 of a level.
    span_ms: i64,
}

/// What is known of buckets that count since their start.
#[derive(Debug, Serialize, Deserialize)]
enum Seen {
    /// Buckets that come in one sample, as they were last.
    Whole(Buckets),
    /// Buckets that come in a sample for each bound.
    Rows(Rows),
}

/// Counts of all values up to each bound.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Rows {
    /// Ascending; the last one is infinite once it has come.
    bounds: Vec<f64>,
    /// Counts of the last row that was complete; not a number where they are not known.
    before: Vec<Count>,
    /// Counts of the row that is coming in.
    row: Vec<Count>,
    row_ms: i64,
}

/// Since when a new stream counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Birth {
    /// What it has counted came within this time, milliseconds.
    Within(i64),
    /// Unknown: its first count says nothing.
    Unknown,
}

/// A point of a counter or of a histogram.
#[derive(Debug, Clone, Copy)]
pub(super) struct Counted {
    /// Event time, milliseconds.
    pub(super) ts_ms: i64,
    /// Values counted.
    pub(super) total: f64,
    /// When it began to count, milliseconds, if that is known.
    pub(super) start_ms: Option<i64>,
    /// Whether it counts since the point before.
    pub(super) is_delta: bool,
    /// Since when it counts, if this is its first point.
    pub(super) birth: Birth,
}

/// How a count goes on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Step {
    /// From the point before.
    On,
    /// From zero: all that it has counted is new.
    FromZero,
    /// Nothing can be said of what is new.
    Unknown,
}

/// One counter, level or histogram of one replica.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Stream {
    pub(super) key: u64,
    pub(super) replica: u64,
    /// Whether what it counts has failed.
    pub(super) has_failed: bool,
    /// Time of its last point, milliseconds.
    pub(super) last_ms: i64,
    /// Whether the window that is open waits for it.
    pub(super) is_awaited: bool,
    is_gone: bool,
    is_delta: bool,
    start_ms: Option<i64>,
    /// Its last value as it came.
    total: Option<f64>,
    /// Level or rate of its last window.
    value: f64,
    value_ms: i64,
    span_ms: i64,
    pending: Vec<Pending>,
    seen: Option<Box<Seen>>,
}

impl Stream {
    pub(super) fn new(key: u64, replica: u64, has_failed: bool) -> Self {
        Self {
            key,
            replica,
            has_failed,
            last_ms: i64::MIN,
            is_awaited: false,
            is_gone: false,
            is_delta: false,
            start_ms: None,
            total: None,
            value: 0.0,
            value_ms: i64::MIN,
            span_ms: 0,
            pending: Vec::new(),
            seen: None,
        }
    }

    /// Notes that it reports no more.
    pub(super) fn leave(&mut self) {
        (self.is_gone, self.is_awaited) = (true, false);
        self.pending.clear();
    }

    /// Returns how many numbers its buckets hold.
    pub(super) fn cells(&self) -> usize {
        match self.seen.as_deref() {
            None => 0,
            Some(Seen::Whole(buckets)) => buckets.len(),
            Some(Seen::Rows(rows)) => 3 * rows.bounds.len(),
        }
    }

    /// Takes a level. Returns the one before it.
    pub(super) fn level(&mut self, ts_ms: i64, value: f64) -> Option<f64> {
        self.is_gone = false;
        self.last_ms = ts_ms;
        if self.pending.len() >= MAX_PENDING {
            self.pending.remove(0);
        }
        self.pending.push(Pending { ts_ms, amount: value, span_ms: 0 });
        self.total.replace(value)
    }

    /// Takes a count. Returns how it goes on, and by how much it has increased.
    pub(super) fn count(&mut self, point: Counted) -> (Step, f64) {
        let Counted { ts_ms, total, start_ms, is_delta, birth } = point;
        let (before, before_ms) = (self.total.replace(total), self.last_ms);
        // a collector that has restarted writes a later start as well, but not one between two points
        let has_restarted = start_ms.zip(self.start_ms).is_some_and(|(start, before)| {
            start - before >= RESTART_MS && (before_ms..ts_ms).contains(&start)
        });
        (self.last_ms, self.is_delta, self.start_ms) = (ts_ms, is_delta, start_ms);
        let was_gone = std::mem::take(&mut self.is_gone);
        let since_ms = ts_ms.saturating_sub(before_ms.max(start_ms.filter(|_| is_delta).unwrap_or(i64::MIN)));
        let (step, increase, span_ms) = match (before, birth) {
            (None, Birth::Unknown) => return (Step::Unknown, 0.0),
            (None, Birth::Within(span_ms)) => (Step::FromZero, total, span_ms),
            _ if is_delta => (Step::FromZero, total, since_ms),
            // it was away: how long it took is not what is usual
            (Some(_), _) if was_gone => return (Step::Unknown, 0.0),
            (Some(_), _) if has_restarted => (Step::FromZero, total, since_ms),
            (Some(before), _) if total >= before => (Step::On, total - before, since_ms),
            (Some(before), _) if total > CORRECTED_SHARE * before => return (Step::Unknown, 0.0),
            (Some(_), _) => (Step::FromZero, total, since_ms),
        };
        self.wait(Pending { ts_ms, amount: increase, span_ms: span_ms.max(1) });
        (step, increase)
    }

    fn wait(&mut self, point: Pending) {
        self.pending.push(point);
        if self.pending.len() > MAX_PENDING {
            let first = self.pending.remove(0);
            self.pending[0].amount += first.amount;
            self.pending[0].span_ms += first.span_ms;
        }
    }

    /// Takes buckets that have come with a count. Returns what is new in them.
    pub(super) fn buckets(&mut self, buckets: Buckets, step: Step) -> Option<Buckets> {
        if self.is_delta {
            return (step != Step::Unknown).then_some(buckets);
        }
        let before = self.seen.replace(Box::new(Seen::Whole(buckets.clone())));
        match (step, before.as_deref()) {
            (Step::FromZero, _) => Some(buckets),
            (Step::On, Some(Seen::Whole(before))) => buckets.since(before),
            _ => None,
        }
    }

    /// Takes the count of all values up to a bound. Returns whether there was room for it, and the row that is complete with
    /// it, if one is: its time and what is new.
    pub(super) fn bound(
        &mut self,
        ts_ms: i64,
        (bound, upto): (f64, f64),
        birth: Birth,
    ) -> (bool, Option<(i64, Option<Buckets>)>) {
        if !matches!(self.seen.as_deref(), Some(Seen::Rows(_))) {
            self.seen = Some(Box::new(Seen::Rows(Rows { row_ms: ts_ms, ..Rows::default() })));
        }
        self.is_gone = false;
        let Some(Seen::Rows(rows)) = self.seen.as_deref_mut() else { return (false, None) };
        let mut complete = None;
        if ts_ms > rows.row_ms {
            // the first row is complete when the second one begins
            if rows.before.iter().all(|count| count.0.is_nan()) && rows.is_complete() {
                complete = Some((rows.row_ms, rows.finish(birth)));
            }
            rows.begin(ts_ms);
        }
        if !rows.set(bound, upto) {
            return (false, complete);
        }
        let is_known = rows.before.iter().all(|count| !count.0.is_nan());
        if is_known && rows.is_complete() {
            complete = Some((rows.row_ms, rows.finish(birth)));
        }
        (true, complete)
    }

    /// Returns the time of the row of classic buckets that is coming in, milliseconds.
    pub(super) fn row_ms(&self) -> Option<i64> {
        match self.seen.as_deref() {
            Some(Seen::Rows(rows)) => Some(rows.row_ms),
            _ => None,
        }
    }

    /// Returns the time of whatever came last, milliseconds.
    pub(super) fn newest_ms(&self) -> i64 {
        self.row_ms().map_or(self.last_ms, |row_ms| row_ms.max(self.last_ms))
    }

    /// Takes what belongs to a window: points up to a time.
    pub(super) fn settle(&mut self, upto_ms: i64) {
        let due = self.pending.iter().take_while(|point| point.ts_ms <= upto_ms).count();
        let Some(last) = due.checked_sub(1).map(|last| self.pending[last]) else { return };
        let sum = self.pending.drain(..due).fold((0.0, 0_i64), |(amount, span_ms), point| {
            (amount + point.amount, span_ms.saturating_add(point.span_ms))
        });
        self.value_ms = last.ts_ms;
        self.span_ms = last.span_ms;
        self.value = if sum.1 > 0 { sum.0 / (sum.1 as f64 / 1000.0) } else { last.amount };
    }

    /// Returns its level or rate in a window that ends then, if it still stands.
    pub(super) fn standing(&self, end_ms: i64, usual_ms: i64, are_added: bool) -> Option<f64> {
        let windows = if are_added { CARRIED_WINDOWS_ADDED } else { CARRIED_WINDOWS };
        let carried_ms = windows * usual_ms.max(self.span_ms) as f64;
        let stands = self.value_ms > i64::MIN
            && !self.is_gone
            && end_ms.saturating_sub(self.value_ms) as f64 <= carried_ms.max(1.0);
        stands.then_some(self.value)
    }
}

impl Rows {
    fn begin(&mut self, ts_ms: i64) {
        self.row_ms = ts_ms;
        self.row.fill(Count(f64::NAN));
    }

    /// Sets the count up to a bound. Returns whether there is room for it.
    fn set(&mut self, bound: f64, upto: f64) -> bool {
        let at = self.bounds.partition_point(|known| *known < bound);
        if self.bounds.get(at).is_none_or(|known| *known > bound) {
            if self.bounds.len() >= MAX_BOUNDS {
                return false;
            }
            self.bounds.insert(at, bound);
            self.row.insert(at, Count(upto));
            self.before.insert(at, Count(f64::NAN));
        }
        self.row[at] = Count(upto);
        true
    }

    fn is_complete(&self) -> bool {
        self.bounds.len() >= 2
            && self.bounds.last().is_some_and(|last| last.is_infinite())
            && self.row.iter().all(|count| !count.0.is_nan())
    }

    /// Ends a row that is complete. Returns what is new in it, if that is known.
    fn finish(&mut self, birth: Birth) -> Option<Buckets> {
        let row: Vec<f64> = self.row.iter().map(|count| count.0).collect();
        let before: Vec<f64> = self.before.iter().map(|count| count.0).collect();
        self.before.clone_from(&self.row);
        self.row.fill(Count(f64::NAN));
        let (all, all_before) = (row.last()?, before.last()?);
        let new: Vec<f64> = if before.iter().any(|count| count.is_nan()) {
            let is_first = before.iter().all(|count| count.is_nan());
            if !is_first || birth == Birth::Unknown {
                return None;
            }
            row
        } else if all >= all_before {
            row.iter().zip(&before).map(|(count, before)| count - before).collect()
        } else if *all > CORRECTED_SHARE * all_before {
            return None;
        } else {
            row
        };
        Some(Buckets::from_cumulative(&self.bounds, &new))
    }
}
