//! Objectives that the service catalogue states: latency and availability of a service, whatever is usual for it, and
//! from its first samples on.
//!
//! The catalogue is written for people: its figures are what is aimed at, not what is worth waking somebody for. So a
//! figure that is missed for a moment, or by a few requests, is no finding.

mod burn;

use std::ops::Add;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Point, Status};
use shared::events::{CatalogueService, Kind, Severity};

use crate::alert::certainty::Certainty;
use crate::alert::format::{duration, quantity, time};
use crate::alert::{Alert, Detector, Report, Subject, Verdict};
use crate::metric_profile::{MetricProfile, Role, units};
use crate::series::Series;
use burn::{Burn, PACES};

/// Name and version of the rule.
const DETECTOR: &str = "slo/1";

/// Share of the requests that may be slower than a latency objective, which is one of the 99th percentile.
const SLOW_SHARE: f64 = 0.01;
/// Share of the samples that are beyond an objective that is missed, and within one that is met.
const MISSED_SHARE: f64 = 0.9;
/// Share of the samples that are beyond it at the edge: where the percentile is the objective.
const EDGE_SHARE: f64 = 0.5;
/// Log-likelihood ratio from which on a latency objective is missed, and from which on it is met again, nats.
const MISSED_NATS: f64 = 10.0;
const MET_NATS: f64 = 4.0;
/// Multiple of a latency objective from which on it is SEV2.
const SEVERE_FACTOR: f64 = 2.0;

/// Failures in an hour from which on a budget that is used up fast is SEV2.
const SEVERE_FAILURES: f64 = 20.0;

/// What the catalogue states of a service.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Stated {
    /// Availability objective, percent.
    slo: Option<f64>,
    /// Latency objective (p99), milliseconds.
    latency_ms: Option<f64>,
}

impl From<&CatalogueService> for Stated {
    fn from(service: &CatalogueService) -> Self {
        Self { slo: service.slo, latency_ms: service.latency_slo_ms }
    }
}

/// What of it is about one series.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Target {
    /// Most that it may be, in its unit.
    Latency(f64),
    /// Percent of the requests that must not fail.
    Availability(f64),
}

impl Target {
    /// Returns what is stated about a metric of that meaning. What the configuration says of it wins.
    fn of(profile: &MetricProfile, stated: Stated) -> Option<Self> {
        match field_of(profile)? {
            LATENCY => Some(Self::Latency(stated.latency_ms? * units::factor("ms", &profile.unit)?)),
            _ => Some(Self::Availability(stated.slo?)),
        }
    }
}

/// Fields of the catalogue.
const LATENCY: &str = "latency_slo_ms";
const AVAILABILITY: &str = "slo";

/// Returns the field of the catalogue that holds for a metric of that meaning, if one does.
pub(crate) fn field_of(profile: &MetricProfile) -> Option<&'static str> {
    let is_free = profile.objective.is_none() && !profile.silent && profile.mode.is_by_normal();
    if !is_free || !profile.of_requests {
        return None;
    }
    match (profile.kind, profile.role) {
        (Kind::Latency, _) if !profile.counter => units::factor("ms", &profile.unit).map(|_| LATENCY),
        (Kind::Errors, Role::Share | Role::Rate) => Some(AVAILABILITY),
        _ => None,
    }
}

/// Requests, and how many of them have failed.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Requests {
    pub(crate) failed: f64,
    pub(crate) of: f64,
}

impl Add for Requests {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        Self { failed: self.failed + other.failed, of: self.of + other.of }
    }
}

impl Requests {
    fn share(self) -> f64 {
        if self.of > 0.0 { self.failed / self.of } else { 0.0 }
    }
}

/// How one series keeps to what is stated.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Slo {
    /// Follows from the catalogue, which is kept elsewhere; nothing where it states nothing any more.
    #[serde(skip)]
    target: Option<Target>,
    missed_nats: f64,
    met_nats: f64,
    /// When what is missed began to be, milliseconds.
    since_ms: Option<i64>,
    burn: Option<Box<Burn>>,
    alert: Option<Box<Alert>>,
}

