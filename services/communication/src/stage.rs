//! The stage: reads what is on record, decides, and sends when a timer fires.

use std::time::Instant;

use async_trait::async_trait;
use shared::agent::Agent;
use shared::events::{Incident, Refusal, Topic, decode};
use shared::ids::IncidentId;
use shared::stage::{Context, Effects, Error, Key, Stage, Timer};
use shared::store::{Notification, NotificationState};

use crate::channel::{Channels, Failure, Receipt};
use crate::content::{
    AddressClass, IncidentSummary, Kind, LifecycleEvent, NotificationContent, notification_id,
};
use crate::metrics;
use crate::notifications::{self, Announcement, Send, Thread};
use crate::options::Options;
use crate::recipients::Directory;

/// Notifies people: five messages in one thread on each channel.
pub struct Communication {
    options: Options,
    channels: Channels,
}

impl Communication {
    /// Builds the stage over its channels.
    pub fn new(options: Options, channels: Channels) -> Self {
        Self { options, channels }
    }

    /// Returns the channels on which no notification of that event is on record.
    async fn pending(&self, event: &LifecycleEvent, ctx: &Context) -> Result<Vec<&'static str>, Error> {
        let (id, kind, occurrence) = (event.incident_id(), event.kind(), event.occurrence());
        let mut pending = Vec::new();
        for channel in self.channels.names() {
            let notification = notification_id(id, kind, occurrence, channel, AddressClass::All);
            if ctx.store.notification(notification).await?.is_none() {
                pending.push(channel);
            }
        }
        Ok(pending)
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
        let started = Instant::now();
        let mut failure = None;
        // remembered on success, so that only a crash in between sends the same mail again
        let outcome = ctx
            .step("deliver", || async {
                channel.deliver(notification, &content).await.map_err(|error| {
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

#[async_trait]
impl Stage for Communication {
    const AGENT: Agent = Agent::Communication;
    type Input = LifecycleEvent;

    fn decode(topic: Topic, payload: &[u8]) -> Result<LifecycleEvent, Refusal> {
        match topic {
            Topic::IncidentsOpened => Ok(LifecycleEvent::Opened(Box::new(decode(payload)?))),
            Topic::IncidentsResolved => Ok(LifecycleEvent::Resolved(Box::new(decode(payload)?))),
            Topic::RcaCompleted => Ok(LifecycleEvent::RootCause(Box::new(decode(payload)?))),
            Topic::Plans => Ok(LifecycleEvent::Plan(Box::new(decode(payload)?))),
            Topic::Postmortems => Ok(LifecycleEvent::Postmortem(Box::new(decode(payload)?))),
            other => Err(Refusal::Invalid(format!("communication does not consume {other}"))),
        }
    }

    fn key(event: &LifecycleEvent) -> Key {
        event.incident_id().into()
    }

    async fn handle(&self, event: &LifecycleEvent, ctx: &Context) -> Result<Effects, Error> {
        let id = event.incident_id();
        let pending = self.pending(event, ctx).await?;
        if pending.is_empty() {
            return Ok(count_not_repeated(event));
        }
        let catalogue = ctx.store.catalogue().await?;
        let directory = Directory { options: &self.options, catalogue: &catalogue, channels: &self.channels };
        let now = ctx.wall_clock();
        let announce = |content: &NotificationContent, threads: &[Thread]| {
            notifications::announce(&directory, content, threads, now).map(counted).map_err(Error::reject)
        };
        let mut stored = None;
        let summary = match event {
            LifecycleEvent::Opened(incident) | LifecycleEvent::Resolved(incident) => {
                IncidentSummary::of(incident)
            }
            _ => IncidentSummary::of(stored.insert(incident(id, ctx).await?)),
        };
        let content = NotificationContent { incident: summary, event: event.clone() };
        let mut threads = Vec::new();
        for channel in pending {
            let subject = if event.is_first() { None } else { opened_on(channel, id, ctx).await? };
            threads.push(Thread { channel, subject });
        }
        let mut effects = Effects::none();
        if !event.is_first() && threads.iter().any(|thread| thread.subject.is_none()) {
            // topics are read side by side, so the event may come before the opening: a reply needs a first message, so the
            // thread begins with the incident as it stands
            let incident = match stored {
                Some(incident) => incident,
                None => incident(id, ctx).await?,
            };
            let incident = Incident { reopened: 0, ..incident };
            let opening = NotificationContent {
                incident: IncidentSummary::of(&incident),
                event: LifecycleEvent::Opened(Box::new(incident)),
            };
            let new: Vec<Thread> =
                threads.iter().filter(|thread| thread.subject.is_none()).cloned().collect();
            effects = announce(&opening, &new)?;
            for thread in &mut threads {
                thread.subject.get_or_insert_with(|| opening.incident.subject());
            }
        }
        let reply = announce(&content, &threads)?;
        if reply.writes.is_empty() {
            return Ok(count_not_repeated(event));
        }
        effects.writes.extend(reply.writes);
        effects.timers.extend(reply.timers);
        effects.audit.extend(reply.audit);
        Ok(effects)
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
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

/// Counts what a decision could not use.
fn counted(announcement: Announcement) -> Effects {
    metrics::ADDRESSES_UNUSABLE.add([], announcement.unusable as u64);
    announcement.effects
}

fn count_not_repeated(event: &LifecycleEvent) -> Effects {
    metrics::NOT_REPEATED.add_one([event.kind().name()]);
    notifications::not_repeated(event)
}

/// Returns the subject of the opening on a channel, if there is one.
async fn opened_on(channel: &str, id: IncidentId, ctx: &Context) -> Result<Option<String>, Error> {
    let opened = notification_id(id, Kind::Opened, 0, channel, AddressClass::All);
    Ok(ctx.store.notification(opened).await?.map(|(opened, _)| opened.subject))
}

/// Returns an incident as it stands.
async fn incident(id: IncidentId, ctx: &Context) -> Result<Incident, Error> {
    let found = ctx.store.incident(id).await?;
    found.ok_or_else(|| Error::reject(anyhow::anyhow!("incident {id} does not exist")))
}
