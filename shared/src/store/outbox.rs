//! The relay: publishes outbox rows in order and marks what Kafka acknowledged.
//!
//! One process of a stage publishes at a time, under an advisory lock that lives as long as its transaction; the
//! server ends the transaction of a process that hangs. Whoever holds the lock publishes every waiting row of the
//! stage, its own or not, so the rows of a dead process are taken over without anyone having to notice the death.

use tokio_postgres::Row;

use super::{Error, Store, row};
use crate::bus::{self, Producer};
use crate::events::Topic;
use crate::events::envelope::Headers;
use crate::failpoint::Failpoint;

/// Rows that are published in one turn.
const BATCH: i64 = 500;
const TABLE: &str = "outbox";

/// What one turn of the relay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Rows published.
    pub published: usize,
    /// Of these, rows that another process had written.
    pub taken_over: usize,
    /// Rows that cannot be read. They are set aside, with the reason, and are not tried again.
    pub rejected: usize,
    /// Whether there may be more to do at once: the batch was full, or another process held the lock.
    pub more: bool,
}

/// Why a turn failed; nothing was marked.
#[derive(Debug, thiserror::Error)]
pub enum RelayError {
    /// The database did not answer.
    #[error(transparent)]
    Store(#[from] Error),
    /// Kafka did not acknowledge.
    #[error(transparent)]
    Bus(#[from] bus::Error),
}

/// A row that waits to be published.
struct Waiting<'r> {
    origin: &'r str,
    topic: Topic,
    key: &'r str,
    headers: Headers,
    payload: &'r [u8],
}

impl<'r> Waiting<'r> {
    fn read(found: &'r Row) -> Result<Self, Error> {
        let name: &str = row::value(found, TABLE, 2)?;
        let topic = Topic::from_name(name)
            .ok_or_else(|| row::unreadable(found, TABLE, format!("unknown topic {name:?}")))?;
        Ok(Self {
            origin: row::value(found, TABLE, 1)?,
            topic,
            key: row::value(found, TABLE, 3)?,
            headers: row::document(found, TABLE, 4)?,
            payload: row::value(found, TABLE, 5)?,
        })
    }
}

impl From<tokio_postgres::Error> for RelayError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Publishes what waits in the outbox of `stage`.
    pub(crate) async fn relay(&self, stage: &str, producer: &Producer) -> Result<Turn, RelayError> {
        let mut client = self.client().await?;
        let waiting = client
            .query_opt("select 1 from outbox where stage = $1 and published_at is null and rejected_at is null limit 1", &[&stage])
            .await?;
        if waiting.is_none() {
            return Ok(Turn::default());
        }
        let tx = client.transaction().await?;
        let lock = "select pg_try_advisory_xact_lock(hashtext('outbox'), hashtext($1))";
        if !row::first::<bool>(&tx.query_one(lock, &[&stage]).await?)? {
            return Ok(Turn { more: true, ..Turn::default() });
        }
        let rows = tx
            .query(
                "select id, origin, topic, key, headers, payload from outbox \
                 where stage = $1 and published_at is null and rejected_at is null order by id limit $2",
                &[&stage, &BATCH],
            )
            .await?;
        let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
        let mut turn = Turn { more: rows.len() as i64 == BATCH, ..Turn::default() };
        let mut sends = Vec::with_capacity(rows.len());
        for found in &rows {
            let id: i64 = row::value(found, TABLE, 0)?;
            let outgoing = match Waiting::read(found) {
                Ok(outgoing) => outgoing,
                Err(error) => {
                    row::report(&error);
                    let set_aside = "update outbox set rejected_at = now(), error = $2 where id = $1";
                    tx.execute(set_aside, &[&id, &error.to_string()]).await?;
                    turn.rejected += 1;
                    continue;
                }
            };
            if outgoing.origin != self.process() {
                turn.taken_over += 1;
                tracing::debug!(origin = outgoing.origin, "outbox row taken over");
            }
            ids.push(id);
            // enqueued in order here; one idempotent producer keeps it on the wire
            let Waiting { topic, key, headers, payload, .. } = outgoing;
            sends.push(producer.enqueue(topic, Some(key), &headers, payload).await?);
        }
        Failpoint::Enqueued.hit();
        for send in sends {
            send.acknowledged().await?;
        }
        Failpoint::Acknowledged.hit();
        tx.execute("update outbox set published_at = now() where id = any ($1)", &[&ids]).await?;
        Failpoint::Marked.hit();
        tx.commit().await?;
        turn.published = ids.len();
        Ok(turn)
    }
}
