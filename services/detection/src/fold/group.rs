//! One metric with one set of dimensions: the points of all its replicas, folded window by window.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::buckets::Buckets;
use super::shape::Shape;
use super::split::Split;
use super::stream::{Birth, Counted, Stream};
use super::window::Window;
use super::{Left, Name, Point};
use crate::metric_profile::Folding;
use crate::metric_profile::catalogue::Family;
use crate::metric_profile::key::{Form, Key};
use shared::events::raw::Temporality;

/// Replicas of one series, each with each of its statuses.
const MAX_STREAMS: usize = 1000;
/// Time after which a replica that does not report is forgotten, milliseconds, and in windows.
const FORGET_MS: i64 = 600_000;
const FORGET_WINDOWS: i64 = 10;
/// Windows behind from which on a point is too late to be used.
const LATE_WINDOWS: i64 = 10;
/// Windows for which the replica of a new stream may have been silent.
const KNOWN_WINDOWS: i64 = 3;
/// Values from which on quantiles are taken: of fewer, the 99th percentile lies within what the largest one adds, and one slow
/// request alone would decide.
const MIN_VALUES: f64 = 20.0;
/// Requests, or failures, from which on their ratio is taken.
const MIN_REQUESTS: f64 = 100.0;
const MIN_FAILURES: f64 = 5.0;
/// Fewer failures of few requests count as none.
const LEAST_FAILURES: f64 = 2.5;
/// Windows over which they are gathered.
const MAX_GATHERED_WINDOWS: u8 = 10;

/// One value of a series that is folded.
#[derive(Debug, Clone)]
pub(crate) struct Folded {
    /// Name and unit of its series.
    pub(crate) name: Arc<Name>,
    /// End of its window, milliseconds.
    pub(crate) ts_ms: i64,
    /// Value.
    pub(crate) value: f64,
}

/// Requests of one window.
#[derive(Debug, Clone, Copy)]
pub(super) struct Requests {
    pub(super) end_ms: i64,
    pub(super) usual_ms: i64,
    pub(super) failed: f64,
    pub(super) all: f64,
}

/// Requests that were gathered for an error ratio.
#[derive(Debug, Clone, Copy, Default, Serialize, Deserialize)]
pub(super) struct Outcomes {
    failed: f64,
    all: f64,
    windows: u8,
}

impl Outcomes {
    /// Adds the requests of a window. Returns the share that fails once there are enough of them: of few requests, one failure
    /// alone would be a large share.
    pub(super) fn close(&mut self, failed: f64, all: f64) -> Option<f64> {
        self.failed += failed;
        self.all += all;
        self.windows += 1;
        let are_few = self.all < MIN_REQUESTS && self.failed < MIN_FAILURES;
        if self.all <= 0.0 || are_few && self.windows < MAX_GATHERED_WINDOWS {
            self.windows = self.windows.min(MAX_GATHERED_WINDOWS - 1);
            return None;
        }
        let Self { failed, all, .. } = std::mem::take(self);
        Some(if are_few && failed < LEAST_FAILURES { 0.0 } else { (failed / all).clamp(0.0, 1.0) })
    }
}

/// Buckets of all replicas.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Sums {
    /// What belongs to the window that is next to be closed, and what was gathered before.
    now: Option<Buckets>,
    /// What comes after it.
    later: Option<Buckets>,
    gathered_windows: u8,
}

/// One metric with one set of dimensions.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Group {
    pub(super) metric: Box<str>,
    pub(super) dimensions: Box<str>,
    unit: Box<str>,
    pub(super) shape: Shape,
    streams: Vec<Stream>,
    window: Window,
    sums: Sums,
    outcomes: Outcomes,
    /// Restarts of all replicas so far.
    restarts: f64,
    pub(super) has_status: bool,
    /// Whether it ever had more than one replica.
    has_many: bool,
    #[serde(skip)]
    places: HashMap<u64, u32>,
    #[serde(skip)]
    names: Vec<(Form, Arc<Name>)>,
}

