//! When a disk, a memory or a pool will be full (or what is free will be gone), if it goes on as it does now.
//!
//! The trend is looked for in two windows, and each may look ahead twelve times as far as it looks back: twenty minutes
//! for the next four hours, two hours for the next day. A rise that the series knows (a log
//! that is rotated, a heap that is collected, a day) ends where it always ends, so a trend counts only beyond what was
//! reached before it began.
//!
//! The bars of 4 and 24 hours and of 40 % free are those of the alert NodeFilesystemSpaceFillingUp of the Prometheus
//! node-mixin, which extrapolates six hours with `predict_linear`.

mod trend;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::Certainty;
use crate::alert::format;
use crate::alert::{Alert, Detector, Report, Revision, Subject, Verdict};
use crate::metric_profile::{BadDirection, Bounded};
use crate::series::rules::Observation;
use trend::{BUCKETS, Line, Trend};

/// Name and version of the rule.
const DETECTOR: &str = "forecast/1";
/// What is added to the name of the series.
const SUFFIX: &str = ":time_to_full";

const HOUR_MS: f64 = 3_600_000.0;
/// Width of a bucket of each window, milliseconds.
const WIDTHS_MS: [i64; 2] = [120_000, 720_000];
/// How many times farther than it looks back a window may look ahead.
const AHEAD_FACTOR: f64 = 12.0;
/// Time to full that is urgent, that is certain, and that is noticed, milliseconds.
const URGENT_MS: f64 = HOUR_MS;
const CERTAIN_MS: f64 = 4.0 * HOUR_MS;
const NOTICED_MS: f64 = 24.0 * HOUR_MS;
/// Buckets in a row that have to say so.
const CONFIRM_BUCKETS: u8 = 2;
/// Part of the room that has to be in use.
const MIN_USED_SHARE: f64 = 0.6;
/// Part of the smaller of what the series usually swings and of what it has left, by which it has to be beyond its
/// usual reach.
const BEYOND_SHARE: f64 = 0.2;
/// How long a series has to be known, milliseconds. What follows the load needs a day: its rise in the morning is no leak.
const KNOWN_MS: i64 = 86_400_000;
const KNOWN_DISK_MS: i64 = 14_400_000;
/// How many times farther than its bar the end has to be, and for how long, milliseconds, to clear.
const CLEAR_FACTOR: f64 = 2.0;
const CALM_MS: i64 = 1_200_000;
/// Part of a rise that is given back when room was made.
const FREED_SHARE: f64 = 0.5;
/// Part of the room below which it counts as full, whatever the trend says.
const FULL_SHARE: f64 = 0.02;

/// The forecast for one series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Forecast {
    first_ms: i64,
    /// Most that was ever left; stands for the whole where no ceiling is known.
    most_left: f64,
    trends: [Trend; WIDTHS_MS.len()],
    rise: Option<Rise>,
    alert: Option<Box<Alert>>,
}

/// A rise that is reported.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Rise {
    /// Where it came from, and how far it has gone.
    from: f64,
    peak: f64,
    /// Since when nothing says so any more, milliseconds.
    calm_since_ms: Option<i64>,
}

/// A revision that is due.
#[derive(Debug, Clone, PartialEq)]
struct Due {
    revision: Revision,
    verdict: Verdict,
    /// How the series went, in its own unit, the finer the newer.
    points: Vec<Point>,
    found: Option<Found>,
}

/// What one window finds.
#[derive(Debug, Clone, Copy, PartialEq)]
struct Found {
    line: Line,
    since_ms: i64,
    /// Time to full, milliseconds.
    left_ms: f64,
    /// What was usual before.
    low: f64,
    high: f64,
}

impl Default for Forecast {
    fn default() -> Self {
        Self {
            first_ms: i64::MAX,
            most_left: 0.0,
            trends: std::array::from_fn(|_| Trend::new()),
            rise: None,
            alert: None,
        }
    }
}

impl Detector for Forecast {
    type Input<'a> = &'a Observation<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, observation: &Observation<'_>) -> Option<Report> {
        let &Observation { service, metric, bounded, ts_ms, value, interval_ms, .. } = observation;
        let due = self.judge(ts_ms, value, bounded, interval_ms)?;
        let explanation = due.sentence(service, metric, bounded, ts_ms);
        Some(report(observation, &due.revision, due.verdict).points(due.points).explained(explanation))
    }
}

fn report(observation: &Observation<'_>, revision: &Revision, verdict: Verdict) -> Report {
    let &Observation { metric, bounded, ts_ms, interval_ms, .. } = observation;
    let subject = Subject {
        metric: format!("{metric}{SUFFIX}").into(),
        kind: bounded.profile.kind,
        unit: bounded.profile.unit.clone(),
        detector: DETECTOR,
    };
    Report::new(subject, revision, verdict, ts_ms).every(interval_ms.round() as u64)
}

impl Forecast {
    /// Returns whether it has an alert that is not over.
    pub(crate) fn is_open(&self) -> bool {
        self.alert.is_some()
    }

