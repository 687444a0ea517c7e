//! `rca.completed`: ranked causes, each claim with evidence that can be read again.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::anomaly::Direction;
use super::question::{Question, Trend};
use super::raw::Level;
use super::{Category, Event, Refusal, finite, named};
use crate::ids::{EvidenceId, IncidentId};

/// Certainty of the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Confidence of the first candidate is at least 0.8.
    Cause,
    /// Confidence of the first candidate is at least 0.3 and below 0.8.
    Likely,
    /// No candidate has a confidence of 0.3: the cause is not visible in this telemetry.
    Unknown,
}

/// Method of the ranking.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Rules over graph, time, change and knowledge; no model.
    Deterministic,
    /// A model reordered or explained the deterministic ranking.
    Model,
}

/// A stored item that can be read again.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Source {
    /// A window of samples of a member.
    Samples {
        /// Service.
        service: String,
        /// Metric name.
        metric: String,
        /// Anomaly whose record holds the samples.
        anomaly_id: crate::ids::AnomalyId,
    },
    /// A log template of a member.
    Log {
        /// Service.
        service: String,
        /// Anomaly whose record holds the lines.
        anomaly_id: crate::ids::AnomalyId,
    },
    /// A deployment.
    Deployment {
        /// Service.
        service: String,
        /// Version.
        version: String,
    },
    /// All deployments of a service within a time.
    Deployments {
        /// Service.
        service: String,
        /// From.
        from: Timestamp,
        /// Until.
        to: Timestamp,
    },
    /// An edge of the service graph.
    Edge {
        /// Caller.
        caller: String,
        /// Callee.
        callee: String,
    },
    /// Calls of an edge of the service graph, before and since the first symptom of an incident.
    EdgeTimes {
        /// Caller.
        caller: String,
        /// Callee.
        callee: String,
        /// Begin of the time before.
        from: Timestamp,
        /// The minute of the first symptom.
        onset: Timestamp,
        /// The last minute.
        to: Timestamp,
    },
    /// A section of a document.
    Document {
        /// Document.
        doc_id: String,
        /// Section.
        section: String,
    },
    /// The answer of a system that was queried.
    Query {
        /// Name of the system in the settings, e.g. `prometheus`.
        source: String,
        /// What it was asked.
        question: Question,
    },
}

/// One piece of evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Evidence {
    /// Id within this result, e.g. `E3`.
    pub id: String,
    /// Where the evidence is stored.
    pub source: Source,
    /// Words or figures as they are stored.
    pub quote: String,
    /// Stored record that it is quoted from; absent in results of older releases.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub record: Option<EvidenceId>,
}

/// What a claim says of one piece of evidence. The checker computes it again from what is stored.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Relation {
    /// A sample of the series lies beyond an edge of its expected band.
    Outside {
        /// Id of the samples.
        evidence: String,
        /// The side on which it lies.
        side: Direction,
        /// The sample, in `unit`.
        value: f64,
        /// The edge of the band on that side, in `unit`.
        edge: f64,
        /// Unit of the series.
        unit: String,
        /// Event time of the sample.
        at: Timestamp,
        /// When the series left its band.
        since: Timestamp,
        /// When it was back; absent while it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// Detection reports the series, and no sample by itself shows why.
    Reported {
        /// Id of the report.
        evidence: String,
        /// When it began.
        since: Timestamp,
        /// When it was over; absent while it is not.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// The value of the series lies inside its expected band.
    Inside {
        /// Id of the value.
        evidence: String,
        /// The value, in `unit`.
        value: f64,
        /// Lower edge of the band, in `unit`.
        lower: f64,
        /// Upper edge of the band, in `unit`.
        upper: f64,
        /// Unit of the series.
        unit: String,
        /// Event time of the value.
        at: Timestamp,
    },
    /// Lines of one shape were logged so often.
    Repeated {
        /// Id of the line.
        evidence: String,
        /// Level of the lines.
        level: Level,
        /// Number of lines.
        times: u64,
    },
    /// A change was rolled out before the first symptom of its service.
    Before {
        /// Id of the change.
        evidence: String,
        /// When it was rolled out.
        at: Timestamp,
        /// When the first symptom of the service began.
        symptom: Timestamp,
        /// Seconds between the two.
        seconds: u64,
    },
    /// Nothing was rolled out.
    NoneBefore {
        /// Id of the empty list of changes.
        evidence: String,
    },
    /// The source is an edge of the service graph: one service calls another.
    Calls {
        /// Id of the edge.
        evidence: String,
    },
    /// How long calls of an edge took since the first symptom, against the half hour before.
    Took {
        /// Id of the times.
        evidence: String,
        /// What happened.
        trend: Trend,
        /// Mean latency before, milliseconds.
        before_ms: f64,
        /// Mean latency since, milliseconds.
        since_ms: f64,
        /// Mean self time of the callee before, milliseconds; absent where it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        self_before_ms: Option<f64>,
        /// Mean self time of the callee since, milliseconds; absent where it is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        self_since_ms: Option<f64>,
    },
    /// The series left its band then. Of several in one claim, none began before the one above it.
    Began {
        /// Id of the samples.
        evidence: String,
        /// When the series left its band.
        at: Timestamp,
    },
    /// The document is about a past incident of the same kind of cause.
    SameCause {
        /// Id of the section.
        evidence: String,
        /// Kind of cause of both.
        category: Category,
        /// Service that is suspected now.
        service: String,
        /// Whether it was at fault then, too.
        same_service: bool,
    },
    /// The page of the service names this kind of failure.
    KnownFailure {
        /// Id of the section.
        evidence: String,
        /// Service.
        service: String,
        /// Kind of cause.
        category: Category,
    },
    /// The answer of a queried system, the time since the first symptom against the hour before.
    Compared {
        /// Id of the answer.
        evidence: String,
        /// What happened.
        trend: Trend,
        /// Level before, in `unit`.
        before: f64,
        /// Level since, in `unit`.
        since: f64,
        /// Below it, the level has fallen, in `unit`.
        lower: f64,
        /// Above it, the level has risen, in `unit`.
        upper: f64,
        /// Unit of the levels.
        unit: String,
        /// First symptom.
        onset: Timestamp,
        /// End of the time that was asked for.
        until: Timestamp,
    },
}

impl Relation {
    /// Returns the id of the evidence that it is about.
    pub fn evidence(&self) -> &str {
        match self {
            Self::Outside { evidence, .. }
            | Self::Reported { evidence, .. }
            | Self::Inside { evidence, .. }
            | Self::Repeated { evidence, .. }
            | Self::Before { evidence, .. }
            | Self::NoneBefore { evidence }
            | Self::Calls { evidence }
            | Self::Took { evidence, .. }
            | Self::Began { evidence, .. }
            | Self::SameCause { evidence, .. }
            | Self::KnownFailure { evidence, .. }
            | Self::Compared { evidence, .. } => evidence,
        }
    }
}

/// One sentence with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Ids of the evidence; never empty.
    pub evidence: Vec<String>,
    /// What the sentence says of the evidence, in the order of the sentence; empty in results of older releases.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub relations: Vec<Relation>,
}

