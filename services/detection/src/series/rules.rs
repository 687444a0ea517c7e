//! Rules: what is judged by more than a series' own normal, or by something else.
//!
//! A series has at most one, and only where its metric asks for it.

pub(crate) mod certificate;
pub(crate) mod forecast;
pub(crate) mod objective;
pub(crate) mod restarts;
pub(crate) mod slo;

use crate::alert::{Detector as _, Report};
use crate::config::Settings;
use crate::metric_profile::{Bounded, DetectionMode, MetricProfile};
use crate::series::buffer::Buffer;
use certificate::Certificate;
use forecast::Forecast;
use restarts::{Largest, RestartSource};

/// Forecasts of one service: its state has to fit into one record.
pub(crate) const MAX_FORECASTS: usize = 64;

/// The rule of one series, with what it remembers.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Rule {
    /// When it will be full.
    Forecast(Forecast),
    /// When a certificate ends.
    Certificate(Certificate),
    /// Whether the service was restarted.
    Restarts(RestartSource),
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
    pub(crate) samples: &'a Buffer,
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
    pub(crate) fn of(profile: &MetricProfile) -> Option<Box<Self>> {
        Some(Box::new(match profile.mode {
            DetectionMode::Normal | DetectionMode::Limit | DetectionMode::Ignored => return None,
            DetectionMode::Forecast => Self::Forecast(Forecast::default()),
            DetectionMode::Expiry | DetectionMode::ExpiresAt => Self::Certificate(Certificate::default()),
            DetectionMode::Restarts => Self::Restarts(RestartSource::Count(Largest::default())),
            DetectionMode::StartTime => Self::Restarts(RestartSource::StartTime(Largest::default())),
            DetectionMode::Uptime => Self::Restarts(RestartSource::Uptime { before: None }),
        }))
    }

    /// Returns whether it is the rule for a metric of that meaning, which may have changed with the configuration.
    pub(crate) fn fits(&self, profile: &MetricProfile) -> bool {
        match self {
            Self::Forecast(_) => profile.mode == DetectionMode::Forecast || profile.may_be_limited(),
            Self::Certificate(_) => {
                matches!(profile.mode, DetectionMode::Expiry | DetectionMode::ExpiresAt)
            }
            Self::Restarts(RestartSource::Count(_)) => profile.mode == DetectionMode::Restarts,
            Self::Restarts(RestartSource::StartTime(_)) => profile.mode == DetectionMode::StartTime,
            Self::Restarts(RestartSource::Uptime { .. }) => profile.mode == DetectionMode::Uptime,
            Self::Restarts(RestartSource::Counter(_)) => {
                profile.counter && profile.mode == DetectionMode::Normal
            }
        }
    }

    /// Returns whether it has an alert that is not over.
    pub(crate) fn is_open(&self) -> bool {
        match self {
            Self::Forecast(forecast) => forecast.is_open(),
            Self::Certificate(certificate) => certificate.is_open(),
            Self::Restarts(_) => false,
        }
    }

    /// Ends its alert where the series stopped reporting. Returns the report of that, without an explanation.
    pub(crate) fn give_up(&mut self, last: &Observation<'_>) -> Option<Report> {
        match self {
            Self::Forecast(forecast) => forecast.give_up(last),
            Self::Certificate(certificate) => certificate.give_up(last),
            Self::Restarts(_) => None,
        }
    }

    /// Takes a sample.
    pub(crate) fn observe(
        &mut self,
        observation: &Observation<'_>,
        settings: &Settings,
    ) -> Option<RuleOutcome> {
        let report = match self {
            Self::Forecast(forecast) => forecast.observe(observation)?,
            Self::Certificate(certificate) => certificate.observe((observation, settings))?,
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
fn in_seconds(value: f64, profile: &MetricProfile) -> f64 {
    match (profile.mode, &*profile.unit) {
        (DetectionMode::StartTime | DetectionMode::Uptime, "ms") => value / 1000.0,
        (DetectionMode::Uptime, "min") => value * 60.0,
        (DetectionMode::Uptime, "h") => value * 3600.0,
        (DetectionMode::Uptime, "d") => value * 86_400.0,
        _ => value,
    }
}
