//! `rca.completed`: ranked causes, each claim with evidence that can be read again.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Event, Refusal, finite, named};
use crate::ids::IncidentId;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
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
    /// An edge of the service graph.
    Edge {
        /// Caller.
        caller: String,
        /// Callee.
        callee: String,
    },
    /// A section of a document.
    Document {
        /// Document.
        doc_id: String,
        /// Section.
        section: String,
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
}

/// One sentence with its evidence.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Ids of the evidence; never empty.
    pub evidence: Vec<String>,
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
    /// Posterior of the hypothesis, 0 to 0.99; not calibrated.
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
    /// Findings that speak against other causes, one sentence each.
    #[serde(default)]
    pub ruled_out: Vec<String>,
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
            if candidate.claims.iter().any(|claim| claim.evidence.is_empty()) {
                return Err(Refusal::Invalid("a claim cites no evidence".into()));
            }
        }
        Ok(())
    }
}