impl Group {
    pub(super) fn new(metric: &str, dimensions: &str, unit: &str, shape: Shape) -> Self {
        Self {
            metric: metric.into(),
            dimensions: dimensions.into(),
            unit: unit.into(),
            shape,
            streams: Vec::new(),
            window: Window::default(),
            sums: Sums::default(),
            outcomes: Outcomes::default(),
            restarts: 0.0,
            has_status: false,
            has_many: false,
            places: HashMap::new(),
            names: Vec::new(),
        }
    }

    /// Finds its streams again after it was read from a snapshot.
    pub(super) fn index(&mut self) {
        self.places = (0..).zip(&self.streams).map(|(place, stream)| (stream.key, place)).collect();
    }

    /// Returns whether it knows the stream of a sample.
    pub(super) fn has(&self, split: &Split) -> bool {
        self.places.contains_key(&split.stream)
    }

    /// Returns the time of the last point, milliseconds.
    pub(super) fn last_ms(&self) -> i64 {
        self.streams.iter().map(Stream::newest_ms).max().unwrap_or(i64::MIN)
    }

    /// Returns how many streams it has.
    pub(super) fn streams(&self) -> usize {
        self.streams.len()
    }

    /// Returns how many numbers their buckets hold.
    pub(super) fn cells(&self) -> usize {
        self.streams.iter().map(Stream::cells).sum()
    }

    /// Returns when its window is closed whoever is missing, milliseconds.
    pub(super) fn due_ms(&self) -> Option<i64> {
        self.window.due_ms()
    }

    /// Returns whether its window has to be closed by a time.
    pub(super) fn is_due(&self, clock_ms: i64) -> bool {
        self.window.is_due(clock_ms)
    }

    /// Notes that a replica says that it has nothing to report.
    pub(super) fn leave(&mut self, split: &Split) {
        let Some(&place) = self.places.get(&split.stream) else { return };
        let stream = &mut self.streams[place as usize];
        if stream.is_awaited {
            self.window.arrived();
        }
        stream.leave();
        self.window.leave(split.stream);
    }

    /// Takes a point of one of its replicas. `may_grow` says whether there is room for one more stream.
    pub(super) fn take(&mut self, point: &Point<'_>, split: &Split, may_grow: bool) -> Result<(), Left> {
        let known = self.places.get(&split.stream).map(|&place| place as usize);
        let is_row = self.shape == Shape::Classic;
        if let Some(stream) = known.map(|place| &self.streams[place]) {
            let row_ms = if is_row { stream.row_ms() } else { None };
            let last_ms = row_ms.map_or(stream.last_ms, |row_ms| row_ms - 1);
            if point.ts_ms <= last_ms {
                return Err(if point.ts_ms == last_ms { Left::Duplicate } else { Left::OutOfOrder });
            }
        }
        if let Some((closed_ms, usual_ms)) = self.window.closed_ms.zip(self.window.usual_ms())
            && point.ts_ms < closed_ms - LATE_WINDOWS * usual_ms
        {
            return Err(Left::Late);
        }
        let birth = if known.is_none() { self.birth(point, split) } else { Birth::Unknown };
        let place = match known {
            Some(place) => place,
            None if self.streams.len() >= MAX_STREAMS || !may_grow => return Err(Left::Replicas),
            None => self.begin(split),
        };
        self.has_status |= split.has_failed.is_some();
        let ends = self.value(place, point, birth)?;
        if let Some(ts_ms) = ends {
            self.arrive(place, ts_ms);
        }
        Ok(())
    }

    fn begin(&mut self, split: &Split) -> usize {
        let place = self.streams.len();
        self.places.insert(split.stream, place as u32);
        self.streams.push(Stream::new(split.stream, split.replica, split.has_failed == Some(true)));
        place
    }

