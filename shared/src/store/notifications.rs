//! Messages to people: what was sent, what failed, and what waits for a summary.

use std::collections::BTreeMap;

#[cfg(feature = "stage")]
use deadpool_postgres::GenericClient;
use jiff::Timestamp;
use tokio_postgres::Row;
#[cfg(feature = "stage")]
use tokio_postgres::types::Json;

#[cfg(feature = "stage")]
use super::write::{Attempt, Held};
use super::{Error, Notification, NotificationState, Reads, prepared, row};
use crate::ids::{EventId, IncidentId};

const TABLE: &str = "notifications";
/// Most notifications that are counted of what was sent lately.
const MOST_RECENT: i64 = 10_000;

/// How many messages addresses were sent.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Recent(BTreeMap<(String, String), i64>);

impl Recent {
    /// Returns how many messages an address of a channel was sent.
    pub fn of(&self, channel: &str, address: &str) -> i64 {
        let key = (channel.to_owned(), address.to_lowercase());
        self.0.get(&key).copied().unwrap_or_default()
    }
}

impl Reads {
    /// Returns a notification and where it stands.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn notification(
        &self,
        id: EventId,
    ) -> Result<Option<(Notification, NotificationState)>, Error> {
        let statement = "select id, body, state from notifications where id = $1";
        let row = self.client().await?.query_opt(statement, &[&id.0]).await?;
        row.as_ref().map(notification).transpose()
    }

    /// Returns the notifications of an incident, oldest first.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn notifications(
        &self,
        id: IncidentId,
    ) -> Result<Vec<(Notification, NotificationState)>, Error> {
        let statement = "select id, body, state from notifications where incident_id = $1 order by created_at, \
             array_position(array['opened', 'root_cause', 'plan', 'resolved', 'postmortem'], kind), channel";
        let rows = self.client().await?.query(statement, &[&id.0]).await?;
        rows.iter().map(notification).collect()
    }

    /// Returns what waits for a summary to one address that is due at `until` or before, oldest first, at most `limit`.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn held(
        &self,
        channel: &str,
        identity: &str,
        until: Timestamp,
        limit: i64,
    ) -> Result<Vec<Notification>, Error> {
        let statement = "select id, body, state from notifications where state = 'held' and channel = $1 \
             and held_for = $2 and held_until <= $3 order by written_at, id limit $4";
        let client = self.client().await?;
        let rows = prepared::query(&client, statement, &[&channel, &identity, &until, &limit]).await?;
        // one that cannot be read must not keep the others back
        Ok(row::readable(&rows, |found| Ok(notification(found)?.0)))
    }

    /// Returns how many messages each address was sent, or is about to be, since a time; of more than 10,000 the last ones.
    ///
    /// # Errors
    /// If the database does not answer.
    pub async fn recent(&self, since: Timestamp) -> Result<Recent, Error> {
        let statement = "select n.channel, lower(r), count(*) from (select channel, recipients from notifications \
             where state in ('pending', 'sent') and written_at > $1 order by written_at desc limit $2) n, \
             unnest(n.recipients) r group by 1, 2";
        let rows = prepared::query(&self.client().await?, statement, &[&since, &MOST_RECENT]).await?;
        let count = |found: &Row| {
            let address = (row::value(found, TABLE, 0)?, row::value(found, TABLE, 1)?);
            Ok((address, row::value(found, TABLE, 2)?))
        };
        rows.iter().map(count).collect::<Result<_, Error>>().map(Recent)
    }
}

/// Reads a row of a notification: id, body and state.
pub(super) fn notification(found: &Row) -> Result<(Notification, NotificationState), Error> {
    let state: String = row::value(found, TABLE, 2)?;
    Ok((row::document(found, TABLE, 1)?, serde_json::from_value(state.into())?))
}

/// Writes a notification; the same id again changes nothing.
#[cfg(feature = "stage")]
pub(super) async fn write<C: GenericClient>(
    tx: &C,
    notification: &Notification,
    state: NotificationState,
) -> Result<(), Error> {
    insert(tx, notification, state, None).await
}

/// Writes a notification that waits for a summary; the same id again changes nothing.
#[cfg(feature = "stage")]
pub(super) async fn hold<C: GenericClient>(tx: &C, held: &Held) -> Result<(), Error> {
    insert(tx, &held.notification, NotificationState::Held, Some((held.identity.as_str(), held.until))).await
}

#[cfg(feature = "stage")]
async fn insert<C: GenericClient>(
    tx: &C,
    notification: &Notification,
    state: NotificationState,
    held: Option<(&str, Timestamp)>,
) -> Result<(), Error> {
    let (held_for, held_until) = held.unzip();
    prepared::execute(
        tx,
        "insert into notifications (id, incident_id, kind, channel, state, body, created_at, recipients, written_at, \
         held_for, held_until) values ($1, $2, $3, $4, $5, $6, $7, $8, coalesce($9, now()), $10, $11) \
         on conflict do nothing",
        &[
            &notification.id.0,
            &notification.incident_id.0,
            &notification.kind.name(),
            &notification.channel.as_str(),
            &state.name(),
            &Json(notification),
            &notification.created_at,
            &notification.recipients,
            &notification.written_at(),
            &held_for,
            &held_until,
        ],
    )
    .await?;
    Ok(())
}

/// Marks what waited as said. Where one of them does not wait any more, the decision is made again.
#[cfg(feature = "stage")]
pub(super) async fn summarize<C: GenericClient>(tx: &C, ids: &[EventId]) -> Result<(), Error> {
    let plain: Vec<uuid::Uuid> = ids.iter().map(|id| id.0).collect();
    let statement = "update notifications set state = 'summarized' where id = any($1) and state = 'held'";
    let written = prepared::execute(tx, statement, &[&plain]).await?;
    let conflict = || Error::Conflict { scope: "held notifications".to_owned() };
    (written == plain.len() as u64).then_some(()).ok_or_else(conflict)
}

/// Records an attempt to send a notification.
#[cfg(feature = "stage")]
pub(super) async fn attempted<C: GenericClient>(tx: &C, attempt: &Attempt) -> Result<(), Error> {
    let (id, state) = (attempt.notification_id.0, attempt.state.name());
    prepared::execute(
        tx,
        "insert into notification_attempts (notification_id, state, outcome, at) values ($1, $2, $3, $4)",
        &[&id, &state, &attempt.outcome, &attempt.at],
    )
    .await?;
    if attempt.receipt.is_empty() {
        let settle = "update notifications set state = $2 where id = $1 and state = 'pending'";
        prepared::execute(tx, settle, &[&id, &state]).await?;
        return Ok(());
    }
    // under one name, so that no answer can replace a field of the notification
    let settle = "update notifications set state = $2, \
         body = body || jsonb_build_object($3::text, coalesce(body -> $3::text, '{}') || $4) \
         where id = $1 and state = 'pending'";
    prepared::execute(tx, settle, &[&id, &state, &Notification::RECEIPT, &Json(&attempt.receipt)]).await?;
    Ok(())
}
