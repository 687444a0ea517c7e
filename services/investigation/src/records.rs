//! What was read for an investigation, as records to be kept. They are made from the sources before anything is ranked or
//! claimed; a claim can cite nothing else.

use std::collections::{BTreeMap, BTreeSet};

use shared::events::EvidenceRecord;
use shared::events::evidence::{Content, EdgeFigures, MAX_RECORDS, MAX_TEXT};
use shared::events::incident::{Incident, Signal};
use shared::events::rca::Source;
use shared::ids::EvidenceId;
use shared::knowledge::Chunk;
use shared::store::edges::Edge;

use crate::documents::Documents;
use crate::query::compare::compare;
use crate::query::findings::quote;
use crate::query::look::Found;
use crate::sources::{
    self, CHANGES_BEFORE, Sources, change_text, edge_text, no_change_text, sample_text, times_text,
};

/// Most edges that are recorded, those of suspects first.
const MAX_EDGES: usize = 60;
/// Most changes that are recorded, newest first.
const MAX_CHANGES: usize = 20;

/// The records of one investigation, and which record each source has.
#[derive(Debug, Clone, Default)]
pub struct Records {
    all: Vec<EvidenceRecord>,
    ids: BTreeMap<Source, EvidenceId>,
}

impl Records {
    /// Makes the records: documents and changes, then edges, then members, those of suspects first and of these the strongest, at
    /// most [`MAX_RECORDS`]. `edges` are those of the graph with the figures of their calls.
    ///
    /// # Errors
    /// If a source cannot be written as JSON.
    pub fn of(
        incident: &Incident,
        sources: &Sources,
        documents: &[Documents],
        edges: &[Edge],
    ) -> Result<Self, serde_json::Error> {
        let mut collected = Collector { incident, records: Self::default() };
        for Documents { incidents, runbooks, page } in documents {
            let found = incidents.iter().chain(runbooks).map(|found| &found.chunk);
            for chunk in found.chain(page) {
                collected.section(chunk)?;
            }
        }
        collected.changes(sources)?;
        for (source, times) in &sources.edge_times {
            collected.add(source.clone(), &times_text(times), Content::EdgeTimes(times.clone()))?;
        }
        collected.edges(sources, edges)?;
        for signal in by_importance(incident, sources) {
            collected.signal(signal)?;
        }
        Ok(collected.records)
    }

    /// Adds the answers of queried systems. Where there are too many records, the least important ones make room.
    ///
    /// # Errors
    /// If an answer cannot be written as JSON.
    pub fn with_answers(mut self, incident: &Incident, found: &[Found]) -> Result<Self, serde_json::Error> {
        let room = MAX_RECORDS.saturating_sub(found.len());
        for record in self.all.drain(self.all.len().min(room)..) {
            self.ids.remove(&record.source);
        }
        let mut collected = Collector { incident, records: self };
        for one in found {
            let Some(comparison) = compare(&one.question, &one.answer) else { continue };
            let excerpt = quote(&one.question, &one.answer, &comparison);
            collected.add(one.cited(), &excerpt, Content::Answer(one.answer.clone()))?;
        }
        Ok(collected.records)
    }

    /// Returns the record of a source.
    pub fn of_source(&self, source: &Source) -> Option<&EvidenceRecord> {
        let id = self.id_of(source)?;
        self.all.iter().find(|record| record.id == id)
    }

    /// Returns all records.
    pub fn all(&self) -> &[EvidenceRecord] {
        &self.all
    }

    /// Returns the id of the record of a source.
    pub fn id_of(&self, source: &Source) -> Option<EvidenceId> {
        self.ids.get(source).copied()
    }

    /// Returns all records, to be stored.
    pub fn into_all(self) -> Vec<EvidenceRecord> {
        self.all
    }
}

/// Makes records until there are enough.
struct Collector<'i> {
    incident: &'i Incident,
    records: Records,
}

