//! What a stage is: a function from one event to [`Effects`]. The runtime in [`mod@run`] owns offsets, retries, order,
//! transactions and shutdown.

pub mod limits;
pub mod replay;
pub mod run;
pub mod timers;

use std::future::Future;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::clock::Clock;
pub use crate::error::{Class, Error};
pub use crate::events::Outgoing;
use crate::events::{Event, Refusal, Topic};
use crate::gap::Gap;
use crate::ids::{EventId, IncidentId};
use crate::store::{Store, Write, lifecycle};
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
    /// Consumer group, dead-letter topic and metric prefix.
    const NAME: &'static str;
    /// Topics it reads.
    const TOPICS: &'static [Topic];
    /// Its input, decoded.
    type Input: Send + Sync + 'static;

    /// Reads one record.
    fn decode(topic: Topic, payload: &[u8]) -> Result<Self::Input, Refusal>;

    /// Returns what must stay in order.
    fn key(input: &Self::Input) -> Key;

    /// Decides what follows from one event. Runs without an open transaction and may run more than once for the same
    /// event; paid or outside work goes through [`Context::step`].
    async fn handle(&self, input: &Self::Input, ctx: &Context) -> Result<Effects, Error>;

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
    /// Reads.
    pub store: Store,
    pub(crate) stage: &'static str,
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
        if let Some(done) = self.store.step(self.stage, self.event_id, name).await? {
            return serde_json::from_value(done).map_err(Error::fatal);
        }
        let result = work().await?;
        Gap::Stepped.reach();
        let value = serde_json::to_value(&result).map_err(Error::fatal)?;
        self.journal(name, &value).await;
        Gap::Journalled.reach();
        Ok(result)
    }

    /// Notes that a step is done. Work must not be done again for want of a connection, so this is tried until the
    /// time of the decision is up: only then, and after a crash, it is done again.
    async fn journal(&self, name: &str, value: &serde_json::Value) {
        while let Err(error) = self.store.remember_step(self.stage, self.event_id, name, value).await {
            tracing::warn!(event = %self.event_id, name, %error, "a step is done and not journalled yet");
            tokio::time::sleep(JOURNAL_PAUSE).await;
        }
    }

    /// Wraps an event for publication by this stage.
    pub fn outgoing<E: Event>(
        &self,
        topic: Topic,
        event: &E,
        id: EventId,
        time: Timestamp,
    ) -> Result<Outgoing, Error> {
        Outgoing::new(topic, event, id, self.stage, time, self.traceparent.as_deref())
    }
}

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Incident.
    pub incident_id: IncidentId,
    /// Event time.
    pub at: Timestamp,
    /// What kind of thing happened, e.g. `opened`, `mail_sent`; stable, for programs.
    pub action: &'static str,
    /// What happened, in one sentence for people.
    pub summary: String,
    /// Facts.
    pub detail: serde_json::Value,
}

/// Something that is due at a time. Timers of one key are run one after another, in the order they were set.
#[derive(Debug, Clone, PartialEq)]
pub struct Timer {
    /// Derived; setting the same timer again changes nothing.
    pub id: EventId,
    /// What must stay in order.
    pub key: String,
    /// What it is for.
    pub name: String,
    /// When it is due, by the wall clock.
    pub due: Timestamp,
    /// What it needs to know.
    pub payload: serde_json::Value,
    /// How often it has rung so far.
    pub attempts: u32,
    /// How often that ended in an error of its own.
    pub failures: u32,
}

impl Timer {
    /// Sets a timer with a derived id.
    pub fn new(
        name: &str,
        key: impl Into<String>,
        seed: &[&str],
        due: Timestamp,
        payload: serde_json::Value,
    ) -> Self {
        let key = key.into();
        let mut parts = vec!["timer", name, key.as_str()];
        parts.extend_from_slice(seed);
        Self {
            id: EventId(crate::ids::derive(&parts)),
            key,
            name: name.to_owned(),
            due,
            payload,
            attempts: 0,
            failures: 0,
        }
    }
}

/// A change of an incident, applied under its row lock by the state machine.
#[derive(Debug, Clone, PartialEq)]
pub struct IncidentChange {
    /// Incident.
    pub incident_id: IncidentId,
    /// What happened to it.
    pub change: lifecycle::Change,
    /// Topic on which the incident is published as it stands after the change, if any.
    pub publish: Option<Topic>,
}

/// What the decision rests on: if the scope has moved on since it was read, the decision is made again.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Guard {
    /// Neighbourhood, e.g. `production`.
    pub scope: String,
    /// Version that was read.
    pub version: i64,
}

/// What follows from an event. A plain value: the runtime alone applies it, in one transaction.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Effects {
    /// Version the decision rests on.
    pub guard: Option<Guard>,
    /// Changes of incidents, in order.
    pub incidents: Vec<IncidentChange>,
    /// Rows of the stage.
    pub writes: Vec<Write>,
    /// Audit trail.
    pub audit: Vec<Audit>,
    /// Events to publish.
    pub publish: Vec<Outgoing>,
    /// Timers to set.
    pub timers: Vec<Timer>,
    /// For a timer: it is not done, but due again at that time. What else the effects hold is written all the same,
    /// so that a failed attempt is on record.
    pub again: Option<Timestamp>,
}

impl Effects {
    /// Nothing follows.
    pub fn none() -> Self {
        Self::default()
    }

    /// Tells whether nothing follows.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