    /// Returns since when a stream counts whose first point this is: a process that has just begun, or a count of a process
    /// that was known before, such as that of the first failure.
    fn birth(&self, point: &Point<'_>, split: &Split) -> Birth {
        let Some((closed_ms, usual_ms)) = self.window.closed_ms.zip(self.window.usual_ms()) else {
            return Birth::Unknown;
        };
        // one that begins with its first point is not known to have begun then: collectors write that
        let is_recent = |start_ms| (closed_ms - usual_ms..point.ts_ms).contains(&start_ms);
        let has_begun = point.detail.start_ms.is_some_and(is_recent);
        let is_delta = point.detail.temporality == Some(Temporality::Delta);
        let since_ms = point.ts_ms - KNOWN_WINDOWS * usual_ms;
        let is_known = || {
            let of_it = |stream: &&Stream| stream.replica == split.replica && stream.last_ms > since_ms;
            self.streams.iter().any(|stream| of_it(&stream))
        };
        if has_begun || is_delta || is_known() { Birth::Within(usual_ms.max(1000)) } else { Birth::Unknown }
    }

    /// Takes the value of a point. Returns the time of what is complete with it.
    fn value(&mut self, place: usize, point: &Point<'_>, birth: Birth) -> Result<Option<i64>, Left> {
        let stream = &mut self.streams[place];
        let counted = Counted {
            ts_ms: point.ts_ms,
            total: point.value,
            start_ms: point.detail.start_ms,
            is_delta: point.detail.temporality == Some(Temporality::Delta),
            birth,
        };
        match self.shape {
            Shape::Level { .. } => _ = stream.level(point.ts_ms, point.value),
            Shape::Started | Shape::Uptime => {
                let is_later = |before: f64| match self.shape {
                    Shape::Started => point.value > before + 1.0,
                    _ => point.value < before,
                };
                let before = stream.level(point.ts_ms, point.value);
                self.restarts += f64::from(u8::from(before.is_some_and(is_later)));
            }
            Shape::Restarts => {
                let before = stream.level(point.ts_ms, point.value);
                self.restarts += before.map_or(0.0, |before| (point.value - before).max(0.0));
            }
            Shape::Counter => _ = stream.count(counted),
            Shape::Histogram => {
                let (step, _) = stream.count(counted);
                let buckets = point.detail.histogram.as_ref().and_then(Buckets::of);
                let new = buckets.and_then(|buckets| stream.buckets(buckets, step));
                if new.is_some_and(|new| !self.add(point.ts_ms, new)) {
                    return Err(Left::Buckets);
                }
            }
            Shape::Classic => {
                let Some(bound) = point.bound else { return Err(Left::Buckets) };
                let (has_room, complete) = stream.bound(point.ts_ms, (bound, point.value), birth);
                let Some((row_ms, new)) = complete else {
                    return if has_room { Ok(None) } else { Err(Left::Buckets) };
                };
                stream.last_ms = row_ms;
                if new.is_some_and(|new| !self.add(row_ms, new)) {
                    return Err(Left::Buckets);
                }
                return Ok(Some(row_ms));
            }
        }
        Ok(Some(point.ts_ms))
    }

    /// Adds values to those of their window. Returns whether their buckets fit to those of other replicas.
    fn add(&mut self, ts_ms: i64, new: Buckets) -> bool {
        let is_later = self.window.front().is_some_and(|end_ms| ts_ms > end_ms + self.window.reach_ms());
        let sum = if is_later { &mut self.sums.later } else { &mut self.sums.now };
        if let Some(sum) = sum {
            return sum.add(&new);
        }
        *sum = Some(new);
        true
    }

    /// Notes that a stream has reported up to a time.
    fn arrive(&mut self, place: usize, ts_ms: i64) {
        let stream = &mut self.streams[place];
        if stream.is_awaited
            && let Some(end_ms) = self.window.front()
            && self.window.covers(ts_ms, end_ms)
        {
            stream.is_awaited = false;
            self.window.arrived();
        }
        if self.window.point(stream.key, ts_ms) {
            self.open();
        }
    }