/// A series that has just taken a sample, and the requests on which it rests, where they are known.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Kept<'a> {
    pub(crate) service: &'a str,
    pub(crate) series: &'a Series,
    pub(crate) requests: Option<Requests>,
}

impl Detector for Slo {
    type Input<'a> = Kept<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, kept: Kept<'_>) -> Option<Report> {
        let newest = kept.series.newest().filter(|newest| newest.ts_ms == kept.series.last_ms())?;
        match self.target {
            Some(Target::Latency(limit)) => self.judge_latency(limit, newest, kept),
            Some(Target::Availability(slo)) => self.judge_availability(slo, newest, kept),
            None => self.withdraw(newest, kept),
        }
    }
}

/// What version 1 of its section of a snapshot holds. Its windows were others, so they begin anew.
type Before = (f64, f64, Option<i64>, Option<BurnBefore>, Option<Box<Alert>>);
type BurnBefore = (i64, i64, Requests, (i64, Requests), i8, i64);

impl Slo {
    /// Goes on from version 1 of its section of a snapshot.
    pub(crate) fn resume((missed_nats, met_nats, since_ms, _, alert): Before) -> Self {
        Self { target: None, missed_nats, met_nats, since_ms, burn: None, alert }
    }

    /// Returns what a series of that meaning has to keep to, if anything is stated about it. What was seen before goes on.
    pub(crate) fn restate(
        before: Option<Box<Self>>,
        profile: &MetricProfile,
        stated: Option<Stated>,
    ) -> Option<Box<Self>> {
        let target = stated.and_then(|stated| Target::of(profile, stated));
        if before.is_none() && target.is_none() {
            return None;
        }
        let slo = Self { target, ..before.map_or_else(Self::default, |before| *before) };
        slo.is_needed().then(|| Box::new(slo))
    }

    /// Returns whether something is stated, or an alert has to be ended.
    pub(crate) fn is_needed(&self) -> bool {
        self.target.is_some() || self.alert.is_some()
    }

    /// Returns whether there is something to remember.
    pub(crate) fn is_open(&self) -> bool {
        self.alert.is_some() || self.missed_nats > 0.0 || self.burn.is_some()
    }

    /// Returns how many times as fast as the objective allows the budget of failures is used up, over the window whose rule
    /// fires: to two decimals.
    pub(crate) fn burn_rate(&self) -> Option<f64> {
        let Some(Target::Availability(slo)) = self.target else { return None };
        let rate = self.burn.as_ref()?.rate(1.0 - slo / 100.0)?;
        Some((100.0 * rate).round() / 100.0)
    }

    /// Judges by two tests of Wald's (Ann. Math. Stat. 16, 1945), of which the one that the objective is missed begins
    /// anew where it says the opposite (Page, Biometrika 41, 1954). Of a few requests the slowest stands for their 99th
    /// percentile, so that a sample is beyond an objective that is met as often as one of them is slow.
    fn judge_latency(&mut self, limit: f64, newest: Point, kept: Kept<'_>) -> Option<Report> {
        let is_missed = newest.value > limit;
        let requests = kept.requests.map_or(f64::INFINITY, |requests| requests.of.max(1.0));
        let by_chance = (1.0 - (1.0 - SLOW_SHARE).powf(requests)).min(EDGE_SHARE);
        let ratio = |now: f64, else_: f64| {
            if is_missed { (now / else_).ln() } else { ((1.0 - now) / (1.0 - else_)).ln() }
        };
        self.missed_nats = (self.missed_nats + ratio(MISSED_SHARE, by_chance)).clamp(0.0, MISSED_NATS);
        self.met_nats = (self.met_nats + ratio(1.0 - MISSED_SHARE, EDGE_SHARE)).clamp(0.0, MET_NATS);
        if self.missed_nats <= 0.0 {
            self.since_ms = None;
        } else {
            self.since_ms.get_or_insert(newest.ts_ms);
        }
        let certainty = match is_missed {
            false if self.met_nats >= MET_NATS => Certainty::Normal,
            true if self.missed_nats >= MISSED_NATS && self.may_fire(kept.series) => Certainty::Certain,
            _ => return None,
        };
        let severe = newest.value >= SEVERE_FACTOR * limit;
        let verdict = Verdict {
            certainty,
            nats: certainty.stated_nats(),
            severity: if severe { Severity::Sev2 } else { Severity::Sev3 },
            direction: Direction::Up,
            observed: newest.value,
            expected: Band { lower: 0.0, center: 0.0, upper: limit },
        };
        let profile = kept.series.profile();
        let (name, service) = (kept.series.name(), kept.service);
        let (observed, bar) = (quantity(newest.value, &profile.unit), quantity(limit, &profile.unit));
        let points = kept.series.points().collect();
        self.report(&verdict, newest.ts_ms, (&profile.unit, points), kept, |is_over, since| {
            if is_over {
                format!(
                    "{name} of {service} is {observed} again; it was above the objective of {bar} of the service \
                     catalogue since {since}"
                )
            } else {
                format!(
                    "{name} of {service} is {observed}, above the objective of {bar} of the service catalogue, since \
                     {since}"
                )
            }
        })
    }

