//! [`Effects`]: what follows from an event, as a plain value. A stage returns it, the runtime applies it.

use std::hash::{BuildHasher as _, RandomState};

use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;

use crate::audit::AuditAction;
use crate::error::Error;
use crate::events::{Outgoing, Topic};
use crate::ids::{EventId, IncidentId};
use crate::lifecycle;
use crate::store::Write;

/// One line of the audit trail.
#[derive(Debug, Clone, PartialEq)]
pub struct Audit {
    /// Incident.
    pub incident_id: IncidentId,
    /// Event time.
    pub at: Timestamp,
    /// What kind of thing happened.
    pub action: AuditAction,
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
    /// `traceparent` of what set it; the runtime fills it in.
    pub traceparent: Option<String>,
}

/// What a timer carries. Its fields are on record; they change as those of an event do.
pub trait TimerPayload: Serialize + DeserializeOwned {
    /// Name of the timer, unique within its stage.
    const NAME: &'static str;
}

impl Timer {
    /// Sets a timer with an id derived from name, key and `seed`.
    pub fn new<P: TimerPayload>(
        key: impl Into<String>,
        seed: &[&str],
        due: Timestamp,
        payload: &P,
    ) -> Result<Self, Error> {
        let payload = serde_json::to_value(payload).map_err(Error::reject)?;
        Ok(Self::named(P::NAME, key, seed, due, payload))
    }

    /// Sets a timer of any name and payload.
    pub fn named(
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
            traceparent: None,
        }
    }

    /// Returns the payload, or a reject that names the timer.
    pub fn read<P: TimerPayload>(&self) -> Result<P, Error> {
        serde_json::from_value(self.payload.clone())
            .map_err(|error| Error::reject(anyhow::anyhow!("timer {} of {}: {error}", self.name, self.key)))
    }

    /// Returns the reject for a timer of a name that the stage does not know.
    pub fn unknown(&self) -> Error {
        Error::reject(anyhow::anyhow!("unknown timer {:?} of {}", self.name, self.key))
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
    /// Version that it has with the effects: any that it never had.
    pub next: i64,
}

impl Guard {
    /// Guards what was read at `version`.
    pub fn new(scope: impl Into<String>, version: i64) -> Self {
        Self { scope: scope.into(), version, next: version.wrapping_add(1) }
    }

    /// Guards what was read at `version`, and moves it on to a version that no other decision moves it to: whoever finds that
    /// version later knows that this decision was applied, and nothing after it.
    pub fn unique(scope: impl Into<String>, version: i64) -> Self {
        // positive, with room to count on
        let next = (RandomState::new().hash_one(version) >> 2) as i64;
        Self { scope: scope.into(), version, next }
    }
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

    /// Adds writes, timers and audit lines of another decision on the same event.
    pub fn extend(&mut self, other: Self) {
        self.writes.extend(other.writes);
        self.timers.extend(other.timers);
        self.audit.extend(other.audit);
    }

    /// Returns whether nothing follows.
    pub fn is_empty(&self) -> bool {
        *self == Self::default()
    }
}
