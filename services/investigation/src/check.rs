//! The checker: reads again what a claim cites and computes again what the claim says of it. It shares no reading with
//! what makes claims; a claim that fails anything is dropped and counted.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::clock::from_ms;
use shared::events::Category;
use shared::events::anomaly::{Direction, Status};
use shared::events::evidence::Content;
use shared::events::incident::Signal;
use shared::events::raw::Level;
use shared::events::rca::{Claim, Evidence, Relation, Source};
use shared::knowledge::{Chunk, DocumentKind};

use crate::edge_times;
use crate::phrase::phrase;
use crate::query::compare::{Comparison, compare};
use crate::query::findings::quote;
use crate::query::look::Found;
use crate::records::Records;
use crate::sources::{Sources, change_text, edge_text, no_change_text, sample_text, times_text};

/// Fewest lines of one shape that count as evidence: a line or two is what healthy services write as well.
pub const MIN_LINES: u64 = 3;

/// What is wrong with a claim.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Flaw {
    /// It cites nothing, or something that is not on record.
    Evidence,
    /// It says nothing that can be computed.
    NoRelation,
    /// What it quotes is not what is stored.
    Quote,
    /// What it says of the evidence is not so.
    Relation,
    /// Its sentence says something else than its relations.
    Text,
}

/// Checks a claim, with the evidence of its result, against sources that were read for the check. Everything it cites must be
/// among the records.
pub fn check(claim: &Claim, evidence: &[Evidence], records: &Records, sources: &Sources) -> Result<(), Flaw> {
    let cited: BTreeSet<&str> = claim.evidence.iter().map(String::as_str).collect();
    let named: BTreeSet<&str> = claim.relations.iter().map(Relation::evidence).collect();
    if claim.relations.is_empty() {
        return Err(Flaw::NoRelation);
    }
    if cited.is_empty() || cited != named {
        return Err(Flaw::Evidence);
    }
    let mut last = Timestamp::MIN;
    for relation in &claim.relations {
        let mut pieces = evidence.iter().filter(|piece| piece.id == relation.evidence());
        let (Some(piece), None) = (pieces.next(), pieces.next()) else { return Err(Flaw::Evidence) };
        if piece.record.is_none() || piece.record != records.id_of(&piece.source) {
            return Err(Flaw::Evidence);
        }
        holds(relation, piece, records, sources)?;
        if let Relation::Began { at, .. } = relation {
            if *at < last {
                return Err(Flaw::Relation);
            }
            last = *at;
        }
    }
    connected(&claim.relations, evidence)?;
    if phrase(&claim.relations, evidence).as_deref() == Some(claim.text.as_str()) {
        Ok(())
    } else {
        Err(Flaw::Text)
    }
}

/// Whether a relation holds of what its evidence names, and the evidence quotes what the relation is about.
fn holds(relation: &Relation, piece: &Evidence, records: &Records, sources: &Sources) -> Result<(), Flaw> {
    match relation {
        Relation::Outside { .. } | Relation::Reported { .. } | Relation::Began { .. } => {
            of_series(relation, piece, sources)
        }
        Relation::Inside { .. } => of_sibling(relation, piece, sources),
        Relation::Repeated { level, times, .. } => {
            let Source::Log { .. } = &piece.source else { return Err(Flaw::Evidence) };
            let signal = sources.signal(&piece.source).ok_or(Flaw::Evidence)?;
            let line = signal.logs.iter().find(|log| log.example == piece.quote).ok_or(Flaw::Quote)?;
            so(line.level == *level && line.count == *times && *times >= MIN_LINES && *level >= Level::Error)
        }
        Relation::Before { .. } | Relation::NoneBefore { .. } => of_changes(relation, piece, sources),
        Relation::Calls { .. } => {
            let Source::Edge { caller, callee } = &piece.source else { return Err(Flaw::Evidence) };
            so(sources.graph.has_edge(caller, callee))?;
            quotes(piece, &edge_text(caller, callee))
        }
        Relation::Took { .. } => of_times(relation, piece, records, sources),
        Relation::KnownFailure { service, category, .. } => {
            let page = sources.section(&piece.source).ok_or(Flaw::Evidence)?;
            so(page.kind == DocumentKind::Service
                && page.doc_id == format!("{}/{service}", DocumentKind::Service.name()))?;
            quotes(piece, known_failure(page, *category).ok_or(Flaw::Relation)?)
        }
        Relation::SameCause { category, service, same_service, .. } => {
            let chunk = sources.section(&piece.source).ok_or(Flaw::Evidence)?;
            let was_at_fault = chunk.facets.get("service") == Some(service);
            so(chunk.kind == DocumentKind::Incident
                && chunk.has_category(*category)
                && was_at_fault == *same_service)?;
            if !piece.quote.trim().is_empty() && chunk.text.contains(&piece.quote) {
                Ok(())
            } else {
                Err(Flaw::Quote)
            }
        }
        Relation::Compared { .. } => of_answer(relation, piece, records, sources),
    }
}

