//! Regression after a deployment: what is a little worse since, in a way that no single sample shows.
//!
//! A deployment freezes what each series that can get worse was like before it. The samples after it are compared with
//! that as two means are compared (Welch, Biometrika 34 (1947)), with room for neighbours that resemble each other.
//! Formulae and constants are in the README.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction, Ended, Point, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::{Certainty, nats};
use crate::alert::format::{quantity, time};
use crate::alert::{Alert, Detector, Report, Subject, Verdict};
use crate::config::Settings;
use crate::metric_profile::BadDirection;
use crate::series::Series;
use crate::series::baseline::BAND_SPREADS;
use crate::stats::robust::{TO_SPREAD, median};

/// Name and version of the rule.
pub const DETECTOR: &str = "regression/1";

/// How far back what was before counts, milliseconds: the day must not have changed much since.
const BEFORE_MS: i64 = 1_800_000;
/// Samples that must have been seen before.
const BEFORE_SAMPLES: usize = 20;
/// Samples after which the comparison begins, may fire, and ends.
const FIRST_SAMPLES: u32 = 12;
const CONFIRM_SAMPLES: u32 = 24;
const LAST_SAMPLES: u32 = 60;
/// Standard errors that count.
const MIN_STANDARD_ERRORS: f64 = 6.0;
/// Least change that counts, as a part of what was before: of a share of failures, and of everything else.
const MIN_ERRORS_CHANGE_SHARE: f64 = 0.25;
const MIN_CHANGE_SHARE: f64 = 0.08;
/// And in smallest spreads.
const MIN_CHANGE_FLOORS: f64 = 2.0;
/// Farthest that one sample may lie, in spreads.
const LIMIT_SPREADS: f64 = 4.0;
/// Weight of a new sample in the recent mean.
const RECENT_RATE: f64 = 0.125;
/// Samples in a row whose recent mean has come back half of the way, after which it is over.
const CALM_SAMPLES: u32 = 12;

/// A service's last deployment.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Deployed {
    /// Version.
    pub version: Box<str>,
    /// Event time, milliseconds.
    pub ts_ms: i64,
}

/// The comparisons of one service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Rollout {
    /// By the place of their series.
    compared: Vec<Comparison>,
}

/// One series before and after a deployment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Comparison {
    /// Place of the series in its service.
    place: u32,
    deployed: Deployed,
    /// Whether it is traffic, which only says how much there is to do.
    is_traffic: bool,
    /// Mean and spread of the samples before, in the unit of the series, and their number.
    mean: f64,
    spread: f64,
    before: u32,
    /// Factor of the variance of a mean, (1 + r) / (1 - r), for samples whose neighbours correlate by r.
    likeness: f64,
    /// Samples after (at most 60), their mean and the sum of their squared deviations from it, and the exponential mean
    /// of the last eight or so.
    after: u32,
    mean_after: f64,
    squares: f64,
    recent: f64,
    /// Samples in a row whose recent mean has come back half of the way.
    calm: u32,
    /// Samples since, also after the comparison has ended.
    samples: u32,
    alert: Option<Box<Alert>>,
}

/// How two means differ.
#[derive(Debug, Clone, Copy)]
struct Difference {
    /// In the unit of the series, positive where it is worse; and least that counts.
    worse: f64,
    least: f64,
    /// In standard errors.
    errors: f64,
}

/// A series that has just taken a sample.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// Place of the series in its service.
    pub place: usize,
    /// The series.
    pub series: &'a Series,
    /// Settings.
    pub settings: &'a Settings,
}

impl Detector for Rollout {
    type Input<'a> = Observation<'a>;
    type Reports = Option<Report>;

    fn observe(&mut self, observation: Observation<'_>) -> Option<Report> {
        let Observation { service, place, series, settings } = observation;
        let at = self.compared.binary_search_by_key(&(place as u32), |one| one.place).ok()?;
        let Point { ts_ms, value } = series.newest()?;
        // nothing comes of a counter that was started again
        if ts_ms != series.last_ms() || ts_ms <= self.compared[at].deployed.ts_ms {
            return None;
        }
        let rise = self.rise_of_traffic(series.profile().kind, &self.compared[at].deployed);
        let one = &mut self.compared[at];
        one.take(value);
        let (verdict, ends) = one.judge(series, rise, settings);
        let report = verdict.and_then(|verdict| one.report(service, series, verdict, ts_ms));
        if ends {
            self.compared.remove(at);
        }
        report
    }
}

