//! The cause: candidates with their claims, and the evidence they cite, word for word.

use shared::events::RootCause;
use shared::events::rca::{Candidate, Evidence, Method, Reference, Verdict};

use crate::evidence::source_words;
use crate::figures::percent;
use crate::terminal::page::Page;

pub(crate) fn render(page: &mut Page<'_>, cause: Option<&RootCause>) {
    let Some(cause) = cause else {
        page.heading("Cause", "");
        page.text("  ", "not ranked yet");
        return;
    };
    page.heading("Cause", &standing(cause));
    for (rank, candidate) in cause.candidates.iter().enumerate() {
        one(page, rank + 1, candidate);
    }
    list(page, "Ruled out", &cause.ruled_out);
    list(page, "Missing", &cause.missing);
    if !cause.evidence.is_empty() {
        page.line(&format!("  {}", page.strong("Evidence")));
        for evidence in &cause.evidence {
            page.hanging(&format!("    {:<4} ", evidence.id), &told(evidence));
        }
        // what was looked at on demand is not stored
        let is_stored = |evidence: &&Evidence| evidence.record.is_some() && cause.number > 0;
        if let Some(first) = cause.evidence.iter().find(is_stored) {
            let command = format!("firewatch evidence show {}:{}", cause.number, first.id);
            page.faint("    ", &format!("{command} shows what its source held"));
        }
    }
}

fn standing(cause: &RootCause) -> String {
    let verdict = match cause.verdict {
        Verdict::Cause => "found",
        Verdict::Likely => "likely",
        Verdict::Unknown => "unknown: not visible in this telemetry",
    };
    let method = match cause.method {
        Method::Deterministic => "by rules",
        Method::Model => "by rules and a model",
    };
    format!("{verdict}, {method}, {} of {} claims verified", cause.claims_verified, cause.claims_total)
}

fn one(page: &mut Page<'_>, rank: usize, candidate: &Candidate) {
    page.line(&format!(
        "  {rank}. {}, {}  {}",
        page.strong(&candidate.service),
        candidate.category.words(),
        percent(candidate.confidence),
    ));
    page.text("     ", &candidate.cause);
    for claim in &candidate.claims {
        page.item("     ", &format!("{} [{}]", claim.text, claim.evidence.join(", ")));
    }
    references(page, "seen before", &candidate.similar_incidents);
    references(page, "runbook", &candidate.runbooks);
}

fn references(page: &mut Page<'_>, label: &str, references: &[Reference]) {
    for reference in references {
        let Reference { doc_id, title, section, .. } = reference;
        page.hanging(&format!("     {label:<11}  "), &format!("{doc_id} {title}, {section}"));
    }
}

fn list(page: &mut Page<'_>, label: &str, sentences: &[String]) {
    if sentences.is_empty() {
        return;
    }
    page.line(&format!("  {}", page.strong(label)));
    for sentence in sentences {
        page.item("    ", sentence);
    }
}

fn told(evidence: &Evidence) -> String {
    format!("{}: \"{}\"", source_words(&evidence.source), evidence.quote)
}
