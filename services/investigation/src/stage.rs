//! The stage: looks for the cause of an incident when it is announced, and again when its suspect changes.

use async_trait::async_trait;
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::events::incident::Incident;
use shared::events::rca::{RootCause, Verdict};
use shared::events::{Refusal, Topic, decode};
use shared::knowledge::retrieval::Retrieval;
use shared::lifecycle::Change;
use shared::stage::{Audit, Context, Effects, Error, IncidentChange, Key, Stage};
use shared::store::{ArtifactKind, Write};

use crate::investigator::{Investigator, Outcome};
use crate::options::Options;
use crate::sources::Members;
use crate::verdict;

/// Looks for causes.
pub struct Investigation {
    investigator: Investigator,
}

impl Investigation {
    /// Searches in `retrieval`.
    pub fn new(options: Options, retrieval: Retrieval) -> Self {
        Self { investigator: Investigator::new(options, Some(retrieval)) }
    }
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
        let Outcome { result, records, .. } =
            self.investigator.investigate(incident, Members::OfIncident, revision, &ctx.store).await?;
        let change = |change| IncidentChange { incident_id: incident.incident_id, change, publish: None };
        let mut changes = vec![change(Change::CauseRanked)];
        if before.is_none() {
            changes.insert(0, change(Change::InvestigationStarted));
        }
        let mut effects = ctx.completed(
            ArtifactKind::RootCause,
            incident.incident_id,
            revision,
            &result,
            result.completed_at,
        )?;
        let incident_id = incident.incident_id;
        effects.writes.insert(0, Write::Evidence { incident_id, revision, records });
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
            ..effects
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