    /// Judges by how fast the budget is used up, in pairs of a long window and a short one.
    fn judge_availability(&mut self, slo: f64, newest: Point, kept: Kept<'_>) -> Option<Report> {
        let requests = kept.requests?;
        let budget = 1.0 - slo / 100.0;
        let burn = self.burn.get_or_insert_with(|| Box::new(Burn::new(newest.ts_ms)));
        // nothing follows before a part of a short window is complete
        let share = burn.observe(newest.ts_ms, kept.series.interval_ms() as i64, requests, budget)?;
        let burning = burn.judge(share, budget);
        let is_over = burn.is_over();
        if !self.may_fire(kept.series) {
            return None;
        }
        let certainty = match burning {
            Some(_) => Certainty::Certain,
            None if is_over => Certainty::Normal,
            None => return None,
        };
        let fast = &PACES[0];
        let is_severe =
            burning.is_some_and(|found| found.pace == fast && found.long.failed >= SEVERE_FAILURES);
        let bar = burning.map_or_else(|| Burn::fastest_bar(budget), |found| found.bar);
        let verdict = Verdict {
            certainty,
            nats: certainty.stated_nats(),
            severity: if is_severe { Severity::Sev2 } else { Severity::Sev3 },
            direction: Direction::Up,
            observed: 100.0 * share,
            expected: Band { lower: 0.0, center: 0.0, upper: (1e11 * bar).round() / 1e9 },
        };
        self.since_ms = burning.map(|found| found.since_ms).or(self.since_ms);
        let (name, service, objective) = (kept.series.name(), kept.service, format!("{slo} %"));
        self.report(&verdict, newest.ts_ms, ("%", failures(kept.series)), kept, |_, since| match burning {
            None => format!(
                "{name} of {service}: requests no longer fail faster than its objective of {objective} in the \
                 service catalogue allows for; they did since {since}"
            ),
            Some(found) => format!(
                "{name} of {service}: {} of the requests of the last {} failed, {} times as many as its objective of \
                 {objective} in the service catalogue allows for, since {since}",
                quantity(100.0 * found.long.share(), "%"),
                duration(found.reach_ms),
                quantity((found.long.share() / budget).round(), "")
            ),
        })
    }

    /// Ends what was reported of an objective that the catalogue does not state any more.
    fn withdraw(&mut self, newest: Point, kept: Kept<'_>) -> Option<Report> {
        let (name, service) = (kept.series.name(), kept.service);
        self.end(newest, kept, |since| {
            format!(
                "the service catalogue states no objective for {name} of {service} any more; it was missed since {since}"
            )
        })
    }

