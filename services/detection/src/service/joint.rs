//! Several small deviations of one service together.
//!
//! Each series says how far its short mean lies to the side that harms, in its own spreads. What all of them say at once
//! is one score, and that score is judged as a series of its own: by its own usual level, spread and reach. So noise that
//! the series share calibrates itself. Formulae and constants are in the README.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Direction, Status};
use shared::events::{Kind, Severity};

use crate::alert::certainty::{Certainty, nats};
use crate::alert::format::{duration, time};
use crate::alert::{Alert, Detector, Report, Revision, Subject, Verdict};
use crate::config::Settings;
use crate::metric_profile::{BadDirection, DetectionMode, MetricProfile, Pace, Role};
use crate::series::Series;
use crate::series::baseline::Baseline;

/// Name of what is watched.
const METRIC: &str = "joint";
/// Name and version of the rule.
const DETECTOR: &str = "joint/1";

/// Least number of series that have to take part, and so the least a service must have.
pub const MIN_SERIES: usize = 3;
/// Shift from which on a series adds to the score, and from which on it takes part, in spreads of its short mean.
const NOISE_SPREADS: f64 = 1.0;
const CONTRIBUTES_SPREADS: f64 = 2.5;
/// Rounds from which the normal of the score is founded, and how many its level remembers.
const WARM_UP_ROUNDS: usize = 60;
const MEMORY_ROUNDS: f64 = 240.0;
/// Novelty of the score that is noticed. A little less than for a series by itself: three have to take part as well.
const NOTICED_NOVELTY: f64 = 5.0;
/// Rounds in a row with a novelty after which it is lasting.
const CONFIRM_ROUNDS: u8 = 4;
/// Rounds in a row without a novelty after which it is over.
const CALM_ROUNDS: u8 = 3;
/// Series that the sentence names.
const MAX_NAMED: usize = 5;

/// What the series of one service say together.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Joint {
    /// Event times of the first and the newest sample of the round, milliseconds. A round ends when a series reports
    /// again.
    began_ms: i64,
    newest_ms: i64,
    /// Scores from which the normal is going to be founded.
    founding: Vec<f64>,
    baseline: Baseline,
    /// Rounds in a row in which the score was novel, and in which it was not.
    novel: u8,
    calm: u8,
    alert: Option<Box<Alert>>,
}

/// One series that takes part.
#[derive(Debug, Clone, Copy)]
struct Contributor<'a> {
    metric: &'a str,
    kind: Kind,
    shift: f64,
}

/// A sample that one of the series is about to take.
#[derive(Debug, Clone, Copy)]
pub struct Observation<'a> {
    /// Name of the service.
    pub service: &'a str,
    /// All its series, before the sample.
    pub series: &'a [Series],
    /// Event time of the sample before it of the same series, milliseconds.
    pub before_ms: i64,
    /// Its own event time, milliseconds.
    pub ts_ms: i64,
    /// Settings.
    pub settings: &'a Settings,
}

/// A round that has ended, with the time of its newest sample, milliseconds.
#[derive(Debug, Clone, Copy)]
struct Round<'a> {
    service: &'a str,
    series: &'a [Series],
    at_ms: i64,
    settings: &'a Settings,
}

impl Detector for Joint {
    type Input<'a> = Observation<'a>;
    type Reports = Option<Report>;

    /// Judges the round that ends with a sample, if one does: before that sample is taken, for it belongs to the next.
    fn observe(&mut self, observation: Observation<'_>) -> Option<Report> {
        let Observation { service, series, before_ms, ts_ms, settings } = observation;
        let ends = before_ms >= self.began_ms && ts_ms > self.newest_ms;
        if !ends {
            self.newest_ms = self.newest_ms.max(ts_ms);
            return None;
        }
        let at_ms = self.newest_ms;
        (self.began_ms, self.newest_ms) = (ts_ms, ts_ms);
        self.judge(Round { service, series, at_ms, settings })
    }
}

