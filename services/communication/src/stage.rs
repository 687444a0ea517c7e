//! The stage: reads what is on record, decides, and sends when a timer fires.

use std::time::Instant;

use async_trait::async_trait;
use jiff::Timestamp;
use shared::agent::Agent;
use shared::events::{Incident, Refusal, Topic, decode};
use shared::ids::IncidentId;
use shared::stage::{Context, Effects, Error, Key, Stage, Timer, TimerPayload as _};
use shared::store::{Notification, NotificationState};

use crate::channel::{Channels, Delivery, Failure, Receipt};
use crate::content::{IncidentSummary, Kind, LifecycleEvent, News, NotificationContent};
use crate::escalation::{self, Due, Escalate};
use crate::metrics;
use crate::notifications::{self, Send, Thread};
use crate::options::Options;
use crate::recipients::{Directory, Recipients};
use crate::table;
use crate::updates::Announced;

/// Notifies people: the messages of one incident are one thread on each channel.
pub struct Communication {
    options: Options,
    channels: Channels,
}

impl Communication {
    /// Builds the stage over its channels.
    pub fn new(options: Options, channels: Channels) -> Self {
        Self { options, channels }
    }

    /// Returns the threads in which an event has to be announced: those that have no notification of it on record.
    fn pending(
        &self,
        event: &LifecycleEvent,
        chosen: &Recipients,
        known: &[(Notification, NotificationState)],
    ) -> Vec<Thread> {
        let mut threads = chosen.threads(&self.channels);
        if matches!(event.kind(), Kind::Resolved | Kind::Acknowledged | Kind::SeverityChanged) {
            // who was called for an incident learns how it stands, whoever its suspect is by then
            for opened in openings(known).filter_map(|opened| Thread::of(opened, &self.channels)) {
                if !threads.iter().any(|thread| thread.is(&opened)) {
                    threads.push(opened);
                }
            }
        }
        threads.retain(|thread| !known.iter().any(|(one, _)| one.id == thread.id(event)));
        for thread in &mut threads {
            let opening = thread.opening_id(event.incident_id());
            let begun = openings(known).find(|opened| opened.id == opening);
            thread.subject = begun.filter(|_| !event.is_first()).map(|opened| opened.subject.clone());
        }
        threads
    }

    /// Announces the incident as it stands in those of `threads` that have not begun, and sets their subjects. Topics are read
    /// side by side, so an event may come before the opening: a reply needs a first message. An address that the table does not
    /// name for an opening gets none.
    fn begin(
        &self,
        threads: &mut [Thread],
        incident: Incident,
        directory: &Directory<'_>,
        now: Timestamp,
    ) -> Result<Effects, Error> {
        let incident = Incident { reopened: 0, ..incident };
        let summary = IncidentSummary::of(&incident);
        let content = NotificationContent {
            incident: summary.clone(),
            event: LifecycleEvent::Opened(Box::new(incident)),
        };
        let chosen = directory.choose(summary.service.as_deref(), summary.severity, Kind::Opened);
        let new: Vec<Thread> = chosen
            .threads(&self.channels)
            .into_iter()
            .filter(|opened| threads.iter().any(|thread| thread.is(opened) && thread.subject.is_none()))
            .collect();
        for thread in threads {
            thread.subject.get_or_insert_with(|| summary.subject());
        }
        self.announce(&content, &new, chosen.unusable, now)
    }

    fn announce(
        &self,
        content: &NotificationContent,
        threads: &[Thread],
        unusable: Vec<String>,
        now: Timestamp,
    ) -> Result<Effects, Error> {
        let count = unusable.len() as u64;
        let effects = notifications::announce(&self.channels, content, threads, unusable, now)
            .map_err(Error::reject)?;
        if !effects.writes.is_empty() {
            metrics::ADDRESSES_UNUSABLE.add([], count);
        }
        Ok(effects)
    }