/// What is said of the answer of a queried system: it is computed again from the record, and where the system answered once
/// more, that answer says the same.
fn of_answer(
    relation: &Relation,
    piece: &Evidence,
    records: &Records,
    sources: &Sources,
) -> Result<(), Flaw> {
    let Relation::Compared { trend, before, since, lower, upper, unit, onset, until, .. } = relation else {
        return Err(Flaw::Relation);
    };
    let record = records.of_source(&piece.source).ok_or(Flaw::Evidence)?;
    let Found { question, answer, .. } =
        Found::of_record(&piece.source, &record.content).ok_or(Flaw::Evidence)?;
    let computed = compare(&question, &answer).ok_or(Flaw::Relation)?;
    let Comparison { unit: own, .. } = computed;
    so(unit == own && *onset == question.onset && *until == question.to)?;
    let (trend, before, since, lower, upper) = (*trend, *before, *since, *lower, *upper);
    so(computed == Comparison { trend, before, since, lower, upper, unit: own })?;
    if let Some(again) = sources.answers.get(&piece.source) {
        so(compare(&question, again).is_some_and(|second| second.trend == trend))?;
    }
    quotes(piece, &quote(&question, &answer, &computed))
}

/// What is said of the times of calls: it is computed again from the record, and what is stored by now has to show the same.
fn of_times(relation: &Relation, piece: &Evidence, records: &Records, sources: &Sources) -> Result<(), Flaw> {
    let record = records.of_source(&piece.source).ok_or(Flaw::Evidence)?;
    let Content::EdgeTimes(times) = &record.content else { return Err(Flaw::Evidence) };
    so(edge_times::relation(piece.id.clone(), times).as_ref() == Some(relation))?;
    let now = sources.edge_times.get(&piece.source).ok_or(Flaw::Evidence)?;
    let trend = |relation: &Relation| match relation {
        Relation::Took { trend, .. } => Some(*trend),
        _ => None,
    };
    so(edge_times::relation(piece.id.clone(), now).as_ref().and_then(trend) == trend(relation))?;
    quotes(piece, &times_text(times))
}

/// Returns the line in which the page of a service names a kind of failure, without its list marker.
pub fn known_failure(page: &Chunk, category: Category) -> Option<&str> {
    let start = format!("{}: ", category.words());
    let items = page.text.lines().filter_map(|line| line.strip_prefix("- "));
    items.map(str::trim).find(|item| item.starts_with(&start))
}

fn so(holds: bool) -> Result<(), Flaw> {
    if holds { Ok(()) } else { Err(Flaw::Relation) }
}

fn quotes(piece: &Evidence, text: &str) -> Result<(), Flaw> {
    if piece.quote == text { Ok(()) } else { Err(Flaw::Quote) }
}

