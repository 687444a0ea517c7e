//! The stage: reads what is known, decides, and sends when a timer says so.

use std::time::Instant;

use async_trait::async_trait;
use serde::Deserialize;
use shared::events::{Incident, Refusal, Topic, decode};
use shared::ids::{EventId, IncidentId};
use shared::stage::{Context, Effects, Error, Key, Stage, Timer};
use shared::store::{Notification, NotificationState};

use crate::channel::{Channels, Failure, Receipt};
use crate::decide::{self, Announcement, Thread};
use crate::metrics::Metric;
use crate::occasion::{About, AddressClass, Kind, News, Occasion, notification_id};
use crate::options::Options;
use crate::recipients::Directory;

/// Tells people: five mails in one thread.
pub struct Communication {
    options: Options,
    channels: Channels,
}

/// What the timer that sends knows.
#[derive(Deserialize)]
struct Due {
    notification_id: EventId,
}

impl Communication {
    /// Builds the stage over its channels.
    pub fn new(options: Options, channels: Channels) -> Self {
        Self { options, channels }
    }

    /// Returns the channels on which no notification of that kind is on record.
    async fn pending(&self, id: IncidentId, kind: Kind, ctx: &Context) -> Result<Vec<&'static str>, Error> {
        let mut pending = Vec::new();
        for channel in self.channels.names() {
            let notification = notification_id(id, kind, channel, AddressClass::All);
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
        let occasion: Occasion = match serde_json::from_value(notification.event.clone()) {
            Ok(occasion) => occasion,
            Err(error) => return Ok(Err(Failure::Permanent(format!("cannot be read: {error}")))),
        };
        let Some(channel) = self.channels.get(&notification.channel) else {
            return Ok(Err(Failure::Permanent(format!("there is no channel {:?}", notification.channel))));
        };
        let begun = Instant::now();
        let mut failure = None;
        // remembered on success, so that only a crash in between sends the same mail again
        let outcome = ctx
            .step("deliver", || async {
                channel.deliver(notification, &occasion).await.map_err(|error| {
                    failure = Some(error.clone());
                    Error::retry(error)
                })
            })
            .await;
        metrics::histogram!(Metric::DeliverySeconds.name(), "channel" => channel.name())
            .record(begun.elapsed());
        match (outcome, failure) {
            (Ok(receipt), _) => Ok(Ok(receipt)),
            (Err(_), Some(failure)) => Ok(Err(failure)),
            (Err(error), None) => Err(error),
        }
    }
}