    async fn deliver(
        &self,
        notification: &Notification,
        ctx: &Context,
    ) -> Result<Result<Receipt, Failure>, Error> {
        let content: NotificationContent = match serde_json::from_value(notification.event.clone()) {
            Ok(content) => content,
            Err(error) => {
                return Ok(Err(Failure::Permanent(format!("stored content is unreadable: {error}"))));
            }
        };
        let Some(channel) = self.channels.get(notification.channel.as_str()) else {
            return Ok(Err(Failure::Permanent(format!(
                "channel {:?} does not exist",
                notification.channel.as_str()
            ))));
        };
        let opening = match Thread::of(notification, &self.channels) {
            Some(thread) => {
                let id = thread.opening_id(notification.incident_id);
                if id == notification.id { None } else { ctx.store.notification(id).await? }
            }
            None => None,
        };
        let opening = opening.as_ref().map(|(opening, _)| opening);
        let delivery = Delivery { notification, content: &content, opening };
        let started = Instant::now();
        let mut failure = None;
        // remembered on success, so that only a crash in between sends the same mail again
        let outcome = ctx
            .step("deliver", || async {
                channel.deliver(delivery).await.map_err(|error| {
                    failure = Some(error.clone());
                    Error::retry(error)
                })
            })
            .await;
        metrics::DELIVERY_SECONDS.observe([channel.name()], started.elapsed().as_secs_f64());
        match (outcome, failure) {
            (Ok(receipt), _) => Ok(Ok(receipt)),
            (Err(_), Some(failure)) => Ok(Err(failure)),
            (Err(error), None) => Err(error),
        }
    }
}

/// What communication reads.
#[derive(Debug, Clone)]
pub enum Input {
    /// An event of every incident.
    Event(LifecycleEvent),
    /// An incident that has changed: it may be news.
    Updated(Box<Incident>),
}

impl Communication {
    /// Announces an event of an incident, which is as `incident`; the threads that have not begun begin with it as it stands.
    async fn tell(
        &self,
        event: LifecycleEvent,
        incident: Incident,
        known: &[(Notification, NotificationState)],
        ctx: &Context,
    ) -> Result<Effects, Error> {
        let catalogue = ctx.store.catalogue().await?;
        let directory = Directory { options: &self.options, catalogue: &catalogue, channels: &self.channels };
        let now = ctx.wall_clock();
        let summary = IncidentSummary::of(&incident);
        let service = summary.service.as_deref();
        let chosen = match event.news() {
            Some(News::Escalated { level, .. }) => directory.escalate(service, *level),
            _ => directory.choose(service, summary.severity, event.kind()),
        };
        let mut threads = self.pending(&event, &chosen, known);
        threads.retain(|thread| table::is_sent(&event, summary.severity, thread.channel));
        if threads.is_empty() {
            return Ok(count_not_repeated(&event));
        }
        if event.kind() != Kind::Resolved && incident.is_muted(now) {
            metrics::MUTED.add_one([event.kind().name()]);
            return Ok(notifications::muted(&event, &incident));
        }
        let mut effects = Effects::none();
        if !event.is_first() && threads.iter().any(|thread| thread.subject.is_none()) {
            effects = self.begin(&mut threads, incident.clone(), &directory, now)?;
        }
        let begins = match event.news() {
            Some(News::Severity { before, after, .. }) => {
                escalation::applies(*after, &self.options) && !escalation::applies(*before, &self.options)
            }
            _ => event.kind() == Kind::Opened && event.occurrence() > 0,
        };
        // another event may have opened the thread: then the opening itself has nothing left to announce
        let opens = openings(known).next().is_none() && incident.state.is_open();
        if begins || opens {
            effects.timers.extend(escalation::begin(&incident, now, &self.options)?);
        }
        let content = NotificationContent { incident: summary, event };
        let reply = self.announce(&content, &threads, chosen.unusable, now)?;
        effects.writes.extend(reply.writes);
        effects.timers.extend(reply.timers);
        effects.audit.extend(reply.audit);
        Ok(effects)
    }

    /// Announces what is new of an incident that has changed, if anything is.
    async fn updated(&self, changed: &Incident, ctx: &Context) -> Result<Effects, Error> {
        let known = ctx.store.notifications(changed.incident_id).await?;
        let announced = Announced::of(known.iter().map(|(notification, _)| notification));
        match announced.news(changed) {
            Some(update) => {
                let event = LifecycleEvent::Update(Box::new(update));
                self.tell(event, changed.clone(), &known, ctx).await
            }
            None => Ok(Effects::none()),
        }
    }

    /// Calls the next level of an incident that nobody has acknowledged.
    async fn escalate(&self, step: &Escalate, ctx: &Context) -> Result<Effects, Error> {
        let incident = incident(step.incident_id, ctx).await?;
        let due = escalation::decide(step, &incident, ctx.wall_clock(), &self.options);
        let next = escalation::timer(&Escalate { step: step.step + 1, ..step.clone() }, &self.options)?;
        let mut effects = match due {
            Due::Over => return Ok(Effects::none()),
            Due::Quiet => Effects::none(),
            Due::Call { level, round, minutes } => {
                let update = escalation::news(step, &incident, level, round, minutes);
                let known = ctx.store.notifications(step.incident_id).await?;
                let event = LifecycleEvent::Update(Box::new(update));
                let line = notifications::escalated(&event, level, round, minutes);
                let mut effects = self.tell(event, incident, &known, ctx).await?;
                effects.audit.push(line);
                effects
            }
        };
        effects.timers.extend(next);
        Ok(effects)
    }
}

