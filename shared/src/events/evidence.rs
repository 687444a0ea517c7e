//! A record of evidence: an excerpt of what a source held when an incident was investigated. It is stored with the incident, so
//! that what a claim cites can be read after its source has moved on.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::Kind;
use super::anomaly::{Band, Direction, LogTemplate, Point, Status};
use super::incident::Signal;
use super::raw::Deployment;
use super::rca::Source;
use crate::calls::Calls;
use crate::ids::{EvidenceId, IncidentId};

/// Most records of one investigation.
pub const MAX_RECORDS: usize = 400;
/// Longest text of a record, characters.
pub const MAX_TEXT: usize = 4_096;

/// One record.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct EvidenceRecord {
    /// Derived from incident, source and content: what has not changed is one record.
    pub id: EvidenceId,
    /// Incident it is stored with.
    pub incident_id: IncidentId,
    /// Where it was read.
    pub source: Source,
    /// What the source says, in its own words.
    pub excerpt: String,
    /// What the source held.
    pub content: Content,
}

/// What a source held.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Content {
    /// A window of samples.
    Samples {
        /// What the series measures.
        measures: Kind,
        /// Unit of the series, or empty.
        unit: String,
        /// Direction of the deviation.
        direction: Direction,
        /// Status of the episode.
        status: Status,
        /// Event time of the first abnormal sample.
        started_at: Timestamp,
        /// Event time at which it cleared.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        cleared_at: Option<Timestamp>,
        /// Expected band, in `unit`.
        expected: Band,
        /// Samples, oldest first, in `unit`.
        samples: Vec<Point>,
    },
    /// One value of another series of the service.
    Value {
        /// Unit of the series, or empty.
        unit: String,
        /// The value, in `unit`.
        observed: f64,
        /// Expected band, in `unit`.
        expected: Band,
        /// Event time.
        at: Timestamp,
    },
    /// Lines of the log, by their templates.
    Logs {
        /// Templates with an example of each.
        templates: Vec<LogTemplate>,
    },
    /// A change as it was received.
    Deployment(Box<Deployment>),
    /// All changes within a time; empty if there were none.
    Deployments {
        /// The changes, newest first.
        changes: Vec<Deployment>,
    },
    /// An edge of the service graph.
    Edge(EdgeFigures),
    /// Calls of an edge before and since the first symptom.
    EdgeTimes(EdgeTimes),
    /// A section of a document.
    Section {
        /// Title of the document.
        title: String,
        /// The section, Markdown; of a long one the first [`MAX_TEXT`] characters.
        text: String,
        /// What the document is about.
        facets: BTreeMap<String, String>,
    },
    /// What a queried system answered.
    Answer(Answer),
}

/// Most points of an answer.
pub const MAX_POINTS: usize = 480;
/// Most spans or events of an answer.
pub const MAX_ITEMS: usize = 100;
/// Longest text of an answer, characters.
pub const MAX_WORDS: usize = 240;

/// The answer of a queried system. Texts are redacted, of one line and at most [`MAX_WORDS`] long.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "of", rename_all = "snake_case")]
pub enum Answer {
    /// A series.
    Series {
        /// Unit of the values, or empty.
        unit: String,
        /// Values, oldest first.
        points: Vec<Point>,
    },
    /// Lines of a log.
    Lines {
        /// Lines of each minute, oldest first; a minute without a point is unknown.
        minutes: Vec<Point>,
        /// One of the last lines.
        example: Option<String>,
    },
    /// Calls.
    Calls {
        /// The calls, oldest first.
        calls: Vec<Call>,
    },
    /// Events of a cluster.
    Events {
        /// Events, oldest first.
        events: Vec<Reported>,
    },
}

/// One call.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Call {
    /// Begin.
    pub at: Timestamp,
    /// Name of the span.
    pub name: String,
    /// Duration, milliseconds.
    pub ms: f64,
    /// Whether it failed.
    pub failed: bool,
}

/// One event of a cluster.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Reported {
    /// When it was last reported.
    pub at: Timestamp,
    /// Reason, e.g. `BackOff`.
    pub reason: String,
    /// Object, e.g. a pod.
    pub object: String,
    /// Message.
    pub message: String,
    /// How often it was reported.
    pub count: u32,
}

/// Figures of the calls of an edge, of a record by itself in the quarter of an hour before it was made; without spans all are absent.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct EdgeFigures {
    /// Event time of the last call.
    pub last_seen: Option<Timestamp>,
    /// Calls.
    pub calls: Option<i64>,
    /// Share of calls that failed, 0 to 1.
    pub failed_share: Option<f64>,
    /// Mean latency of a call, milliseconds.
    pub latency_mean_ms: Option<f64>,
    /// Estimate of the 95th percentile of the latency, milliseconds.
    pub latency_p95_ms: Option<f64>,
    /// Mean self time of the callee in a call, milliseconds.
    pub self_mean_ms: Option<f64>,
}

/// Figures of the calls of an edge before and since a time.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct EdgeTimes {
    /// Before.
    pub before: EdgeFigures,
    /// Since.
    pub since: EdgeFigures,
}

impl From<&Calls> for EdgeFigures {
    fn from(calls: &Calls) -> Self {
        Self {
            last_seen: None,
            calls: Some(calls.calls),
            failed_share: calls.failed_share(),
            latency_mean_ms: calls.mean_latency_ms(),
            latency_p95_ms: calls.p95_latency_ms(),
            self_mean_ms: calls.mean_self_ms(),
        }
    }
}

impl Content {
    /// Returns what is recorded of the series of a signal.
    pub fn samples_of(signal: &Signal) -> Self {
        Self::Samples {
            measures: signal.kind,
            unit: signal.unit.clone(),
            direction: signal.direction,
            status: signal.status,
            started_at: signal.started_at,
            cleared_at: signal.cleared_at,
            expected: signal.expected,
            samples: signal.samples.clone(),
        }
    }
}

impl EvidenceRecord {
    /// Makes a record; its excerpt is cut to [`MAX_TEXT`].
    ///
    /// # Errors
    /// If the content cannot be written as JSON.
    pub fn new(
        incident_id: IncidentId,
        source: Source,
        excerpt: &str,
        content: Content,
    ) -> Result<Self, serde_json::Error> {
        let parts = [serde_json::to_string(&source)?, serde_json::to_string(&content)?];
        let id = EvidenceId::of(incident_id, &parts[0], &parts[1]);
        Ok(Self { id, incident_id, source, excerpt: excerpt.chars().take(MAX_TEXT).collect(), content })
    }
}
