//! The relay: publishes outbox rows in order and marks what Kafka acknowledged.
//!
//! One process of a stage publishes at a time, under an advisory lock that lives as long as its transaction; the
//! server ends the transaction of a process that hangs. Whoever holds the lock publishes every waiting row of the
//! stage, its own or not, so the rows of a dead process are taken over without anyone having to notice the death.

use tokio_postgres::types::Json;

use super::apply::topic_of;
use super::{Error, Store};
use crate::bus::{self, Producer};
use crate::events::envelope::Headers;
use crate::gap::Gap;

/// Rows that are published in one turn.
const BATCH: i64 = 500;

/// What one turn of the relay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Turn {
    /// Rows published.
    pub published: usize,
    /// Of these, rows that another process had written.
    pub taken_over: usize,
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

impl From<tokio_postgres::Error> for RelayError {
    fn from(error: tokio_postgres::Error) -> Self {
        Self::Store(error.into())
    }
}

impl Store {
    /// Publishes what waits in the outbox of `stage`.
    pub async fn relay(&self, stage: &str, producer: &Producer) -> Result<Turn, RelayError> {
        let mut client = self.client().await?;
        let waiting = client
            .query_opt("select 1 from outbox where stage = $1 and published_at is null limit 1", &[&stage])
            .await?;
        if waiting.is_none() {
            return Ok(Turn::default());
        }
        let tx = client.transaction().await?;
        let locked: bool = tx
            .query_one("select pg_try_advisory_xact_lock(hashtext('outbox'), hashtext($1))", &[&stage])
            .await?
            .get(0);
        if !locked {
            return Ok(Turn { more: true, ..Turn::default() });
        }
        let rows = tx
            .query(
                "select id, origin, topic, key, headers, payload from outbox \
                 where stage = $1 and published_at is null order by id limit $2",
                &[&stage, &BATCH],
            )
            .await?;
        let mut ids: Vec<i64> = Vec::with_capacity(rows.len());
        let mut taken_over = 0;
        let mut sends = Vec::with_capacity(rows.len());
        for row in &rows {
            ids.push(row.get(0));
            let origin: &str = row.get(1);
            if origin != self.process() {
                taken_over += 1;
                tracing::debug!(origin, "outbox row taken over");
            }
            let Json(headers): Json<Headers> = row.get(4);
            // enqueued in order here; one idempotent producer keeps it on the wire
            sends
                .push(producer.enqueue(topic_of(row.get(2))?, Some(row.get(3)), &headers, row.get(5)).await?);
        }
        Gap::Enqueued.reach();
        for send in sends {
            send.acknowledged().await?;
        }
        Gap::Acknowledged.reach();
        tx.execute("update outbox set published_at = now() where id = any ($1)", &[&ids]).await?;
        Gap::Marked.reach();
        tx.commit().await?;
        Ok(Turn { published: ids.len(), taken_over, more: ids.len() as i64 == BATCH })
    }

    /// Returns how many rows of `stage` wait to be published.
    pub async fn outbox_depth(&self, stage: &str) -> Result<i64, Error> {
        let row = self
            .client()
            .await?
            .query_one("select count(*) from outbox where stage = $1 and published_at is null", &[&stage])
            .await?;
        Ok(row.get(0))
    }

    /// Forgets what nothing asks for any more. Inbox rows outlive the longest retention of a topic (14 days).
    pub async fn sweep(&self) -> Result<u64, Error> {
        let client = self.client().await?;
        let mut gone = 0;
        for statement in [
            "delete from outbox where published_at < now() - interval '1 day'",
            "delete from processed_events where processed_at < now() - interval '30 days'",
            "delete from steps where created_at < now() - interval '30 days'",
            "delete from timers where state <> 'waiting' and created_at < now() - interval '30 days'",
            "delete from signals where incident_id is null and observed_at < now() - interval '30 days'",
            "delete from deployments where at < now() - interval '90 days'",
        ] {
            gone += client.execute(statement, &[]).await?;
        }
        Ok(gone)
    }
}
