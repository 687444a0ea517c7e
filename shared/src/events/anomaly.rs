//! `anomalies.detected`: one revision of one episode of one series.

use std::borrow::Cow;
use std::collections::BTreeMap;

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Kind, Refusal, Severity, finite, named};
use crate::ids::{AnomalyId, RequestId};
use crate::text::seal::Sealed;

/// Status of an episode.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Weak, or not yet lasting: opens no incident alone, but adds to the evidence of related series.
    Suspect,
    /// May open an incident alone.
    Firing,
    /// Over. [`Anomaly::ended`] says why: only some episodes end inside their band.
    Cleared,
}

/// Why an episode, or an incident as a whole, ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Ended {
    /// What was abnormal is normal again for the required time.
    Recovered,
    /// It did not recover: it has lasted for so long that it is the new normal.
    NewLevel,
    /// It did not recover: the series or the service stopped being reported, and is not expected any more.
    SourceGone,
    /// The service was taken out of operation as planned (`change_type: retire`).
    Retired,
    /// A person said that the incident is over. Whether it recovered is not known.
    Manual,
    /// It was ended from outside, e.g. by a limit on the number of series. Whether it recovered is not known.
    Forced,
}

impl Ended {
    /// Returns whether what was abnormal is known to be normal again.
    pub fn is_recovery(self) -> bool {
        self == Self::Recovered
    }
}

/// Direction of a deviation from the band.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Upwards.
    Up,
    /// Downwards.
    Down,
}

/// The expected range, in the unit of the series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Band {
    /// Lower edge.
    pub lower: f64,
    /// Most likely value.
    pub center: f64,
    /// Upper edge.
    pub upper: f64,
}

/// One point of a series.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Point {
    /// Event time, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Value in the unit of the series.
    pub value: f64,
}

/// Another series of the same service, at the same time.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Sibling {
    /// Metric name.
    pub metric: String,
    /// Unit of that series; absent if unknown.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Last value, in the unit of that series.
    pub observed: f64,
    /// Its expected band.
    pub expected: Band,
}

/// Recent log lines of one template.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogTemplate {
    /// Level of the lines.
    pub level: super::raw::Level,
    /// The template; variable parts are `<*>`.
    pub template: String,
    /// Lines in the window.
    pub count: u64,
    /// One original line, truncated.
    pub example: String,
    /// Event time of the last line.
    pub last_seen: Timestamp,
}

/// A request for which a service has logged warnings or errors.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct FailedRequest {
    /// Derived from the trace id of the lines, and not that id itself: senders write into it what they like.
    pub id: RequestId,
    /// Event time of the first of these lines.
    pub at: Timestamp,
}

/// Context of the anomaly when it was raised, for later review.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// The last samples of the series, oldest first (at most 120).
    #[serde(default)]
    pub samples: Vec<Point>,
    /// Other series of the service (at most 20).
    #[serde(default)]
    pub siblings: Vec<Sibling>,
    /// Most frequent recent warnings and errors of the service (at most 5).
    #[serde(default)]
    pub logs: Vec<LogTemplate>,
    /// Requests for which the service has lately logged warnings or errors (at most [`MAX_REQUESTS`]), those with the smallest ids,
    /// so that services that log errors for the same requests mostly keep the same ones.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub requests: Vec<FailedRequest>,
    /// Values behind placeholders in these texts (at most [`MAX_SEALED`](crate::text::secrets::MAX_SEALED)); none without a key.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub sealed: Vec<Sealed>,
}

/// Dimensions that a series has at most.
pub const MAX_DIMENSIONS: usize = 8;

/// Requests that a context carries at most.
pub const MAX_REQUESTS: usize = 8;

/// Burn rate ([`Anomaly::burn_rate`]) from which on it is a fast one: it uses up 2 % of the budget of 30 days in an hour.
/// Basis: Google, The Site Reliability Workbook (2018), chapter 5.
pub const FAST_BURN_RATE: f64 = 14.4;

/// Requests that a service answers, and how many of them fail.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct FailingRequests {
    /// Failing requests a second.
    pub failing_per_s: f64,
    /// Requests a second, failing ones among them.
    pub requests_per_s: f64,
}

