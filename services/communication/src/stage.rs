//! The stage: reads what is known, decides, and sends when a timer says so.

use std::sync::Arc;
use std::time::Instant;

use async_trait::async_trait;
use shared::agent::Agent;
use shared::events::{Incident, Refusal, Topic, decode};
use shared::ids::IncidentId;
use shared::stage::{Context, Effects, Error, Key, Stage, Timer};
use shared::store::{Notification, NotificationState};

use crate::channel::{Channel, Failure, Receipt};
use crate::decide::{self, Send};
use crate::metrics::Metric;
use crate::occasion::{About, Kind, News, Occasion, notification_id};
use crate::options::Options;

/// Tells people: five mails in one thread.
pub struct Communication {
    options: Options,
    channel: Arc<dyn Channel>,
}

impl Communication {
    /// Builds the stage over a channel.
    pub fn new(options: Options, channel: Arc<dyn Channel>) -> Self {
        Self { options, channel }
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
        let begun = Instant::now();
        let mut failure = None;
        // remembered on success, so that only a crash in between sends the same mail again
        let outcome = ctx
            .step("deliver", || async {
                self.channel.deliver(notification, &occasion).await.map_err(|error| {
                    failure = Some(error.clone());
                    Error::retry(error)
                })
            })
            .await;
        metrics::histogram!(Metric::DeliverySeconds.name(), "channel" => self.channel.name())
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
    const AGENT: Agent = Agent::Communication;
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
        if ctx.store.notification(notification_id(id, kind)).await?.is_some() {
            metrics::counter!(Metric::NotRepeated.name(), "kind" => kind.name()).increment(1);
            return Ok(decide::already_told(news));
        }
        let catalogue = ctx.store.catalogue().await?;
        let now = ctx.wall_clock();
        let tell = |occasion: &Occasion, base: Option<&str>| {
            decide::announce(&self.options, &catalogue, occasion, base, now).map_err(Error::reject)
        };
        let about = match news {
            News::Opened(incident) | News::Resolved(incident) => About::incident(incident),
            _ => About::incident(&incident(id, ctx).await?),
        };
        let occasion = Occasion { about, news: news.clone() };
        if kind == Kind::Opened {
            return tell(&occasion, None);
        }
        if let Some((opened, _)) = ctx.store.notification(notification_id(id, Kind::Opened)).await? {
            return tell(&occasion, Some(&opened.subject));
        }
        // these news overtook the opening, for topics are read side by side: the thread begins with the incident as it
        // stands, since a reply needs something to reply to
        let incident = incident(id, ctx).await?;
        let opening = Occasion { about: About::incident(&incident), news: News::Opened(Box::new(incident)) };
        let mut effects = tell(&opening, None)?;
        let reply = tell(&occasion, Some(&opening.about.subject()))?;
        effects.writes.extend(reply.writes);
        effects.timers.extend(reply.timers);
        effects.audit.extend(reply.audit);
        Ok(effects)
    }

    async fn on_timer(&self, timer: &Timer, ctx: &Context) -> Result<Effects, Error> {
        let due: Send = timer.read()?;
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

/// Returns an incident as it stands.
async fn incident(id: IncidentId, ctx: &Context) -> Result<Incident, Error> {
    let found = ctx.store.incident(id).await?;
    found.ok_or_else(|| Error::reject(anyhow::anyhow!("there is no incident {id}")))
}
