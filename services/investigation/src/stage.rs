//! The stage: looks for the cause of an incident when it is announced, and again when its suspect changes.

use async_trait::async_trait;
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{Candidate, Method, RootCause, Verdict};
use shared::events::{Refusal, Topic, decode};
use shared::knowledge::retrieval::Retrieval;
use shared::lifecycle::Change;
use shared::stage::{Audit, Context, Effects, Error, IncidentChange, Key, Stage};
use shared::store::ArtifactKind;

use crate::documents::{self, Documents};
use crate::evidence::{EvidenceLedger, EvidenceStore};
use crate::options::Options;
use crate::{candidates, metrics, verdict};

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
        let mut library = self.library(incident, ctx).await?;
        let mut dossier = EvidenceLedger::default();
        let mut ranked: Vec<Candidate> = Vec::new();
        let (mut made, mut dropped, mut searched) = (0, 0, true);
        for suspect in incident.suspects.iter().take(self.options.candidates) {
            let found = match documents::search(&self.retrieval, incident, suspect, &self.options).await {
                Ok(found) => found,
                Err(error) => {
                    // the ranking does not rest on documents: it goes on without, and says so
                    tracing::warn!(incident = %incident.incident_id, %error, "knowledge could not be searched");
                    metrics::SEARCH_FAILURES.add_one([]);
                    searched = false;
                    Documents::default()
                }
            };
            for hit in found.incidents.iter().chain(&found.runbooks) {
                let place = (hit.chunk.doc_id.clone(), hit.chunk.section.clone());
                library.sections.insert(place, hit.chunk.clone());
            }
            let mut candidate = candidates::candidate(incident, suspect, &found, &mut dossier);
            made += candidate.claims.len();
            let (kept, lost) = dossier.check(std::mem::take(&mut candidate.claims), &library);
            dropped += lost;
            candidate.claims = kept;
            ranked.push(candidate);
        }
        // a candidate that nothing speaks for any more is none
        ranked.retain(|candidate| !candidate.claims.is_empty());
        let has_edges = incident.suspects.first().is_some_and(|suspect| {
            library.graph.callers(&suspect.service).next().is_some()
                || library.graph.callees(&suspect.service).next().is_some()
        });
        metrics::CLAIMS.add(["verified"], (made - dropped) as u64);
        metrics::CLAIMS.add(["dropped"], dropped as u64);
        Ok(RootCause {
            incident_id: incident.incident_id,
            number: incident.number,
            revision,
            incident_revision: incident.revision,
            environment: incident.environment.clone(),
            verdict: verdict::verdict(&ranked),
            evidence: dossier.cited(ranked.iter().flat_map(|candidate| &candidate.claims)),
            candidates: ranked,
            ruled_out: verdict::ruled_out(incident),
            missing: verdict::missing(incident, has_edges, searched),
            method: Method::Deterministic,
            claims_verified: (made - dropped) as u32,
            claims_total: made as u32,
            tokens: 0,
            cost_microdollars: 0,
            completed_at: last_seen(&incident.signals).unwrap_or(incident.opened_at),
        })
    }

    /// Reads again what the incident's claims will cite: the members as they are stored now, not as the event has them.
    async fn library(&self, incident: &Incident, ctx: &Context) -> Result<EvidenceStore, Error> {
        let signals = ctx.store.signals_of(incident.incident_id).await?;
        let changes = ctx
            .store
            .incident(incident.incident_id)
            .await?
            .and_then(|stored| stored.deployment)
            .into_iter()
            .chain(incident.deployment.clone())
            .collect();
        let edges_since = incident.started_at - jiff::SignedDuration::from_hours(24 * 7);
        let graph = ctx.store.graph(&incident.environment, edges_since).await?;
        Ok(EvidenceStore { signals, changes, graph, sections: std::collections::BTreeMap::default() })
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
