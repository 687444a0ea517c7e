//! Effects become rows, in one transaction.

use deadpool_postgres::Transaction;
use tokio_postgres::types::Json;

use super::timers::attempt_id;
use super::{Attempt, Error, Notification, Store, Write, context, edges, prepared, row};
use crate::effects::{Audit, Effects, IncidentChange, Timer};
use crate::events::envelope::Headers;
use crate::events::incident::Signal;
use crate::events::{Deployment, Incident, Outgoing};
use crate::failpoint::Failpoint;
use crate::ids::{EventId, IncidentId};
use crate::lifecycle;
use crate::trace;

/// What became of an event's effects.
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

impl Store {
    /// Applies effects: state, audit, outbox and inbox in one transaction.
    pub(crate) async fn apply(
        &self,
        stage: &str,
        cause: Cause<'_>,
        traceparent: Option<&str>,
        effects: &Effects,
    ) -> Result<Applied, Error> {
        let mut client = self.client().await?;
        let tx = client.transaction().await?;
        let fresh = match cause {
            Cause::Event(id) => prepared::execute(
                &tx,
                "insert into processed_events (consumer, event_id) values ($1, $2) on conflict do nothing",
                &[&stage, &id.0],
            )
            .await?,
            Cause::Timer(timer) => {
                // the owner is the fence: whoever lost the lease changes nothing
                prepared::execute(
                    &tx,
                    "update timers set state = case when $4::timestamptz is null then 'done' else 'waiting' end, \
                     due = coalesce($4, due), attempts = attempts + 1, owner = null, lease_until = null \
                     where stage = $1 and id = $2 and state = 'waiting' and owner = $3 and attempts = $5",
                    &[&stage, &timer.id.0, &self.process(), &effects.again, &(timer.attempts as i32)],
                )
                .await?
            }
        };
        if fresh == 0 {
            return Ok(Applied::Duplicate);
        }
        if let Some(guard) = &effects.guard {
            let moved = prepared::execute(
                &tx,
                // a scope without a row is at version 0
                "insert into neighbourhoods (scope, version) values ($1, 1) on conflict (scope) do update set version = neighbourhoods.version + 1 \
                 where neighbourhoods.version = $2",
                &[&guard.scope, &guard.version],
            )
            .await?;
            if moved == 0 {
                return Err(Error::Conflict { scope: guard.scope.clone() });
            }
        }
        let mut changes = Vec::new();
        for change in &effects.incidents {
            changes.extend(self.change_incident(&tx, stage, traceparent, change).await?);
        }
        for write in &effects.writes {
            write_row(&tx, write).await?;
        }
        for (ordinal, audit) in effects.audit.iter().enumerate() {
            write_audit(&tx, stage, cause.audit_id(), ordinal, audit).await?;
        }
        for outgoing in &effects.publish {
            self.enqueue(&tx, stage, outgoing).await?;
        }
        for timer in &effects.timers {
            set_timer(&tx, stage, timer, traceparent).await?;
        }
        Failpoint::Written.hit();
        tx.commit().await?;
        Failpoint::Committed.hit();
        changes.iter().chain(&effects.publish).for_each(trace::published);
        Ok(Applied::Committed)
    }

    /// Changes an incident. Returns the event that says so, if the change is published.
    async fn change_incident(
        &self,
        tx: &Transaction<'_>,
        stage: &str,
        traceparent: Option<&str>,
        change: &IncidentChange,
    ) -> Result<Option<Outgoing>, Error> {
        let id = change.incident_id;
        let before = prepared::query_opt(
            tx,
            "select incident_id, body from incidents where incident_id = $1 for update",
            &[&id.0],
        )
        .await?
        .map(|found| row::document::<Incident>(&found, "incidents", 1))
        .transpose()?;
        let is_new = before.is_none();
        let mut after = lifecycle::apply(before, id, change.change.clone())?;
        if is_new {
            after.number = next_number(tx).await?;
        }
        save_incident(tx, id, &context::without(&after), is_new).await?;
        let Some(topic) = change.publish else { return Ok(None) };
        context::attach(&**tx, &mut after).await?;
        let event_id = EventId::of(topic.name(), &id.to_string(), after.revision);
        let time = after.resolved_at.unwrap_or_else(|| latest(&after));
        let outgoing = Outgoing::new(topic, &after, event_id, stage, time, traceparent)
            .map_err(|error| Error::Outgoing(error.to_string()))?;
        self.enqueue(tx, stage, &outgoing).await?;
        Ok(Some(outgoing))
    }

