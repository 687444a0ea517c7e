//! Restarts of a service: what its series report of them, and whether they are a loop.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::Certainty;
use crate::alert::format;
use crate::alert::{Alert, Detector, Report, Subject, Verdict};

/// Name and version of the rule.
const DETECTOR: &str = "restarts/1";
/// Name under which the restarts of a service are reported.
const METRIC: &str = "restarts";

/// Restarts within the window that are a loop, and a bad one. Kubernetes waits at most 5 min before it starts a container
/// anew, so a loop keeps making three in 15 min.
const LOOP_RESTARTS: usize = 3;
const BAD_LOOP_RESTARTS: usize = 5;
/// The window, milliseconds; longer where samples are rarer.
const WINDOW_MS: i64 = 900_000;
/// Intervals between samples that it has to hold.
const WINDOW_INTERVALS: i64 = 5;
/// Restarts that are remembered of each series, and series of which they are.
const MAX_RESTARTS_PER_SERIES: usize = 8;
const MAX_SERIES: usize = 8;
/// Evidence of one restart, of two, and so on, nats.
const NATS: [f64; 5] = [1.0, 2.0, 4.0, 5.0, 6.0];

/// Samples among which the largest has to be passed: several instances may report under one name by turns.
const LARGEST_OF_SAMPLES: usize = 4;
/// Seconds by which the start of a process has to be later: it is computed from the age of the machine, and varies by a few.
const START_JITTER_S: f64 = 2.0;
/// Seconds by which the age of a process may be rounded up.
const UPTIME_JITTER_S: f64 = 1.0;
/// A counter that falls to less than this part, and is still under it with the next sample, has begun anew.
const FALLEN_SHARE: f64 = 0.5;

/// How one series reports the restarts of its service.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) enum RestartSource {
    /// Counts them.
    Count(Largest),
    /// Reports when the process was started.
    StartTime(Largest),
    /// Reports for how long the process runs.
    Uptime {
        /// Time of the last sample, milliseconds, and its value.
        before: Option<(i64, f64)>,
    },
    /// Is a counter, which begins anew.
    Counter(Counter),
}

/// The last few values.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Largest(VecDeque<f64>);

/// A counter that has fallen at least once.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Counter {
    before: f64,
    /// Its value before it fell.
    peak: f64,
    is_falling: bool,
    /// Whether it has come straight back: then it is of several instances, whose figures come by turns.
    is_mixed: bool,
}

impl RestartSource {
    /// Returns the source for a counter that is about to fall from `before`.
    pub(crate) fn counter(before: f64) -> Self {
        Self::Counter(Counter { before, peak: before, is_falling: false, is_mixed: false })
    }

    /// Takes the next value (times in seconds). Returns how often the service was restarted since the one before.
    pub(crate) fn look(&mut self, ts_ms: i64, value: f64) -> usize {
        match self {
            Self::Count(largest) => {
                let more = largest.passed_by(value).max(0.0);
                (more.round() as usize).min(MAX_RESTARTS_PER_SERIES)
            }
            Self::StartTime(largest) => usize::from(largest.passed_by(value) > START_JITTER_S),
            Self::Uptime { before } => {
                let Some((before_ms, age)) = before.replace((ts_ms, value)) else { return 0 };
                let gap = ts_ms.saturating_sub(before_ms) as f64 / 1000.0;
                // the same age again is an exporter that updates it less often than it is scraped
                let is_younger = value < gap && value != age || value < gap + UPTIME_JITTER_S && value < age;
                usize::from(is_younger && value >= 0.0)
            }
            Self::Counter(counter) => usize::from(counter.begins_anew(value)),
        }
    }
}

impl Largest {
    /// Takes a value; returns by how much it is larger than the last few, or 0 for the first.
    fn passed_by(&mut self, value: f64) -> f64 {
        let largest = self.0.iter().copied().reduce(f64::max);
        if self.0.len() == LARGEST_OF_SAMPLES {
            self.0.pop_front();
        }
        self.0.push_back(value);
        largest.map_or(0.0, |largest| value - largest)
    }
}

