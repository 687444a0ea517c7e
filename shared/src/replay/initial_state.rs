//! What the stage finds: the state at the start, and what the other stages did meanwhile.
//!
//! Production keeps no history of a row, but three things never change once they are there: events on the bus, audit
//! lines and artifacts. The state at a time is put together from those.

use jiff::Timestamp;
use tokio_postgres::types::Json;
use uuid::Uuid;

use super::scratch::Scratch;
use super::{Error, Rank};
use crate::agent::Agent;
use crate::clock::from_ms;
use crate::events::{Incident, Postmortem, RootCause};
use crate::ids::{EventId, IncidentId, derive};
use crate::lifecycle;
use crate::stage::{Effects, IncidentChange};
use crate::store::apply::Cause;
use crate::store::{self, ArtifactKind, Write, row};

/// Name under which the work of other stages is applied.
const OTHERS: &str = "replay";

/// Copies action items as people had left them at the start, as far as nobody has said anything of them since.
const ACTION_ITEMS: &str = "insert into action_items select (jsonb_populate_record(a, case when changed_at >= $1 then \
        '{\"state\": \"open\", \"changed_by\": null, \"changed_at\": null, \"note\": null}'::jsonb else '{}' end)).* \
     from {p}.action_items a where created_at < $1";

/// Furnishes a scratch schema.
pub(super) struct InitialState<'s> {
    scratch: &'s Scratch,
    stage: Agent,
    start: Timestamp,
}

impl<'s> InitialState<'s> {
    /// The world of `stage` from `start` on.
    pub(super) fn new(scratch: &'s Scratch, stage: Agent, start: Timestamp) -> Self {
        Self { scratch, stage, start }
    }

    /// Copies what does not depend on incidents, and all that has not changed since the start. Returns since when the
    /// events of the other incidents are needed, if there are any.
    pub(super) async fn copy(&self) -> Result<Option<Timestamp>, Error> {
        let production = &self.scratch.production;
        let client = self.scratch.store.client().await?;
        let start: &(dyn tokio_postgres::types::ToSql + Sync) = &self.start;
        let stage: &(dyn tokio_postgres::types::ToSql + Sync) = &self.stage.name();
        for statement in [
            "insert into catalogue_services select * from {p}.catalogue_services",
            "insert into edges (environment, caller, callee, calls, last_seen, far_end, first_seen) \
             select environment, caller, callee, calls, last_seen, far_end, first_seen from {p}.edges",
            "insert into span_services (environment, service, last_seen) \
             select environment, service, last_seen from {p}.span_services",
            // a notification is written with the timer that sends it; without one it was there when it was first tried
            "insert into replay_notifications (id, written) \
             select n.id, coalesce(t.at, a.at, n.created_at) from {p}.notifications n \
             left join (select payload->>'notification_id' as id, min(created_at) as at from {p}.timers \
                where stage = 'communication' group by 1) t on t.id = n.id::text \
             left join (select notification_id as id, min(at) as at from {p}.notification_attempts group by 1) a \
                on a.id = n.id",
        ] {
            client.execute(&statement.replace("{p}", production), &[]).await?;
        }
        for statement in [
            "insert into deployments select * from {p}.deployments where at < $1",
            // those that began before, as they were then
            "insert into silences (silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at, ended_at, \
                ended_by, end_reason) \
             select silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at, ended_at, ended_by, end_reason \
                from {p}.silences where begun_at < $1 and ended_at < $1 \
             union all \
             select silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at, null, null, null \
                from {p}.silences where begun_at < $1 and (ended_at is null or ended_at >= $1)",
            ACTION_ITEMS,
            // what was there before the start, and is open, has changed since, or has members that have not cleared
            "insert into replay_incidents (incident_id, unchanged, opened) \
             select i.incident_id, i.updated_at < $1, a.opened from {p}.incidents i join lateral \
                (select min(recorded_at) as opened from {p}.audit a where a.incident_id = i.incident_id) a \
                on a.opened < $1 \
             where i.updated_at >= $1 or i.state not in ('resolved', 'closed') or exists \
                (select from {p}.signals s where s.incident_id = i.incident_id and s.status <> 'cleared')",
            "insert into counters (name, value) select 'incidents', coalesce(max(i.number), 0) from {p}.incidents i \
             where (select min(recorded_at) from {p}.audit a where a.incident_id = i.incident_id) < $1",
            "insert into artifacts select * from {p}.artifacts where created_at < $1 \
                and incident_id in (select incident_id from replay_incidents)",
            // what is on record of them; ids are left to the scratch schema, for the stage adds lines of its own
            "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal, recorded_at) \
             select incident_id, at, actor, action, summary, detail, event_id, ordinal, recorded_at from {p}.audit \
             where recorded_at < $1 and incident_id in (select incident_id from replay_incidents) order by id",
            "insert into notifications (id, incident_id, kind, channel, state, body, created_at) \
             select n.id, incident_id, kind, channel, case when n.state = 'silenced' then n.state else coalesce((select a.state from {p}.notification_attempts a \
                where a.notification_id = n.id and a.at < $1 order by a.id desc limit 1), 'pending') end, \
                body, created_at from {p}.notifications n join replay_notifications w on w.id = n.id \
             where w.written < $1",
        ] {
            client.execute(&statement.replace("{p}", production), &[start]).await?;
        }
        for statement in [
            "insert into incidents select * from {p}.incidents where incident_id in \
                (select incident_id from replay_incidents where unchanged)",
            "insert into signals select * from {p}.signals where incident_id in \
                (select incident_id from replay_incidents where unchanged)",
        ] {
            client.execute(&statement.replace("{p}", production), &[]).await?;
        }
        // signals of no incident then known; what has changed since comes again with its next revision
        let loose = "insert into signals select (jsonb_populate_record(s, '{\"incident_id\": null}')).* \
                from {p}.signals s where observed_at < $1 and status <> 'cleared' \
                and not exists (select from replay_incidents i where i.incident_id = s.incident_id)";
        client.execute(&loose.replace("{p}", production), &[start]).await?;
        // paid and outside work is not done again: what production has journalled is what it gives
        let steps = "insert into steps select * from {p}.steps where created_at >= $1 and consumer = $2";
        client.execute(&steps.replace("{p}", production), &[start, stage]).await?;
        let row =
            client.query_one("select min(opened) from replay_incidents where not unchanged", &[]).await?;
        Ok(row::first(&row)?)
    }

