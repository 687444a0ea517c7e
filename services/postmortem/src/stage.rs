//! The stage: an incident that is over becomes a document, and commands about its action items are decided on.

use async_trait::async_trait;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::events::incident::State;
use shared::events::{Command, Incident, Plan, Postmortem, Refusal, RootCause, Topic, decode};
use shared::ids::IncidentId;
use shared::lifecycle::Change;
use shared::stage::command::Asked;
use shared::stage::{Audit, Context, Effects, Error, IncidentChange, Key, Stage, Timer, TimerPayload};
use shared::store::{ArtifactKind, Write};
use shared::text::format::counted;
use shared::text::sanitize::{NAME, one_line};
use shared::text::secrets::Redactor;

use crate::options::Options;
use crate::record::Record;
use crate::{document, metrics, tracking};

/// Writes postmortems, and decides on what people say of their action items.
pub struct Postmortems {
    options: Options,
    redactor: Redactor,
}

/// What the stage reads.
#[derive(Debug, Clone)]
pub enum Input {
    /// An incident that is over.
    Resolved(Box<Incident>),
    /// What a person asks for: action items are decided on here.
    Command(Box<Command>),
}

/// What the timer knows.
#[derive(Debug, Serialize, Deserialize)]
struct Waiting {
    incident_id: IncidentId,
    /// Wall clock time at which the document is written with what there is.
    until: Timestamp,
}

impl TimerPayload for Waiting {
    const NAME: &'static str = "wait_for_cause";
}

/// What the document waits for.
struct Findings {
    cause: Option<RootCause>,
    plan: Option<Plan>,
}

impl Findings {
    async fn read(id: IncidentId, ctx: &Context) -> Result<Self, Error> {
        Ok(Self {
            cause: ctx.store.artifact(id, ArtifactKind::RootCause).await?,
            plan: ctx.store.artifact(id, ArtifactKind::Plan).await?,
        })
    }

    /// A plan answers a ranking, so it is the last to arrive.
    fn are_complete(&self) -> bool {
        self.cause.is_some() && self.plan.is_some()
    }
}

impl Postmortems {
    /// Starts with what the options say.
    pub fn new(options: Options) -> Self {
        Self { options, redactor: Redactor::default() }
    }

    /// Replaces in the texts of commands what a redactor finds.
    #[must_use]
    pub fn redacting(self, redactor: Redactor) -> Self {
        Self { redactor, ..self }
    }

    async fn command(&self, command: &Command, ctx: &Context) -> Result<Effects, Error> {
        let is_own = command.action.owner() == Agent::Postmortem;
        if !is_own || ctx.store.command(command.command_id).await?.is_some() {
            return Ok(Effects::none());
        }
        let incidents: Vec<IncidentId> = command.incident_id.into_iter().collect();
        let incidents = ctx.store.incidents_by_id(&incidents).await?;
        let item = match tracking::item_of(command) {
            Some(item) => ctx.store.action_item(item).await?,
            None => None,
        };
        let asked = Asked { command, redactor: &self.redactor };
        Ok(asked.recorded(tracking::decide(&asked, incidents.first(), item.as_ref())))
    }

    async fn resolved(&self, told: &Incident, ctx: &Context) -> Result<Effects, Error> {
        let id = told.incident_id;
        if told.merged_into().is_some() {
            return Ok(Effects::none());
        }
        let Some(incident) = over(id, ctx).await? else { return Ok(Effects::none()) };
        let findings = Findings::read(id, ctx).await?;
        if findings.are_complete() || self.options.wait_ms == 0 {
            return self.write(&incident, &findings, ctx).await;
        }
        let now = ctx.wall_clock();
        let waiting = Waiting { incident_id: id, until: now + millis(self.options.wait_ms) };
        // one for each end: the timer of an earlier one may have been due while the incident was open again
        let end = incident.reopened.to_string();
        let timer = Timer::new(id.to_string(), &[&end], now + millis(self.options.poll_ms), &waiting)?;
        Ok(Effects { timers: vec![timer], ..Effects::none() })
    }

