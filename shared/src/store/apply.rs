//! Effects become rows, in one transaction.

mod rows;

use std::collections::{BTreeMap, BTreeSet};

use deadpool_postgres::Transaction;
use tokio_postgres::types::Json;
use tracing::Span;
use uuid::Uuid;

use super::context::Contexts;
use super::timers::attempt_id;
use super::{Error, Store, context, prepared, row};
use crate::effects::{Effects, Guard, IncidentChange, Timer};
use crate::events::{Incident, Outgoing, Topic};
use crate::failpoint::Failpoint;
use crate::ids::{EventId, IncidentId};
use crate::lifecycle;
use crate::trace;

/// What became of effects.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Applied {
    /// Written.
    Committed,
    /// They had been written before; nothing changed.
    Duplicate,
}

/// What caused the effects.
#[derive(Debug, Clone, Copy)]
pub enum Cause<'a> {
    /// An event of the bus, recorded in the inbox.
    Event(EventId),
    /// A timer, which is done with its effects.
    Timer(&'a Timer),
}

impl Cause<'_> {
    /// Returns the id its audit lines are known by.
    fn audit_id(&self) -> EventId {
        match self {
            Self::Event(id) => *id,
            Self::Timer(timer) => attempt_id(timer.id, timer.attempts),
        }
    }
}

/// Effects, with what caused them.
#[derive(Debug, Clone)]
pub struct Decided<'a> {
    /// What caused them.
    pub cause: Cause<'a>,
    /// `traceparent` of the cause.
    pub traceparent: Option<&'a str>,
    /// What follows.
    pub effects: &'a Effects,
    /// Trace span in which they were decided.
    pub span: Span,
}

/// Incidents that a transaction changes, as they stand after the changes so far.
#[derive(Default)]
struct Incidents {
    stand: BTreeMap<IncidentId, Incident>,
    new: BTreeSet<IncidentId>,
    changed: BTreeSet<IncidentId>,
}

impl Store {
    /// Applies the effects of one event or timer: state, audit, outbox and inbox in one transaction.
    pub(crate) async fn apply(
        &self,
        stage: &str,
        cause: Cause<'_>,
        traceparent: Option<&str>,
        effects: &Effects,
    ) -> Result<Applied, Error> {
        let decided = Decided { cause, traceparent, effects, span: Span::current() };
        self.apply_all(stage, &[decided]).await
    }