impl FailingRequests {
    /// Returns the share of the requests that fail, 0 to 1.
    pub fn share(self) -> f64 {
        if self.requests_per_s > 0.0 {
            (self.failing_per_s / self.requests_per_s).clamp(0.0, 1.0)
        } else {
            0.0
        }
    }
}

/// One revision of one episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// Same for all revisions of an episode.
    pub anomaly_id: AnomalyId,
    /// Revision within the episode, from 1.
    pub revision: u32,
    /// Status of the episode.
    pub status: Status,
    /// What the series measures.
    pub kind: Kind,
    /// Environment, e.g. `production`.
    pub environment: String,
    /// Service.
    pub service: String,
    /// Metric name.
    pub metric: String,
    /// Labels that tell the series from others of the same metric, e.g. `http.route`; at most [`MAX_DIMENSIONS`].
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub dimensions: BTreeMap<String, String>,
    /// Unit of the series, UCUM where there is one (`ms`, `%`, `By`), else empty.
    #[serde(default)]
    pub unit: String,
    /// Severity of this series alone.
    pub severity: Severity,
    /// Log-likelihood ratio against the series' own normal, in nats, capped at 6.
    pub evidence: f64,
    /// Direction of the deviation.
    pub direction: Direction,
    /// Observed value, in the unit of the series.
    pub observed: f64,
    /// Expected band, in the unit of the series.
    pub expected: Band,
    /// Event time of the episode's first abnormal sample.
    pub started_at: Timestamp,
    /// Event time of the sample that caused this revision.
    pub observed_at: Timestamp,
    /// Usual distance between samples of the series, milliseconds.
    pub interval_ms: u64,
    /// Name and version of the detector.
    pub detector: String,
    /// One sentence: expected and observed value, onset, reason.
    pub explanation: String,
    /// Why the episode ended, on `cleared` revisions. Older writers leave it out: read that as `recovered`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ended>,
    /// How many times as fast as the service's availability objective allows its budget of failures is used up, over the
    /// window whose rule fires. Absent while none does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub burn_rate: Option<f64>,
    /// Requests of the service that fail at present; absent where their number is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub impact: Option<FailingRequests>,
    /// Context of the anomaly.
    #[serde(default)]
    pub context: Context,
}

impl Anomaly {
    /// Returns the metric with its dimensions: see [`series_name`].
    pub fn series(&self) -> Cow<'_, str> {
        series_name(&self.metric, &self.dimensions)
    }
}

/// Returns the name of a series as Prometheus writes it, e.g. `latency{route="/pay"}`; the metric alone without dimensions.
pub fn series_name<'a>(metric: &'a str, dimensions: &BTreeMap<String, String>) -> Cow<'a, str> {
    if dimensions.is_empty() {
        return Cow::Borrowed(metric);
    }
    let pairs: Vec<String> = dimensions.iter().map(|(label, value)| format!("{label}={value:?}")).collect();
    Cow::Owned(format!("{metric}{{{}}}", pairs.join(",")))
}

impl Event for Anomaly {
    const TYPE: &'static str = "firewatch.anomaly.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("environment", &self.environment)?;
        named("service", &self.service)?;
        named("metric", &self.metric)?;
        if self.dimensions.len() > MAX_DIMENSIONS {
            return Err(Refusal::Invalid(format!("it has more than {MAX_DIMENSIONS} dimensions")));
        }
        for (label, value) in &self.dimensions {
            named("label of a dimension", label)?;
            named("value of a dimension", value)?;
        }
        finite("evidence", self.evidence)?;
        finite("observed", self.observed)?;
        for edge in [self.expected.lower, self.expected.center, self.expected.upper] {
            finite("expected", edge)?;
        }
        finite("burn_rate", self.burn_rate.unwrap_or_default())?;
        if let Some(impact) = self.impact {
            finite("failing_per_s", impact.failing_per_s)?;
            finite("requests_per_s", impact.requests_per_s)?;
        }
        if self.revision == 0 {
            return Err(Refusal::Invalid("revision counts from 1".into()));
        }
        Ok(())
    }
}
