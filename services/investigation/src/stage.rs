//! The stage: looks for the cause of an incident when it is announced, and again when its suspect changes. A timer corrects the
//! result: it asks the configured sources, and reads the times of calls that were not measured yet.

use std::collections::BTreeMap;

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::events::incident::{Incident, Signal};
use shared::events::rca::{RootCause, Verdict};
use shared::events::{EvidenceRecord, Refusal, Topic, decode};
use shared::ids::IncidentId;
use shared::knowledge::retrieval::Retrieval;
use shared::lifecycle::Change;
use shared::stage::{Audit, Context, Effects, Error, IncidentChange, Key, Stage, Timer, TimerPayload};
use shared::store::{ArtifactKind, Write};

use crate::decision::Outcome;
use crate::investigator::Investigator;
use crate::metrics;
use crate::news::{corrects, is_news};
use crate::options::Options;
use crate::query::beliefs::Open;
use crate::query::look::{Case, Found};
use crate::query::{self, Asked, Looker, predictions};
use crate::sources::Members;

/// Least time between two corrections of one incident.
pub const CORRECTION: SignedDuration = SignedDuration::from_mins(1);
/// Results of one incident that are followed by a look: suspects that keep changing do not cause queries without a limit.
pub const MAX_LOOKED_REVISIONS: u32 = 20;

/// Looks for causes.
pub struct Investigation {
    investigator: Investigator,
    queries: query::Options,
    looker: Option<Looker>,
}

impl Investigation {
    /// Searches in `retrieval`, and asks further sources by `looker` once the first result is on record.
    pub fn new(options: Options, retrieval: Retrieval, looker: Option<Looker>) -> Self {
        let queries = options.queries.clone();
        Self { investigator: Investigator::new(options, Some(retrieval)), queries, looker }
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
        let known = match &before {
            Some(before) if before.queries > 0 => {
                known(before, &ctx.store.signals_of(incident.incident_id).await?, ctx).await?
            }
            _ => Asked::default(),
        };
        if before.as_ref().is_some_and(|before| !is_news(before, incident, &known)) {
            return Ok(Effects::none());
        }
        let revision = before.as_ref().map_or(1, |before| before.revision + 1);
        let Outcome { mut result, records, awaits_calls, .. } = self
            .investigator
            .investigate(incident, Members::OfIncident, revision, &known, &ctx.store)
            .await?;
        if let Some(before) = &before {
            (result.corrected_at, result.queries) = (before.corrected_at, before.queries);
        }
        let mut effects = completed(&result, records, ctx)?;
        if before.is_none() {
            let change = Change::InvestigationStarted;
            let started = IncidentChange { incident_id: incident.incident_id, change, publish: None };
            effects.incidents.insert(0, started);
        }
        if (self.looker.is_some() || awaits_calls) && revision <= MAX_LOOKED_REVISIONS {
            let (incident_id, queries) = (result.incident_id, result.queries);
            let look = Look { incident_id, revision, looks: 0, queries };
            let now = ctx.wall_clock();
            let due = if self.looker.is_some() { now } else { now + CORRECTION };
            effects.timers.push(look.timer(due)?);
        }
        Ok(effects)
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        if timer.name != Look::NAME {
            return Err(timer.unknown());
        }
        let look: Look = timer.read()?;
        let Some(before) = ctx.store.artifact::<RootCause>(look.incident_id, ArtifactKind::RootCause).await?
        else {
            return Ok(superseded());
        };
        let incident = ctx.store.incident(look.incident_id).await?;
        let incident = incident.filter(|incident| incident.state.is_open());
        let Some(incident) = incident.filter(|_| before.revision == look.revision) else {
            return Ok(superseded());
        };
        let now = ctx.wall_clock();
        if let Some(next) = before.corrected_at.map(|at| at + CORRECTION).filter(|next| now < *next) {
            return Ok(Effects { again: Some(next), ..Effects::none() });
        }
        let signals = ctx.store.signals_of(look.incident_id).await?;
        let mut known = known(&before, &signals, ctx).await?;
        if self.looker.is_some() {
            known.answers.retain(|found| !found.may_still_come(timer.due));
        }
        let case = Case {
            suspects: &incident.suspects,
            signals: &signals,
            began: incident.started_at,
            until: timer.due,
            known: &known.answers,
            queries: self.queries.queries.saturating_sub(look.queries),
        };
        let asked: Asked = match &self.looker {
            Some(looker) => ctx.step("ask", || async { Ok(looker.look(case).await) }).await?,
            None => known,
        };
        // asking has taken a while
        let incident = ctx.store.incident(look.incident_id).await?;
        let Some(incident) = incident.filter(|incident| incident.state.is_open()) else {
            return Ok(superseded());
        };
        let revision = before.revision + 1;
        let Outcome { mut result, records, awaits_calls, .. } = self
            .investigator
            .investigate(&incident, Members::OfIncident, revision, &asked, &ctx.store)
            .await?;
        let is_correction = corrects(&before, &result, &asked);
        let queries = look.queries.saturating_add(asked.queries);
        metrics::LOOKS.add_one([if is_correction { "corrected" } else { "unchanged" }]);
        let mut effects = Effects::none();
        if is_correction {
            (result.corrected_at, result.queries) = (Some(now), queries);
            effects = completed(&result, records, ctx)?;
        }
        let next = Look {
            revision: if is_correction { revision } else { before.revision },
            looks: look.looks + 1,
            queries,
            ..look
        };
        let is_incomplete = awaits_calls || !asked.failures.is_empty() || !asked.gaps.is_empty();
        if is_incomplete && next.looks < self.queries.looks && next.queries < self.queries.queries {
            effects.timers.push(next.timer(now + CORRECTION)?);
        }
        Ok(effects)
    }
}

