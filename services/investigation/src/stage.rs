//! The stage: looks for the cause of an incident when it is announced, and again when its suspect changes.

use async_trait::async_trait;
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{Candidate, Claim, Method, RootCause, Verdict};
use shared::events::{Refusal, Topic, decode};
use shared::knowledge::retrieval::Retrieval;
use shared::lifecycle::Change;
use shared::stage::{Audit, Context, Effects, Error, IncidentChange, Key, Stage};
use shared::store::ArtifactKind;

use crate::check::check;
use crate::documents::{self, Documents};
use crate::ledger::Ledger;
use crate::options::Options;
use crate::sources::Sources;
use crate::verdict::Knowledge;
use crate::{claims, metrics, verdict};

/// Looks for causes.
pub struct Investigation {
    options: Options,
    retrieval: Retrieval,
}

impl Investigation {
    /// Searches in `retrieval`.
    pub fn new(options: Options, retrieval: Retrieval) -> Self {
        Self { options, retrieval }
    }

    async fn investigate(
        &self,
        incident: &Incident,
        revision: u32,
        ctx: &Context,
    ) -> Result<RootCause, Error> {
        let sources = Sources::read(incident, &ctx.store).await?;
        let mut ledger = Ledger::default();
        let mut candidates: Vec<Candidate> = Vec::new();
        let mut knowledge = Knowledge::NothingSimilar;
        for suspect in incident.suspects.iter().take(self.options.candidates) {
            let found = match documents::search(&self.retrieval, incident, suspect, &self.options).await {
                Ok(found) => found,
                Err(error) => {
                    // the ranking does not rest on documents: it goes on without, and says so
                    tracing::warn!(incident = %incident.incident_id, %error, "knowledge could not be searched");
                    metrics::SEARCH_FAILURES.add_one([]);
                    knowledge = Knowledge::Unavailable;
                    Documents::default()
                }
            };
            if !found.incidents.is_empty() && knowledge == Knowledge::NothingSimilar {
                knowledge = Knowledge::Found;
            }
            candidates.push(claims::candidate(incident, suspect, &sources, &found, &mut ledger));
        }
        let exclusions = claims::exclusions(incident, &sources, &mut ledger);

        // what is published is checked against another reading of its sources
        let mut again = Sources::read(incident, &ctx.store).await?;
        again.read_documents(ledger.pieces().iter().map(|piece| &piece.source), &self.retrieval).await;
        let mut tally = Tally::default();
        for candidate in &mut candidates {
            candidate.claims = tally.kept(std::mem::take(&mut candidate.claims), &ledger, &again);
        }
        let exclusions = tally.kept(exclusions, &ledger, &again);
        // a candidate that nothing speaks for any more is none
        candidates.retain(|candidate| !candidate.claims.is_empty());
        let has_edges = incident.suspects.first().is_some_and(|suspect| {
            sources.graph.callers(&suspect.service).next().is_some()
                || sources.graph.callees(&suspect.service).next().is_some()
        });
        metrics::CLAIMS.add(["verified"], u64::from(tally.verified));
        metrics::CLAIMS.add(["dropped"], u64::from(tally.dropped));
        let cited = candidates.iter().flat_map(|candidate| &candidate.claims).chain(&exclusions);
        let evidence = ledger.cited(cited);
        Ok(RootCause {
            incident_id: incident.incident_id,
            number: incident.number,
            revision,
            incident_revision: incident.revision,
            environment: incident.environment.clone(),
            verdict: verdict::verdict(&candidates),
            evidence,
            candidates,
            ruled_out: exclusions.iter().map(|claim| claim.text.clone()).collect(),
            exclusions,
            missing: verdict::missing(incident, has_edges, knowledge),
            method: Method::Deterministic,
            claims_verified: tally.verified,
            claims_total: tally.verified + tally.dropped,
            tokens: 0,
            cost_microdollars: 0,
            completed_at: last_seen(&incident.signals).unwrap_or(incident.opened_at),
        })
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
    fn kept(&mut self, claims: Vec<Claim>, ledger: &Ledger, sources: &Sources) -> Vec<Claim> {
        let mut kept = Vec::with_capacity(claims.len());
        for claim in claims {
            match check(&claim, ledger.pieces(), sources) {
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

fn last_seen(signals: &[Signal]) -> Option<jiff::Timestamp> {
    signals.iter().map(|signal| signal.observed_at).max()
}

#[async_trait]
impl Stage for Investigation {
    const AGENT: Agent = Agent::Investigation;
    type Input = Incident;

    fn decode(_: Topic, payload: &[u8]) -> Result<Incident, Refusal> {
        decode(payload)
    }

    fn key(incident: &Incident) -> Key {
        Key::from(incident.incident_id)
    }

    async fn handle(&self, incident: &Incident, ctx: &Context) -> Result<Effects, Error> {
        let before: Option<RootCause> =
            ctx.store.artifact(incident.incident_id, ArtifactKind::RootCause).await?;
        if before.as_ref().is_some_and(|before| !is_news(before, incident)) {
            return Ok(Effects::none());
        }
        let revision = before.as_ref().map_or(1, |before| before.revision + 1);
        let result = self.investigate(incident, revision, ctx).await?;
        let change = |change| IncidentChange { incident_id: incident.incident_id, change, publish: None };
        let mut changes = vec![change(Change::CauseRanked)];
        if before.is_none() {
            changes.insert(0, change(Change::InvestigationStarted));
        }
        Ok(Effects {
            incidents: changes,
            audit: vec![Audit {
                incident_id: incident.incident_id,
                at: result.completed_at,
                action: AuditAction::CauseRanked,
                summary: summary(&result),
                detail: json!({
                    "revision": revision,
                    "verdict": result.verdict,
                    "claims_verified": result.claims_verified,
                    "claims_total": result.claims_total,
                }),
            }],
            ..ctx.completed(
                ArtifactKind::RootCause,
                incident.incident_id,
                revision,
                &result,
                result.completed_at,
            )?
        })
    }
}

/// Returns whether the incident says something that the last result does not answer: another first suspect, another kind
/// of cause, or evidence that makes the verdict another one.
fn is_news(before: &RootCause, incident: &Incident) -> bool {
    if incident.revision <= before.incident_revision || !incident.state.is_open() {
        return false;
    }
    let told =
        before.candidates.first().map(|first| (first.service.as_str(), first.category, before.verdict));
    let now = incident.suspects.first();
    told != now.map(|first| (first.service.as_str(), first.category, verdict::of(first.posterior)))
}

fn summary(result: &RootCause) -> String {
    match (result.verdict, result.candidates.first()) {
        (Verdict::Unknown, _) | (_, None) => "No cause is visible in this telemetry.".to_owned(),
        (verdict, Some(first)) => format!(
            "{}: {} ({}, confidence {:.0} %, {} of {} claims verified).",
            if verdict == Verdict::Cause { "Cause" } else { "Likely cause" },
            first.cause.trim_end_matches('.'),
            first.category.words(),
            first.confidence * 100.0,
            result.claims_verified,
            result.claims_total
        ),
    }
}
