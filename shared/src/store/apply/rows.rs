//! All that effects write besides incidents, many rows to a statement.

use std::collections::BTreeMap;

use deadpool_postgres::Transaction;
use jiff::Timestamp;
use serde_json::Value;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::super::{
    ArtifactKind, Error, NotificationState, Write, commands, context, edges, feedback, notifications,
    prepared, silences,
};
use super::Decided;
use crate::effects::{Audit, Timer};
use crate::events::anomaly::Context;
use crate::events::envelope::Headers;
use crate::events::incident::Signal;
use crate::events::{Deployment, EvidenceRecord, Outgoing};
use crate::ids::{EventId, IncidentId};

/// Payloads that are handed to the database in one statement, bytes.
const OUTBOX_BYTES: usize = 1024 * 1024;
/// Investigations of an incident whose evidence is kept.
const EVIDENCE_REVISIONS: i32 = 10;

/// Writes the rows of the stages, the audit trail and the timers.
pub(super) async fn write(tx: &Transaction<'_>, stage: &str, decided: &[Decided<'_>]) -> Result<(), Error> {
    let mut signals = Signals::default();
    let mut audit = Lines::default();
    let mut timers = Timers::default();
    let (mut calls, mut services) = (Vec::new(), Vec::new());
    for Decided { cause, traceparent, effects, .. } in decided {
        for write in &effects.writes {
            match write {
                Write::Signal { environment, signal, incident_id } => {
                    signals.put(environment, signal, *incident_id);
                }
                Write::Edge { environment, caller, callee, last_seen, seen } => {
                    calls.push(((environment, caller, callee), *last_seen, seen));
                }
                Write::SpanService { environment, service, last_seen } => {
                    services.push((environment, service, *last_seen));
                }
                Write::Deployment(deployment) => write_deployment(tx, deployment).await?,
                Write::Artifact { incident_id, kind, revision, body } => {
                    write_artifact(tx, *incident_id, *kind, *revision, body).await?;
                }
                Write::Evidence { incident_id, revision, records } => {
                    write_evidence(tx, *incident_id, *revision, records).await?;
                }
                Write::Command(decision) => commands::write(tx, stage, decision).await?,
                Write::Feedback { incident_id, feedback } => {
                    feedback::write(tx, *incident_id, feedback).await?;
                }
                Write::Notification(notification) => {
                    notifications::write(tx, notification, NotificationState::Pending).await?;
                }
                Write::Silenced(notification) => {
                    notifications::write(tx, notification, NotificationState::Silenced).await?;
                }
                Write::Held(held) => notifications::hold(tx, held).await?,
                Write::Summarized(ids) => notifications::summarize(tx, ids).await?,
                Write::Silence(silence) => silences::write(tx, silence).await?,
                Write::EndSilence { silence_id, ending } => silences::end(tx, *silence_id, ending).await?,
                Write::Attempt(attempt) => notifications::attempted(tx, attempt).await?,
            }
        }
        for (ordinal, line) in effects.audit.iter().enumerate() {
            audit.put(cause.audit_id(), ordinal, line);
        }
        for timer in &effects.timers {
            timers.put(timer, *traceparent);
        }
    }
    // several replicas write the same ones: always in the same order
    calls.sort_by_key(|(sides, ..)| *sides);
    for ((environment, caller, callee), last_seen, seen) in calls {
        edges::write_edge(tx, environment, caller, callee, last_seen, seen).await?;
    }
    services.sort_unstable();
    for (environment, service, last_seen) in services {
        edges::write_service(tx, environment, service, last_seen).await?;
    }
    signals.write(tx).await?;
    audit.write(tx, stage).await?;
    timers.write(tx, stage).await
}

/// Rows of the outbox that wait to be written.
pub(super) struct Outbox<'a> {
    stage: &'a str,
    process: &'a str,
    topics: Vec<&'static str>,
    keys: Vec<String>,
    headers: Vec<Json<Headers>>,
    payloads: Vec<Vec<u8>>,
    bytes: usize,
}

impl<'a> Outbox<'a> {
    pub(super) fn new(stage: &'a str, process: &'a str) -> Self {
        Self {
            stage,
            process,
            topics: Vec::new(),
            keys: Vec::new(),
            headers: Vec::new(),
            payloads: Vec::new(),
            bytes: 0,
        }
    }

    /// Adds an event; writes what waits once that is large.
    pub(super) async fn put(&mut self, tx: &Transaction<'_>, outgoing: &Outgoing) -> Result<(), Error> {
        self.topics.push(outgoing.topic.name());
        self.keys.push(outgoing.key.clone());
        self.headers.push(Json(outgoing.envelope.to_headers()));
        self.bytes += outgoing.payload.len();
        self.payloads.push(outgoing.payload.clone());
        if self.bytes >= OUTBOX_BYTES { self.flush(tx).await } else { Ok(()) }
    }