impl Joint {
    /// Begins with the first sample of a round.
    pub fn new(ts_ms: i64) -> Self {
        Self {
            began_ms: ts_ms,
            newest_ms: ts_ms,
            founding: Vec::new(),
            baseline: Baseline::default(),
            novel: 0,
            calm: 0,
            alert: None,
        }
    }

    /// Judges a round of all series.
    fn judge(&mut self, round: Round<'_>) -> Option<Report> {
        let Round { series, at_ms, settings, .. } = round;
        let (mut sum, mut parts, mut fires) = (0.0, 0, false);
        for one in series {
            fires |= one.status() == Some(Status::Firing);
            let Some(shift) = harmful(one, at_ms, settings) else { continue };
            sum += (shift.abs() - NOISE_SPREADS).max(0.0).powi(2);
            parts += usize::from(shift.abs() >= CONTRIBUTES_SPREADS);
        }
        let score = f64::sqrt(sum);
        if fires {
            // what fires by itself needs no help, and is nothing to learn from
            self.baseline.unlearn();
            self.novel = 0;
            return self.over(round, score, "one of its metrics fires by itself");
        }
        if !self.baseline.is_founded() {
            self.founding.push(score);
            if self.founding.len() == WARM_UP_ROUNDS {
                self.baseline.found(&std::mem::take(&mut self.founding));
            }
            return None;
        }
        let profile = profile();
        let reading = self.baseline.read(score, None, &profile);
        let is_novel =
            reading.direction == Direction::Up && reading.novelty >= NOTICED_NOVELTY && parts >= MIN_SERIES;
        if !is_novel {
            self.novel = 0;
            self.calm = self.calm.saturating_add(1);
            if self.calm < CALM_ROUNDS && self.alert.is_some() {
                return None;
            }
            let report = self.over(round, score, "its metrics are back in their usual range");
            // what one or two series do must not hide what three do
            if reading.novelty < NOTICED_NOVELTY {
                self.baseline.learn(&reading, &profile, MEMORY_ROUNDS);
            }
            return report;
        }
        self.calm = 0;
        self.novel = self.novel.saturating_add(1);
        if self.novel == 1 && self.alert.is_none() {
            // one round is noise, and how far noise reaches is learned
            self.baseline.record_false_alarm(reading.direction, reading.distance);
            return None;
        }
        self.go_on(round, score, reading.novelty)
    }

    /// Begins an alert or goes on with it.
    fn go_on(&mut self, round: Round<'_>, score: f64, novelty: f64) -> Option<Report> {
        let parts = contributors(round.series, round.at_ms, round.settings);
        let lasts = self.novel >= CONFIRM_ROUNDS && parts.iter().any(is_symptom);
        let certainty = if lasts { Certainty::Certain } else { Certainty::Noticed };
        let verdict = Verdict {
            certainty,
            nats: nats(novelty).min(certainty.limit()),
            severity: Severity::Sev3,
            direction: Direction::Up,
            observed: score,
            expected: self.baseline.band((&profile()).into()),
        };
        let began_ms = round.at_ms.saturating_sub(round_ms(round.series).cast_signed());
        let revision = Alert::follow(&mut self.alert, &verdict, began_ms)?;
        let explanation = sentence(round, &parts, &revision.alert, &verdict);
        Some(report(round, &revision, verdict, explanation))
    }

    /// Ends the alert, if there is one.
    fn over(&mut self, round: Round<'_>, score: f64, why: &str) -> Option<Report> {
        self.alert.as_ref()?;
        let Round { service, at_ms, .. } = round;
        let verdict = Verdict::over(Direction::Up, score, self.baseline.band((&profile()).into()));
        let revision = Alert::follow(&mut self.alert, &verdict, at_ms)?;
        let lasted = duration(at_ms.saturating_sub(revision.alert.started_ms));
        let explanation = format!("the joint deviation of {service} is over after {lasted}: {why}");
        Some(report(round, &revision, verdict, explanation))
    }
}