impl Counter {
    fn begins_anew(&mut self, value: f64) -> bool {
        let before = std::mem::replace(&mut self.before, value);
        if self.is_mixed {
            return false;
        }
        if value < before {
            (self.is_falling, self.peak) = (value < FALLEN_SHARE * before, before);
            return false;
        }
        let has_fallen = std::mem::take(&mut self.is_falling);
        self.is_mixed = before < FALLEN_SHARE * self.peak && value >= self.peak;
        has_fallen && value < FALLEN_SHARE * self.peak
    }
}

/// The restarts of one service within the window.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Restarts {
    /// Place of the series that reported each, and when, in milliseconds.
    reported: Vec<(u16, i64)>,
    /// Places of the series that count restarts, and do not only show that something began anew.
    counting: Vec<u16>,
    newest_ms: i64,
    interval_ms: i64,
    alert: Option<Box<Alert>>,
}

/// A sample of a service, and whether its series reports restarts by it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Restarted<'a> {
    /// Service.
    pub(crate) service: &'a str,
    /// Time of the sample, milliseconds.
    pub(crate) ts_ms: i64,
    /// What its series reports; nothing where that is no restart.
    pub(crate) by: Option<Reported>,
    /// Whether users notice something else; nothing where that is not known.
    pub(crate) is_hurt: Option<bool>,
    /// Version and time of the last deployment.
    pub(crate) deployed: Option<(&'a str, i64)>,
}

/// Restarts as one series reports them.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Reported {
    /// Place of the series in its service.
    pub(crate) place: usize,
    /// How often the service was restarted since its sample before.
    pub(crate) restarts: usize,
    /// Usual distance between its samples, milliseconds.
    pub(crate) interval_ms: u64,
    /// Whether it counts restarts.
    pub(crate) is_counted: bool,
}

/// Why restarts that are many enough are no loop.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Excuse<'a> {
    /// Users notice nothing: another instance may have been started each time.
    Unnoticed,
    /// They began with a deployment.
    Deployed(&'a str),
}

impl Detector for Restarts {
    type Input<'a> = Restarted<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, restarted: Restarted<'_>) -> Option<Report> {
        let Restarted { service, ts_ms, by, .. } = restarted;
        if let Some(reported) = by {
            self.add(reported, ts_ms);
        }
        self.newest_ms = self.newest_ms.max(ts_ms);
        let window_ms = WINDOW_MS.max(self.interval_ms.saturating_mul(WINDOW_INTERVALS));
        let (points, is_counted) = self.within(window_ms);
        let excuse = self.excuse(&restarted, points.len(), is_counted, window_ms);
        let verdict = verdict(points.len(), excuse.is_some());
        let began_ms = points.first().map_or(ts_ms, |point| point.ts_ms);
        let revision = Alert::follow(&mut self.alert, &verdict, began_ms)?;
        let subject =
            Subject { metric: METRIC.into(), kind: Kind::Restarts, unit: "".into(), detector: DETECTOR };
        let explanation = sentence(service, &revision.alert, points.len(), excuse, window_ms, self.newest_ms);
        Some(
            Report::new(subject, &revision, verdict, self.newest_ms)
                .every(self.interval_ms.unsigned_abs())
                .points(points)
                .explained(explanation),
        )
    }
}