    /// Writes what waits. The ids are given in the order of the events.
    pub(super) async fn flush(&mut self, tx: &Transaction<'_>) -> Result<(), Error> {
        if self.topics.is_empty() {
            return Ok(());
        }
        prepared::execute(
            tx,
            "insert into outbox (stage, origin, topic, key, headers, payload) \
             select $1, $2, topic, key, headers, payload \
             from unnest($3::text[], $4::text[], $5::jsonb[], $6::bytea[]) \
                 with ordinality events (topic, key, headers, payload, place) order by place",
            &[&self.stage, &self.process, &self.topics, &self.keys, &self.headers, &self.payloads],
        )
        .await?;
        *self = Self::new(self.stage, self.process);
        Ok(())
    }
}

/// A signal as it is stored, without its context, which has a column of its own.
struct Stored {
    environment: String,
    signal: Signal,
    incident: Option<Uuid>,
    context: Context,
}

/// Signals in their last revision.
#[derive(Default)]
struct Signals(BTreeMap<Uuid, Stored>);

impl Signals {
    fn put(&mut self, environment: &str, signal: &Signal, incident: Option<IncidentId>) {
        let mut signal = signal.clone();
        let context = context::take(&mut signal);
        let new = Stored {
            environment: environment.to_owned(),
            signal,
            incident: incident.map(|incident| incident.0),
            context,
        };
        let id = new.signal.anomaly_id.0;
        match self.0.get_mut(&id) {
            None => _ = self.0.insert(id, new),
            // as the statement does with what is stored
            Some(known) if new.signal.revision >= known.signal.revision => {
                let is_same = new.signal.revision == known.signal.revision;
                known.incident = new.incident.or(known.incident);
                known.signal = new.signal;
                if !is_same {
                    known.context = new.context;
                }
            }
            Some(_) => {}
        }
    }

    async fn write(self, tx: &Transaction<'_>) -> Result<(), Error> {
        if self.0.is_empty() {
            return Ok(());
        }
        let stored: Vec<&Stored> = self.0.values().collect();
        let of =
            |text: fn(&Stored) -> String| -> Vec<String> { stored.iter().map(|one| text(one)).collect() };
        let times = |at: fn(&Signal) -> Timestamp| -> Vec<Timestamp> {
            stored.iter().map(|one| at(&one.signal)).collect()
        };
        let revision = |one: &&Stored| i32::try_from(one.signal.revision).unwrap_or(i32::MAX);
        // a signal that is written again as it stands, e.g. because it joins an incident, comes without its context
        prepared::execute(
            tx,
            "insert into signals (anomaly_id, environment, service, metric, revision, status, incident_id, \
             started_at, observed_at, body, context) select * from unnest($1::uuid[], $2::text[], $3::text[], \
             $4::text[], $5::int[], $6::text[], $7::uuid[], $8::timestamptz[], $9::timestamptz[], $10::jsonb[], $11::jsonb[]) \
             on conflict (anomaly_id) do update set revision = excluded.revision, status = excluded.status, \
             incident_id = coalesce(excluded.incident_id, signals.incident_id), \
             observed_at = excluded.observed_at, body = excluded.body, context = case \
             when signals.revision = excluded.revision then signals.context else excluded.context end \
             where signals.revision <= excluded.revision",
            &[
                &self.0.keys().copied().collect::<Vec<Uuid>>(),
                &of(|one| one.environment.clone()),
                &of(|one| one.signal.service.clone()),
                &of(|one| one.signal.metric.clone()),
                &stored.iter().map(revision).collect::<Vec<i32>>(),
                &of(|one| one.signal.status.to_string()),
                &stored.iter().map(|one| one.incident).collect::<Vec<Option<Uuid>>>(),
                &times(|signal| signal.started_at),
                &times(|signal| signal.observed_at),
                &stored.iter().map(|one| Json(&one.signal)).collect::<Vec<_>>(),
                &stored.iter().map(|one| Json(&one.context)).collect::<Vec<_>>(),
            ],
        )
        .await?;
        Ok(())
    }
}

/// Lines of the audit trail.
#[derive(Default)]
struct Lines<'a> {
    incidents: Vec<Uuid>,
    times: Vec<Timestamp>,
    actions: Vec<&'static str>,
    summaries: Vec<&'a str>,
    details: Vec<&'a Value>,
    causes: Vec<Uuid>,
    ordinals: Vec<i32>,
}