    /// Applies the effects of several events or of one timer, in order and in one transaction. Where one of several events was
    /// handled before, nothing is applied and the decision is to be made again without it.
    ///
    /// Of the events about one incident on `incidents.updated` only the last one is published: nobody has seen the states before.
    pub(crate) async fn apply_all(&self, stage: &str, decided: &[Decided<'_>]) -> Result<Applied, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let fresh = self.receive(&tx, stage, decided).await?;
        if fresh < decided.len() {
            let several = || Error::Conflict { scope: "the inbox".to_owned() };
            return if decided.len() == 1 { Ok(Applied::Duplicate) } else { Err(several()) };
        }
        for guard in guards(decided) {
            advance(&tx, guard).await?;
        }
        let mut incidents = Incidents::read(&tx, decided).await?;
        let mut contexts = Contexts::new();
        let mut outbox = rows::Outbox::new(stage, self.process());
        let mut published: Vec<(&Span, Outgoing)> = Vec::new();
        for (place, Decided { effects, traceparent, span, .. }) in decided.iter().enumerate() {
            context::collect(&effects.writes, &mut contexts);
            for (order, change) in effects.incidents.iter().enumerate() {
                incidents.change(&tx, change).await?;
                if let Some(topic) = change.publish
                    && (topic != Topic::IncidentsUpdated
                        || is_last(&decided[place..], order, change.incident_id))
                {
                    let after = &incidents.stand[&change.incident_id];
                    published
                        .push((span, announcement(&tx, stage, topic, after, &contexts, *traceparent).await?));
                }
            }
            published.extend(effects.publish.iter().map(|outgoing| (span, outgoing.clone())));
        }
        incidents.write(&tx).await?;
        Failpoint::HalfWritten.hit();
        rows::write(&tx, stage, decided).await?;
        for (_, outgoing) in &published {
            outbox.put(&tx, outgoing).await?;
        }
        outbox.flush(&tx).await?;
        Failpoint::Written.hit();
        tx.commit().await?;
        Failpoint::Committed.hit();
        for (span, outgoing) in &published {
            span.in_scope(|| trace::published(outgoing));
        }
        Ok(Applied::Committed)
    }

    /// Marks events as received, and a timer as done. Returns how many were not before.
    async fn receive(
        &self,
        tx: &Transaction<'_>,
        stage: &str,
        decided: &[Decided<'_>],
    ) -> Result<usize, Error> {
        let mut events: Vec<Uuid> = Vec::with_capacity(decided.len());
        let mut fresh = 0;
        for Decided { cause, effects, .. } in decided {
            match cause {
                Cause::Event(id) => events.push(id.0),
                // the owner is the fence: whoever lost the lease changes nothing
                Cause::Timer(timer) => {
                    fresh += prepared::execute(
                        tx,
                        "update timers set state = case when $4::timestamptz is null then 'done' else 'waiting' end, \
                         due = coalesce($4, due), attempts = attempts + 1, owner = null, lease_until = null \
                         where stage = $1 and id = $2 and state = 'waiting' and owner = $3 and attempts = $5",
                        &[&stage, &timer.id.0, &self.process(), &effects.again, &(timer.attempts as i32)],
                    )
                    .await?;
                }
            }
        }
        if !events.is_empty() {
            fresh += prepared::execute(
                tx,
                // a replay takes the events in the order of these times
                "insert into processed_events (consumer, event_id, processed_at) \
                 select $1, id, now() + (place - 1) * interval '1 microsecond' \
                 from unnest($2::uuid[]) with ordinality events (id, place) on conflict do nothing",
                &[&stage, &events],
            )
            .await?;
        }
        Ok(fresh as usize)
    }
}

/// Returns the guards of all effects, each once.
fn guards<'a>(decided: &'a [Decided<'_>]) -> Vec<&'a Guard> {
    let mut guards: Vec<&Guard> = Vec::new();
    for guard in decided.iter().filter_map(|one| one.effects.guard.as_ref()) {
        if !guards.contains(&guard) {
            guards.push(guard);
        }
    }
    guards
}

/// Moves a scope on to its next version, if it still stands where it was read.
async fn advance(tx: &Transaction<'_>, guard: &Guard) -> Result<(), Error> {
    let moved = prepared::execute(
        tx,
        // a scope without a row is at version 0
        "insert into neighbourhoods (scope, version) values ($1, $3) on conflict (scope) do update set version = $3 \
         where neighbourhoods.version = $2",
        &[&guard.scope, &guard.version, &guard.next],
    )
    .await?;
    if moved == 0 {
        return Err(Error::Conflict { scope: guard.scope.clone() });
    }
    Ok(())
}

/// Returns whether no later change of the incident is published. `order` is the place of the change among those of the first
/// of `decided`.
fn is_last(decided: &[Decided<'_>], order: usize, incident: IncidentId) -> bool {
    let mut later = decided.iter().flat_map(|one| &one.effects.incidents).skip(order + 1);
    !later.any(|change| change.incident_id == incident && change.publish.is_some())
}

/// Returns the event that says how an incident stands.
async fn announcement(
    tx: &Transaction<'_>,
    stage: &str,
    topic: Topic,
    incident: &Incident,
    contexts: &Contexts,
    traceparent: Option<&str>,
) -> Result<Outgoing, Error> {
    let mut shown = incident.clone();
    context::attach(&**tx, &mut shown, contexts).await?;
    let event_id = EventId::of(topic.name(), &shown.incident_id.to_string(), shown.revision);
    let time = shown.resolved_at.unwrap_or_else(|| latest(&shown));
    Outgoing::new(topic, &shown, event_id, stage, time, traceparent)
        .map_err(|error| Error::Outgoing(error.to_string()))
}

impl Incidents {
    /// Reads and locks all incidents that are changed, always in the same order.
    async fn read(tx: &Transaction<'_>, decided: &[Decided<'_>]) -> Result<Self, Error> {
        let ids: BTreeSet<Uuid> = decided
            .iter()
            .flat_map(|one| &one.effects.incidents)
            .map(|change| change.incident_id.0)
            .collect();
        let mut incidents = Self::default();
        if !ids.is_empty() {
            let ids: Vec<Uuid> = ids.into_iter().collect();
            let statement = "select incident_id, body from incidents where incident_id = any ($1) \
                 order by incident_id for update";
            for found in prepared::query(tx, statement, &[&ids]).await? {
                let id = IncidentId(row::value(&found, "incidents", 0)?);
                incidents.stand.insert(id, row::document(&found, "incidents", 1)?);
            }
        }
        Ok(incidents)
    }

    async fn change(&mut self, tx: &Transaction<'_>, change: &IncidentChange) -> Result<(), Error> {
        let id = change.incident_id;
        let before = self.stand.remove(&id);
        let is_new = before.is_none();
        let mut after = lifecycle::apply(before, id, change.change.clone()).map_err(|illegal| {
            if change.change.is_unguarded() {
                Error::Conflict { scope: format!("incident {id}") }
            } else {
                illegal.into()
            }
        })?;
        if is_new {
            after.number = next_number(tx).await?;
            self.new.insert(id);
        }
        self.stand.insert(id, after);
        self.changed.insert(id);
        Ok(())
    }

    /// Writes those that were changed.
    async fn write(&self, tx: &Transaction<'_>) -> Result<(), Error> {
        for id in &self.changed {
            let Some(incident) = self.stand.get(id) else { continue };
            save_incident(tx, *id, &context::without(incident), self.new.contains(id)).await?;
        }
        Ok(())
    }
}

fn latest(incident: &Incident) -> jiff::Timestamp {
    incident.signals.iter().map(|signal| signal.observed_at).max().unwrap_or(incident.opened_at)
}

async fn next_number(tx: &Transaction<'_>) -> Result<i64, Error> {
    let row = tx
        .query_one(
            "insert into counters (name, value) values ('incidents', 1) \
             on conflict (name) do update set value = counters.value + 1 returning value",
            &[],
        )
        .await?;
    row::first(&row)
}

async fn save_incident(
    tx: &Transaction<'_>,
    id: IncidentId,
    incident: &Incident,
    is_new: bool,
) -> Result<(), Error> {
    let (state, severity) = (incident.state.to_string(), incident.severity.to_string());
    let revision = i32::try_from(incident.revision).unwrap_or(i32::MAX);
    let body = Json(incident);
    if is_new {
        prepared::execute(
            tx,
            "insert into incidents (incident_id, number, environment, state, severity, revision, opened_at, body) \
             values ($1, $2, $3, $4, $5, $6, $7, $8)",
            &[&id.0, &incident.number, &incident.environment, &state, &severity, &revision, &incident.opened_at, &body],
        )
        .await?;
    } else {
        prepared::execute(
            tx,
            "update incidents set state = $2, severity = $3, revision = $4, resolved_at = $5, body = $6, \
             updated_at = now() where incident_id = $1",
            &[&id.0, &state, &severity, &revision, &incident.resolved_at, &body],
        )
        .await?;
    }
    Ok(())
}
