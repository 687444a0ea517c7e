//! What a stage is: a function from one event to [`Effects`]. The runtime in [`mod@run`] owns offsets, retries, order,
//! transactions and shutdown.

pub mod command;
pub mod limits;
pub mod run;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use tracing::Instrument as _;

use crate::agent::Agent;
use crate::clock::Clock;
pub use crate::effects::{Audit, Effects, Guard, IncidentChange, Timer, TimerPayload};
pub use crate::error::{Class, Error};
pub use crate::events::Outgoing;
use crate::events::{Event, Refusal, Topic};
use crate::failpoint::Failpoint;
use crate::ids::{EventId, IncidentId};
use crate::store::{ArtifactKind, Reads, Store, Write};
use crate::trace;
pub use limits::Limits;

/// Pause between two tries to journal a step.
const JOURNAL_PAUSE: Duration = Duration::from_millis(500);

/// What must stay in order: events with the same key are handled one after another.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Key(pub String);

impl<T: std::fmt::Display> From<T> for Key {
    fn from(value: T) -> Self {
        Self(value.to_string())
    }
}

/// A stage of the pipeline.
#[async_trait]
pub trait Stage: Send + Sync + 'static {
    /// Whose stage it is.
    const AGENT: Agent;
    /// Consumer group, and the value of the label `stage` of its metrics.
    const NAME: &'static str = Self::AGENT.name();
    /// Topics it reads.
    const TOPICS: &'static [Topic] = Self::AGENT.inputs();
    /// Most events of one key that are decided together.
    const BATCH: usize = 1;
    /// Its input, decoded.
    type Input: Send + Sync + 'static;

    /// Reads one record.
    fn decode(topic: Topic, payload: &[u8]) -> Result<Self::Input, Refusal>;

    /// Returns what must stay in order.
    fn key(input: &Self::Input) -> Key;

    /// Decides what follows from one event. Runs without an open transaction and may run more than once for the same
    /// event; paid or outside work goes through [`Context::step`].
    async fn handle(&self, input: &Self::Input, ctx: &Context) -> Result<Effects, Error>;

    /// Decides what follows from several events of one key, in their order: each decision knows those before it. Returns the
    /// effects of the first ones, at least of one. They are applied in one transaction, and the rest is asked for again.
    async fn handle_all(&self, events: &[(&Self::Input, &Context)]) -> Result<Vec<Effects>, Error> {
        let Some((input, ctx)) = events.first() else { return Ok(Vec::new()) };
        Ok(vec![self.handle(input, ctx).await?])
    }

    /// Decides what follows from a timer that has come due. May run more than once, too.
    async fn on_timer(&self, timer: &Timer, _ctx: &Context) -> Result<Effects, Error> {
        Err(Error::reject(anyhow::anyhow!(
            "{} has no timers, yet one is called {:?}",
            Self::NAME,
            timer.name
        )))
    }
}

/// What a decision may know besides its input.
#[derive(Clone)]
pub struct Context {
    /// The event, or the timer, that is handled.
    pub event_id: EventId,
    /// `traceparent` of the input, if it had one.
    pub traceparent: Option<String>,
    /// What the decision may ask of the database.
    pub store: Reads,
    /// Where steps are journalled.
    pub(crate) journal: Store,
    pub(crate) stage: Agent,
    pub(crate) clock: Arc<dyn Clock>,
}

impl Context {
    /// Returns the wall clock's time: for records of when something was done, never for decisions about the event.
    pub fn wall_clock(&self) -> Timestamp {
        self.clock.now()
    }

    /// Runs paid or outside work once: if a step of that name already succeeded for this event, its result is
    /// returned instead.
    pub async fn step<T, F, Fut>(&self, name: &str, work: F) -> Result<T, Error>
    where
        T: Serialize + DeserializeOwned,
        F: FnOnce() -> Fut + Send,
        Fut: Future<Output = Result<T, Error>> + Send,
    {
        if let Some(done) = self.journal.step(self.stage.name(), self.event_id, name).await? {
            return serde_json::from_value(done).map_err(Error::fatal);
        }
        let span = trace::step(name);
        let result = work().instrument(span.clone()).await.inspect_err(|_| trace::failed(&span))?;
        Failpoint::Stepped.hit();
        let value = serde_json::to_value(&result).map_err(Error::fatal)?;
        self.record_step(name, &value).await;
        Failpoint::Journalled.hit();
        Ok(result)
    }

    /// Records that a step is done. Retries until the decision deadline, so that a lost connection does not repeat
    /// external work; only after the deadline or a crash it is done again.
    async fn record_step(&self, name: &str, value: &serde_json::Value) {
        while let Err(error) = self.journal.remember_step(self.stage.name(), self.event_id, name, value).await
        {
            tracing::warn!(event = %self.event_id, name, %error, "step not journalled yet; retrying");
            tokio::time::sleep(JOURNAL_PAUSE).await;
        }
    }

    /// Returns the effects of a finished result: it is stored and published. The id of its event is derived from topic,
    /// incident and revision.
    pub fn completed<E: Event>(
        &self,
        kind: ArtifactKind,
        incident_id: IncidentId,
        revision: u32,
        result: &E,
        at: Timestamp,
    ) -> Result<Effects, Error> {
        let (topic, body) = (kind.topic(), serde_json::to_value(result).map_err(Error::reject)?);
        let id = EventId::of(topic.name(), &incident_id.to_string(), revision);
        Ok(Effects {
            writes: vec![Write::Artifact { incident_id, kind, revision, body }],
            publish: vec![self.outgoing(topic, result, id, at)?],
            ..Effects::none()
        })
    }

    /// Wraps an event for publication by this stage.
    pub fn outgoing<E: Event>(
        &self,
        topic: Topic,
        event: &E,
        id: EventId,
        time: Timestamp,
    ) -> Result<Outgoing, Error> {
        Outgoing::new(topic, event, id, self.stage.name(), time, self.traceparent.as_deref())
    }
}
