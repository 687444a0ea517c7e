//! A suspect becomes a candidate: a cause in one sentence, and claims that cite what is stored.

use shared::events::anomaly::Status;
use shared::events::incident::{Incident, Signal, Suspect};
use shared::events::raw::Level;
use shared::events::rca::{Candidate, Claim, Source};
use shared::events::{Category, Kind};
use shared::finding::Finding;
use shared::knowledge::Chunk;
use shared::knowledge::retrieval::Found;

use crate::documents::Documents;
use crate::evidence::{EvidenceLedger, change_text, edge_text, last_sample};

/// Most signals of a service that are claimed one by one.
const MAX_SIGNALS: usize = 4;
/// Most callers that are claimed one by one.
const MAX_CALLERS: usize = 3;
/// Fewest lines of one shape that count as evidence.
const MIN_LINES: u64 = 3;
/// A confidence is never told as certainty.
const MAX_CONFIDENCE: f64 = 0.99;
/// Longest quote of a document, characters.
const MAX_QUOTE: usize = 240;

/// Builds a candidate with all its claims, unchecked.
pub fn candidate(
    incident: &Incident,
    suspect: &Suspect,
    documents: &Documents,
    dossier: &mut EvidenceLedger,
) -> Candidate {
    let mut claims = Vec::new();
    for signal in own(incident, &suspect.service).take(MAX_SIGNALS) {
        claims.extend(of_signal(signal, dossier));
    }
    claims.extend(of_logs(incident, &suspect.service, dossier));
    claims.extend(of_change(incident, suspect, dossier));
    claims.extend(of_callers(incident, &suspect.service, dossier));
    claims.extend(of_past(suspect, documents, dossier));
    Candidate {
        service: suspect.service.clone(),
        cause: sentence(incident, suspect),
        category: suspect.category,
        confidence: suspect.posterior.min(MAX_CONFIDENCE),
        claims,
        similar_incidents: documents.incidents.iter().map(Found::reference).collect(),
        runbooks: documents.runbooks.iter().map(Found::reference).collect(),
    }
}

fn own<'a>(incident: &'a Incident, service: &'a str) -> impl Iterator<Item = &'a Signal> {
    incident.signals.iter().filter(move |signal| signal.service == service)
}

/// The cause in one sentence.
fn sentence(incident: &Incident, suspect: &Suspect) -> String {
    let service = &suspect.service;
    match suspect.category {
        Category::Cpu => format!("{service} runs out of CPU."),
        Category::Memory => format!("{service} leaks or runs out of memory."),
        Category::Pool => {
            format!("The connection pool of {service} is exhausted; requests wait for a connection.")
        }
        Category::Lag => format!("The consumer of {service} falls behind its log."),
        Category::Disk => format!("The disk of {service} fills up."),
        Category::Certificate => format!("A certificate of {service} expires."),
        Category::Traffic => format!("The traffic of {service} has changed beyond its usual range."),
        Category::Network => format!("The network between {service} and its callers is slow or lossy."),
        Category::Dependency => {
            format!("{service} waits for something below it that is not watched here, or is itself slow.")
        }
        Category::Deployment => {
            match incident.deployment.as_ref().filter(|change| change.service == *service) {
                Some(change) => format!("Version {} of {service} is bad.", change.version),
                None => format!("The last deployment of {service} is bad."),
            }
        }
        Category::Code => format!("{service} fails by itself: a fault in its code or configuration."),
        Category::Down => format!("{service} is down: it stopped reporting or restarts again and again."),
        Category::Unknown => "The cause is not visible in this telemetry.".to_owned(),
    }
}

fn of_signal(signal: &Signal, dossier: &mut EvidenceLedger) -> Option<Claim> {
    let quote = last_sample(signal)?;
    let began = signal.started_at.strftime("%H:%M:%S UTC");
    let predicate = Finding::from(signal).predicate().replace('\u{a0}', " ");
    let text = match signal.status {
        Status::Cleared => {
            format!("{} of {} {predicate}; it began at {began}.", signal.metric, signal.service)
        }
        _ => format!("{} of {} {predicate} since {began}.", signal.metric, signal.service),
    };
    Some(Claim { text, evidence: vec![dossier.file(samples(signal), quote)] })
}