    /// Takes an incident as an event from before the start has it, if it is one that has changed since.
    pub(super) async fn remember(&self, incident: &Incident, timestamp_ms: i64) -> Result<(), Error> {
        let known = self
            .scratch
            .store
            .client()
            .await?
            .execute(
                "update replay_incidents set told = greatest(told, $2) where incident_id = $1 and not unchanged",
                &[&incident.incident_id.0, &from_ms(timestamp_ms)],
            )
            .await?;
        if known == 1 { self.announce(incident).await } else { Ok(()) }
    }

    /// Brings incidents that were told of before the start to where the other stages had taken them by then. Returns
    /// how many were open but not told of, and so are missing.
    pub(super) async fn settle(&self) -> Result<u64, Error> {
        let client = self.scratch.store.client().await?;
        let later = client
            .query(
                "select a.incident_id, a.kind, a.revision, a.body from artifacts a \
                 join replay_incidents i using (incident_id) \
                 where not i.unchanged and a.created_at > i.told order by a.created_at, a.kind",
                &[],
            )
            .await?;
        for found in later {
            let (id, kind) = (IncidentId(row::first(&found)?), row::value::<String>(&found, "artifacts", 1)?);
            let Some(kind) = ArtifactKind::from_name(&kind) else { continue };
            let revision: i32 = row::value(&found, "artifacts", 2)?;
            let incidents = changes(id, kind, revision, row::value(&found, "artifacts", 3)?)?;
            let parts = ["before", &id.to_string(), kind.name(), &revision.to_string()];
            let cause = Cause::Event(EventId(derive(&parts)));
            match self
                .scratch
                .store
                .apply(OTHERS, cause, None, &Effects { incidents, ..Effects::none() })
                .await
            {
                Ok(_) | Err(store::Error::Illegal(_) | store::Error::Conflict { .. }) => {}
                Err(error) => return Err(error.into()),
            }
        }
        let missing = client
            .query_one("select count(*) from replay_incidents where not unchanged and told is null", &[])
            .await?;
        Ok(row::first::<i64>(&missing)?.unsigned_abs())
    }

