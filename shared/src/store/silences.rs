//! Silences, and what they have hidden.

#[cfg(feature = "stage")]
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use serde::Serialize;
use tokio_postgres::Row;
#[cfg(feature = "stage")]
use tokio_postgres::types::Json;

use super::{Error, Notification, Reads, notifications, prepared, row};
use crate::ids::{CommandId, IncidentId};
use crate::silence::{Ending, Silence};

const TABLE: &str = "silences";
const COLUMNS: &str =
    "select silence_id, environment, spec, asked_by, begun_at, ended_at, ended_by, end_reason from silences";

/// Most silences of an environment that may be active, or wait to be, at once.
pub const MAX_ACTIVE: usize = 1_000;
/// Open incidents that are looked at when a silence ends before its time; of more, the others are announced when its window would
/// have ended.
const MAX_HIDDEN_INCIDENTS: i64 = 1_000;

/// A notification that a silence hid.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Hidden {
    /// Number of the incident.
    pub number: i64,
    /// Title of the incident.
    pub title: String,
    /// The notification.
    pub notification: Notification,
}

/// What a silence hid.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct AllHidden {
    /// Incidents that are concerned.
    pub incidents: i64,
    /// Notifications in all.
    pub count: i64,
    /// The notifications, newest first; of many, the last ones.
    pub notifications: Vec<Hidden>,
}

impl Reads {
    /// Returns the silences of an environment whose time is not over at `at` and that nobody ended, at most [`MAX_ACTIVE`] and one.
    /// Those that recur may be between two windows.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn silences_from(&self, environment: &str, at: Timestamp) -> Result<Vec<Silence>, Error> {
        let statement = format!(
            "{COLUMNS} where environment = $1 and ended_at is null and ends_at > $2 order by ends_at desc limit $3"
        );
        let limit = MAX_ACTIVE as i64 + 1;
        let rows = prepared::query(&self.client().await?, &statement, &[&environment, &at, &limit]).await?;
        // one that cannot be read must not stop what is sent
        Ok(row::readable(&rows, silence))
    }

    /// Returns a silence.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn silence(&self, id: CommandId) -> Result<Option<Silence>, Error> {
        let statement = format!("{COLUMNS} where silence_id = $1");
        let found = prepared::query_opt(&self.client().await?, &statement, &[&id.0]).await?;
        found.map(|found| silence(&found)).transpose()
    }

    /// Returns silences, the last that began first, at most `limit`; with `before`, those that began before that one. With
    /// `from`, those only whose time is not over then and that nobody ended; with `is_maintenance`, maintenance windows only.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn silences(
        &self,
        from: Option<Timestamp>,
        is_maintenance: bool,
        before: Option<CommandId>,
        limit: i64,
    ) -> Result<Vec<Silence>, Error> {
        let statement = format!(
            "{COLUMNS} where ($1::timestamptz is null or (ended_at is null and ends_at > $1)) \
             and ($2::uuid is null or (begun_at, silence_id) < \
                (select b.begun_at, b.silence_id from silences b where b.silence_id = $2)) \
             and (not $3 or coalesce((spec ->> 'is_maintenance')::bool, false)) \
             order by begun_at desc, silence_id desc limit $4"
        );
        let before = before.map(|id| id.0);
        let rows = self.client().await?.query(&statement, &[&from, &before, &is_maintenance, &limit]).await?;
        Ok(row::readable(&rows, silence))
    }

    /// Returns what a silence hid, at most `limit` notifications.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn hidden_by(&self, id: CommandId, limit: i64) -> Result<AllHidden, Error> {
        let client = self.client().await?;
        let id = id.to_string();
        let counts = "select $1::text, count(*), count(distinct incident_id) from notifications \
             where state = 'silenced' and body ->> 'silence_id' = $1";
        let found = client.query_one(counts, &[&id]).await?;
        let rows = client
            .query(
                "select n.id, n.body, n.state, i.number, i.body ->> 'title' from notifications n \
                 join incidents i using (incident_id) \
                 where n.state = 'silenced' and n.body ->> 'silence_id' = $1 \
                 order by n.created_at desc, n.id limit $2",
                &[&id, &limit],
            )
            .await?;
        Ok(AllHidden {
            count: row::value(&found, TABLE, 1)?,
            incidents: row::value(&found, TABLE, 2)?,
            notifications: row::readable(&rows, |found| {
                Ok(Hidden {
                    notification: notifications::notification(found)?.0,
                    number: row::value(found, TABLE, 3)?,
                    title: row::value(found, TABLE, 4)?,
                })
            }),
        })
    }

    /// Returns the open incidents of which a silence hid something, at most 1,000.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn incidents_hidden_by(&self, id: CommandId) -> Result<Vec<IncidentId>, Error> {
        let statement = "select distinct n.incident_id from notifications n join incidents i using (incident_id) \
             where n.state = 'silenced' and n.body ->> 'silence_id' = $1 and i.state not in ('resolved', 'closed') \
             order by 1 limit $2";
        let values: [&(dyn tokio_postgres::types::ToSql + Sync); 2] =
            [&id.to_string(), &MAX_HIDDEN_INCIDENTS];
        let rows = prepared::query(&self.client().await?, statement, &values).await?;
        rows.iter().map(|found| Ok(IncidentId(row::value(found, "notifications", 0)?))).collect()
    }
}

fn silence(found: &Row) -> Result<Silence, Error> {
    let ended = match row::value::<Option<Timestamp>>(found, TABLE, 5)? {
        Some(at) => Some(Ending {
            at,
            by: row::value(found, TABLE, 6)?,
            reason: row::value::<Option<String>>(found, TABLE, 7)?.unwrap_or_default(),
        }),
        None => None,
    };
    Ok(Silence {
        silence_id: CommandId(row::value(found, TABLE, 0)?),
        environment: row::value(found, TABLE, 1)?,
        spec: row::document(found, TABLE, 2)?,
        by: row::value(found, TABLE, 3)?,
        begun_at: row::value(found, TABLE, 4)?,
        ended,
    })
}

/// Writes a silence. The command that began it is written with it, and that once only.
#[cfg(feature = "stage")]
pub(super) async fn write<C: GenericClient>(tx: &C, silence: &Silence) -> Result<(), Error> {
    prepared::execute(
        tx,
        "insert into silences (silence_id, environment, spec, starts_at, ends_at, asked_by, begun_at) \
         values ($1, $2, $3, $4, $5, $6, $7) on conflict do nothing",
        &[
            &silence.silence_id.0,
            &silence.environment,
            &Json(&silence.spec),
            &silence.spec.starts_at,
            &silence.spec.ends_at,
            &silence.by,
            &silence.begun_at,
        ],
    )
    .await?;
    Ok(())
}

/// Ends a silence. Where it has ended meanwhile, the decision is made again.
#[cfg(feature = "stage")]
pub(super) async fn end<C: GenericClient>(tx: &C, id: CommandId, ending: &Ending) -> Result<(), Error> {
    let written = prepared::execute(
        tx,
        "update silences set ended_at = $2, ended_by = $3, end_reason = $4 \
         where silence_id = $1 and ended_at is null",
        &[&id.0, &ending.at, &ending.by, &ending.reason],
    )
    .await?;
    let conflict = || Error::Conflict { scope: format!("silence {id}") };
    (written == 1).then_some(()).ok_or_else(conflict)
}