    /// Ends its alert where the series stopped reporting. Returns the report of that, without an explanation.
    pub(crate) fn give_up(&mut self, last: &Observation<'_>) -> Option<Report> {
        self.rise = None;
        let verdict = Verdict::not_known(last.value);
        let revision = Alert::follow(&mut self.alert, &verdict, last.ts_ms)?;
        Some(report(last, &revision, verdict).points(last.samples.points().collect()))
    }

    /// Takes the next sample of a series that has samples every `interval_ms`.
    fn judge(&mut self, ts_ms: i64, value: f64, bounded: Bounded<'_>, interval_ms: f64) -> Option<Due> {
        // inside, more is worse, and 0 is the end where what is free runs out
        let (sign, end) = match bounded.profile.bad_direction {
            BadDirection::Down => (-1.0, Some(0.0)),
            _ => (1.0, bounded.ceiling),
        };
        let level = sign * value;
        self.first_ms = self.first_ms.min(ts_ms);
        if let Some(end) = end {
            self.most_left = self.most_left.max(end - level);
        }
        let mut closed = [false; WIDTHS_MS.len()];
        for ((trend, width_ms), closed) in self.trends.iter_mut().zip(WIDTHS_MS).zip(&mut closed) {
            *closed = trend.take(ts_ms, level, width_ms, interval_ms);
        }
        if !closed.contains(&true) {
            return None;
        }
        let (soonest, goes_on) = if let Some(end) = end {
            self.soonest(ts_ms, level, end, closed, bounded)
        } else {
            // the limit has changed, or is not reported any more
            self.rise = None;
            self.trends.iter_mut().for_each(|trend| trend.held = 0);
            (None, false)
        };
        let certainty = self.certainty(ts_ms, soonest.as_ref(), goes_on);
        let found = soonest.filter(|_| certainty != Certainty::Normal);
        let verdict = self.verdict(certainty, found.as_ref(), value, sign);
        let began_ms = found.map_or(ts_ms, |found| found.since_ms);
        let revision = Alert::follow(&mut self.alert, &verdict, began_ms)?;
        if revision.alert.status == Status::Cleared {
            self.trends.iter_mut().for_each(Trend::forgive);
        }
        Some(Due { revision, verdict, points: self.points(sign), found })
    }

    /// Returns what counts as the soonest end, and whether a window still says that the end is near. `closed` are the
    /// windows that have closed a bucket.
    fn soonest(
        &mut self,
        ts_ms: i64,
        level: f64,
        end: f64,
        closed: [bool; WIDTHS_MS.len()],
        bounded: Bounded<'_>,
    ) -> (Option<Found>, bool) {
        let whole = bounded.ceiling.unwrap_or(self.most_left);
        let known_ms = if bounded.profile.kind == Kind::Disk { KNOWN_DISK_MS } else { KNOWN_MS };
        let is_known = ts_ms.saturating_sub(self.first_ms) >= known_ms;
        let mut soonest: Option<Found> = None;
        let bar_ms = self.bar_ms();
        let mut goes_on = end - level <= FULL_SHARE * whole;
        for ((trend, width_ms), closed) in self.trends.iter_mut().zip(WIDTHS_MS).zip(closed) {
            let found = find(trend, width_ms, end);
            goes_on |= found.is_some_and(|found| found.left_ms <= CLEAR_FACTOR * bar_ms);
            let counts = is_known
                && end - level <= (1.0 - MIN_USED_SHARE) * whole
                && found.is_some_and(|found| is_beyond(&found, end) && found.left_ms <= ahead_ms(width_ms));
            if closed {
                trend.held = if counts { trend.held.saturating_add(1) } else { 0 };
            }
            if counts && trend.held >= CONFIRM_BUCKETS {
                soonest = soonest.into_iter().chain(found).min_by(|a, b| a.left_ms.total_cmp(&b.left_ms));
            }
        }
        (soonest, goes_on)
    }

    /// Returns the time to full that the alert is about.
    fn bar_ms(&self) -> f64 {
        let fires = self.alert.as_ref().is_some_and(|alert| alert.status == Status::Firing);
        if fires { CERTAIN_MS } else { NOTICED_MS }
    }

    /// Returns how sure it is, and follows the rise: once reported, it is over when half of it is undone, or when nothing has
    /// said for a while that it goes on.
    fn certainty(&mut self, ts_ms: i64, soonest: Option<&Found>, goes_on: bool) -> Certainty {
        let newest = self.trends[0].newest().unwrap_or_default();
        if let Some(found) = soonest {
            let rise = self.rise.get_or_insert(Rise {
                from: found.line.level - found.line.slope * (ts_ms.saturating_sub(found.since_ms)) as f64,
                peak: newest,
                calm_since_ms: None,
            });
            rise.peak = rise.peak.max(newest);
            rise.calm_since_ms = None;
        }
        let Some(rise) = &mut self.rise else { return Certainty::Normal };
        let is_freed = newest < rise.peak - FREED_SHARE * (rise.peak - rise.from);
        if goes_on {
            rise.calm_since_ms = None;
        }
        let calm_since_ms = *rise.calm_since_ms.get_or_insert(ts_ms);
        let is_calm = !goes_on && ts_ms.saturating_sub(calm_since_ms) >= CALM_MS;
        if is_freed || is_calm {
            self.rise = None;
            return Certainty::Normal;
        }
        let is_soon = soonest.is_some_and(|found| found.left_ms <= CERTAIN_MS);
        if is_soon { Certainty::Certain } else { Certainty::Noticed }
    }