    /// Lists what the other stages did from the start to `end`, as steps of the replay.
    pub(super) async fn schedule(&self, end: Timestamp) -> Result<(), Error> {
        let production = &self.scratch.production;
        let own: Vec<&str> = ArtifactKind::ALL
            .iter()
            .filter(|kind| kind.author() == self.stage)
            .map(|kind| kind.name())
            .collect();
        let client = self.scratch.store.client().await?;
        client
            .execute(
                &format!(
                    "insert into replay_steps (moment, rank, topic, partition, position, at) \
                     select recorded_at, $4, '', 0, id, recorded_at from {production}.audit \
                     where actor <> $3 and recorded_at >= $1 and recorded_at <= $2"
                ),
                &[&self.start, &end, &self.stage.name(), &Rank::Audit.number()],
            )
            .await?;
        client
            .execute(
                &format!(
                    "insert into replay_steps (moment, rank, topic, partition, position, at, id) \
                     select created_at, $4, kind, revision, hashtext(incident_id::text), created_at, incident_id from {production}.artifacts \
                     where kind <> all ($3) and created_at >= $1 and created_at <= $2"
                ),
                &[&self.start, &end, &own, &Rank::Artifact.number()],
            )
            .await?;
        if self.stage != Agent::Communication {
            client
                .execute(
                    &format!(
                        "insert into replay_steps (moment, rank, topic, partition, position, at) \
                         select at, $3, '', 0, id, at from {production}.notification_attempts \
                         where at >= $1 and at <= $2"
                    ),
                    &[&self.start, &end, &Rank::Attempt.number()],
                )
                .await?;
            client
                .execute(
                    "insert into replay_steps (moment, rank, topic, partition, position, at, id) \
                     select written, $3, id::text, 0, 0, written, id from replay_notifications \
                     where written >= $1 and written <= $2",
                    &[&self.start, &end, &Rank::Notification.number()],
                )
                .await?;
        }
        Ok(())
    }

    /// Adds one line of another stage to the audit trail.
    pub(super) async fn audit(&self, id: i64) -> Result<(), Error> {
        let statement = format!(
            "insert into audit (incident_id, at, actor, action, summary, detail, event_id, ordinal, recorded_at) \
             select incident_id, at, actor, action, summary, detail, event_id, ordinal, recorded_at \
             from {}.audit where id = $1",
            self.scratch.production
        );
        self.scratch.store.client().await?.execute(&statement, &[&id]).await?;
        Ok(())
    }

    /// Adds a result of another stage, with what it did to its incident.
    pub(super) async fn artifact(&self, id: IncidentId, kind: &str, revision: i32) -> Result<(), Error> {
        let Some(kind) = ArtifactKind::from_name(kind) else { return Ok(()) };
        let statement = format!(
            "select body from {}.artifacts where incident_id = $1 and kind = $2 and revision = $3",
            self.scratch.production
        );
        let client = self.scratch.store.client().await?;
        let Some(row) = client.query_opt(&statement, &[&id.0, &kind.name(), &revision]).await? else {
            return Ok(());
        };
        let body: serde_json::Value = row::first(&row)?;
        let incidents = changes(id, kind, revision, body.clone())?;
        let write = Write::Artifact { incident_id: id, kind, revision: revision.unsigned_abs(), body };
        let cause = || {
            let parts = ["result", &id.to_string(), kind.name(), &revision.to_string()];
            Cause::Event(EventId(derive(&parts)))
        };
        let effects = Effects { incidents, writes: vec![write], ..Effects::none() };
        match self.scratch.store.apply(OTHERS, cause(), None, &effects).await {
            // here the incident is not, or not yet, where it was in production
            Err(store::Error::Illegal(_) | store::Error::Conflict { .. }) => {
                let effects = Effects { incidents: Vec::new(), ..effects };
                self.scratch.store.apply(OTHERS, cause(), None, &effects).await?;
            }
            outcome => {
                outcome?;
            }
        }
        Ok(())
    }