impl Collector<'_> {
    /// Adds a record, unless its source has one.
    fn add(&mut self, source: Source, excerpt: &str, content: Content) -> Result<(), serde_json::Error> {
        if self.records.all.len() < MAX_RECORDS && !self.records.ids.contains_key(&source) {
            let record = EvidenceRecord::new(self.incident.incident_id, source.clone(), excerpt, content)?;
            self.records.ids.insert(source, record.id);
            self.records.all.push(record);
        }
        Ok(())
    }

    fn section(&mut self, chunk: &Chunk) -> Result<(), serde_json::Error> {
        let content = Content::Section {
            title: chunk.title.clone(),
            text: chunk.text.chars().take(MAX_TEXT).collect(),
            facets: chunk.facets.clone(),
        };
        self.add(sources::section(chunk), &chunk.text, content)
    }

    /// Changes of affected services, one by one, and for each suspect all within the hour before its first symptom.
    fn changes(&mut self, sources: &Sources) -> Result<(), serde_json::Error> {
        let services: BTreeSet<&str> = sources.signals.iter().map(|signal| signal.service.as_str()).collect();
        let own = sources.changes.iter().filter(|change| services.contains(change.service.as_str()));
        for change in own.take(MAX_CHANGES) {
            let excerpt = change.description.clone().unwrap_or_else(|| change_text(change));
            self.add(sources::change(change), &excerpt, Content::Deployment(Box::new(change.clone())))?;
        }
        for suspect in &self.incident.suspects {
            let service = suspect.service.as_str();
            let Some(to) = sources.first_symptom(service) else { continue };
            let from = to - CHANGES_BEFORE;
            let changes: Vec<_> = sources.changes_of(service, from, to).cloned().collect();
            let excerpt = match &changes[..] {
                [] => no_change_text(service, from, to),
                changes => changes.iter().map(change_text).collect::<Vec<_>>().join("\n"),
            };
            let source = Source::Deployments { service: service.to_owned(), from, to };
            self.add(source, &excerpt, Content::Deployments { changes })?;
        }
        Ok(())
    }

    /// Edges at affected services.
    fn edges(&mut self, sources: &Sources, edges: &[Edge]) -> Result<(), serde_json::Error> {
        let affected: BTreeSet<&str> = sources.signals.iter().map(|signal| signal.service.as_str()).collect();
        let figures: BTreeMap<(&str, &str), EdgeFigures> = edges
            .iter()
            .map(|edge| ((edge.caller.as_str(), edge.callee.as_str()), figures_of(edge)))
            .collect();
        let mut taken = 0;
        for service in self.first(affected) {
            let called = sources.graph.callers(service).map(|caller| (caller, service));
            let calling = sources.graph.callees(service).map(|callee| (service, callee));
            for (caller, callee) in called.chain(calling) {
                if taken == MAX_EDGES {
                    return Ok(());
                }
                taken += 1;
                let content = figures.get(&(caller, callee)).cloned().unwrap_or_default();
                self.add(sources::edge(caller, callee), &edge_text(caller, callee), Content::Edge(content))?;
            }
        }
        Ok(())
    }

    /// The samples of a member, the lines of its log, and the series beside it.
    fn signal(&mut self, signal: &Signal) -> Result<(), serde_json::Error> {
        self.add(sources::series(signal, &signal.metric), &signal.explanation, Content::samples_of(signal))?;
        if let Some(first) = signal.logs.first() {
            let content = Content::Logs { templates: signal.logs.clone() };
            self.add(sources::log(signal), &first.example, content)?;
        }
        for sibling in signal.siblings.iter().filter(|sibling| sibling.metric != signal.metric) {
            let unit = sibling.unit.clone().unwrap_or_default();
            let excerpt = sample_text(sibling.observed, &unit, signal.observed_at);
            let (observed, expected, at) = (sibling.observed, sibling.expected, signal.observed_at);
            let source = sources::series(signal, &sibling.metric);
            self.add(source, &excerpt, Content::Value { unit, observed, expected, at })?;
        }
        Ok(())
    }

    /// Returns services with the suspects first, in their order.
    fn first<'s>(&self, services: BTreeSet<&'s str>) -> Vec<&'s str> {
        let mut services: Vec<&str> = services.into_iter().collect();
        services.sort_by_key(|service| rank(self.incident, service));
        services
    }
}

/// Returns the place of a service among the suspects.
fn rank(incident: &Incident, service: &str) -> usize {
    let place = incident.suspects.iter().position(|suspect| suspect.service == service);
    place.unwrap_or(usize::MAX)
}

/// Returns the members, those of suspects first, strongest first.
fn by_importance<'a>(incident: &Incident, sources: &'a Sources) -> Vec<&'a Signal> {
    let mut signals: Vec<&Signal> = sources.signals.iter().collect();
    signals.sort_by(|a, b| {
        rank(incident, &a.service)
            .cmp(&rank(incident, &b.service))
            .then(b.evidence.total_cmp(&a.evidence))
            .then(a.anomaly_id.cmp(&b.anomaly_id))
    });
    signals
}

fn figures_of(edge: &Edge) -> EdgeFigures {
    let Some(seen) = &edge.seen else { return EdgeFigures::default() };
    EdgeFigures { last_seen: Some(seen.last), ..EdgeFigures::from(&seen.calls) }
}
