//! The cause: candidates with their claims, and the evidence they cite, word for word.

use shared::events::RootCause;
use shared::events::rca::{Candidate, Evidence, Method, Reference, Source, Verdict};

use super::page::Page;
use crate::figures::percent;

pub(super) fn render(page: &mut Page<'_>, cause: Option<&RootCause>) {
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
    let source = match &evidence.source {
        Source::Samples { service, metric, .. } => format!("samples of {service} {metric}"),
        Source::Log { service, .. } => format!("logs of {service}"),
        Source::Deployment { service, version } => format!("deployment of {service} {version}"),
        Source::Deployments { service, .. } => format!("deployments of {service}"),
        Source::Edge { caller, callee } => format!("call from {caller} to {callee}"),
        Source::Document { doc_id, section } => format!("{doc_id}, {section}"),
    };
    format!("{source}: \"{}\"", evidence.quote)
}
