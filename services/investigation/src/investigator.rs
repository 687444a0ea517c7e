//! One investigation: sources are read and recorded, causes are claimed over the records, and each claim is checked.

use jiff::{SignedDuration, Timestamp};
use shared::error::Error;
use shared::events::EvidenceRecord;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{Candidate, Claim, Evidence, Method, RootCause, Verdict};
use shared::knowledge::retrieval::Retrieval;
use shared::store::Reads;
use shared::store::edges::Edge;

use crate::check::check;
use crate::documents::{self, Documents};
use crate::edge_times;
use crate::ledger::{self, Ledger};
use crate::options::Options;
use crate::query::look::most_informative;
use crate::query::{Asked, findings};
use crate::records::Records;
use crate::sources::{EDGES, Members, Sources};
use crate::verdict::Knowledge;
use crate::{claims, metrics, verdict};

/// Window of the figures of edges.
const FIGURES: SignedDuration = SignedDuration::from_mins(15);

/// How often causes are claimed anew because their sources have changed before the check.
const MAX_REPEATS: usize = 3;

/// Looks for causes. The stage asks it when an incident is announced, the command line on demand.
pub struct Investigator {
    options: Options,
    retrieval: Option<Retrieval>,
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

/// What was read once, before anything is claimed.
struct Gathered {
    documents: Vec<Documents>,
    knowledge: Knowledge,
    edges: Vec<Edge>,
}

/// What is claimed over one reading of the sources, unchecked.
struct Claimed {
    records: Records,
    evidence: Vec<Evidence>,
    candidates: Vec<Candidate>,
    exclusions: Vec<Claim>,
}

impl Claimed {
    fn over(
        incident: &Incident,
        sources: &Sources,
        gathered: &Gathered,
        asked: &Asked,
    ) -> Result<Self, Error> {
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
}

impl Investigator {
    /// Searches in `retrieval`; without it, no documents are cited and the result says so.
    pub fn new(options: Options, retrieval: Option<Retrieval>) -> Self {
        Self { options, retrieval }
    }

    /// Investigates an incident, with what queried systems have answered so far.
    ///
    /// # Errors
    /// If the store cannot be read. Documents that cannot be searched are reported as missing.
    pub async fn investigate(
        &self,
        incident: &Incident,
        members: Members,
        revision: u32,
        asked: &Asked,
        reads: &Reads,
    ) -> Result<Outcome, Error> {
        let incident = &*asked.ranked(incident);
        let mut sources = Sources::read(incident, members, reads).await?;
        let gathered = self.gather(incident, &sources, reads).await?;
        let mut claimed = Claimed::over(incident, &sources, &gathered, asked)?;
        // what is published is checked against another reading of its sources; where they have changed meanwhile, it is claimed anew
        let mut again = Sources::read(incident, members, reads).await?;
        for _ in 0..MAX_REPEATS {
            if !again.have_changed_since(&sources) {
                break;
            }
            sources = again;
            claimed = Claimed::over(incident, &sources, &gathered, asked)?;
            again = Sources::read(incident, members, reads).await?;
        }
        let Claimed { records, evidence, mut candidates, exclusions } = claimed;
        again.answers = asked.again();
        if let Some(retrieval) = &self.retrieval {
            again.read_documents(evidence.iter().map(|piece| &piece.source), retrieval).await;
        }
        let knowledge = gathered.knowledge;
        let mut tally = Tally::default();
        for candidate in &mut candidates {
            candidate.claims = tally.kept(std::mem::take(&mut candidate.claims), &evidence, &records, &again);
        }
        let exclusions = tally.kept(exclusions, &evidence, &records, &again);
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
            missing: self.missing(incident, &sources, knowledge, verdict, asked),
            method: Method::Deterministic,
            claims_verified: tally.verified,
            claims_total: tally.verified + tally.dropped,
            tokens: 0,
            cost_microdollars: 0,
            completed_at: last_seen(&incident.signals).unwrap_or(incident.opened_at),
            corrected_at: None,
            queries: 0,
        };
        let looked_at =
            LookedAt { changes: sources.changes.len(), changes_since: sources.changes_since, knowledge };
        let first = result.candidates.first();
        let awaits_calls = first.is_some_and(|first| edge_times::are_awaited(&sources, &first.service));
        Ok(Outcome { result, records: records.into_all(), awaits_calls, looked_at })
    }

    /// Returns which telemetry would help and is not there, what would tell most, and which sources did not answer.
    fn missing(
        &self,
        incident: &Incident,
        sources: &Sources,
        knowledge: Knowledge,
        verdict: Verdict,
        asked: &Asked,
    ) -> Vec<String> {
        let mut missing = verdict::missing(incident, has_edges(incident, sources), knowledge);
        if verdict != Verdict::Cause {
            let suspects = &incident.suspects[..incident.suspects.len().min(self.options.candidates)];
            missing.extend(most_informative(suspects, &sources.signals, asked));
        }
        missing.extend(asked.missing());
        missing
    }

    /// Searches for documents and reads the figures of edges.
    async fn gather(&self, incident: &Incident, sources: &Sources, reads: &Reads) -> Result<Gathered, Error> {
        let mut documents = Vec::new();
        let mut knowledge =
            if self.retrieval.is_some() { Knowledge::NothingSimilar } else { Knowledge::Unavailable };
        for suspect in incident.suspects.iter().take(self.options.candidates) {
            let found = match &self.retrieval {
                None => Documents::default(),
                Some(retrieval) => documents::search(retrieval, incident, suspect, &self.options)
                    .await
                    .unwrap_or_else(|error| {
                        // the ranking does not rest on documents: it goes on without, and says so
                        tracing::warn!(incident = %incident.incident_id, %error, "knowledge could not be searched");
                        metrics::SEARCH_FAILURES.add_one([]);
                        knowledge = Knowledge::Unavailable;
                        Documents::default()
                    }),
            };
            if !found.incidents.is_empty() && knowledge == Knowledge::NothingSimilar {
                knowledge = Knowledge::Found;
            }
            documents.push(found);
        }
        let now = last_seen(&sources.signals).unwrap_or(incident.opened_at);
        let graph =
            reads.service_graph(&incident.environment, incident.started_at - EDGES, FIGURES, now).await?;
        let edges = graph.map_or_else(Vec::new, |graph| graph.edges);
        Ok(Gathered { documents, knowledge, edges })
    }
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

fn last_seen(signals: &[Signal]) -> Option<Timestamp> {
    signals.iter().map(|signal| signal.observed_at).max()
}