impl Rollout {
    /// Begins the comparisons of a deployment. One that has found something goes on with what was before its own.
    pub fn begin(before: Option<Box<Self>>, deployed: &Deployed, series: &[Series]) -> Option<Box<Self>> {
        let mut compared = before.map_or_else(Vec::new, |before| before.compared);
        compared.retain(|one| one.alert.is_some());
        for (place, one) in series.iter().enumerate() {
            let place = place as u32;
            if compared.iter().all(|known| known.place != place) {
                compared.extend(Comparison::begin(place, deployed, one));
            }
        }
        compared.sort_by_key(|one| one.place);
        (!compared.is_empty()).then(|| Box::new(Self { compared }))
    }

    /// Forgets the series at a place of the service, where another one is from now on.
    pub(crate) fn forget(&mut self, place: usize) {
        self.compared.retain(|one| one.place as usize != place);
    }

    /// Returns whether nothing is left to compare.
    pub fn is_over(&self) -> bool {
        self.compared.is_empty()
    }

    /// Returns the part by which the traffic has risen since: what follows the load may rise by as much.
    fn rise_of_traffic(&self, kind: Kind, deployed: &Deployed) -> f64 {
        if !matches!(kind, Kind::Cpu | Kind::Pool | Kind::Lag) {
            return 0.0;
        }
        let traffic = self.compared.iter().find(|one| one.is_traffic && one.deployed == *deployed);
        traffic.filter(|one| one.mean > 0.0).map_or(0.0, |one| (one.mean_after / one.mean - 1.0).max(0.0))
    }
}

impl Comparison {
    fn begin(place: u32, deployed: &Deployed, series: &Series) -> Option<Self> {
        let profile = series.profile();
        let is_compared = matches!(
            profile.kind,
            Kind::Latency | Kind::Errors | Kind::Cpu | Kind::Memory | Kind::Pool | Kind::Lag | Kind::Traffic
        );
        if !is_compared || profile.silent || series.status() == Some(Status::Firing) {
            return None;
        }
        let (spread_before, likeness) = series.scatter()?;
        let (earlier, later): (Vec<Point>, Vec<Point>) =
            series.points().partition(|point| point.ts_ms <= deployed.ts_ms);
        let mut values: Vec<f64> = earlier
            .iter()
            .filter(|point| deployed.ts_ms.saturating_sub(point.ts_ms) < BEFORE_MS)
            .map(|point| point.value)
            .collect();
        if values.len() < BEFORE_SAMPLES {
            return None;
        }
        let before = values.len() as u32;
        let middle = median(&mut values);
        let deviation = values.iter().map(|value| (value - middle).abs()).sum::<f64>() / f64::from(before);
        let spread = (TO_SPREAD * deviation).max(spread_before).max(profile.floor(middle));
        let limited =
            |value: &f64| value.clamp(middle - LIMIT_SPREADS * spread, middle + LIMIT_SPREADS * spread);
        let mean = values.iter().map(limited).sum::<f64>() / f64::from(before);
        let mut compared = Self {
            place,
            deployed: deployed.clone(),
            is_traffic: profile.kind == Kind::Traffic,
            mean,
            spread,
            before,
            likeness,
            after: 0,
            mean_after: 0.0,
            squares: 0.0,
            recent: mean,
            calm: 0,
            samples: 0,
            alert: None,
        };
        // the deployment may be read a little later than the samples after it
        for point in &later {
            compared.take(point.value);
        }
        Some(compared)
    }

    fn take(&mut self, value: f64) {
        let limit = LIMIT_SPREADS * self.spread;
        let value = value.clamp(self.mean - limit, self.mean + limit);
        self.samples = self.samples.saturating_add(1);
        self.recent += RECENT_RATE * (value - self.recent);
        if self.after < LAST_SAMPLES {
            // Welford, Technometrics 4 (1962)
            self.after += 1;
            let deviation = value - self.mean_after;
            self.mean_after += deviation / f64::from(self.after);
            self.squares += deviation * (value - self.mean_after);
        }
    }

