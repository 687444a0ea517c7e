//! The raw topics, written by anyone: no envelope needed, the record's place in the log is its id.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Refusal, default_environment, finite, named};

/// One sample of one series (`raw.metrics`). A record holds one object or an array of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSample {
    /// Service that was measured.
    pub service: String,
    /// Metric name.
    pub metric: String,
    /// Value, finite, in `unit`.
    pub value: f64,
    /// Event time, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Unit, UCUM where there is one; guessed from the metric name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// Further labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Event for MetricSample {
    const TYPE: &'static str = "firewatch.metric.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("metric", &self.metric)?;
        named("environment", &self.environment)?;
        finite("value", self.value)
    }
}

/// Level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Finest.
    #[serde(alias = "TRACE")]
    Trace,
    /// For developers.
    #[serde(alias = "DEBUG")]
    Debug,
    /// Normal.
    #[serde(alias = "INFO")]
    Info,
    /// Unusual.
    #[serde(alias = "WARN", alias = "warning", alias = "WARNING")]
    Warn,
    /// Something failed.
    #[serde(alias = "ERROR")]
    Error,
    /// The process cannot go on.
    #[serde(alias = "FATAL", alias = "critical", alias = "CRITICAL")]
    Fatal,
}

/// One log line (`raw.logs`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogRecord {
    /// Service that wrote it.
    pub service: String,
    /// Level of the line.
    pub level: Level,
    /// The line.
    pub message: String,
    /// Event time, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// W3C trace id, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Further labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Event for LogRecord {
    const TYPE: &'static str = "firewatch.log.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("environment", &self.environment)
    }
}

/// One change of one service (`raw.deployments`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// Service that was changed.
    pub service: String,
    /// Version that was rolled out.
    pub version: String,
    /// Event time, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Kind of change: `deploy`, `rollback`, `config`, `migration`, ...; `retire` if the service is taken
    /// out of operation, so that its silence raises no alert.
    #[serde(default = "deploy")]
    pub change_type: String,
    /// Commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// Person or system that rolled it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<String>,
    /// Description of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Risks named by its author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_risks: Vec<String>,
}

impl Deployment {
    /// The change type of a service that is taken out of operation.
    pub const RETIRE: &'static str = "retire";

    /// Returns whether the service was taken out of operation on purpose. It is in operation again from its first
    /// sample after `ts_ms` on.
    pub fn is_retirement(&self) -> bool {
        self.change_type.eq_ignore_ascii_case(Self::RETIRE)
    }
}

fn deploy() -> String {
    "deploy".to_owned()
}

impl Event for Deployment {
    const TYPE: &'static str = "firewatch.deployment.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("version", &self.version)?;
        named("environment", &self.environment)
    }
}

/// Outcome of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpanStatus {
    /// Completed.
    Ok,
    /// Failed.
    Error,
    /// Not set.
    Unset,
}

/// One span of one trace (`raw.spans`). Keyed by trace, so that a parent and its child are read by the same replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// W3C trace id.
    pub trace_id: String,
    /// W3C span id.
    pub span_id: String,
    /// Span that called this one, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Service that did the work.
    pub service: String,
    /// Name of the operation.
    pub operation: String,
    /// Start, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// Duration, milliseconds.
    pub duration_ms: f64,
    /// Outcome of the span.
    pub status: SpanStatus,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
}

impl Event for Span {
    const TYPE: &'static str = "firewatch.span.v1";

    fn subject(&self) -> String {
        self.trace_id.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("trace_id", &self.trace_id)?;
        named("span_id", &self.span_id)?;
        named("environment", &self.environment)?;
        finite("duration_ms", self.duration_ms)
    }
}
