//! `anomalies.detected`: one revision of one episode of one series.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Kind, Refusal, Severity, finite, named};
use crate::ids::AnomalyId;

/// Where an episode stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// Weak, or not yet lasting: tells nobody, but adds up with what other series say.
    Suspect,
    /// May open an incident by itself.
    Firing,
    /// Back inside its band for long enough.
    Cleared,
}

/// Which side of its band a series has left.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Direction {
    /// Above.
    Up,
    /// Below.
    Down,
}

/// The band a series was expected in, in the unit of the series.
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
    /// Last value.
    pub observed: f64,
    /// Where it was expected.
    pub expected: Band,
}

/// Log lines of one shape, seen shortly before.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogTemplate {
    /// Level of the lines.
    pub level: super::raw::Level,
    /// The shape, with what varies replaced by `<*>`.
    pub template: String,
    /// How often it was seen in the window.
    pub count: u64,
    /// One line as it was written, shortened.
    pub example: String,
    /// Event time of the last one.
    pub last_seen: Timestamp,
}

/// What else was known when the anomaly was raised; enough to read it again later.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Context {
    /// The last samples of the series, oldest first (at most 120).
    #[serde(default)]
    pub samples: Vec<Point>,
    /// Other series of the service (at most 20).
    #[serde(default)]
    pub siblings: Vec<Sibling>,
    /// Its most frequent recent warnings and errors (at most 5).
    #[serde(default)]
    pub logs: Vec<LogTemplate>,
}

/// One revision of one episode.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Anomaly {
    /// Same for all revisions of an episode.
    pub anomaly_id: AnomalyId,
    /// Counts up from 1 within an episode.
    pub revision: u32,
    /// Where the episode stands.
    pub status: Status,
    /// What the series measures.
    pub kind: Kind,
    /// Environment, e.g. `production`.
    pub environment: String,
    /// Service.
    pub service: String,
    /// Metric name.
    pub metric: String,
    /// Unit of the series, UCUM where there is one (`ms`, `%`, `By`), else empty.
    #[serde(default)]
    pub unit: String,
    /// How bad the series alone is.
    pub severity: Severity,
    /// Log-likelihood ratio against the series' own normal, in nats, capped at 6.
    pub evidence: f64,
    /// Which side of its band.
    pub direction: Direction,
    /// The value that was seen.
    pub observed: f64,
    /// The band it was expected in.
    pub expected: Band,
    /// Event time of the episode's first abnormal sample.
    pub started_at: Timestamp,
    /// Event time of the sample that caused this revision.
    pub observed_at: Timestamp,
    /// Usual distance between samples of the series, milliseconds.
    pub interval_ms: u64,
    /// Name and version of the detector.
    pub detector: String,
    /// One sentence: what was expected, what was seen, since when, why it counts.
    pub explanation: String,
    /// What else was known.
    #[serde(default)]
    pub context: Context,
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
        finite("evidence", self.evidence)?;
        finite("observed", self.observed)?;
        for edge in [self.expected.lower, self.expected.center, self.expected.upper] {
            finite("expected", edge)?;
        }
        if self.revision == 0 {
            return Err(Refusal::Invalid("revision counts from 1".into()));
        }
        Ok(())
    }
}
