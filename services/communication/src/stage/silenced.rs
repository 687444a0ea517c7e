//! What silences hide, what is announced once they are over, and the commands that begin and end them.

use jiff::Timestamp;
use shared::events::command::Action;
use shared::events::incident::{Incident, State};
use shared::events::{Command, Plan, RootCause};
use shared::stage::command::Asked;
use shared::stage::{Context, Effects, Error};
use shared::store::ArtifactKind;

use super::{Communication, incident, on_record};
use crate::content::{Kind, LifecycleEvent};
use crate::notifications::MuteOver;
use crate::silences::{self, Cover, OnRecord, SilenceOver, covering};
use crate::updates::Announced;

impl Communication {
    /// Returns the silence that covers an incident now.
    pub(super) async fn covering(&self, incident: &Incident, ctx: &Context) -> Result<Option<Cover>, Error> {
        let now = ctx.wall_clock();
        let silences = ctx.store.silences_from(&incident.environment, now).await?;
        Ok(covering(silences, incident, now))
    }

    /// Returns the silence that hides an event. The end of an incident that was announced is not hidden; what follows the hidden
    /// end of one that was not is hidden with it.
    pub(super) async fn hiding(
        &self,
        event: &LifecycleEvent,
        incident: &Incident,
        record: &OnRecord,
        ctx: &Context,
    ) -> Result<Option<Cover>, Error> {
        if event.kind() == Kind::Resolved && record.is_announced() {
            return Ok(None);
        }
        if let Some(cover) = self.covering(incident, ctx).await? {
            return Ok(Some(cover));
        }
        let Some(id) = record.hid_end(incident) else { return Ok(None) };
        Ok(ctx.store.silence(id).await?.map(|silence| Cover { silence, until: None }))
    }

    /// Announces what is new of an incident that has changed, if anything is. Where a silence hid something and does not cover the
    /// incident any more, that is announced as well: it may have become more severe than what the silence asks for.
    pub(super) async fn updated(&self, changed: &Incident, ctx: &Context) -> Result<Effects, Error> {
        let record = on_record(changed.incident_id, ctx).await?;
        let announced = if record.hidden.is_empty() {
            Announced::of(record.said())
        } else if self.covering(changed, ctx).await?.is_none() {
            return self.catch_up(changed, record, ctx).await;
        } else {
            // what was hidden once is not hidden again
            Announced::of(record.said().chain(&record.hidden))
        };
        // its opening was muted, or is still to be read: then it finds nothing left to announce
        if !record.is_announced() && changed.state.is_open() && changed.state != State::Detecting {
            return self.catch_up(changed, record, ctx).await;
        }
        let news = announced.news(changed).into_iter().map(LifecycleEvent::from);
        self.tell_all(news.collect(), changed, record, ctx).await
    }

    /// Announces what is new of an incident once a mute is over.
    pub(super) async fn mute_over(&self, due: &MuteOver, ctx: &Context) -> Result<Effects, Error> {
        let incident = incident(due.incident_id, ctx).await?;
        let record = on_record(due.incident_id, ctx).await?;
        self.catch_up(&incident, record, ctx).await
    }

    /// Announces events of an incident one after another, each with those before it on record.
    async fn tell_all(
        &self,
        events: Vec<LifecycleEvent>,
        incident: &Incident,
        mut record: OnRecord,
        ctx: &Context,
    ) -> Result<Effects, Error> {
        let mut effects = Effects::none();
        for event in events {
            let next = self.tell(event, incident.clone(), &record, None, ctx).await?;
            record.take(&next);
            effects.extend(next);
        }
        Ok(effects)
    }

    /// Announces an incident as it stands, once a silence that hid something of it is over, unless another one covers it.
    pub(super) async fn silence_over(&self, due: &SilenceOver, ctx: &Context) -> Result<Effects, Error> {
        let incident = incident(due.incident_id, ctx).await?;
        let record = on_record(due.incident_id, ctx).await?;
        if !incident.state.is_open() || record.hidden.is_empty() {
            return Ok(Effects::none());
        }
        match self.covering(&incident, ctx).await? {
            Some(Cover { silence, until: Some(until) }) => {
                let over = SilenceOver { silence_id: silence.silence_id, ..due.clone() };
                Ok(Effects { timers: vec![over.at(until)?], ..Effects::none() })
            }
            _ => self.catch_up(&incident, record, ctx).await,
        }
    }

    /// Announces what differs from what was announced: the opening, or news since it; then the last cause and the last plan.
    async fn catch_up(&self, incident: &Incident, record: OnRecord, ctx: &Context) -> Result<Effects, Error> {
        if !incident.state.is_open() || incident.is_muted(ctx.wall_clock()) {
            return Ok(Effects::none());
        }
        let id = incident.incident_id;
        let cause: Option<RootCause> = ctx.store.artifact(id, ArtifactKind::RootCause).await?;
        let plan: Option<Plan> = ctx.store.artifact(id, ArtifactKind::Plan).await?;
        let announced = Announced::of(record.said());
        let mut due = if record.is_opening_due(incident) || !record.is_announced() {
            vec![LifecycleEvent::Opened(Box::new(incident.clone()))]
        } else {
            announced.news(incident).into_iter().map(LifecycleEvent::from).collect()
        };
        due.extend(cause.and_then(|cause| announced.cause_due(&cause)));
        due.extend(plan.and_then(|plan| announced.plan_due(&plan)));
        self.tell_all(due, incident, record, ctx).await
    }

    /// Decides on a command about silences; correlation decides on the others.
    pub(super) async fn command(&self, command: &Command, ctx: &Context) -> Result<Effects, Error> {
        let is_own = matches!(command.action, Action::Silence { .. } | Action::EndSilence { .. });
        if !is_own || ctx.store.command(command.command_id).await?.is_some() {
            return Ok(Effects::none());
        }
        let now: Timestamp = ctx.wall_clock();
        let asked = Asked { command, redactor: &self.redactor };
        let outcome = match &command.action {
            Action::Silence { silence } => {
                let others = ctx.store.silences_from(&command.environment, now).await?.len();
                silences::begin(&asked, silence, others, now)
            }
            Action::EndSilence { silence_id, reason } => {
                let found = ctx.store.silence(*silence_id).await?;
                let incidents = ctx.store.incidents_hidden_by(*silence_id).await?;
                silences::end(&asked, *silence_id, reason, found.as_ref(), &incidents, now)?
            }
            other => Err(format!("{} is not decided here", other.verb())),
        };
        Ok(asked.recorded(outcome))
    }
}
