//! A suspect becomes a candidate: a cause in one sentence, and claims that cite what is stored.

use std::collections::BTreeSet;

use shared::clock::from_ms;
use shared::events::anomaly::{Direction, Status};
use shared::events::incident::{Incident, Signal, Suspect};
use shared::events::raw::Level;
use shared::events::rca::{Candidate, Claim, Relation, Source};
use shared::events::{Category, Kind};
use shared::knowledge::Chunk;
use shared::knowledge::retrieval::Found;
use shared::text::format::side;

use crate::check::{MIN_LINES, began_text, known_failure};
use crate::documents::Documents;
use crate::edge_times;
use crate::ledger::Ledger;
use crate::phrase::phrase;
use crate::similar;
use crate::sources::{self, CHANGES_BEFORE, Sources, change_text, edge_text, no_change_text, sample_text};

/// Most signals of a service that are claimed one by one.
const MAX_SIGNALS: usize = 4;
/// Most callers that are claimed one by one.
const MAX_CALLERS: usize = 3;
/// Most services of a chain of events.
const MAX_CHAIN: usize = 5;
/// Most findings against other causes.
const MAX_EXCLUSIONS: usize = 6;
/// Posterior below which a hypothesis counts as ruled out.
const RULED_OUT: f64 = 0.05;
/// Most confidence that is ever stated.
const MAX_CONFIDENCE: f64 = 0.99;
/// Longest quote of a document, characters.
const MAX_QUOTE: usize = 240;

/// Builds a candidate with all its claims, unchecked.
pub fn candidate(
    incident: &Incident,
    suspect: &Suspect,
    sources: &Sources,
    documents: &Documents,
    ledger: &mut Ledger<'_>,
) -> Candidate {
    let service = &suspect.service;
    let mut claims: Vec<Option<Claim>> = Vec::new();
    claims.extend(strongest(sources, service).take(MAX_SIGNALS).map(|signal| of_signal(signal, ledger)));
    claims.push(of_logs(sources, service, ledger));
    claims.push(of_change(sources, service, ledger));
    claims.extend(of_callers(sources, service, ledger));
    claims.extend(edge_times::slow(sources, suspect, ledger));
    claims.push(of_chain(sources, suspect, ledger));
    claims.push(of_past(suspect, documents, ledger));
    claims.push(of_page(suspect, documents, ledger));
    let reference = |found: &Found| similar::reference(found, incident, suspect);
    Candidate {
        service: service.clone(),
        cause: sentence(incident, suspect),
        category: suspect.category,
        confidence: suspect.posterior.min(MAX_CONFIDENCE),
        claims: claims.into_iter().flatten().collect(),
        similar_incidents: documents.incidents.iter().map(reference).collect(),
        runbooks: documents.runbooks.iter().map(Found::reference).collect(),
    }
}

/// Makes a claim of relations over evidence that was filed.
pub(crate) fn claim(relations: Vec<Relation>, ledger: &Ledger<'_>) -> Option<Claim> {
    let text = phrase(&relations, ledger.pieces())?;
    let ids: BTreeSet<&str> = relations.iter().map(Relation::evidence).collect();
    let evidence = ids.into_iter().map(str::to_owned).collect();
    Some(Claim { text, evidence, relations })
}