    /// Counts the streams for which the first window waits.
    fn open(&mut self) {
        let Some(end_ms) = self.window.front() else { return };
        let mut waiting = 0;
        for stream in &mut self.streams {
            stream.is_awaited = self.window.awaits(stream.last_ms, end_ms);
            waiting += u32::from(stream.is_awaited);
        }
        self.window.wait_for(waiting);
    }

    /// Closes the first window: adds what comes of it. Returns how many requests there were, where that is known.
    pub(super) fn close(&mut self, folded: &mut Vec<Folded>) -> Option<Requests> {
        let (end_ms, length_ms) = self.window.close()?;
        let usual_ms = self.window.usual_ms().unwrap_or_default();
        let upto_ms = end_ms + self.window.reach_ms();
        self.streams.iter_mut().for_each(|stream| stream.settle(upto_ms));
        let values = self.values(end_ms, usual_ms);
        self.has_many |= values.count > 1;
        let mut emit = |group: &mut Self, form: Form, value: f64| {
            if value.is_finite() {
                folded.push(Folded { name: group.name(form), ts_ms: end_ms, value });
            }
        };
        let mut requests = None;
        match self.shape {
            _ if values.count == 0 && self.shape != Shape::Classic => {}
            Shape::Level { folding, has_mean } => {
                emit(self, Form::Level, values.folded(folding));
                if has_mean && self.has_many {
                    emit(self, Form::Mean, values.mean());
                }
            }
            Shape::Started | Shape::Uptime | Shape::Restarts => emit(self, Form::Restarts, self.restarts),
            Shape::Counter | Shape::Histogram => {
                let form = if self.shape == Shape::Counter { Form::Rate } else { Form::Requests };
                emit(self, form, values.sum);
                // windows are longer where the leader was replaced
                let seconds = length_ms as f64 / 1000.0;
                let (failed, all) = (values.failed * seconds, values.sum * seconds);
                if self.has_status
                    && let Some(ratio) = self.outcomes.close(failed, all)
                {
                    emit(self, Form::ErrorRatio, ratio);
                }
                requests = self.has_status.then_some(Requests { end_ms, usual_ms, failed, all });
            }
            Shape::Classic => {}
        }
        if self.shape.has_buckets()
            && let Some((median, high)) = self.sums.close()
        {
            emit(self, Form::Median, median);
            emit(self, Form::Percentile99, high);
        }
        self.forget(end_ms, length_ms, usual_ms);
        self.open();
        requests
    }

    /// Returns the values of a window that ends then: those of replicas, of whose parts the values are added.
    fn values(&self, end_ms: i64, usual_ms: i64) -> Values {
        let standing = self.streams.iter().filter_map(|stream| {
            let value = stream.standing(end_ms, usual_ms, self.shape.is_added())?;
            Some((stream, value))
        });
        let mut values = Values::default();
        if self.shape.is_level() && Family::of(&self.metric).is_some_and(Family::has_parts) {
            let mut replicas: BTreeMap<u64, f64> = BTreeMap::new();
            for (stream, value) in standing {
                *replicas.entry(stream.replica).or_default() += value;
            }
            for value in replicas.into_values() {
                values.add(value, false);
            }
        } else {
            for (stream, value) in standing {
                values.add(value, stream.has_failed);
            }
        }
        values
    }

    /// Forgets the replicas that have not reported for long; not where none has, for then they come back one by one.
    fn forget(&mut self, end_ms: i64, length_ms: i64, usual_ms: i64) {
        let since_ms =
            end_ms - FORGET_MS.max(FORGET_WINDOWS * usual_ms).max(length_ms + KNOWN_WINDOWS * usual_ms);
        let before = self.streams.len();
        self.streams.retain(|stream| stream.newest_ms() >= since_ms);
        if self.streams.len() < before {
            self.index();
        }
    }

