//! `rca.completed`: ranked causes, each claim with evidence that can be read again.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Event, Refusal, finite, named};
use crate::ids::IncidentId;

/// How sure the ranking is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Confidence at least .8.
    Cause,
    /// Confidence .3 to .8: likely, or one of several.
    Likely,
    /// Not visible in this telemetry.
    Unknown,
}

/// Who ranked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Method {
    /// Rules over graph, time, change and knowledge; no model.
    Deterministic,
    /// A model reordered or explained the deterministic ranking.
    Model,
}

/// Something that was stored and can be read again.
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
    /// Where it can be read again.
    pub source: Source,
    /// The words or figures that are there.
    pub quote: String,
}

/// One sentence and what it rests on.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Ids of its evidence; never empty.
    pub evidence: Vec<String>,
}

/// A document that fits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Reference {
    /// Document.
    pub doc_id: String,
    /// Its title.
    pub title: String,
    /// Section that fits best.
    pub section: String,
    /// How it stands among all that was found, 0 to 1. It orders documents and says nothing of how well one fits.
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
    /// 0 to 1.
    pub confidence: f64,
    /// What speaks for it.
    pub claims: Vec<Claim>,
    /// Past incidents that fit.
    #[serde(default)]
    pub similar_incidents: Vec<Reference>,
    /// Runbooks that fit.
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
    /// How sure.
    pub verdict: Verdict,
    /// Best first (at most 5); may be empty where the verdict is `unknown`.
    pub candidates: Vec<Candidate>,
    /// All evidence that the claims cite.
    pub evidence: Vec<Evidence>,
    /// What was looked at and speaks against, one sentence each.
    #[serde(default)]
    pub ruled_out: Vec<String>,
    /// Telemetry that is missing, one sentence each.
    #[serde(default)]
    pub missing: Vec<String>,
    /// Who ranked.
    pub method: Method,
    /// Claims that were re-read and found.
    pub claims_verified: u32,
    /// Claims that were made; the difference was dropped.
    pub claims_total: u32,
    /// Model tokens, both ways.
    pub tokens: u64,
    /// Money spent, millionths of a US dollar.
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