/// What is said of a member's own series.
fn of_series(relation: &Relation, piece: &Evidence, sources: &Sources) -> Result<(), Flaw> {
    let Source::Samples { metric, .. } = &piece.source else { return Err(Flaw::Evidence) };
    let signal = sources.signal(&piece.source).ok_or(Flaw::Evidence)?;
    if signal.metric != *metric {
        return Err(Flaw::Evidence);
    }
    let lasted = |since: &Timestamp, until: &Option<Timestamp>| {
        let over = if signal.status == Status::Cleared { signal.cleared_at } else { None };
        signal.started_at == *since && over == *until
    };
    match relation {
        Relation::Outside { side, value, edge, unit, at, since, until, .. } => {
            let (stored_edge, is_beyond) = match side {
                Direction::Up => (signal.expected.upper, value > edge),
                Direction::Down => (signal.expected.lower, value < edge),
            };
            let mut samples = signal.samples.iter();
            so(is_beyond
                && *side == signal.direction
                && *edge == stored_edge
                && *unit == signal.unit
                && at >= since
                && lasted(since, until)
                && samples.any(|point| from_ms(point.ts_ms) == *at && point.value == *value))?;
            quotes(piece, &sample_text(*value, unit, *at))
        }
        Relation::Reported { since, until, .. } => {
            so(lasted(since, until) && !signal.explanation.trim().is_empty())?;
            quotes(piece, &signal.explanation)
        }
        Relation::Began { at, .. } => {
            so(signal.started_at == *at)?;
            quotes(piece, &began_text(signal))
        }
        _ => Err(Flaw::Relation),
    }
}

/// What is said of a series beside a member.
fn of_sibling(relation: &Relation, piece: &Evidence, sources: &Sources) -> Result<(), Flaw> {
    let Relation::Inside { value, lower, upper, unit, at, .. } = relation else {
        return Err(Flaw::Relation);
    };
    let signal = sources.signal(&piece.source).ok_or(Flaw::Evidence)?;
    let sibling = sources.sibling(&piece.source).ok_or(Flaw::Evidence)?;
    so(*value == sibling.observed
        && (*lower, *upper) == (sibling.expected.lower, sibling.expected.upper)
        && *unit == sibling.unit.clone().unwrap_or_default()
        && *at == signal.observed_at
        && (*lower..=*upper).contains(value))?;
    quotes(piece, &sample_text(*value, unit, *at))
}

/// What is said of changes.
fn of_changes(relation: &Relation, piece: &Evidence, sources: &Sources) -> Result<(), Flaw> {
    match (relation, &piece.source) {
        (Relation::Before { at, symptom, seconds, .. }, source) => {
            let change = sources.change(source).ok_or(Flaw::Evidence)?;
            let before = symptom.duration_since(*at).as_secs();
            so(from_ms(change.ts_ms) == *at
                && sources.first_symptom(&change.service) == Some(*symptom)
                && u64::try_from(before).ok() == Some(*seconds))?;
            quotes(piece, &change_text(change))
        }
        (Relation::NoneBefore { .. }, Source::Deployments { service, from, to }) => {
            so(*from >= sources.changes_since
                && sources.first_symptom(service) == Some(*to)
                && from < to
                && sources.changes_of(service, *from, *to).next().is_none())?;
            quotes(piece, &no_change_text(service, *from, *to))
        }
        _ => Err(Flaw::Evidence),
    }
}

/// Whether calls lead from where a claim says that something began to where it says that it showed next.
fn connected(relations: &[Relation], evidence: &[Evidence]) -> Result<(), Flaw> {
    let source = |relation: &Relation| {
        evidence.iter().find(|piece| piece.id == relation.evidence()).map(|piece| &piece.source)
    };
    let mut before: Option<&str> = None;
    let mut call: Option<(&str, &str)> = None;
    for relation in relations {
        match source(relation) {
            Some(Source::Edge { caller, callee }) => call = Some((caller, callee)),
            Some(Source::Samples { service, .. }) => {
                let leads = match (call.take(), before) {
                    (None, None) => true,
                    (None, Some(before)) => before == service,
                    // alone, the series is that of the caller; the first of two is that of the callee
                    (Some((caller, callee)), None) if relations.len() == 2 => {
                        caller == service && callee != service
                    }
                    (Some((caller, callee)), None) => {
                        call = Some((caller, callee));
                        callee == service
                    }
                    (Some((caller, callee)), Some(before)) => caller == service && callee == before,
                };
                if !leads {
                    return Err(Flaw::Relation);
                }
                before = Some(service);
            }
            _ => {}
        }
    }
    if call.is_none() { Ok(()) } else { Err(Flaw::Relation) }
}

/// Returns the begin of an episode as it is quoted.
pub fn began_text(signal: &Signal) -> String {
    format!("abnormal from {}", signal.started_at)
}