#[async_trait]
impl Stage for Communication {
    const NAME: &'static str = "communication";
    const TOPICS: &'static [Topic] = &[
        Topic::IncidentsOpened,
        Topic::IncidentsResolved,
        Topic::RcaCompleted,
        Topic::Plans,
        Topic::Postmortems,
    ];
    type Input = News;

    fn decode(topic: Topic, payload: &[u8]) -> Result<News, Refusal> {
        match topic {
            Topic::IncidentsOpened => Ok(News::Opened(Box::new(decode(payload)?))),
            Topic::IncidentsResolved => Ok(News::Resolved(Box::new(decode(payload)?))),
            Topic::RcaCompleted => Ok(News::RootCause(Box::new(decode(payload)?))),
            Topic::Plans => Ok(News::Plan(Box::new(decode(payload)?))),
            Topic::Postmortems => Ok(News::Postmortem(Box::new(decode(payload)?))),
            other => Err(Refusal::Invalid(format!("{other} is not read here"))),
        }
    }

    fn key(news: &News) -> Key {
        news.incident_id().into()
    }

    async fn handle(&self, news: &News, ctx: &Context) -> Result<Effects, Error> {
        let (id, kind) = (news.incident_id(), news.kind());
        let pending = self.pending(id, kind, ctx).await?;
        if pending.is_empty() {
            return Ok(not_repeated(news));
        }
        let catalogue = ctx.store.catalogue().await?;
        let directory = Directory { options: &self.options, catalogue: &catalogue, channels: &self.channels };
        let now = ctx.wall_clock();
        let announce = |occasion: &Occasion, threads: &[Thread]| {
            decide::announce(&directory, occasion, threads, now).map(counted).map_err(Error::reject)
        };
        let about = match news {
            News::Opened(incident) | News::Resolved(incident) => About::incident(incident),
            _ => About::incident(&incident(id, ctx).await?),
        };
        let occasion = Occasion { about, news: news.clone() };
        let mut threads = Vec::new();
        for channel in pending {
            let subject = match kind {
                Kind::Opened => None,
                _ => opened_on(channel, id, ctx).await?,
            };
            threads.push(Thread { channel, subject });
        }
        let mut effects = Effects::none();
        if kind != Kind::Opened && threads.iter().any(|thread| thread.subject.is_none()) {
            // these news overtook the opening, for topics are read side by side: the thread begins with the incident as
            // it stands, since a reply needs something to reply to
            let incident = incident(id, ctx).await?;
            let opening =
                Occasion { about: About::incident(&incident), news: News::Opened(Box::new(incident)) };
            let begun: Vec<Thread> =
                threads.iter().filter(|thread| thread.subject.is_none()).cloned().collect();
            effects = announce(&opening, &begun)?;
            for thread in &mut threads {
                thread.subject.get_or_insert_with(|| opening.about.subject());
            }
        }
        let reply = announce(&occasion, &threads)?;
        if reply.writes.is_empty() {
            return Ok(not_repeated(news));
        }
        effects.writes.extend(reply.writes);
        effects.timers.extend(reply.timers);
        effects.audit.extend(reply.audit);
        Ok(effects)
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        let due: Due = serde_json::from_value(timer.payload.clone()).map_err(Error::reject)?;
        let Some((notification, state)) = ctx.store.notification(due.notification_id).await? else {
            return Err(Error::reject(anyhow::anyhow!("there is no notification {}", due.notification_id)));
        };
        if state != NotificationState::Pending {
            return Ok(Effects::none());
        }
        let outcome = self.deliver(&notification, ctx).await?;
        let now = ctx.wall_clock();
        let kind = notification.kind.clone();
        let (effects, name) = match &outcome {
            Ok(receipt) => {
                metrics::counter!(Metric::RecipientsRefused.name(), "kind" => kind.clone())
                    .increment(receipt.refused.len() as u64);
                tracing::info!(incident = %notification.incident_id, kind, answer = receipt.answer, "mail sent");
                (decide::sent(&notification, receipt, now), "sent")
            }
            Err(failure) => {
                let effects = decide::failed(&self.options, &notification, failure, timer.attempts, now);
                let name = if effects.again.is_some() { "again" } else { "failed" };
                tracing::warn!(
                    incident = %notification.incident_id, kind, attempts = timer.attempts + 1, outcome = name, %failure,
                    "mail not sent"
                );
                (effects, name)
            }
        };
        metrics::counter!(Metric::Attempts.name(), "kind" => kind, "outcome" => name).increment(1);
        Ok(effects)
    }
}

/// Counts what a decision could not use.
fn counted(announcement: Announcement) -> Effects {
    metrics::counter!(Metric::AddressesUnusable.name()).increment(announcement.unusable as u64);
    announcement.effects
}

fn not_repeated(news: &News) -> Effects {
    metrics::counter!(Metric::NotRepeated.name(), "kind" => news.kind().name()).increment(1);
    decide::already_told(news)
}

/// Returns the subject of the opening on a channel, if there is one.
async fn opened_on(channel: &str, id: IncidentId, ctx: &Context) -> Result<Option<String>, Error> {
    let opened = notification_id(id, Kind::Opened, channel, AddressClass::All);
    Ok(ctx.store.notification(opened).await?.map(|(opened, _)| opened.subject))
}

/// Returns an incident as it stands.
async fn incident(id: IncidentId, ctx: &Context) -> Result<Incident, Error> {
    let found = ctx.store.incident(id).await?;
    found.ok_or_else(|| Error::reject(anyhow::anyhow!("there is no incident {id}")))
}