/// Payload of the timer of a second look.
#[derive(Debug, Clone, Copy, Serialize, Deserialize)]
pub struct Look {
    /// Incident.
    pub incident_id: IncidentId,
    /// Result that it follows: where there is a later one, that has a look of its own.
    pub revision: u32,
    /// Looks before this one.
    pub looks: u32,
    /// Queries that were made for the incident.
    pub queries: u32,
}

impl TimerPayload for Look {
    const NAME: &'static str = "look";
}

impl Look {
    fn timer(&self, due: Timestamp) -> Result<Timer, Error> {
        // a result that was superseded holds up no look after the next one
        let key = format!("{}/{}", self.incident_id, self.revision);
        Timer::new(key, &[&self.looks.to_string()], due, self)
    }
}

fn superseded() -> Effects {
    metrics::LOOKS.add_one(["superseded"]);
    Effects::none()
}

/// Returns what follows from a result.
fn completed(result: &RootCause, records: Vec<EvidenceRecord>, ctx: &Context) -> Result<Effects, Error> {
    let (incident_id, revision) = (result.incident_id, result.revision);
    let mut effects =
        ctx.completed(ArtifactKind::RootCause, incident_id, revision, result, result.completed_at)?;
    effects.writes.insert(0, Write::Evidence { incident_id, revision, records });
    Ok(Effects {
        incidents: vec![IncidentChange { incident_id, change: Change::CauseRanked, publish: None }],
        audit: vec![Audit {
            incident_id,
            at: result.completed_at,
            action: AuditAction::CauseRanked,
            summary: summary(result),
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

/// Returns the answers that a result rests on, as they are stored: of each question the last one. What members answer by now
/// counts once.
async fn known(before: &RootCause, signals: &[Signal], ctx: &Context) -> Result<Asked, Error> {
    let records =
        if before.queries == 0 { Vec::new() } else { ctx.store.evidence_of(before.incident_id).await? };
    let all = records.iter().filter_map(|record| Found::of_record(&record.source, &record.content));
    let mut last: BTreeMap<Open, Found> = BTreeMap::new();
    for found in all
        .filter(|found| !predictions::is_answered(signals, &found.question.service, found.question.subject))
    {
        if last.get(&found.open()).is_none_or(|known| known.question.to < found.question.to) {
            last.insert(found.open(), found);
        }
    }
    Ok(Asked { answers: last.into_values().collect(), ..Asked::default() })
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