impl<'a> Lines<'a> {
    fn put(&mut self, cause: EventId, ordinal: usize, line: &'a Audit) {
        self.incidents.push(line.incident_id.0);
        self.times.push(line.at);
        self.actions.push(line.action.name());
        self.summaries.push(&line.summary);
        self.details.push(&line.detail);
        self.causes.push(cause.0);
        self.ordinals.push(i32::try_from(ordinal).unwrap_or(i32::MAX));
    }

    async fn write(self, tx: &Transaction<'_>, stage: &str) -> Result<(), Error> {
        if self.incidents.is_empty() {
            return Ok(());
        }
        prepared::execute(
            tx,
            "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal) \
             select incident_id, at, $1, action, summary, detail, event_id, ordinal \
             from unnest($2::uuid[], $3::timestamptz[], $4::text[], $5::text[], $6::jsonb[], $7::uuid[], $8::int[]) \
                 with ordinality lines (incident_id, at, action, summary, detail, event_id, ordinal, place) \
             order by place on conflict do nothing",
            &[
                &stage,
                &self.incidents,
                &self.times,
                &self.actions,
                &self.summaries,
                &self.details,
                &self.causes,
                &self.ordinals,
            ],
        )
        .await?;
        Ok(())
    }
}

/// Timers to set. One that is set twice is one timer.
#[derive(Default)]
struct Timers<'a> {
    ids: Vec<Uuid>,
    keys: Vec<&'a str>,
    names: Vec<&'a str>,
    due: Vec<Timestamp>,
    payloads: Vec<&'a Value>,
    traceparents: Vec<Option<&'a str>>,
}

impl<'a> Timers<'a> {
    fn put(&mut self, timer: &'a Timer, traceparent: Option<&'a str>) {
        self.ids.push(timer.id.0);
        self.keys.push(&timer.key);
        self.names.push(&timer.name);
        self.due.push(timer.due);
        self.payloads.push(&timer.payload);
        self.traceparents.push(traceparent);
    }

    async fn write(self, tx: &Transaction<'_>, stage: &str) -> Result<(), Error> {
        if self.ids.is_empty() {
            return Ok(());
        }
        prepared::execute(
            tx,
            "insert into timers (stage, id, key, name, due, payload, traceparent) \
             select $1, id, key, name, due, payload, traceparent \
             from unnest($2::uuid[], $3::text[], $4::text[], $5::timestamptz[], $6::jsonb[], $7::text[]) \
                 with ordinality timers (id, key, name, due, payload, traceparent, place) \
             order by place on conflict do nothing",
            &[&stage, &self.ids, &self.keys, &self.names, &self.due, &self.payloads, &self.traceparents],
        )
        .await?;
        Ok(())
    }
}

async fn write_artifact(
    tx: &Transaction<'_>,
    incident_id: IncidentId,
    kind: ArtifactKind,
    revision: u32,
    body: &Value,
) -> Result<(), Error> {
    let written = prepared::execute(
        tx,
        "insert into artifacts (incident_id, kind, revision, body) values ($1, $2, $3, $4) \
         on conflict do nothing",
        &[&incident_id.0, &kind.name(), &i32::try_from(revision).unwrap_or(i32::MAX), body],
    )
    .await?;
    // another event led to this revision meanwhile: decide again, with that one known
    let conflict = || Error::Conflict { scope: format!("{} of {incident_id}", kind.name()) };
    (written == 1).then_some(()).ok_or_else(conflict)
}

async fn write_evidence(
    tx: &Transaction<'_>,
    incident_id: IncidentId,
    revision: u32,
    records: &[EvidenceRecord],
) -> Result<(), Error> {
    // one statement must not change a row twice
    let records: BTreeMap<Uuid, &EvidenceRecord> =
        records.iter().map(|record| (record.id.0, record)).collect();
    let revision = i32::try_from(revision).unwrap_or(i32::MAX);
    prepared::execute(
        tx,
        "insert into evidence (id, incident_id, revision, source, excerpt, content) \
         select id, $1, $2, source, excerpt, content \
         from unnest($3::uuid[], $4::jsonb[], $5::text[], $6::jsonb[]) records (id, source, excerpt, content) \
         on conflict (id) do update set revision = excluded.revision",
        &[
            &incident_id.0,
            &revision,
            &records.keys().copied().collect::<Vec<Uuid>>(),
            &records.values().map(|record| Json(&record.source)).collect::<Vec<_>>(),
            &records.values().map(|record| record.excerpt.as_str()).collect::<Vec<_>>(),
            &records.values().map(|record| Json(&record.content)).collect::<Vec<_>>(),
        ],
    )
    .await?;
    let outdated = "delete from evidence where incident_id = $1 and revision <= $2";
    prepared::execute(tx, outdated, &[&incident_id.0, &revision.saturating_sub(EVIDENCE_REVISIONS)]).await?;
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
