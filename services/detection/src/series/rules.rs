//! Rules: what is judged by more than a series' own normal, or by something else.
//!
//! A series has at most one, and only where its meaning asks for it.

pub mod certificate;
pub mod forecast;
pub mod restarts;

use shared::events::Kind;
use shared::events::anomaly::Point;

use crate::alert::Report;
use crate::config::Settings;
use crate::metric_profile::{Judged, Meaning};
use crate::series::rules::certificate::{self, Expiry};
use crate::series::rules::forecast::{self, Forecast};
use crate::series::rules::restarts::{self, Largest, Restarts, Witness};

/// Forecasts of one service: its state has to fit into one record.
pub const FORECASTS: usize = 64;

/// The rule of one series, with what it remembers.
#[derive(Debug, Clone, PartialEq)]
pub enum Rule {
    /// When it will be full.
    Forecast(Forecast),
    /// When a certificate ends.
    Expiry(Expiry),
    /// Whether the service was restarted.
    Restarts(Witness),
}

/// The sample that a rule is asked about, with what is known of its series.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// Service of the series.
    pub service: &'a str,
    /// Metric name.
    pub metric: &'a str,
    /// What it means.
    pub meaning: &'a Meaning,
    /// Time of the sample, milliseconds.
    pub ts_ms: i64,
    /// The sample as it came: a counter's count.
    pub value: f64,
    /// Usual distance between samples, milliseconds.
    pub interval_ms: f64,
}

/// What a rule says to a sample.
#[derive(Debug, Clone, PartialEq)]
pub enum Answer {
    /// A revision is due.
    Report(Box<Report>),
    /// The service was restarted that often since the sample before.
    Restarts(usize),
}

impl Rule {
    /// Returns the rule that a metric of that meaning begins with, if it has one.
    pub fn of(meaning: &Meaning) -> Option<Box<Self>> {
        Some(Box::new(match meaning.judged {
            Judged::Normal | Judged::Limit | Judged::Ignored => return None,
            Judged::Forecast => Self::Forecast(Forecast::default()),
            Judged::Expiry | Judged::ExpiresAt => Self::Expiry(Expiry::default()),
            Judged::Restarts => Self::Restarts(Witness::Count(Largest::default())),
            Judged::StartTime => Self::Restarts(Witness::StartTime(Largest::default())),
            Judged::Uptime => Self::Restarts(Witness::Uptime { before: None }),
        }))
    }

    /// Tells whether it is the rule for a metric of that meaning, which may have changed with the configuration.
    pub fn fits(&self, meaning: &Meaning) -> bool {
        match self {
            Self::Forecast(_) => meaning.judged == Judged::Forecast || meaning.may_be_limited(),
            Self::Expiry(_) => matches!(meaning.judged, Judged::Expiry | Judged::ExpiresAt),
            Self::Restarts(Witness::Count(_)) => meaning.judged == Judged::Restarts,
            Self::Restarts(Witness::StartTime(_)) => meaning.judged == Judged::StartTime,
            Self::Restarts(Witness::Uptime { .. }) => meaning.judged == Judged::Uptime,
            Self::Restarts(Witness::Counter(_)) => meaning.counter && meaning.judged == Judged::Normal,
        }
    }

    /// Takes a sample. `kept` are the last samples of the series, with it.
    pub fn ask(
        &mut self,
        asked: Asked<'_>,
        kept: impl Iterator<Item = Point>,
        settings: &Settings,
    ) -> Option<Answer> {
        let Asked { service, metric, meaning, ts_ms, value, interval_ms } = asked;
        let interval = interval_ms.round() as u64;
        let report = match self {
            Self::Restarts(witness) => {
                let restarts = witness.look(ts_ms, in_seconds(value, meaning));
                return (restarts > 0).then_some(Answer::Restarts(restarts));
            }
            Self::Forecast(forecast) => {
                let look = forecast.look(ts_ms, value, meaning, interval_ms)?;
                Report {
                    metric: format!("{metric}{}", forecast::SUFFIX).into(),
                    kind: meaning.kind,
                    unit: meaning.unit.clone(),
                    alert: look.turn.alert,
                    verdict: look.verdict,
                    at_ms: ts_ms,
                    interval_ms: interval,
                    detector: forecast::DETECTOR,
                    explanation: look.sentence(service, metric, meaning, ts_ms),
                    is_decision: look.turn.is_decision,
                    points: look.points,
                }
            }
            Self::Expiry(expiry) => {
                let look = expiry.look(ts_ms, value, &meaning.unit, meaning.judged, settings)?;
                Report {
                    metric: metric.into(),
                    kind: Kind::Certificate,
                    unit: expiry::UNIT.into(),
                    alert: look.turn.alert,
                    verdict: look.verdict,
                    at_ms: ts_ms,
                    points: expiry::days_left(kept, &meaning.unit, meaning.judged),
                    interval_ms: interval,
                    detector: expiry::DETECTOR,
                    explanation: look.sentence(service, metric, ts_ms),
                    is_decision: look.turn.is_decision,
                }
            }
        };
        Some(Answer::Report(Box::new(report)))
    }
}

/// Looks at the restarts of a service. Returns the revision that is due, if one is.
pub fn ask_restarts(restarts: &mut Restarts, service: &str, ts_ms: i64) -> Option<Report> {
    let look = restarts.look(ts_ms)?;
    Some(Report {
        metric: restarts::METRIC.into(),
        kind: Kind::Restarts,
        unit: "".into(),
        alert: look.turn.alert,
        verdict: look.verdict,
        at_ms: look.at_ms,
        interval_ms: look.interval_ms,
        detector: restarts::DETECTOR,
        explanation: look.sentence(service),
        is_decision: look.turn.is_decision,
        points: look.points,
    })
}

/// Returns a time in seconds, whatever its unit; what is none passes.
fn in_seconds(value: f64, meaning: &Meaning) -> f64 {
    match (meaning.judged, &*meaning.unit) {
        (Judged::StartTime | Judged::Uptime, "ms") => value / 1000.0,
        (Judged::Uptime, "min") => value * 60.0,
        (Judged::Uptime, "h") => value * 3600.0,
        (Judged::Uptime, "d") => value * 86_400.0,
        _ => value,
    }
}