/// A similar document.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Document.
    pub doc_id: String,
    /// Title of the document.
    pub title: String,
    /// Most similar section.
    pub section: String,
    /// Rank among all documents found, 0 to 1. It orders documents and does not measure similarity.
    pub score: f64,
    /// What it has in common with the incident, one item each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub alike: Vec<String>,
    /// What differs, one item each.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub different: Vec<String>,
}

/// One possible cause.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Candidate {
    /// Service at fault.
    pub service: String,
    /// The cause in one sentence.
    pub cause: String,
    /// Kind of cause.
    pub category: Category,
    /// Posterior of the hypothesis, 0 to 0.99; calibrated on faults of the simulator.
    pub confidence: f64,
    /// Claims that support the candidate.
    pub claims: Vec<Claim>,
    /// Similar past incidents.
    #[serde(default)]
    pub similar_incidents: Vec<Reference>,
    /// Matching runbooks.
    #[serde(default)]
    pub runbooks: Vec<Reference>,
}

/// The result of one investigation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RootCause {
    /// Incident.
    pub incident_id: IncidentId,
    /// Incident number, for people.
    pub number: i64,
    /// Counts the investigations of the incident from 1.
    pub revision: u32,
    /// Revision of the incident that was investigated.
    pub incident_revision: u32,
    /// Environment.
    pub environment: String,
    /// Certainty of the ranking.
    pub verdict: Verdict,
    /// Best first (at most 5); may be empty if the verdict is `unknown`.
    pub candidates: Vec<Candidate>,
    /// All evidence that the claims cite.
    pub evidence: Vec<Evidence>,
    /// Findings that speak against other causes, one sentence each: the texts of `exclusions`.
    #[serde(default)]
    pub ruled_out: Vec<String>,
    /// The same as claims with their evidence.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub exclusions: Vec<Claim>,
    /// Telemetry that is missing, one sentence each.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Method of the ranking.
    pub method: Method,
    /// Claims whose evidence was found by the checker.
    pub claims_verified: u32,
    /// Claims before the check; the difference was dropped.
    pub claims_total: u32,
    /// Model tokens, input and output; 0 without a model.
    pub tokens: u64,
    /// Cost, millionths of a US dollar; 0 without a model.
    pub cost_microdollars: u64,
    /// Event time of the incident revision it answers.
    pub completed_at: Timestamp,
    /// When answers of queried systems last changed the result, by the wall clock; absent while none has.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub corrected_at: Option<Timestamp>,
    /// Queries that were made for the incident so far.
    #[serde(default, skip_serializing_if = "super::is_zero")]
    pub queries: u32,
}

impl RootCause {
    /// Returns the first candidate unless the verdict is `unknown`.
    pub fn cause(&self) -> Option<&Candidate> {
        if self.verdict == Verdict::Unknown { None } else { self.candidates.first() }
    }
}

impl Event for RootCause {
    const TYPE: &'static str = "firewatch.rca.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("environment", &self.environment)?;
        for candidate in &self.candidates {
            finite("confidence", candidate.confidence)?;
        }
        let mut claims =
            self.candidates.iter().flat_map(|candidate| &candidate.claims).chain(&self.exclusions);
        if claims.any(|claim| claim.evidence.is_empty()) {
            return Err(Refusal::Invalid("a claim cites no evidence".into()));
        }
        Ok(())
    }
}