impl Restarts {
    /// Returns why so many restarts are no loop, if there is a reason: start times and counters that begin anew may be of
    /// one instance after the other.
    fn excuse<'a>(
        &self,
        restarted: &Restarted<'a>,
        count: usize,
        is_counted: bool,
        window_ms: i64,
    ) -> Option<Excuse<'a>> {
        if restarted.is_hurt == Some(true) || is_counted && count >= BAD_LOOP_RESTARTS {
            return None;
        }
        let begins_ms = self.newest_ms.saturating_sub(window_ms);
        let deployed = restarted.deployed.filter(|&(_, ts_ms)| ts_ms >= begins_ms && !is_counted);
        match deployed {
            Some((version, _)) => Some(Excuse::Deployed(version)),
            None => restarted.is_hurt.map(|_| Excuse::Unnoticed),
        }
    }

    /// Notes that a series has reported restarts.
    fn add(&mut self, Reported { place, restarts, interval_ms, is_counted }: Reported, ts_ms: i64) {
        let Ok(place) = u16::try_from(place) else { return };
        let of_it = self.reported.iter().filter(|(other, _)| *other == place).count();
        let mut places: Vec<u16> = self.reported.iter().map(|(place, _)| *place).collect();
        places.sort_unstable();
        places.dedup();
        // all series of a service report the same restarts: some of them are enough
        if of_it == 0 && places.len() >= MAX_SERIES {
            return;
        }
        if is_counted && !self.counting.contains(&place) {
            self.counting.push(place);
        }
        self.interval_ms = self.interval_ms.max(i64::try_from(interval_ms).unwrap_or(i64::MAX));
        let mut surplus = (of_it + restarts).saturating_sub(MAX_RESTARTS_PER_SERIES);
        self.reported.retain(|(other, _)| {
            let goes = *other == place && surplus > 0;
            surplus -= usize::from(goes);
            !goes
        });
        self.reported.extend((0..restarts.min(MAX_RESTARTS_PER_SERIES)).map(|_| (place, ts_ms)));
    }

    /// Returns the restarts within the window up to now, counted through. Restarts that several series report are the
    /// same ones, so the series that reports most counts. And whether that one counts restarts.
    fn within(&mut self, window_ms: i64) -> (Vec<Point>, bool) {
        let begins_ms = self.newest_ms.saturating_sub(window_ms);
        self.reported.retain(|&(_, at_ms)| at_ms > begins_ms);
        self.counting.retain(|place| self.reported.iter().any(|(other, _)| other == place));
        let of = |place: u16| self.reported.iter().filter(move |(other, _)| *other == place);
        let most =
            self.reported.iter().map(|&(place, _)| place).max_by_key(|&place| (of(place).count(), place));
        let points = most
            .into_iter()
            .flat_map(of)
            .zip(1_u32..)
            .map(|(&(_, ts_ms), count)| Point { ts_ms, value: f64::from(count) })
            .collect();
        (points, most.is_some_and(|place| self.counting.contains(&place)))
    }

    /// Forgets the series at a place of the service, where another one is from now on.
    pub(crate) fn forget(&mut self, place: usize) {
        self.reported.retain(|&(other, _)| usize::from(other) != place);
    }

    /// Returns whether there is nothing left to wait for.
    pub(crate) fn is_over(&self) -> bool {
        self.reported.is_empty() && self.alert.is_none()
    }
}

/// Returns what so many restarts within the window amount to.
fn verdict(count: usize, is_excused: bool) -> Verdict {
    let certainty = match count {
        0 => Certainty::Normal,
        LOOP_RESTARTS.. if !is_excused => Certainty::Certain,
        _ => Certainty::Noticed,
    };
    Verdict {
        certainty,
        nats: count
            .checked_sub(1)
            .map_or(0.0, |count| NATS[count.min(NATS.len() - 1)].min(certainty.limit())),
        severity: if count >= BAD_LOOP_RESTARTS { Severity::Sev2 } else { Severity::Sev3 },
        direction: Direction::Up,
        observed: count as f64,
        expected: Band { lower: 0.0, center: 0.0, upper: (LOOP_RESTARTS - 1) as f64 },
    }
}

