//! Labelled samples of all replicas of a service, folded into the series that are judged.
//!
//! Labels are either dimensions, which tell series apart, or of replicas. A group holds one metric with one set of
//! dimensions; each of its replicas has a stream. A window of a group ends with a point of one replica and is closed
//! once the others have reported as well, or have been waited for. What comes of it goes the way of any sample.

mod buckets;
mod describe;
mod group;
pub(crate) mod shape;
mod split;
mod stream;
mod window;

use std::collections::HashMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::metric_profile::key::Form;
use crate::metric_profile::{MetricProfile, Override};
use crate::sample::Detail;
pub(crate) use describe::Plan;
pub(crate) use group::Folded;
use group::{Group, Outcomes, Requests};
use shape::{Meaning, Shape};
use split::{Hash, Split};

/// Groups of one service.
const MAX_GROUPS: usize = 1000;
/// Streams of one service: with its series they have to fit into one record.
const MAX_STREAMS: usize = 4000;
/// Numbers in the buckets of one service, for the same reason.
const MAX_CELLS: usize = 30_000;
/// Meanings of metrics that are remembered.
const MAX_MEANINGS: usize = 2000;
/// Time after which a group that does not report is forgotten where there is no room, milliseconds.
const GONE_MS: i64 = 3_600_000;
/// Shortest time between two searches for such groups.
const TIDY_MS: i64 = 600_000;
/// Windows after which another group says when the requests of all are added up.
const TOTAL_WINDOWS: i64 = 5;

/// A labelled sample.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Point<'a> {
    /// Service.
    pub(crate) service: &'a str,
    /// Metric name.
    pub(crate) metric: &'a str,
    /// Unit, or an empty string.
    pub(crate) unit: &'a str,
    /// Value; not a number where the replica has nothing to report.
    pub(crate) value: f64,
    /// Event time, milliseconds.
    pub(crate) ts_ms: i64,
    /// Labels, and what else it holds.
    pub(crate) detail: &'a Detail<'a>,
    /// Upper bound of a bucket of a classic histogram.
    bound: Option<f64>,
}

impl<'a> Point<'a> {
    /// Returns the point of a sample of a service.
    pub(crate) fn new(
        service: &'a str,
        (metric, unit): (&'a str, &'a str),
        (ts_ms, value): (i64, f64),
        detail: &'a Detail<'a>,
    ) -> Self {
        let bound = detail.label("le").and_then(|bound| match bound {
            "+Inf" | "Inf" | "inf" => Some(f64::INFINITY),
            bound => bound.parse().ok().filter(|bound: &f64| bound.is_finite()),
        });
        Self { service, metric, unit, value, ts_ms, detail, bound }
    }
}

/// Name and unit of a series.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Name {
    /// Name, with its dimensions: see [`crate::metric_profile`].
    pub(crate) series: String,
    /// Unit as it was sent.
    pub(crate) unit: Box<str>,
}

/// What has become of a labelled sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Taken {
    /// It is part of the series of its dimensions.
    Own,
    /// It is part of the series of all sets of dimensions beyond the limit.
    Other,
    /// Its metric is not judged.
    Nothing,
}

/// Why a labelled sample was left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Left {
    /// Same time as the point before it.
    Duplicate,
    /// Older than the point before it.
    OutOfOrder,
    /// So late that its window was closed long ago.
    Late,
    /// One series of its service more than there may be.
    Groups,
    /// One replica more than there may be.
    Replicas,
    /// Its buckets do not fit to those of the other replicas, or are too many.
    Buckets,
}

/// Requests of all sets of dimensions of one metric. Their windows end at other times, and are closed one after the other.
#[derive(Debug, Serialize, Deserialize)]
struct Total {
    metric: Box<str>,
    is_histogram: bool,
    /// Group whose windows are those of the total, by its hash.
    leader: u64,
    /// Ends of its last two windows. The later one is open until the leader's next, for the others come later.
    ends_ms: [i64; 2],
    /// Requests that failed, and all, of the open window and of the next one.
    counts: [(f64, f64); 2],
    outcomes: Outcomes,
    #[serde(skip)]
    names: Option<[Arc<Name>; 2]>,
}

/// All groups of one service.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(crate) struct Fold {
    groups: Vec<Group>,
    totals: Vec<Total>,
    /// Latest time of any point.
    clock_ms: i64,
    /// No window is closed for its time alone before then.
    due_ms: Option<i64>,
    #[serde(skip)]
    places: HashMap<u64, u32>,
    #[serde(skip)]
    sets: HashMap<u64, u32>,
    #[serde(skip)]
    streams: usize,
    #[serde(skip)]
    meanings: HashMap<u64, Option<Meaning>>,
    /// When groups were last looked for that do not report any more, milliseconds.
    tidied_ms: i64,
}

