//! Rules: what is judged by more than a series' own normal, or by something else.
//!
//! A series has at most one, and only where its meaning asks for it.

pub mod certificate;
pub mod forecast;
pub mod restarts;

use crate::alert::{Detector as _, Report};
use crate::config::Settings;
use crate::metric_profile::{Bounded, Judged, Meaning};
use crate::series::buffer::Kept;
use certificate::Expiry;
use forecast::Forecast;
use restarts::{Largest, Witness};

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

/// A sample that a rule judges, with what is known of its series.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Observation<'a> {
    /// Service of the series.
    pub(crate) service: &'a str,
    /// Metric name.
    pub(crate) metric: &'a str,
    /// What it means, and its ceiling.
    pub(crate) bounded: Bounded<'a>,
    /// Time of the sample, milliseconds.
    pub(crate) ts_ms: i64,
    /// The sample as it came: a counter's count.
    pub(crate) value: f64,
    /// Usual distance between samples, milliseconds.
    pub(crate) interval_ms: f64,
    /// The last samples of the series, with this one.
    pub(crate) samples: &'a Kept,
    /// Settings.
    pub(crate) settings: &'a Settings,
}

/// What a rule makes of a sample.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum RuleOutcome {
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

    /// Takes a sample.
    pub(crate) fn observe(&mut self, observation: &Observation<'_>) -> Option<RuleOutcome> {
        let report = match self {
            Self::Forecast(forecast) => forecast.observe(observation)?,
            Self::Expiry(certificate) => certificate.observe(observation)?,
            Self::Restarts(source) => {
                let value = in_seconds(observation.value, observation.bounded.profile);
                let restarts = source.look(observation.ts_ms, value);
                return (restarts > 0).then_some(RuleOutcome::Restarts(restarts));
            }
        };
        Some(RuleOutcome::Report(Box::new(report)))
    }
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