/// Explains in one sentence what so many restarts come to.
fn sentence(
    service: &str,
    alert: &Alert,
    count: usize,
    excuse: Option<Excuse<'_>>,
    window_ms: i64,
    at_ms: i64,
) -> String {
    let window = format::duration(window_ms);
    let since = format::time(alert.started_ms, at_ms);
    match (alert.status, count) {
        (Status::Cleared, _) => {
            format!("{service} has not restarted for {window}; its restarts began at {since}")
        }
        (Status::Suspect, 1) => format!("{service} restarted at {since}; one restart is not a loop"),
        (Status::Suspect, LOOP_RESTARTS..) => {
            let why = match excuse {
                Some(Excuse::Deployed(version)) => format!("version {version} was deployed"),
                _ => "its requests are served as usual".to_owned(),
            };
            format!("{service} or instances of it restarted {count} times since {since}; {why}")
        }
        (Status::Suspect, count) => {
            format!(
                "{service} restarted {count} times since {since}; {LOOP_RESTARTS} restarts within {window} are a loop"
            )
        }
        (Status::Firing, count) => {
            format!("{service} restarted {count} times within {window}, first at {since}: restart loop")
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn restarts(mut witness: RestartSource, values: &[f64]) -> usize {
        let times = (0..).map(|i| 1_750_000_000_000 + i * 10_000);
        times.zip(values).map(|(ts_ms, value)| witness.look(ts_ms, *value)).sum()
    }

    #[test]
    fn each_kind_of_series_tells_of_restarts() {
        let count = || RestartSource::Count(Largest::default());
        assert_eq!(restarts(count(), &[7.0, 7.0, 8.0, 8.0, 10.0]), 3);
        assert_eq!(restarts(count(), &[7.0, 0.0, 0.0, 0.0, 0.0, 1.0]), 1, "a new pod counts from 0");
        let start = RestartSource::StartTime(Largest::default());
        assert_eq!(restarts(start, &[100.0, 100.6, 99.9, 160.0, 160.0, 171.0]), 2);
        let uptime = RestartSource::Uptime { before: None };
        assert_eq!(restarts(uptime, &[500.0, 510.0, 4.0, 14.0, 3.0, 7.0]), 3);
        assert_eq!(restarts(RestartSource::counter(900.0), &[3.0, 60.0, 130.0, 5.0, 40.0]), 2);
    }

    #[test]
    fn instances_that_tell_by_turns_are_not_taken_for_restarts() {
        let by_turns = |figures: [f64; 3]| (0..60).map(move |i| figures[i % 3] + (i / 3) as f64);
        let figures: Vec<f64> = by_turns([900.0, 20.0, 90.0]).collect();
        let still: Vec<f64> = (0..60).map(|i| [9.0, 2.0, 5.0][i % 3]).collect();
        assert_eq!(restarts(RestartSource::Count(Largest::default()), &still), 0);
        assert_eq!(restarts(RestartSource::StartTime(Largest::default()), &still), 0);
        assert_eq!(restarts(RestartSource::Uptime { before: None }, &figures), 0);
        assert!(restarts(RestartSource::counter(900.0), &figures) <= 1);
    }

    #[test]
    fn an_age_that_is_written_down_rarely_is_not_taken_for_restarts() {
        let stale: Vec<f64> = (0..60).map(|i| f64::from(i / 6) * 60.0).collect();
        assert_eq!(restarts(RestartSource::Uptime { before: None }, &stale), 0);
    }

    #[test]
    fn the_memory_of_a_loop_is_bounded_and_several_series_tell_of_the_same_restarts() {
        let reported = |place, restarts| Reported { place, restarts, interval_ms: 10_000, is_counted: true };
        let mut loops = Restarts::default();
        for i in 0..1000 {
            for place in 0..40 {
                loops.add(reported(place, 3), i * 1000);
            }
        }
        assert_eq!(loops.reported.len(), MAX_RESTARTS_PER_SERIES * MAX_SERIES);
        let mut planned = Restarts::default();
        (0..40).for_each(|place| planned.add(reported(place, 1), 1000));
        let mut at = |ts_ms| {
            let nothing = Restarted { service: "user", ts_ms, by: None, is_hurt: None, deployed: None };
            planned.observe(nothing).unwrap()
        };
        assert_eq!(at(1000).verdict.certainty, Certainty::Noticed);
        assert_eq!(at(1000 + WINDOW_MS).alert.status, Status::Cleared);
        assert!(planned.is_over());
    }
}
