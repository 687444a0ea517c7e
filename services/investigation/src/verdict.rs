//! The verdict, and which telemetry is missing.

use serde::{Deserialize, Serialize};
use shared::events::incident::Incident;
use shared::events::rca::{Candidate, Verdict};

/// Confidence from which a cause is called the cause.
const CAUSE: f64 = 0.8;
/// Confidence below which nothing is claimed.
const LIKELY: f64 = 0.3;

/// What the search in the knowledge base gave.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Knowledge {
    /// It was not answered.
    Unavailable,
    /// No past incident is like this one.
    NothingSimilar,
    /// Something was found.
    Found,
}

/// How sure the ranking is.
pub fn verdict(candidates: &[Candidate]) -> Verdict {
    candidates.first().map_or(Verdict::Unknown, |candidate| of(candidate.confidence))
}

/// How sure a confidence is.
pub fn of(confidence: f64) -> Verdict {
    match confidence {
        confidence if confidence >= CAUSE => Verdict::Cause,
        confidence if confidence >= LIKELY => Verdict::Likely,
        _ => Verdict::Unknown,
    }
}

/// Which telemetry would help and is not there.
pub fn missing(incident: &Incident, has_edges: bool, knowledge: Knowledge) -> Vec<String> {
    let mut sentences = Vec::new();
    if let Some(first) = incident.suspects.first() {
        if incident.signals.iter().filter(|signal| signal.service == first.service).all(|s| s.logs.is_empty())
        {
            sentences.push(format!(
                "No warnings or errors of {} were logged, or its logs are not sent.",
                first.service
            ));
        }
        if !has_edges {
            sentences.push(format!(
                "No calls to or from {} are known: no spans, no catalogue entry.",
                first.service
            ));
        }
    }
    sentences.extend(match knowledge {
        Knowledge::Unavailable => Some("Past incidents and runbooks could not be searched.".to_owned()),
        Knowledge::NothingSimilar => Some("No similar past incident is on record.".to_owned()),
        Knowledge::Found => None,
    });
    sentences
}