/// Returns the members of a service, strongest first.
fn strongest<'a>(sources: &'a Sources, service: &str) -> impl Iterator<Item = &'a Signal> + use<'a> {
    let mut own: Vec<&Signal> = sources.of_service(service).collect();
    own.sort_by(|a, b| b.evidence.total_cmp(&a.evidence).then(a.started_at.cmp(&b.started_at)));
    own.into_iter()
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

/// What a member shows: the sample that lies farthest outside the band, or else what detection reports.
fn of_signal(signal: &Signal, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let relation = outside(signal, ledger).or_else(|| {
        let evidence = ledger.file(samples(signal), signal.explanation.clone());
        let reported = Relation::Reported { evidence, since: signal.started_at, until: until(signal) };
        (!signal.explanation.trim().is_empty()).then_some(reported)
    })?;
    claim(vec![relation], ledger)
}

fn until(signal: &Signal) -> Option<jiff::Timestamp> {
    signal.cleared_at.filter(|_| signal.status == Status::Cleared)
}

/// Says that a sample of the episode lies outside the band, as people read both.
fn outside(signal: &Signal, ledger: &mut Ledger<'_>) -> Option<Relation> {
    let farther = |value: f64| if signal.direction == Direction::Up { value } else { -value };
    let point = signal
        .samples
        .iter()
        // of equal ones the earliest
        .rev()
        .filter(|point| from_ms(point.ts_ms) >= signal.started_at && point.value.is_finite())
        .filter(|point| side(point.value, &signal.expected, &signal.unit) == Some(signal.direction))
        .max_by(|a, b| farther(a.value).total_cmp(&farther(b.value)))?;
    let at = from_ms(point.ts_ms);
    Some(Relation::Outside {
        evidence: ledger.file(samples(signal), sample_text(point.value, &signal.unit, at)),
        side: signal.direction,
        value: point.value,
        edge: match signal.direction {
            Direction::Up => signal.expected.upper,
            Direction::Down => signal.expected.lower,
        },
        unit: signal.unit.clone(),
        at,
        since: signal.started_at,
        until: until(signal),
    })
}

fn samples(signal: &Signal) -> Source {
    sources::series(signal, &signal.metric)
}

fn of_logs(sources: &Sources, service: &str, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let (signal, log) = strongest(sources, service)
        .flat_map(|signal| signal.logs.iter().map(move |log| (signal, log)))
        .filter(|(_, log)| log.level >= Level::Error && log.count >= MIN_LINES)
        .max_by_key(|(_, log)| log.count)?;
    let evidence = ledger.file(sources::log(signal), log.example.clone());
    claim(vec![Relation::Repeated { evidence, level: log.level, times: log.count }], ledger)
}

/// The last change of the service before its first symptom.
fn of_change(sources: &Sources, service: &str, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let symptom = sources.first_symptom(service)?;
    let change =
        sources.changes_of(service, symptom - CHANGES_BEFORE, symptom).max_by_key(|change| change.ts_ms)?;
    let at = from_ms(change.ts_ms);
    let evidence = ledger.file(sources::change(change), change_text(change));
    let seconds = symptom.duration_since(at).as_secs().try_into().ok()?;
    claim(vec![Relation::Before { evidence, at, symptom, seconds }], ledger)
}

fn calls(caller: &str, callee: &str, ledger: &mut Ledger<'_>) -> Relation {
    Relation::Calls { evidence: ledger.file(sources::edge(caller, callee), edge_text(caller, callee)) }
}

fn began(signal: &Signal, ledger: &mut Ledger<'_>) -> Relation {
    Relation::Began { evidence: ledger.file(samples(signal), began_text(signal)), at: signal.started_at }
}

fn is_symptom(signal: &Signal) -> bool {
    matches!(signal.kind, Kind::Latency | Kind::Errors)
}

/// Direct callers that show the fault.
fn of_callers(sources: &Sources, service: &str, ledger: &mut Ledger<'_>) -> Vec<Option<Claim>> {
    let callers = sources.graph.callers(service);
    let shown = callers
        .filter_map(|caller| strongest(sources, caller).find(|signal| is_symptom(signal)))
        .take(MAX_CALLERS);
    shown
        .map(|signal| {
            let shows = outside(signal, ledger)?;
            claim(vec![calls(&signal.service, service, ledger), shows], ledger)
        })
        .collect()
}

/// The order in which the fault showed: at the service, then at those who call it, one after another.
fn of_chain(sources: &Sources, suspect: &Suspect, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let mut steps: Vec<&Signal> = Vec::new();
    let own = || sources.of_service(&suspect.service);
    let first = own().min_by_key(|signal| (signal.started_at, !is_symptom(signal), &signal.metric))?;
    steps.push(first);
    let later = own().filter(|signal| signal.kind != first.kind && signal.started_at >= first.started_at);
    steps.extend(
        later.filter(|signal| is_symptom(signal)).min_by_key(|signal| (signal.started_at, &signal.metric)),
    );
    let mut visited: BTreeSet<&str> = BTreeSet::from([suspect.service.as_str()]);
    while let Some(last) = steps.last().filter(|_| visited.len() < MAX_CHAIN) {
        let next = sources.signals.iter().filter(|signal| is_symptom(signal)).filter(|signal| {
            signal.started_at >= last.started_at
                && !visited.contains(signal.service.as_str())
                && sources.graph.has_edge(&signal.service, &last.service)
        });
        let Some(next) = next.min_by_key(|signal| (signal.started_at, &signal.service, &signal.metric))
        else {
            break;
        };
        visited.insert(&next.service);
        steps.push(next);
    }
    let mut relations = vec![began(first, ledger)];
    for pair in steps.windows(2) {
        if pair[0].service != pair[1].service {
            relations.push(calls(&pair[1].service, &pair[0].service, ledger));
        }
        relations.push(began(pair[1], ledger));
    }
    if steps.len() > 1 { claim(relations, ledger) } else { None }
}

/// The past incident that fits best.
fn of_past(suspect: &Suspect, documents: &Documents, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let found = documents.incidents.first()?;
    let chunk = &found.chunk;
    let relation = Relation::SameCause {
        evidence: ledger.file(sources::section(chunk), excerpt(chunk)),
        category: suspect.category,
        service: suspect.service.clone(),
        same_service: similar::was_at_fault(chunk, &suspect.service),
    };
    claim(vec![relation], ledger)
}

/// What the page of the service says of this kind of failure.
fn of_page(suspect: &Suspect, documents: &Documents, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let page = documents.page.as_ref()?;
    let quote = known_failure(page, suspect.category)?.to_owned();
    let relation = Relation::KnownFailure {
        evidence: ledger.file(sources::section(page), quote),
        service: suspect.service.clone(),
        category: suspect.category,
    };
    claim(vec![relation], ledger)
}

/// What was looked at and speaks against other causes, unchecked.
pub fn exclusions(incident: &Incident, sources: &Sources, ledger: &mut Ledger<'_>) -> Vec<Claim> {
    let Some(first) = incident.suspects.first() else { return Vec::new() };
    let mut claims: Vec<Option<Claim>> = vec![no_change(sources, &first.service, ledger)];
    claims.extend(edge_times::steady(sources, &first.service, ledger));
    for other in incident.suspects.iter().skip(1).filter(|other| other.posterior < RULED_OUT) {
        claims.push(explained(sources, &first.service, &other.service, ledger));
    }
    let mut known: BTreeSet<&str> = BTreeSet::new();
    let own = || sources.of_service(&first.service);
    known.extend(own().map(|signal| signal.metric.as_str()));
    for (signal, sibling) in own().flat_map(|signal| signal.siblings.iter().map(move |one| (signal, one))) {
        let is_inside = (sibling.expected.lower..=sibling.expected.upper).contains(&sibling.observed);
        if is_inside && known.insert(&sibling.metric) {
            let unit = sibling.unit.clone().unwrap_or_default();
            let source = sources::series(signal, &sibling.metric);
            let quote = sample_text(sibling.observed, &unit, signal.observed_at);
            let relation = Relation::Inside {
                evidence: ledger.file(source, quote),
                value: sibling.observed,
                lower: sibling.expected.lower,
                upper: sibling.expected.upper,
                unit,
                at: signal.observed_at,
            };
            claims.push(claim(vec![relation], ledger));
        }
    }
    claims.into_iter().flatten().take(MAX_EXCLUSIONS).collect()
}

fn no_change(sources: &Sources, service: &str, ledger: &mut Ledger<'_>) -> Option<Claim> {
    let to = sources.first_symptom(service)?;
    let from = to - CHANGES_BEFORE;
    if from < sources.changes_since || sources.changes_of(service, from, to).next().is_some() {
        return None;
    }
    let source = Source::Deployments { service: service.to_owned(), from, to };
    let evidence = ledger.file(source, no_change_text(service, from, to));
    claim(vec![Relation::NoneBefore { evidence }], ledger)
}

/// What a direct caller shows began after the service that it calls.
fn explained(sources: &Sources, callee: &str, caller: &str, ledger: &mut Ledger<'_>) -> Option<Claim> {
    if caller == callee || !sources.graph.has_edge(caller, callee) {
        return None;
    }
    let first = |service: &str| {
        sources.of_service(service).min_by_key(|signal| (signal.started_at, signal.metric.as_str()))
    };
    let (cause, effect) = (first(callee)?, first(caller)?);
    if effect.started_at < cause.started_at {
        return None;
    }
    let relations = vec![calls(caller, callee, ledger), began(cause, ledger), began(effect, ledger)];
    claim(relations, ledger)
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