    /// Returns the verdict, if there is one, and whether the comparison is over.
    fn judge(&mut self, series: &Series, rise: f64, settings: &Settings) -> (Option<Verdict>, bool) {
        let difference = self.difference(series, rise);
        let back = self.worsened(series, self.recent, rise) < 0.5 * difference.least;
        self.calm = if back { self.calm + 1 } else { 0 };
        if self.alert.is_none() && (self.is_traffic || self.after < FIRST_SAMPLES) {
            return (None, self.after >= LAST_SAMPLES);
        }
        let fires_itself = series.status() == Some(Status::Firing);
        let is_accepted = self.samples >= settings.accept_after
            && series.newest().is_some_and(|newest| {
                newest.ts_ms.saturating_sub(self.deployed.ts_ms) >= settings.accept_after_ms()
            });
        let is_found =
            !back && difference.worse >= difference.least && difference.errors >= MIN_STANDARD_ERRORS;
        let ends = fires_itself || is_accepted || self.calm >= CALM_SAMPLES && self.alert.is_some();
        let certainty = match (ends, is_found, self.after >= CONFIRM_SAMPLES) {
            (true, ..) => Certainty::Normal,
            (_, true, true) => Certainty::Certain,
            (_, true, false) => Certainty::Noticed,
            (_, false, _) => return (None, self.alert.is_none() && self.after >= LAST_SAMPLES),
        };
        let verdict = Verdict {
            certainty,
            nats: nats(difference.errors).min(certainty.limit()),
            severity: Severity::Sev3,
            direction: if series.profile().bad_direction == BadDirection::Down {
                Direction::Down
            } else {
                Direction::Up
            },
            observed: self.mean_after,
            expected: Band {
                lower: self.mean - BAND_SPREADS * self.spread,
                center: self.mean,
                upper: self.mean + BAND_SPREADS * self.spread,
            },
        };
        (Some(verdict), ends)
    }

    fn report(&mut self, service: &str, series: &Series, verdict: Verdict, ts_ms: i64) -> Option<Report> {
        let revision = Alert::follow(&mut self.alert, &verdict, self.deployed.ts_ms)?;
        let subject = Subject {
            metric: format!("{}:regression", series.name()).into(),
            kind: series.profile().kind,
            unit: series.profile().unit.clone(),
            detector: DETECTOR,
        };
        let reason = if self.is_accepted(series) { Ended::NewLevel } else { Ended::Recovered };
        Some(
            Report::new(subject, &revision, verdict, ts_ms)
                .ended_by(reason)
                .every(series.interval_ms())
                .points(series.points().collect())
                .explained(self.sentence(series, service, ts_ms, revision.alert.status)),
        )
    }

    /// Returns whether a comparison that ends does so because what is worse has lasted: nothing has recovered, and the
    /// series does not fire by itself, which would go on with it.
    fn is_accepted(&self, series: &Series) -> bool {
        series.status() != Some(Status::Firing) && self.calm < CALM_SAMPLES
    }

    /// Returns how much worse a mean is than before, in the unit of the series.
    fn worsened(&self, series: &Series, mean: f64, rise: f64) -> f64 {
        let change = mean - self.mean;
        if series.profile().bad_direction == BadDirection::Down {
            -change
        } else {
            change - rise * self.mean.abs()
        }
    }

    fn difference(&self, series: &Series, rise: f64) -> Difference {
        let profile = series.profile();
        let part = if profile.kind == Kind::Errors { MIN_ERRORS_CHANGE_SHARE } else { MIN_CHANGE_SHARE };
        let after = f64::from(self.after.max(1));
        let variance = self.spread * self.spread;
        let variance_after = (self.squares / (after - 1.0).max(1.0)).max(variance);
        let error = (self.likeness * (variance / f64::from(self.before) + variance_after / after)).sqrt();
        let worse = self.worsened(series, self.mean_after, rise);
        Difference {
            worse,
            least: (part * self.mean.abs()).max(MIN_CHANGE_FLOORS * profile.floor(self.mean)),
            errors: worse / error,
        }
    }

    fn sentence(&self, series: &Series, service: &str, at_ms: i64, status: Status) -> String {
        let (metric, unit) = (series.name(), &series.profile().unit);
        let Deployed { version, ts_ms } = &self.deployed;
        let before = quantity(self.mean, unit);
        let since = time(*ts_ms, at_ms);
        if status == Status::Cleared {
            let now = quantity(self.recent, unit);
            return if series.status() == Some(Status::Firing) {
                format!(
                    "{metric} of {service} now fires by itself; it was worse since version {version} at {since}"
                )
            } else if self.is_accepted(series) {
                format!(
                    "{metric} of {service} did not recover: it has been {now} since version {version} at {since}, \
                     which is accepted as its new normal; before, it was {before}"
                )
            } else {
                format!(
                    "{metric} of {service} is back at {now}; it was {before} before version {version} at {since}"
                )
            };
        }
        let now = quantity(self.mean_after, unit);
        let side = if self.mean_after < self.mean { "less" } else { "more" };
        let part = 100.0 * (self.mean_after - self.mean).abs() / self.mean.abs();
        let part = if self.mean == 0.0 { String::new() } else { format!("{part:.0} % ") };
        let caveat = if status == Status::Suspect { "; not yet certain" } else { "" };
        let error = self.difference(series, 0.0).errors;
        format!(
            "{metric} of {service} has averaged {now} since version {version} was deployed at {since}, {before} \
             before: {part}{side} over {} samples, {error:.0} standard errors{caveat}",
            self.after,
        )
    }
}