    /// Adds a notification that nobody has tried to send yet.
    pub(super) async fn notification(&self, id: Uuid) -> Result<(), Error> {
        let statement = format!(
            "insert into notifications (id, incident_id, kind, channel, state, body, created_at) \
             select id, incident_id, kind, channel, case state when 'silenced' then state else 'pending' end, body, \
             created_at from {}.notifications where id = $1",
            self.scratch.production
        );
        self.scratch.store.client().await?.execute(&statement, &[&id]).await?;
        Ok(())
    }

    /// Leaves a notification as an attempt to send it did.
    pub(super) async fn attempt(&self, id: i64) -> Result<(), Error> {
        let statement = format!(
            "update notifications n set state = a.state from {}.notification_attempts a \
             where a.id = $1 and n.id = a.notification_id",
            self.scratch.production
        );
        self.scratch.store.client().await?.execute(&statement, &[&id]).await?;
        Ok(())
    }

    /// Takes an incident as correlation has announced it, with its members. What the replayed stage has done to it
    /// since stays.
    pub(super) async fn announce(&self, incident: &Incident) -> Result<(), Error> {
        let parts = ["announced", &incident.incident_id.to_string(), &incident.revision.to_string()];
        let cause = Cause::Event(EventId(derive(&parts)));
        let mut incident = incident.clone();
        let store = &self.scratch.store;
        if let Some(known) = store.reads().incident(incident.incident_id).await? {
            incident.state = incident.state.max(known.state);
            incident.revision = incident.revision.max(known.revision);
            incident.closed_at = incident.closed_at.or(known.closed_at);
        }
        let members = incident.signals.clone();
        // what members carry to be shown is stored with them
        for signal in &mut incident.signals {
            signal.samples.clear();
            signal.siblings.clear();
            signal.logs.clear();
        }
        let (state, severity) = (incident.state.to_string(), incident.severity.to_string());
        let revision = i32::try_from(incident.revision).unwrap_or(i32::MAX);
        store
            .client()
            .await?
            .execute(
                "insert into incidents (incident_id, number, environment, state, severity, revision, opened_at, \
                 resolved_at, body) values ($1, $2, $3, $4, $5, $6, $7, $8, $9) on conflict (incident_id) do update \
                 set state = excluded.state, severity = excluded.severity, revision = excluded.revision, \
                 resolved_at = excluded.resolved_at, body = excluded.body, updated_at = now()",
                &[
                    &incident.incident_id.0,
                    &incident.number,
                    &incident.environment,
                    &state,
                    &severity,
                    &revision,
                    &incident.opened_at,
                    &incident.resolved_at,
                    &Json(&incident),
                ],
            )
            .await?;
        let write = |signal| Write::Signal {
            environment: incident.environment.clone(),
            signal: std::sync::Arc::new(signal),
            incident_id: Some(incident.incident_id),
        };
        let effects = Effects { writes: members.into_iter().map(write).collect(), ..Effects::none() };
        store.apply(OTHERS, cause, None, &effects).await?;
        Ok(())
    }
}

/// Returns what a result did to its incident when its stage wrote it.
fn changes(
    incident_id: IncidentId,
    kind: ArtifactKind,
    revision: i32,
    body: serde_json::Value,
) -> Result<Vec<IncidentChange>, Error> {
    let changes = match kind {
        ArtifactKind::RootCause => {
            let cause: RootCause = serde_json::from_value(body).map_err(store::Error::from)?;
            let begun = (cause.revision == 1).then_some(lifecycle::Change::InvestigationStarted);
            begun.into_iter().chain([lifecycle::Change::CauseRanked]).collect()
        }
        ArtifactKind::Plan => vec![lifecycle::Change::PlanProposed],
        ArtifactKind::Postmortem if revision == 1 => {
            let postmortem: Postmortem = serde_json::from_value(body).map_err(store::Error::from)?;
            vec![lifecycle::Change::Closed { at: postmortem.generated_at }]
        }
        ArtifactKind::Postmortem => Vec::new(),
    };
    Ok(changes
        .into_iter()
        .map(|change: lifecycle::Change| IncidentChange { incident_id, change, publish: None })
        .collect())
}