    /// Returns the name of what is derived.
    fn name(&mut self, form: Form) -> Arc<Name> {
        if let Some((_, name)) = self.names.iter().find(|(of, _)| *of == form) {
            return Arc::clone(name);
        }
        let name = Name::of(form, &self.metric, &self.dimensions, &self.unit);
        self.names.push((form, Arc::clone(&name)));
        name
    }
}

impl Name {
    pub(super) fn of(form: Form, metric: &str, dimensions: &str, unit: &str) -> Arc<Self> {
        let unit = match form {
            Form::Level | Form::Mean | Form::Rate | Form::Median | Form::Percentile99 => unit,
            Form::Requests | Form::ErrorRatio | Form::Restarts => "",
        };
        Arc::new(Self { series: Key { form, dimensions, metric }.name(), unit: unit.into() })
    }
}

impl Sums {
    /// Ends a window. Returns the median and the 99th percentile, where there are enough values.
    fn close(&mut self) -> Option<(f64, f64)> {
        let mut quantiles = None;
        if let Some(now) = &self.now {
            if now.total() >= MIN_VALUES {
                quantiles = now.quantile(0.5).zip(now.quantile(0.99));
                self.now = None;
            } else {
                self.gathered_windows += 1;
            }
        }
        if self.now.is_none() || self.gathered_windows >= MAX_GATHERED_WINDOWS {
            (self.now, self.gathered_windows) = (None, 0);
        }
        if let Some(later) = self.later.take() {
            let fits = self.now.as_mut().is_some_and(|now| now.add(&later));
            if !fits {
                self.now = Some(later);
            }
        }
        quantiles
    }
}

/// Values of the streams of one window.
#[derive(Debug, Default)]
struct Values {
    count: u32,
    sum: f64,
    failed: f64,
    highest: Option<f64>,
    lowest: Option<f64>,
}

impl Values {
    fn add(&mut self, value: f64, has_failed: bool) {
        self.count += 1;
        self.sum += value;
        self.failed += if has_failed { value } else { 0.0 };
        self.highest = Some(self.highest.map_or(value, |highest| highest.max(value)));
        self.lowest = Some(self.lowest.map_or(value, |lowest| lowest.min(value)));
    }

    fn mean(&self) -> f64 {
        self.sum / f64::from(self.count)
    }

    fn folded(&self, folding: Folding) -> f64 {
        match folding {
            Folding::Sum => self.sum,
            Folding::Max => self.highest.unwrap_or(f64::NAN),
            Folding::Min => self.lowest.unwrap_or(f64::NAN),
            Folding::Mean => self.mean(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn few_requests_are_gathered_and_one_failure_of_them_is_no_share() {
        let mut outcomes = Outcomes::default();
        assert_eq!(outcomes.close(2.0, 200.0), Some(0.01));
        assert_eq!((1..10).filter_map(|_| outcomes.close(0.0, 2.0)).count(), 0);
        assert_eq!(outcomes.close(1.0, 2.0), Some(0.0), "one of twenty");
        assert_eq!(outcomes.close(2.0, 2.0), None);
        assert_eq!(outcomes.close(2.0, 2.0), None);
        assert_eq!(outcomes.close(2.0, 4.0), Some(0.75));
        assert!((0..30).all(|_| outcomes.close(0.0, 0.0).is_none()));
    }

    #[test]
    fn few_values_are_gathered_over_windows_and_then_given_up() {
        let some = |count: f64| Buckets::from_cumulative(&[1.0, f64::INFINITY], &[count, count]);
        let mut sums = Sums::default();
        for _ in 0..3 {
            sums.now = Some(match sums.now.take() {
                Some(mut now) => {
                    assert!(now.add(&some(6.0)));
                    now
                }
                None => some(6.0),
            });
            assert_eq!(sums.close(), None);
        }
        assert!(sums.now.as_mut().unwrap().add(&some(6.0)));
        assert!(sums.close().is_some() && sums.now.is_none());
        sums.now = Some(some(6.0));
        assert!((0..9).all(|_| sums.close().is_none() && sums.now.is_some()));
        assert!(sums.close().is_none() && sums.now.is_none());
    }
}