fn samples(signal: &Signal) -> Source {
    Source::Samples {
        service: signal.service.clone(),
        metric: signal.metric.clone(),
        anomaly_id: signal.anomaly_id,
    }
}

fn of_logs(incident: &Incident, service: &str, dossier: &mut EvidenceLedger) -> Option<Claim> {
    let (signal, log) = own(incident, service)
        .flat_map(|signal| signal.logs.iter().map(move |log| (signal, log)))
        // a line or two is what healthy services write as well
        .filter(|(_, log)| log.level >= Level::Error && log.count >= MIN_LINES)
        .max_by_key(|(_, log)| log.count)?;
    let source = Source::Log { service: service.to_owned(), anomaly_id: signal.anomaly_id };
    let text = format!("{service} logs the same failure {} times.", log.count);
    Some(Claim { text, evidence: vec![dossier.file(source, log.example.clone())] })
}

fn of_change(incident: &Incident, suspect: &Suspect, dossier: &mut EvidenceLedger) -> Option<Claim> {
    let change = incident.deployment.as_ref().filter(|change| change.service == suspect.service)?;
    let first = own(incident, &suspect.service).map(|signal| signal.started_at).min()?;
    let before = first.duration_since(change.at).as_secs().max(0);
    let source = Source::Deployment { service: change.service.clone(), version: change.version.clone() };
    let text =
        format!("{} {} was rolled out {before} s before its first symptom.", change.service, change.version);
    Some(Claim { text, evidence: vec![dossier.file(source, change_text(change))] })
}

fn of_callers(incident: &Incident, service: &str, dossier: &mut EvidenceLedger) -> Vec<Claim> {
    let mut claims: Vec<Claim> = Vec::new();
    for caller in &incident.blast_radius.callers {
        let symptom =
            own(incident, caller).find(|signal| matches!(signal.kind, Kind::Latency | Kind::Errors));
        let Some((signal, quote)) = symptom.and_then(|signal| Some((signal, last_sample(signal)?))) else {
            continue;
        };
        let edge = Source::Edge { caller: caller.clone(), callee: service.to_owned() };
        // an indirect caller has no edge of its own to the suspect: the checker drops the claim rather than trust it
        let evidence =
            vec![dossier.file(edge, edge_text(caller, service)), dossier.file(samples(signal), quote)];
        claims.push(Claim {
            text: format!("{caller} calls {service} and shows it: {}.", signal.metric),
            evidence,
        });
        if claims.len() == MAX_CALLERS {
            break;
        }
    }
    claims
}

/// The past incident that fits best, if it had the same kind of cause.
fn of_past(suspect: &Suspect, documents: &Documents, dossier: &mut EvidenceLedger) -> Option<Claim> {
    let found = documents.incidents.iter().find(|found| found.chunk.has_category(suspect.category))?;
    let chunk = &found.chunk;
    let source = Source::Document { doc_id: chunk.doc_id.clone(), section: chunk.section.clone() };
    let text = format!("It has happened before: {}.", chunk.title.trim_end_matches('.'));
    Some(Claim { text, evidence: vec![dossier.file(source, excerpt(chunk))] })
}

/// The first sentence or line of a chunk, as it stands there.
fn excerpt(chunk: &Chunk) -> String {
    let text = chunk.text.trim_start();
    let end = text
        .char_indices()
        .find(|(at, c)| *c == '\n' || (*c == '.' && text[at + 1..].starts_with([' ', '\n'])))
        .map_or(text.len(), |(at, c)| if c == '.' { at + 1 } else { at });
    text[..end].chars().take(MAX_QUOTE).collect::<String>().trim_end().to_owned()
}
