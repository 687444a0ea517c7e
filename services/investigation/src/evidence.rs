//! Evidence and its checker. Every piece names a source that is stored, and quotes what stands there. The checker reads
//! the source again: a claim whose quote is not found there is dropped and counted, whoever made it.

use std::collections::BTreeMap;

use shared::clock::from_ms;
use shared::events::incident::{Change, Signal};
use shared::events::rca::{Claim, Evidence, Source};
use shared::graph::Graph;
use shared::knowledge::Chunk;
use shared::text::format::figure;

/// Everything that can be read again, as it is stored now.
#[derive(Debug, Default)]
pub struct EvidenceStore {
    /// Members of the incident.
    pub signals: Vec<Signal>,
    /// Changes that were looked at.
    pub changes: Vec<Change>,
    /// Who calls whom.
    pub graph: Graph,
    /// Sections that were found, by document and section.
    pub sections: BTreeMap<(String, String), Chunk>,
}

impl EvidenceStore {
    /// Returns a source as text, if it exists.
    fn read(&self, source: &Source) -> Option<String> {
        match source {
            Source::Samples { service, metric, anomaly_id } => self
                .signals
                .iter()
                .find(|s| s.anomaly_id == *anomaly_id && s.service == *service && s.metric == *metric)
                .map(samples_text),
            Source::Log { service, anomaly_id } => {
                self.signals.iter().find(|s| s.anomaly_id == *anomaly_id && s.service == *service).map(
                    |signal| {
                        signal.logs.iter().map(|log| log.example.as_str()).collect::<Vec<_>>().join("\n")
                    },
                )
            }
            Source::Deployment { service, version } => self
                .changes
                .iter()
                .find(|change| change.service == *service && change.version == *version)
                .map(change_text),
            Source::Edge { caller, callee } => {
                self.graph.has_edge(caller, callee).then(|| edge_text(caller, callee))
            }
            Source::Document { doc_id, section } => {
                self.sections.get(&(doc_id.clone(), section.clone())).map(|chunk| chunk.text.clone())
            }
        }
    }

    /// Returns whether the quote stands in its source.
    fn holds(&self, evidence: &Evidence) -> bool {
        !evidence.quote.trim().is_empty()
            && self.read(&evidence.source).is_some_and(|text| text.contains(&evidence.quote))
    }
}

/// Collects evidence and gives it ids: the same source and quote is one piece.
#[derive(Debug, Default)]
pub struct EvidenceLedger {
    pieces: Vec<Evidence>,
}

impl EvidenceLedger {
    /// Files a piece and returns its id.
    pub fn file(&mut self, source: Source, quote: impl Into<String>) -> String {
        let quote = quote.into();
        if let Some(known) = self.pieces.iter().find(|piece| piece.source == source && piece.quote == quote) {
            return known.id.clone();
        }
        let id = format!("E{}", self.pieces.len() + 1);
        self.pieces.push(Evidence { id: id.clone(), source, quote });
        id
    }

    /// Keeps the claims whose every piece of evidence is found again, and returns them with the number that was
    /// dropped.
    pub fn check(&self, claims: Vec<Claim>, library: &EvidenceStore) -> (Vec<Claim>, usize) {
        let made = claims.len();
        let kept: Vec<Claim> = claims
            .into_iter()
            .filter(|claim| {
                !claim.evidence.is_empty()
                    && claim.evidence.iter().all(|id| {
                        self.pieces
                            .iter()
                            .find(|piece| piece.id == *id)
                            .is_some_and(|piece| library.holds(piece))
                    })
            })
            .collect();
        let dropped = made - kept.len();
        (kept, dropped)
    }

    /// Returns the pieces that those claims cite, in order.
    pub fn cited<'a>(self, claims: impl Iterator<Item = &'a Claim>) -> Vec<Evidence> {
        let cited: std::collections::BTreeSet<&String> = claims.flat_map(|claim| &claim.evidence).collect();
        self.pieces.into_iter().filter(|piece| cited.contains(&piece.id)).collect()
    }
}

/// Returns the last sample of a signal as its source says it.
pub fn last_sample(signal: &Signal) -> Option<String> {
    signal.samples.last().map(|point| sample_text(signal, point.ts_ms, point.value))
}

fn samples_text(signal: &Signal) -> String {
    let lines: Vec<String> =
        signal.samples.iter().map(|point| sample_text(signal, point.ts_ms, point.value)).collect();
    lines.join("\n")
}

fn sample_text(signal: &Signal, ts_ms: i64, value: f64) -> String {
    format!("{} at {}", figure(value, &signal.unit).replace('\u{a0}', " "), from_ms(ts_ms))
}

/// Returns a change in one line.
pub fn change_text(change: &Change) -> String {
    format!("{} {} ({}) at {}", change.service, change.version, change.change_type, change.at)
}

/// Returns an edge in words.
pub fn edge_text(caller: &str, callee: &str) -> String {
    format!("{caller} calls {callee}")
}
