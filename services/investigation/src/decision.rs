//! What one reading of the sources says: causes are claimed over it, each claim is checked against another reading, and what is
//! left becomes the result. Nothing is read here: the stage reads the store, the scoreboard what it keeps in memory.

use jiff::Timestamp;
use shared::error::Error;
use shared::events::EvidenceRecord;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{Candidate, Claim, Evidence, Method, RootCause, Source, Verdict};
use shared::store::edges::Edge;

use crate::check::check;
use crate::documents::Documents;
use crate::edge_times;
use crate::ledger::{self, Ledger};
use crate::query::look::most_informative;
use crate::query::{Asked, findings};
use crate::records::Records;
use crate::sources::Sources;
use crate::verdict::Knowledge;
use crate::{claims, metrics, verdict};

/// What was read once, before anything is claimed.
#[derive(Debug, Clone)]
pub struct Gathered {
    /// What was found for each suspect, in their order. Suspects beyond it become no candidates.
    pub documents: Vec<Documents>,
    /// What the search for documents gave.
    pub knowledge: Knowledge,
    /// Edges with the figures of their calls.
    pub edges: Vec<Edge>,
}

/// What a result is made from.
#[derive(Debug, Clone, Copy)]
pub struct Basis<'b> {
    /// The incident, its suspects as they are ranked by now.
    pub incident: &'b Incident,
    /// Members, changes and edges.
    pub sources: &'b Sources,
    /// Documents and figures.
    pub gathered: &'b Gathered,
    /// What queried systems have answered.
    pub asked: &'b Asked,
}

/// What an investigation has found.
#[derive(Debug, Clone)]
pub struct Outcome {
    /// The result, to be published.
    pub result: RootCause,
    /// What was read for it, to be stored.
    pub records: Vec<EvidenceRecord>,
    /// Whether calls of the first suspect are still to be measured.
    pub awaits_calls: bool,
    /// What was looked at.
    pub looked_at: LookedAt,
}

/// How much was looked at.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct LookedAt {
    /// Changes in the environment.
    pub changes: usize,
    /// Since when changes are complete.
    pub changes_since: Timestamp,
    /// What the search for documents gave.
    pub knowledge: Knowledge,
}

/// What is claimed over one reading of the sources, unchecked.
#[derive(Debug)]
pub struct Claimed {
    records: Records,
    evidence: Vec<Evidence>,
    candidates: Vec<Candidate>,
    exclusions: Vec<Claim>,
}

impl Claimed {
    /// Makes the records, and claims causes over them.
    ///
    /// # Errors
    /// If what was read cannot be written as a record.
    pub fn over(basis: Basis<'_>) -> Result<Self, Error> {
        let Basis { incident, sources, gathered, asked } = basis;
        let records = Records::of(incident, sources, &gathered.documents, &gathered.edges)
            .and_then(|records| records.with_answers(incident, &asked.answers))
            .map_err(Error::reject)?;
        let mut ledger = Ledger::new(&records);
        let suspects = incident.suspects.iter().zip(&gathered.documents);
        let mut candidates: Vec<Candidate> = suspects
            .map(|(suspect, found)| claims::candidate(incident, suspect, sources, found, &mut ledger))
            .collect();
        let mut exclusions = claims::exclusions(incident, sources, &mut ledger);
        findings::add(asked, &mut candidates, &mut exclusions, &mut ledger);
        let evidence = ledger.into_pieces();
        Ok(Self { records, evidence, candidates, exclusions })
    }

    /// Returns what the claims cite.
    pub fn cited(&self) -> impl Iterator<Item = &Source> {
        self.evidence.iter().map(|piece| &piece.source)
    }

    /// Checks each claim against another reading, drops those that fail, and makes the result.
    pub fn checked(self, basis: Basis<'_>, again: &Sources, revision: u32) -> Outcome {
        let Basis { incident, sources, gathered, .. } = basis;
        let Self { records, evidence, mut candidates, exclusions } = self;
        let mut tally = Tally::default();
        for candidate in &mut candidates {
            candidate.claims = tally.kept(std::mem::take(&mut candidate.claims), &evidence, &records, again);
        }
        let exclusions = tally.kept(exclusions, &evidence, &records, again);
        // a candidate that nothing speaks for any more is none
        candidates.retain(|candidate| !candidate.claims.is_empty());
        metrics::CLAIMS.add(["verified"], u64::from(tally.verified));
        metrics::CLAIMS.add(["dropped"], u64::from(tally.dropped));
        let cited = candidates.iter().flat_map(|candidate| &candidate.claims).chain(&exclusions);
        let evidence = ledger::cited(evidence, cited);
        let verdict = verdict::verdict(&candidates);
        let result = RootCause {
            incident_id: incident.incident_id,
            number: incident.number,
            revision,
            incident_revision: incident.revision,
            environment: incident.environment.clone(),
            verdict,
            evidence,
            candidates,
            ruled_out: exclusions.iter().map(|claim| claim.text.clone()).collect(),
            exclusions,
            missing: missing(basis, verdict),
            method: Method::Deterministic,
            claims_verified: tally.verified,
            claims_total: tally.verified + tally.dropped,
            tokens: 0,
            cost_microdollars: 0,
            completed_at: last_seen(&incident.signals).unwrap_or(incident.opened_at),
            corrected_at: None,
            queries: 0,
        };
        let first = result.candidates.first();
        let awaits_calls = first.is_some_and(|first| edge_times::are_awaited(sources, &first.service));
        let looked_at = LookedAt {
            changes: sources.changes.len(),
            changes_since: sources.changes_since,
            knowledge: gathered.knowledge,
        };
        Outcome { result, records: records.into_all(), awaits_calls, looked_at }
    }
}

/// Returns which telemetry would help and is not there, what would tell most, and which sources did not answer.
fn missing(basis: Basis<'_>, verdict: Verdict) -> Vec<String> {
    let Basis { incident, sources, gathered, asked } = basis;
    let mut missing = verdict::missing(incident, has_edges(incident, sources), gathered.knowledge);
    if verdict != Verdict::Cause {
        let suspects = &incident.suspects[..incident.suspects.len().min(gathered.documents.len())];
        missing.extend(most_informative(suspects, &sources.signals, asked));
    }
    missing.extend(asked.missing());
    missing
}

/// How many claims passed the check.
#[derive(Debug, Default)]
struct Tally {
    verified: u32,
    dropped: u32,
}

impl Tally {
    /// Keeps the claims that pass the check, and counts both.
    fn kept(
        &mut self,
        claims: Vec<Claim>,
        evidence: &[Evidence],
        records: &Records,
        sources: &Sources,
    ) -> Vec<Claim> {
        let mut kept = Vec::with_capacity(claims.len());
        for claim in claims {
            match check(&claim, evidence, records, sources) {
                Ok(()) => {
                    self.verified += 1;
                    kept.push(claim);
                }
                Err(flaw) => {
                    self.dropped += 1;
                    tracing::info!(?flaw, "a claim was dropped");
                }
            }
        }
        kept
    }
}

/// Returns whether calls to or from the first suspect are known.
fn has_edges(incident: &Incident, sources: &Sources) -> bool {
    incident.suspects.first().is_some_and(|suspect| {
        sources.graph.callers(&suspect.service).next().is_some()
            || sources.graph.callees(&suspect.service).next().is_some()
    })
}

pub(crate) fn last_seen(signals: &[Signal]) -> Option<Timestamp> {
    signals.iter().map(|signal| signal.observed_at).max()
}