/// Explains in one sentence which series have moved together.
fn sentence(round: Round<'_>, parts: &[Contributor<'_>], alert: &Alert, verdict: &Verdict) -> String {
    let Round { service, at_ms, .. } = round;
    let named: Vec<String> = parts
        .iter()
        .take(MAX_NAMED)
        .map(|part| {
            let side = if part.shift > 0.0 { "above" } else { "below" };
            format!("{} {:.1} {side}", part.metric, part.shift.abs())
        })
        .collect();
    let more = parts.len().saturating_sub(MAX_NAMED);
    let more = if more > 0 { format!(" and {more} more") } else { String::new() };
    let caveat = if alert.status == Status::Suspect { "; not yet certain" } else { "" };
    format!(
        "{} metrics of {service} deviate together since {}, none enough by itself: {}{more} (in spreads of their \
         recent mean); joint score {:.1}, usually {:.1}{caveat}",
        parts.len(),
        time(alert.started_ms, at_ms),
        named.join(", "),
        verdict.observed,
        verdict.expected.center,
    )
}

/// Returns how long a round usually takes, milliseconds: as long as it takes the fastest series to report again. How long
/// the last one took says nothing: the service may have been away.
fn round_ms(series: &[Series]) -> u64 {
    series.iter().map(Series::interval_ms).filter(|&interval_ms| interval_ms > 0).min().unwrap_or(0)
}

/// Returns how far a series lies to the side that harms, if that is known: its level must be able to follow the day.
fn harmful(series: &Series, at_ms: i64, settings: &Settings) -> Option<f64> {
    let shift = series.shift(at_ms, settings)?;
    let harms = match series.profile().bad_direction {
        BadDirection::Up => shift > 0.0,
        BadDirection::Down => shift < 0.0,
        BadDirection::Both => true,
    };
    harms.then_some(shift)
}

/// Returns the series that take part, the farthest first.
fn contributors<'a>(series: &'a [Series], at_ms: i64, settings: &Settings) -> Vec<Contributor<'a>> {
    let mut parts: Vec<Contributor<'a>> = series
        .iter()
        .filter_map(|one| {
            let shift = harmful(one, at_ms, settings).filter(|shift| shift.abs() >= CONTRIBUTES_SPREADS)?;
            Some(Contributor { metric: one.name(), kind: one.profile().kind, shift })
        })
        .collect();
    parts.sort_by(|a, b| b.shift.abs().total_cmp(&a.shift.abs()).then(a.metric.cmp(b.metric)));
    parts
}

/// Returns whether more load alone would not explain it.
fn is_symptom(part: &Contributor<'_>) -> bool {
    !matches!(part.kind, Kind::Traffic | Kind::Cpu | Kind::Pool)
        || part.kind == Kind::Traffic && part.shift < 0.0
}

/// What the score means: nothing by itself, and more of it is worse.
fn profile() -> MetricProfile {
    MetricProfile {
        of_requests: false,
        kind: Kind::Other,
        unit: "".into(),
        bad_direction: BadDirection::Up,
        ceiling: None,
        relative_floor: 0.0,
        absolute_floor: 0.5,
        counter: false,
        mode: DetectionMode::Normal,
        resource: None,
        role: Role::None,
        pace: Pace::Sample,
        objective: None,
        is_disk_room: false,
        is_function: false,
        silent: false,
        sensitivity: 1.0,
    }
}

fn report(round: Round<'_>, revision: &Revision, verdict: Verdict, explanation: String) -> Report {
    let subject = Subject { metric: METRIC.into(), kind: Kind::Other, unit: "".into(), detector: DETECTOR };
    Report::new(subject, revision, verdict, round.at_ms).every(round_ms(round.series)).explained(explanation)
}
