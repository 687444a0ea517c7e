//! The result of an investigation: ranked causes with their evidence, or that the cause is unknown and what was ruled out.

use serde::Serialize;
use shared::events::RootCause as Event;
use shared::events::rca::{Candidate, Evidence, Method, Reference, Source, Verdict};
use shared::text::{format, sanitize};

use super::{name, sentence, sentences};
use crate::markdown::without_list_markers;

const MOST_CANDIDATES: usize = 3;
const MOST_CLAIMS: usize = 8;
const MOST_QUOTES: usize = 3;
const MOST_REFERENCES: usize = 3;

/// The result of an investigation.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct RootCause {
    /// The cause is unknown.
    pub unknown: bool,
    /// Causes, best first.
    pub causes: Vec<Cause>,
    /// Evidence against other causes.
    pub ruled_out: Vec<String>,
    /// Telemetry that is missing.
    pub missing: Vec<String>,
    /// How the result was checked.
    pub checked: String,
}

/// A possible cause.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Cause {
    /// Place in the ranking, from 1.
    pub rank: usize,
    /// Service at fault.
    pub service: String,
    /// The cause in one sentence.
    pub cause: String,
    /// Kind of cause in words.
    pub category: &'static str,
    /// E.g. `93 %`.
    pub confidence: String,
    /// The same as a whole number from 1 to 100, for the bar.
    pub share: u32,
    /// Evidence for it.
    pub claims: Vec<Claim>,
    /// Past incidents that fit.
    pub similar: Vec<Document>,
    /// Runbooks that fit.
    pub runbooks: Vec<Document>,
}

/// A sentence with its evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Claim {
    /// The sentence.
    pub text: String,
    /// Its evidence.
    pub quotes: Vec<Quote>,
}

/// A piece of evidence.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Quote {
    /// Id in the record, e.g. `E3`.
    pub id: String,
    /// Where it stands.
    pub place: String,
    /// The quoted text.
    pub words: String,
    /// The text is telemetry: a backtick in it is no markup.
    pub verbatim: bool,
}

/// A document.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub struct Document {
    /// Id, e.g. `runbook/db-connections`.
    pub id: String,
    /// Its title.
    pub title: String,
}

impl RootCause {
    /// Builds the mail of a result.
    pub fn new(event: &Event) -> Self {
        Self {
            unknown: event.verdict == Verdict::Unknown,
            causes: event
                .candidates
                .iter()
                .take(MOST_CANDIDATES)
                .enumerate()
                .map(|(place, candidate)| Cause::new(place + 1, candidate, &event.evidence))
                .collect(),
            ruled_out: sentences(&event.ruled_out, 8),
            missing: sentences(&event.missing, 8),
            checked: checked(event),
        }
    }

    /// Returns the summary in one or two sentences.
    pub fn lede(event: &Event) -> String {
        let best = event.candidates.first();
        match (event.verdict, best) {
            (Verdict::Unknown, None) => {
                "The telemetry does not show the cause. What was ruled out and what is missing is listed below."
                    .to_owned()
            }
            (Verdict::Unknown, Some(best)) => format!(
                "The cause is unknown. The best candidate is {} in {} (confidence {}).",
                best.category.words(),
                name(&best.service),
                format::percent(best.confidence)
            ),
            (Verdict::Cause, Some(best)) => {
                format!("{} Confidence {}.", ended(&sentence(&best.cause)), format::percent(best.confidence))
            }
            (Verdict::Likely, Some(best)) => format!(
                "Likely cause (confidence {}): {}",
                format::percent(best.confidence),
                ended(&sentence(&best.cause))
            ),
            (Verdict::Cause | Verdict::Likely, None) => "No cause is on record.".to_owned(),
        }
    }
}

impl Cause {
    fn new(rank: usize, candidate: &Candidate, evidence: &[Evidence]) -> Self {
        Self {
            rank,
            service: name(&candidate.service),
            cause: sentence(&candidate.cause),
            category: candidate.category.words(),
            confidence: format::percent(candidate.confidence),
            share: ((candidate.confidence * 100.0).round() as u32).clamp(1, 100),
            claims: candidate
                .claims
                .iter()
                .take(MOST_CLAIMS)
                .map(|claim| Claim {
                    text: sentence(&claim.text),
                    quotes: claim
                        .evidence
                        .iter()
                        .filter_map(|id| evidence.iter().find(|evidence| evidence.id == *id))
                        .take(MOST_QUOTES)
                        .map(Quote::new)
                        .collect(),
                })
                .collect(),
            similar: documents(&candidate.similar_incidents),
            runbooks: documents(&candidate.runbooks),
        }
    }
}

impl Quote {
    fn new(evidence: &Evidence) -> Self {
        let place = match &evidence.source {
            Source::Samples { service, metric, .. } => {
                format!("samples of {} {}", name(service), name(metric))
            }
            Source::Log { service, .. } => format!("log of {}", name(service)),
            Source::Deployment { service, version } => {
                format!("deployment {} {}", name(service), name(version))
            }
            Source::Deployments { service, .. } => format!("deployments of {}", name(service)),
            Source::Edge { caller, callee } => format!("call edge {} → {}", name(caller), name(callee)),
            Source::EdgeTimes { caller, callee, .. } => {
                format!("duration of calls {} → {}", name(caller), name(callee))
            }
            Source::Document { doc_id, section } => format!("{} § {}", name(doc_id), name(section)),
            Source::Query { source, question } => {
                format!("answer of {} about {}", name(source), name(&question.service))
            }
        };
        let verbatim = !matches!(evidence.source, Source::Document { .. });
        let quote = if verbatim { evidence.quote.clone() } else { without_list_markers(&evidence.quote) };
        Self {
            id: sanitize::one_line(&evidence.id, 12),
            place,
            words: sanitize::one_line(&quote, 240),
            verbatim,
        }
    }
}

fn documents(references: &[Reference]) -> Vec<Document> {
    references
        .iter()
        .take(MOST_REFERENCES)
        .map(|reference| Document {
            id: name(&reference.doc_id),
            title: sanitize::one_line(&reference.title, 160),
        })
        .collect()
}

fn checked(event: &Event) -> String {
    let method = match event.method {
        Method::Deterministic => "Rules ranked the causes.".to_owned(),
        Method::Model => format!(
            "Rules ranked the causes. A model explained them ({} tokens, {:.4} USD).",
            event.tokens,
            event.cost_microdollars as f64 / 1e6
        ),
    };
    let dropped = event.claims_total.saturating_sub(event.claims_verified);
    let claims = match (event.claims_total, dropped) {
        (0, _) => "The result has no claims.".to_owned(),
        (1, 0) => "The claim was verified against the record.".to_owned(),
        (total, 0) => format!("All {total} claims were verified against the record."),
        (total, dropped) => format!(
            "{} of {total} claims were verified against the record. {}",
            event.claims_verified,
            if dropped == 1 {
                "1 claim is left out.".to_owned()
            } else {
                format!("{dropped} claims are left out.")
            }
        ),
    };
    format!("{method} {claims}")
}

/// Ends a sentence with a full stop.
fn ended(text: &str) -> String {
    if text.ends_with(['.', '!', '?', '…']) { text.to_owned() } else { format!("{text}.") }
}