    /// Ends its alert where the series stopped reporting. Returns the report of that, without an explanation.
    pub(crate) fn give_up(&mut self, kept: Kept<'_>) -> Option<Report> {
        self.burn = None;
        self.end(kept.series.newest()?, kept, |_| String::new())
    }

    /// Ends its alert because it cannot be judged any more.
    fn end(
        &mut self,
        newest: Point,
        kept: Kept<'_>,
        sentence: impl FnOnce(&str) -> String,
    ) -> Option<Report> {
        let verdict = Verdict::not_known(newest.value);
        let (unit, points) = (&kept.series.profile().unit, kept.series.points().collect());
        self.report(&verdict, newest.ts_ms, (unit, points), kept, |_, since| sentence(since))
    }

    /// Returns whether it may be reported: what the series itself reports is not said a second time.
    fn may_fire(&self, series: &Series) -> bool {
        self.alert.is_some() || series.status() != Some(Status::Firing)
    }

    /// Follows the alert, and returns its revision if one is due. `sentence` takes whether it is over, and since when
    /// it has lasted.
    fn report(
        &mut self,
        verdict: &Verdict,
        ts_ms: i64,
        (unit, points): (&str, Vec<Point>),
        kept: Kept<'_>,
        sentence: impl FnOnce(bool, &str) -> String,
    ) -> Option<Report> {
        let is_over = verdict.certainty == Certainty::Normal;
        let since_ms = self.since_ms.unwrap_or(ts_ms);
        if is_over {
            (self.since_ms, self.missed_nats) = (None, 0.0);
        }
        let revision = Alert::follow(&mut self.alert, verdict, since_ms)?;
        let subject = Subject {
            metric: format!("{}:objective", kept.series.name()).into(),
            kind: kept.series.profile().kind,
            unit: unit.into(),
            detector: DETECTOR,
        };
        let explanation = sentence(is_over, &time(revision.alert.started_ms, ts_ms));
        Some(
            Report::new(subject, &revision, *verdict, ts_ms)
                .every(kept.series.interval_ms())
                .points(points)
                .explained(explanation),
        )
    }
}

/// Returns the last samples of a share of failures, in percent; of failures by time, none.
fn failures(series: &Series) -> Vec<Point> {
    let profile = series.profile();
    if profile.role != Role::Share {
        return Vec::new();
    }
    let percent = |point: Point| Point { value: 100.0 * failing(profile, point.value), ..point };
    series.points().map(percent).collect()
}

/// Returns the part of the requests that fail. A share without a unit is read as percent, of which it then is less: what
/// is ambiguous must not page.
pub(crate) fn failing(profile: &MetricProfile, share: f64) -> f64 {
    profile.failing(share, &*profile.unit != "1")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_stated_is_about_requests_and_in_the_unit_of_the_series() {
        let stated = Stated { slo: Some(99.9), latency_ms: Some(900.0) };
        let target = |name: &str, unit: &str| Target::of(&MetricProfile::of(name, unit, &[]), stated);
        for (name, unit, limit) in [
            ("latency_p99_ms", "", 900.0),
            ("http_server_request_duration_seconds", "", 0.9),
            ("TargetResponseTime", "Seconds", 0.9),
            ("rpc.server.duration", "ms", 900.0),
        ] {
            let Some(Target::Latency(found)) = target(name, unit) else { panic!("{name}") };
            assert!((found - limit).abs() < 1e-9, "{name}: {found}");
        }
        for (name, unit) in [("error_rate", "%"), ("http_5xx_total", ""), ("request_success_ratio", "1")] {
            assert_eq!(target(name, unit), Some(Target::Availability(99.9)), "{name}");
        }
        for name in [
            "latency_max_ms",
            "latency_p999_ms",
            "http_client_request_duration_seconds",
            "db_query_duration_ms",
            "gc_pause_ms",
            "job_duration_seconds",
            "latency",
            "db_errors_total",
            "http_4xx_total",
            "up",
            "failed_jobs",
            "request_rate",
        ] {
            assert_eq!(target(name, ""), None, "{name}");
        }
    }
}