    async fn enqueue(&self, tx: &Transaction<'_>, stage: &str, outgoing: &Outgoing) -> Result<(), Error> {
        let headers: Headers = outgoing.envelope.to_headers();
        prepared::execute(
            tx,
            "insert into outbox (stage, origin, topic, key, headers, payload) values ($1, $2, $3, $4, $5, $6)",
            &[&stage, &self.process(), &outgoing.topic.name(), &outgoing.key, &Json(headers), &outgoing.payload],
        )
        .await?;
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

async fn write_row(tx: &Transaction<'_>, write: &Write) -> Result<(), Error> {
    match write {
        Write::Signal { environment, signal, incident_id } => {
            write_signal(tx, environment, signal, *incident_id).await
        }
        Write::Deployment(deployment) => write_deployment(tx, deployment).await,
        Write::Edge { environment, caller, callee, last_seen, seen } => {
            edges::write_edge(tx, environment, caller, callee, *last_seen, seen).await
        }
        Write::SpanService { environment, service, last_seen } => {
            edges::write_service(tx, environment, service, *last_seen).await
        }
        Write::Artifact { incident_id, kind, revision, body } => {
            let written = prepared::execute(
                tx,
                "insert into artifacts (incident_id, kind, revision, body) values ($1, $2, $3, $4) \
                 on conflict do nothing",
                &[&incident_id.0, &kind.name(), &i32::try_from(*revision).unwrap_or(i32::MAX), body],
            )
            .await?;
            // another event led to this revision meanwhile: decide again, with that one known
            let conflict = || Error::Conflict { scope: format!("{} of {incident_id}", kind.name()) };
            (written == 1).then_some(()).ok_or_else(conflict)
        }
        Write::Notification(notification) => write_notification(tx, notification).await,
        Write::Attempt(attempt) => write_attempt(tx, attempt).await,
    }
}

async fn write_signal(
    tx: &Transaction<'_>,
    environment: &str,
    signal: &Signal,
    incident_id: Option<IncidentId>,
) -> Result<(), Error> {
    let revision = i32::try_from(signal.revision).unwrap_or(i32::MAX);
    let mut signal = signal.clone();
    let context = context::take(&mut signal);
    // a signal that is written again as it stands, e.g. because it joins an incident, comes without its context
    prepared::execute(
        tx,
        "insert into signals (anomaly_id, environment, service, metric, revision, status, incident_id, \
         started_at, observed_at, body, context) values ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, $11) \
         on conflict (anomaly_id) do update set revision = excluded.revision, status = excluded.status, \
         incident_id = coalesce(excluded.incident_id, signals.incident_id), \
         observed_at = excluded.observed_at, body = excluded.body, context = case \
         when signals.revision = excluded.revision then signals.context else excluded.context end \
         where signals.revision <= excluded.revision",
        &[
            &signal.anomaly_id.0,
            &environment,
            &signal.service,
            &signal.metric,
            &revision,
            &signal.status.to_string(),
            &incident_id.map(|id| id.0),
            &signal.started_at,
            &signal.observed_at,
            &Json(&signal),
            &Json(context),
        ],
    )
    .await?;
    Ok(())
}

async fn write_deployment(tx: &Transaction<'_>, deployment: &Deployment) -> Result<(), Error> {
    prepared::execute(
        tx,
        "insert into deployments (environment, service, version, at, body) values ($1, $2, $3, $4, $5) \
         on conflict do nothing",
        &[
            &deployment.environment,
            &deployment.service,
            &deployment.version,
            &crate::clock::from_ms(deployment.ts_ms),
            &Json(deployment),
        ],
    )
    .await?;
    Ok(())
}

async fn write_notification(tx: &Transaction<'_>, notification: &Notification) -> Result<(), Error> {
    prepared::execute(
        tx,
        "insert into notifications (id, incident_id, kind, channel, state, body, created_at) \
         values ($1, $2, $3, $4, 'pending', $5, $6) on conflict do nothing",
        &[
            &notification.id.0,
            &notification.incident_id.0,
            &notification.kind.name(),
            &notification.channel.as_str(),
            &Json(notification),
            &notification.created_at,
        ],
    )
    .await?;
    Ok(())
}

async fn write_attempt(tx: &Transaction<'_>, attempt: &Attempt) -> Result<(), Error> {
    let (id, state) = (attempt.notification_id.0, attempt.state.name());
    prepared::execute(
        tx,
        "insert into notification_attempts (notification_id, state, outcome, at) values ($1, $2, $3, $4)",
        &[&id, &state, &attempt.outcome, &attempt.at],
    )
    .await?;
    let settle = "update notifications set state = $2 where id = $1 and state = 'pending'";
    prepared::execute(tx, settle, &[&id, &state]).await?;
    Ok(())
}

async fn write_audit(
    tx: &Transaction<'_>,
    stage: &str,
    cause: EventId,
    ordinal: usize,
    audit: &Audit,
) -> Result<(), Error> {
    prepared::execute(
        tx,
        "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal) \
         values ($1, $2, $3, $4, $5, $6, $7, $8) on conflict do nothing",
        &[
            &audit.incident_id.0,
            &audit.at,
            &stage,
            &audit.action.name(),
            &audit.summary,
            &audit.detail,
            &cause.0,
            &i32::try_from(ordinal).unwrap_or(i32::MAX),
        ],
    )
    .await?;
    Ok(())
}

async fn set_timer(
    tx: &Transaction<'_>,
    stage: &str,
    timer: &Timer,
    traceparent: Option<&str>,
) -> Result<(), Error> {
    prepared::execute(
        tx,
        "insert into timers (stage, id, key, name, due, payload, traceparent) values ($1, $2, $3, $4, $5, $6, $7) \
         on conflict do nothing",
        &[&stage, &timer.id.0, &timer.key, &timer.name, &timer.due, &timer.payload, &traceparent],
    )
    .await?;
    Ok(())
}