    async fn write(&self, incident: &Incident, findings: &Findings, ctx: &Context) -> Result<Effects, Error> {
        let id = incident.incident_id;
        let catalogue = ctx.store.catalogue().await?;
        let notifications = ctx.store.notifications(id).await?;
        let commands = ctx.store.commands_of(id).await?;
        // last, so that few lines are written between this read and the commit: a replay has them
        let trail = ctx.store.timeline(id).await?;
        let record = Record {
            incident,
            trail: &trail,
            cause: findings.cause.as_ref(),
            plan: findings.plan.as_ref(),
            catalogue: &catalogue,
            notifications: &notifications,
            commands: &commands,
        };
        let postmortem = document::write(&record);
        let verdict = record.cause.map_or_else(|| "none".to_owned(), |cause| cause.verdict.to_string());
        metrics::DOCUMENTS.add_one([&verdict]);
        tracing::info!(incident = %id, verdict, items = postmortem.action_items.len(), "postmortem written");
        let at = postmortem.generated_at;
        // a fault that came back has a document from its first end
        let before: Option<Postmortem> = ctx.store.artifact(id, ArtifactKind::Postmortem).await?;
        let revision = if before.is_some() { incident.reopened + 1 } else { 1 };
        let mut effects = ctx.completed(ArtifactKind::Postmortem, id, revision, &postmortem, at)?;
        effects.writes.push(Write::ActionItems {
            incident_id: id,
            revision,
            service: one_line(record.service(), NAME),
            items: postmortem.action_items.clone(),
        });
        Ok(Effects {
            incidents: vec![IncidentChange { incident_id: id, change: Change::Closed { at }, publish: None }],
            audit: vec![written(&postmortem)],
            ..effects
        })
    }
}

#[async_trait]
impl Stage for Postmortems {
    const AGENT: Agent = Agent::Postmortem;
    type Input = Input;

    fn decode(topic: Topic, payload: &[u8]) -> Result<Input, Refusal> {
        match topic {
            Topic::OperatorCommands => Ok(Input::Command(Box::new(decode(payload)?))),
            _ => Ok(Input::Resolved(Box::new(decode(payload)?))),
        }
    }

    fn key(input: &Input) -> Key {
        match input {
            Input::Resolved(incident) => Key::from(incident.incident_id),
            Input::Command(command) => {
                command.incident_id.map_or_else(|| Key::from(&command.environment), Key::from)
            }
        }
    }

    async fn handle(&self, input: &Input, ctx: &Context) -> Result<Effects, Error> {
        match input {
            Input::Resolved(incident) => self.resolved(incident, ctx).await,
            Input::Command(command) => self.command(command, ctx).await,
        }
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        let Waiting { incident_id, until } = timer.read()?;
        let Some(incident) = over(incident_id, ctx).await? else { return Ok(Effects::none()) };
        let findings = Findings::read(incident_id, ctx).await?;
        let now = ctx.wall_clock();
        let complete = findings.are_complete();
        if !complete && now < until {
            return Ok(Effects { again: Some(now + millis(self.options.poll_ms)), ..Effects::none() });
        }
        metrics::WAITS.add_one([if complete { "arrived" } else { "missed" }]);
        self.write(&incident, &findings, ctx).await
    }
}

/// Returns the incident as it stands, if it is over and not yet written about.
async fn over(id: IncidentId, ctx: &Context) -> Result<Option<Incident>, Error> {
    match ctx.store.incident(id).await? {
        None => Err(Error::reject(anyhow::anyhow!("there is no incident {id}"))),
        // closed, or opened again meanwhile
        Some(incident) if incident.state != State::Resolved => Ok(None),
        Some(incident) => Ok(Some(incident)),
    }
}

fn written(postmortem: &Postmortem) -> Audit {
    Audit {
        incident_id: postmortem.incident_id,
        at: postmortem.generated_at,
        action: AuditAction::PostmortemWritten,
        summary: format!(
            "The postmortem is written, with {}.",
            counted(postmortem.action_items.len(), "action item")
        ),
        detail: json!({ "postmortem_id": postmortem.postmortem_id, "times": postmortem.times }),
    }
}

fn millis(ms: u64) -> SignedDuration {
    SignedDuration::from_millis(i64::try_from(ms).unwrap_or(i64::MAX))
}
