//! The stage: a ranking becomes a plan.

use std::sync::Arc;

use async_trait::async_trait;
use shared::agent::Agent;
use shared::events::{Plan, Refusal, RootCause, Topic, decode};
use shared::knowledge::Index;
use shared::lifecycle::Change;
use shared::stage::{Context, Effects, Error, IncidentChange, Key, Stage};
use shared::store::ArtifactKind;

use crate::context::PlanContext;
use crate::lookup::{self, Found};
use crate::metrics;
use crate::plan;
use crate::target::Target;

/// Plans what should be done. Nothing is executed.
pub struct Remediation {
    index: Arc<dyn Index>,
}

impl Remediation {
    /// Reads runbooks from `index`.
    pub fn new(index: Arc<dyn Index>) -> Self {
        Self { index }
    }
}

#[async_trait]
impl Stage for Remediation {
    const AGENT: Agent = Agent::Remediation;
    type Input = RootCause;

    fn decode(_: Topic, payload: &[u8]) -> Result<RootCause, Refusal> {
        decode(payload)
    }

    fn key(cause: &RootCause) -> Key {
        Key::from(cause.incident_id)
    }

    async fn handle(&self, cause: &RootCause, ctx: &Context) -> Result<Effects, Error> {
        let id = cause.incident_id;
        let Some(incident) = ctx.store.incident(id).await? else {
            return Err(Error::reject(anyhow::anyhow!("there is no incident {id}")));
        };
        let before: Option<Plan> = ctx.store.artifact(id, ArtifactKind::Plan).await?;
        let target = Target::of(cause, &incident);
        if let Some(plan) = before.as_ref().filter(|plan| plan::still_stands(plan, &target)) {
            metrics::UNCHANGED.add_one([]);
            return Ok(Effects { audit: vec![plan::unchanged(plan, cause)], ..Effects::none() });
        }
        let catalogue = ctx.store.catalogue().await?;
        let found = lookup::find(&*self.index, &target, &catalogue).await;
        let case = PlanContext { cause, incident: &incident, catalogue: &catalogue };
        let plan = plan::write(case, &target, &found, before.map_or(1, |plan| plan.revision + 1));
        let basis = if matches!(found, Found::Runbook(_)) { "runbook" } else { "triage" };
        metrics::PLANS.add_one([basis]);
        tracing::info!(incident = %id, revision = plan.revision, steps = plan.steps.len(), basis, "plan proposed");
        Ok(Effects {
            incidents: vec![IncidentChange { incident_id: id, change: Change::PlanProposed, publish: None }],
            audit: vec![plan::proposed(&plan)],
            ..ctx.completed(ArtifactKind::Plan, id, plan.revision, &plan, plan.created_at)?
        })
    }
}