    fn verdict(&self, certainty: Certainty, found: Option<&Found>, value: f64, sign: f64) -> Verdict {
        let limit = certainty.limit();
        // half of the squared deviate is the log-likelihood ratio of a normal one
        let nats = found.map_or(0.0, |found| (found.line.certainty.powi(2) / 2.0).min(limit));
        let is_urgent = found.is_some_and(|found| found.left_ms <= URGENT_MS);
        let usual = self.trends[WIDTHS_MS.len() - 1].usual.range().or(self.trends[0].usual.range());
        let (low, high) = match (found, usual) {
            (Some(found), _) => (found.low, found.high),
            (None, Some((low, high))) => (f64::from(low), f64::from(high)),
            (None, None) => (sign * value, sign * value),
        };
        let edges = [sign * low, sign * high];
        Verdict {
            certainty,
            nats,
            severity: if is_urgent { Severity::Sev2 } else { Severity::Sev3 },
            direction: if sign > 0.0 { Direction::Up } else { Direction::Down },
            observed: value,
            expected: Band {
                lower: edges[0].min(edges[1]),
                center: f64::midpoint(edges[0], edges[1]),
                upper: edges[0].max(edges[1]),
            },
        }
    }

    fn points(&self, sign: f64) -> Vec<Point> {
        let mut points: Vec<Point> = Vec::with_capacity(BUCKETS * WIDTHS_MS.len());
        for (trend, width_ms) in self.trends.iter().zip(WIDTHS_MS).rev() {
            let own = trend.points(width_ms);
            let from_ms = trend.points(width_ms).next().map_or(i64::MAX, |(ts_ms, _)| ts_ms);
            points.retain(|point| point.ts_ms < from_ms);
            points.extend(own.map(|(ts_ms, value)| Point { ts_ms, value: sign * value }));
        }
        points
    }
}

fn ahead_ms(width_ms: i64) -> f64 {
    AHEAD_FACTOR * BUCKETS as f64 * width_ms as f64
}

fn find(trend: &Trend, width_ms: i64, end: f64) -> Option<Found> {
    let line = trend.line(width_ms)?;
    let (low, high) = trend.usual.range()?;
    let left_ms = ((end - line.level) / line.slope).max(0.0);
    let found =
        Found { line, since_ms: trend.since_ms?, left_ms, low: f64::from(low), high: f64::from(high) };
    (line.slope > 0.0).then_some(found)
}

/// Returns whether a trend has gone beyond what the series usually reaches.
fn is_beyond(found: &Found, end: f64) -> bool {
    let margin = BEYOND_SHARE * (found.high - found.low).min(end - found.high).max(0.0);
    found.line.level > found.high + margin
}

impl Due {
    /// Says in one sentence what it came to.
    fn sentence(&self, service: &str, metric: &str, bounded: Bounded<'_>, ts_ms: i64) -> String {
        let profile = bounded.profile;
        let figure = |value: f64| shared::text::format::figure(value, &profile.unit).replace('\u{a0}', " ");
        let observed = figure(self.verdict.observed);
        let full = if profile.bad_direction == BadDirection::Down { "empty" } else { "full" };
        if self.revision.alert.status == Status::Cleared {
            return format!(
                "{metric} of {service} is {observed} and no longer forecast to be {full}; it was since {}",
                format::time(self.revision.alert.started_ms, ts_ms)
            );
        }
        let Some(found) = &self.found else {
            return format!("{metric} of {service} is {observed} and nearly {full}");
        };
        // a share says its ceiling itself
        let of = match bounded.ceiling {
            Some(ceiling)
                if profile.bad_direction != BadDirection::Down && !matches!(&*profile.unit, "%" | "1") =>
            {
                format!(" of {}", figure(ceiling))
            }
            _ => String::new(),
        };
        let (goes, extreme) = if profile.bad_direction == BadDirection::Down {
            ("falling", "lowest")
        } else {
            ("rising", "highest")
        };
        let usual =
            figure(if profile.bad_direction == BadDirection::Down { -found.high } else { found.high });
        format!(
            "{metric} of {service} is {observed}{of}, {goes} {}/h for {}: {full} in {}; before, its {extreme} level was {usual}",
            figure(found.line.slope * HOUR_MS),
            span(ts_ms.saturating_sub(found.since_ms) as f64),
            span(found.left_ms),
        )
    }
}

/// Writes a time span in hours and minutes.
fn span(ms: f64) -> String {
    let minutes = (ms / 60_000.0).round() as i64;
    match (minutes / 60, minutes % 60) {
        (0, minutes) => format!("{minutes} min"),
        (hours, 0) => format!("{hours} h"),
        (hours, minutes) => format!("{hours} h {minutes} min"),
    }
}