impl Fold {
    /// Finds everything again after it was read from a snapshot.
    pub(crate) fn resume(mut self) -> Self {
        self.groups.iter_mut().for_each(Group::index);
        self.index();
        self
    }

    fn index(&mut self) {
        (self.places, self.sets, self.streams) = (HashMap::new(), HashMap::new(), 0);
        for (place, group) in (0..).zip(&self.groups) {
            self.places.insert(of_group(&group.metric, &group.dimensions, group.shape), place);
            *self.sets.entry(of_metric(&group.metric, group.shape)).or_default() += 1;
            self.streams += group.streams();
        }
    }

    /// Forgets the groups that have not reported for long, where there is no room for more. Does so once in a while at most.
    fn tidy(&mut self) {
        if self.clock_ms - self.tidied_ms < TIDY_MS {
            return;
        }
        self.tidied_ms = self.clock_ms;
        let since_ms = self.clock_ms - GONE_MS;
        self.groups.retain(|group| group.last_ms() >= since_ms);
        self.totals.retain(|total| total.ends_ms[1] >= since_ms);
        self.index();
    }

    /// Returns whether there is room for one more stream.
    fn has_room(&self, shape: Shape) -> bool {
        let may_hold = || self.groups.iter().map(Group::cells).sum::<usize>() < MAX_CELLS;
        self.streams < MAX_STREAMS && (!shape.has_buckets() || may_hold())
    }

    /// Returns whether it holds nothing.
    pub(crate) fn is_empty(&self) -> bool {
        self.groups.is_empty()
    }

    /// Takes a labelled sample, and adds the values of series whose windows are complete. A value that is missing means that
    /// the replica has left.
    pub(crate) fn take(
        &mut self,
        point: &Point<'_>,
        settings: &Settings,
        folded: &mut Vec<Folded>,
    ) -> Result<Taken, Left> {
        let Some(meaning) = self.meaning(point, settings) else { return Ok(Taken::Nothing) };
        let (shape, metric) = (meaning.shape, shape::base(point.metric, point.detail));
        let split = Split::of(point.detail, meaning, &settings.labels);
        if split.left_out.is_some() {
            return Ok(Taken::Nothing);
        }
        if point.value.is_nan() {
            let hash = of_group(metric, &split.dimensions, shape);
            if let Some(&place) = self.places.get(&hash) {
                self.groups[place as usize].leave(&split);
                self.close(place as usize, folded);
            }
            return Ok(Taken::Own);
        }
        self.clock_ms = self.clock_ms.max(point.ts_ms);
        if self.is_short_of_room(metric, shape, settings) {
            self.tidy();
        }
        let (place, taken) = self.group(metric, point.unit, &split, shape, settings)?;
        let is_new = !self.groups[place].has(&split);
        let may_grow = !is_new || self.has_room(shape);
        let group = &mut self.groups[place];
        group.shape = shape;
        let before = group.streams();
        let result = group.take(point, &split, may_grow);
        self.streams += group.streams() - before;
        self.close(place, folded);
        self.close_due(folded);
        result.map(|()| taken)
    }

    /// Returns what samples like this one mean; nothing of what is not judged.
    fn meaning(&mut self, point: &Point<'_>, settings: &Settings) -> Option<Meaning> {
        let form = match point.detail.instrument {
            _ if point.detail.histogram.is_some() => "histogram",
            _ if point.detail.label("le").is_some() => "le",
            None => "",
            Some(shared::events::raw::Instrument::Counter) => "counter",
            Some(shared::events::raw::Instrument::Gauge) => "gauge",
        };
        let hash = Hash::of(&[point.metric, point.unit, form]);
        if let Some(known) = self.meanings.get(&hash) {
            return *known;
        }
        let meaning = Meaning::of(point.metric, point.detail, |base| {
            let stated = Override::find(&settings.metrics, point.service, base);
            MetricProfile::of(base, point.unit, stated.map_or(&[], std::slice::from_ref))
        });
        if self.meanings.len() >= MAX_MEANINGS {
            self.meanings.clear();
        }
        self.meanings.insert(hash, meaning);
        meaning
    }

    fn is_short_of_room(&self, metric: &str, shape: Shape, settings: &Settings) -> bool {
        let sets = self.sets.get(&of_metric(metric, shape)).copied().unwrap_or_default();
        self.groups.len() >= MAX_GROUPS || self.streams >= MAX_STREAMS || sets >= settings.labels.max_sets
    }

