//! `incidents.opened`, `incidents.updated`, `incidents.resolved`: the incident as it stands.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::anomaly::{Anomaly, Band, Direction, LogTemplate, Point, Sibling, Status};
use super::{Category, Event, Kind, Refusal, Severity, finite, named};
use crate::ids::{AnomalyId, IncidentId};

/// Where an incident stands in its life. Transitions are those of [`crate::lifecycle`].
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// A first anomaly has opened it; the group is still gathering, nobody has been told.
    Detecting,
    /// The group has settled and was announced.
    Correlating,
    /// The cause is being looked for.
    Investigating,
    /// A ranked cause (or "unknown") is on record.
    RcaComplete,
    /// A plan is with the people who act on it.
    Remediating,
    /// Every member has cleared for long enough.
    Resolved,
    /// The postmortem is written.
    Closed,
}

impl State {
    /// Tells whether the fault is still going on.
    pub fn is_open(self) -> bool {
        !matches!(self, Self::Resolved | Self::Closed)
    }
}

/// A hypothesis: this service, by this kind of cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Suspect {
    /// Service.
    pub service: String,
    /// Kind of cause.
    pub category: Category,
    /// Summed evidence less what the hypothesis demands and is absent, in nats.
    pub score: f64,
    /// Share against all hypotheses, "not visible" among them; 0 to 1.
    pub posterior: f64,
    /// One sentence for each term of the score.
    #[serde(default)]
    pub reasons: Vec<String>,
}

/// A hypothesis that leads clearly over the first suspect. It becomes the first suspect if it keeps its lead.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Challenger {
    /// Service.
    pub service: String,
    /// Kind of cause.
    pub category: Category,
    /// Event time since which it leads.
    pub since: Timestamp,
}

/// One member: the last revision of an anomaly, with what is needed to draw and to check it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Signal {
    /// Its episode.
    pub anomaly_id: AnomalyId,
    /// Revision of the anomaly.
    pub revision: u32,
    /// Service.
    pub service: String,
    /// Metric name.
    pub metric: String,
    /// Unit, or empty.
    #[serde(default)]
    pub unit: String,
    /// What it measures.
    pub kind: Kind,
    /// How bad the series alone is.
    pub severity: Severity,
    /// Where it stands.
    pub status: Status,
    /// Strongest evidence of the episode so far, nats.
    pub evidence: f64,
    /// Which side of its band.
    pub direction: Direction,
    /// Last value that was seen.
    pub observed: f64,
    /// The band it was expected in.
    pub expected: Band,
    /// First abnormal sample.
    pub started_at: Timestamp,
    /// Sample of the last revision.
    pub observed_at: Timestamp,
    /// When it cleared.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cleared_at: Option<Timestamp>,
    /// Usual distance between samples, milliseconds.
    pub interval_ms: u64,
    /// One sentence.
    pub explanation: String,
    /// Samples, oldest first (at most 120).
    #[serde(default)]
    pub samples: Vec<Point>,
    /// Other series of the service.
    #[serde(default)]
    pub siblings: Vec<Sibling>,
    /// Log lines of the service.
    #[serde(default)]
    pub logs: Vec<LogTemplate>,
}

impl Signal {
    /// Returns the signal of an anomaly's revision, keeping from `before` what only grows.
    pub fn from_anomaly(anomaly: &Anomaly, before: Option<&Signal>) -> Self {
        let cleared = anomaly.status == Status::Cleared;
        Self {
            anomaly_id: anomaly.anomaly_id,
            revision: anomaly.revision,
            service: anomaly.service.clone(),
            metric: anomaly.metric.clone(),
            unit: anomaly.unit.clone(),
            kind: anomaly.kind,
            severity: before.map_or(anomaly.severity, |b| b.severity.max(anomaly.severity)),
            status: anomaly.status,
            evidence: before.map_or(anomaly.evidence, |b| b.evidence.max(anomaly.evidence)),
            direction: anomaly.direction,
            observed: anomaly.observed,
            expected: anomaly.expected,
            started_at: anomaly.started_at,
            observed_at: anomaly.observed_at,
            cleared_at: cleared.then_some(anomaly.observed_at),
            interval_ms: anomaly.interval_ms,
            explanation: match before {
                // the sentence of the strongest revision says why it counts; later ones tell of the way back
                Some(before) if cleared || anomaly.evidence < before.evidence => before.explanation.clone(),
                _ => anomaly.explanation.clone(),
            },
            samples: anomaly.context.samples.clone(),
            siblings: anomaly.context.siblings.clone(),
            logs: match before {
                Some(before) if anomaly.context.logs.is_empty() => before.logs.clone(),
                _ => anomaly.context.logs.clone(),
            },
        }
    }
}

/// A change of a member's service shortly before the incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Change {
    /// Service that was changed.
    pub service: String,
    /// Version.
    pub version: String,
    /// When.
    pub at: Timestamp,
    /// What kind of change.
    pub change_type: String,
    /// Commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// Who rolled it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<String>,
    /// What it is.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Risks its author named.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_risks: Vec<String>,
}

/// Who is hurt: the services that call, directly or not, a suspect.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct BlastRadius {
    /// Callers of the first suspect, direct and indirect, sorted (at most 400).
    pub callers: Vec<String>,
    /// Share of the known services that are affected or call the suspect, 0 to 1.
    pub share: f64,
}

/// An incident as it stands.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Incident {
    /// Derived from the anomaly that opened it.
    pub incident_id: IncidentId,
    /// For people; counts up.
    pub number: i64,
    /// Counts every change of the record.
    pub revision: u32,
    /// Where it stands.
    pub state: State,
    /// How bad it is or was at its worst.
    pub severity: Severity,
    /// One line for people.
    pub title: String,
    /// Environment.
    pub environment: String,
    /// Hypotheses, best first (at most 5).
    pub suspects: Vec<Suspect>,
    /// Hypothesis that leads over the first suspect and may replace it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub challenger: Option<Challenger>,
    /// Ids of the anomalies of the incident (at most 2000, the first ones).
    pub members: Vec<AnomalyId>,
    /// Services with at least one member, sorted (at most 400).
    pub affected_services: Vec<String>,
    /// Who is hurt.
    pub blast_radius: BlastRadius,
    /// The members as they stand (at most 40, strongest first).
    pub signals: Vec<Signal>,
    /// Change that is the likeliest trigger, if there was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployment: Option<Change>,
    /// First abnormal sample of any member.
    pub started_at: Timestamp,
    /// Event time of the anomaly that opened it.
    pub opened_at: Timestamp,
    /// When the last member was back inside its band.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resolved_at: Option<Timestamp>,
    /// Tells where the state after `resolved` came from.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub closed_at: Option<Timestamp>,
}

impl Incident {
    /// Returns the first suspect's service, if any stands out.
    pub fn suspect(&self) -> Option<&Suspect> {
        self.suspects.first()
    }
}

impl Event for Incident {
    const TYPE: &'static str = "firewatch.incident.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("environment", &self.environment)?;
        for suspect in &self.suspects {
            finite("score", suspect.score)?;
        }
        Ok(())
    }
}