#[async_trait]
impl Stage for Communication {
    const AGENT: Agent = Agent::Communication;
    type Input = Input;

    fn decode(topic: Topic, payload: &[u8]) -> Result<Input, Refusal> {
        Ok(Input::Event(match topic {
            Topic::IncidentsOpened => LifecycleEvent::Opened(Box::new(decode(payload)?)),
            Topic::IncidentsResolved => LifecycleEvent::Resolved(Box::new(decode(payload)?)),
            Topic::RcaCompleted => LifecycleEvent::RootCause(Box::new(decode(payload)?)),
            Topic::Plans => LifecycleEvent::Plan(Box::new(decode(payload)?)),
            Topic::Postmortems => LifecycleEvent::Postmortem(Box::new(decode(payload)?)),
            Topic::IncidentsUpdated => return Ok(Input::Updated(Box::new(decode(payload)?))),
            other => return Err(Refusal::Invalid(format!("communication does not consume {other}"))),
        }))
    }

    fn key(input: &Input) -> Key {
        match input {
            Input::Event(event) => event.incident_id().into(),
            Input::Updated(incident) => incident.incident_id.into(),
        }
    }

    async fn handle(&self, input: &Input, ctx: &Context) -> Result<Effects, Error> {
        let event = match input {
            Input::Event(event) => event,
            Input::Updated(changed) => return self.updated(changed, ctx).await,
        };
        let id = event.incident_id();
        let known = ctx.store.notifications(id).await?;
        let incident = match event {
            LifecycleEvent::Opened(incident) | LifecycleEvent::Resolved(incident) => (**incident).clone(),
            _ => incident(id, ctx).await?,
        };
        let announced = Announced::of(known.iter().map(|(notification, _)| notification));
        let update = match event {
            LifecycleEvent::RootCause(cause) => announced.corrected(cause),
            LifecycleEvent::Plan(plan) => announced.replaced(plan),
            _ => None,
        };
        let event = update.map_or_else(|| event.clone(), |update| LifecycleEvent::Update(Box::new(update)));
        self.tell(event, incident, &known, ctx).await
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        if timer.name == Escalate::NAME {
            return self.escalate(&timer.read()?, ctx).await;
        }
        let due: Send = timer.read()?;
        let Some((notification, state)) = ctx.store.notification(due.notification_id).await? else {
            return Err(Error::reject(anyhow::anyhow!(
                "notification {} does not exist",
                due.notification_id
            )));
        };
        if state != NotificationState::Pending {
            return Ok(Effects::none());
        }
        let outcome = self.deliver(&notification, ctx).await?;
        let now = ctx.wall_clock();
        let kind = notification.kind.name();
        let (effects, name) = match &outcome {
            Ok(receipt) => {
                metrics::RECIPIENTS_REFUSED.add([kind], receipt.refused.len() as u64);
                tracing::info!(
                    incident = %notification.incident_id, kind, channel = %notification.channel, answer = receipt.answer,
                    "notification sent"
                );
                (notifications::sent(&notification, receipt, now), "sent")
            }
            Err(failure) => {
                let effects =
                    notifications::failed(&self.options, &notification, failure, timer.attempts, now);
                let (incident, channel, attempts) =
                    (notification.incident_id, &notification.channel, timer.attempts.saturating_add(1));
                let name = if effects.again.is_some() {
                    tracing::warn!(%incident, kind, %channel, attempts, %failure, "notification failed; retry scheduled");
                    "again"
                } else {
                    tracing::error!(%incident, kind, %channel, attempts, %failure, "notification failed; given up");
                    "failed"
                };
                (effects, name)
            }
        };
        metrics::ATTEMPTS.add_one([kind, name]);
        Ok(effects)
    }
}

/// Returns the first notification of each thread.
fn openings(known: &[(Notification, NotificationState)]) -> impl Iterator<Item = &Notification> {
    known.iter().map(|(notification, _)| notification).filter(|one| one.kind == Kind::Opened)
}

fn count_not_repeated(event: &LifecycleEvent) -> Effects {
    metrics::NOT_REPEATED.add_one([event.kind().name()]);
    notifications::not_repeated(event)
}

/// Returns an incident as it stands.
async fn incident(id: IncidentId, ctx: &Context) -> Result<Incident, Error> {
    let found = ctx.store.incident(id).await?;
    found.ok_or_else(|| Error::reject(anyhow::anyhow!("incident {id} does not exist")))
}