    /// Returns the place of a group, which is begun where there is room: beyond the limit of its metric as the one of all other
    /// sets of dimensions.
    fn group(
        &mut self,
        metric: &str,
        unit: &str,
        split: &Split,
        shape: Shape,
        settings: &Settings,
    ) -> Result<(usize, Taken), Left> {
        if let Some(&place) = self.places.get(&of_group(metric, &split.dimensions, shape)) {
            return Ok((place as usize, Taken::Own));
        }
        let sets = self.sets.get(&of_metric(metric, shape)).copied().unwrap_or_default();
        let is_full = sets >= settings.labels.max_sets && !split.dimensions.is_empty();
        let (dimensions, taken) =
            if is_full { (&split.others, Taken::Other) } else { (&split.dimensions, Taken::Own) };
        let hash = of_group(metric, dimensions, shape);
        if let Some(&place) = self.places.get(&hash) {
            return Ok((place as usize, taken));
        }
        if self.groups.len() >= MAX_GROUPS {
            return Err(Left::Groups);
        }
        let place = self.groups.len();
        self.groups.push(Group::new(metric, dimensions, unit, shape));
        self.places.insert(hash, place as u32);
        *self.sets.entry(of_metric(metric, shape)).or_default() += 1;
        Ok((place, taken))
    }

    /// Closes the windows of a group that are complete.
    fn close(&mut self, place: usize, folded: &mut Vec<Folded>) {
        while self.groups[place].is_due(self.clock_ms) {
            let before = self.groups[place].streams();
            let requests = self.groups[place].close(folded);
            self.streams -= before - self.groups[place].streams();
            if let Some(requests) = requests {
                self.add_up(place, requests, folded);
            }
        }
        let due_ms = self.groups[place].due_ms();
        self.due_ms = [self.due_ms, due_ms].into_iter().flatten().min();
    }

    /// Closes the windows that have waited for long enough.
    fn close_due(&mut self, folded: &mut Vec<Folded>) {
        if self.due_ms.is_none_or(|due_ms| self.clock_ms < due_ms) {
            return;
        }
        self.due_ms = None;
        for place in 0..self.groups.len() {
            self.close(place, folded);
        }
    }

    /// Adds the requests of one set of dimensions to those of the service.
    fn add_up(&mut self, place: usize, requests: Requests, folded: &mut Vec<Folded>) {
        let group = &self.groups[place];
        if group.dimensions.is_empty() {
            return;
        }
        let is_histogram = group.shape == Shape::Histogram;
        let hash = of_group(&group.metric, &group.dimensions, group.shape);
        let sets = self.sets.get(&of_metric(&group.metric, group.shape)).copied().unwrap_or_default();
        let has_own = self.places.contains_key(&of_group(&group.metric, "", group.shape));
        let of_it = |total: &&mut Total| total.metric == group.metric && total.is_histogram == is_histogram;
        let Some(total) = self.totals.iter_mut().find(of_it) else {
            self.totals.push(Total {
                metric: group.metric.clone(),
                is_histogram,
                leader: hash,
                // the window before it is not complete
                ends_ms: [requests.end_ms; 2],
                counts: [(0.0, 0.0); 2],
                outcomes: Outcomes::default(),
                names: None,
            });
            return;
        };
        let window = usize::from(requests.end_ms > total.ends_ms[1] + requests.usual_ms / 2);
        total.counts[window].0 += requests.failed;
        total.counts[window].1 += requests.all;
        if total.leader != hash && requests.end_ms - total.ends_ms[1] > TOTAL_WINDOWS * requests.usual_ms {
            total.leader = hash;
        }
        if total.leader == hash && requests.end_ms > total.ends_ms[1] {
            total.close(requests.end_ms, sets > 1 && !has_own, folded);
        }
    }
}

impl Total {
    /// Closes the window that is open, and opens the next one, which ends then.
    fn close(&mut self, end_ms: i64, is_judged: bool, folded: &mut Vec<Folded>) {
        let [since_ms, ts_ms] = self.ends_ms;
        let [(failed, all), next] = self.counts;
        (self.ends_ms, self.counts) = ([ts_ms, end_ms], [next, (0.0, 0.0)]);
        if !is_judged || ts_ms <= since_ms {
            return;
        }
        let [rate, ratio] = self.names();
        folded.push(Folded { name: rate, ts_ms, value: all * 1000.0 / (ts_ms - since_ms) as f64 });
        if let Some(value) = self.outcomes.close(failed, all) {
            folded.push(Folded { name: ratio, ts_ms, value });
        }
    }

    /// Returns the names of the rate and of the error ratio.
    fn names(&mut self) -> [Arc<Name>; 2] {
        let rate = if self.is_histogram { Form::Requests } else { Form::Rate };
        let metric = &self.metric;
        let names = || [rate, Form::ErrorRatio].map(|form| Name::of(form, metric, "", ""));
        self.names.get_or_insert_with(names).clone()
    }
}

fn of_metric(metric: &str, shape: Shape) -> u64 {
    Hash::of(&[metric, shape.code()])
}

fn of_group(metric: &str, dimensions: &str, shape: Shape) -> u64 {
    Hash::of(&[metric, dimensions, shape.code()])
}

/// Returns the hash of a metric of a service.
pub(crate) fn hash_of(service: &str, metric: &str) -> u64 {
    Hash::of(&[service, metric])
}

#[cfg(test)]
mod tests;
