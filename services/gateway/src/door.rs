//! The doors: HTTP and gRPC. A request passes the same steps at both: its token, its bounds, its format, Kafka, the answer.

pub mod answers;
pub mod auth;
mod body;
pub mod failure;
pub mod grpc;
pub mod http;
pub mod limits;
pub mod listen;
pub(crate) mod notice;
pub mod routes;

use std::collections::BTreeMap;
use std::sync::Arc;

use shared::clock::Clock;
use shared::text::secrets::Redactor;

use crate::config::Settings;
use crate::formats::{Context, Unreadable};
use crate::metrics;
use crate::publish::Publisher;
use crate::refusals::Refusals;
use crate::series::Series;
use crate::telemetry::{Batch, Taken};
use failure::Failure;
use limits::{Gate, Slot};

/// Bodies from this size on are read off the async threads, bytes.
const LARGE: usize = 64 * 1024;

/// How many times as large as its body what is read of it is, in memory: a point of 150 bytes with six attributes takes about 1 KiB.
pub(crate) const DECODED: usize = 6;

/// What all requests share.
pub struct Door {
    /// Settings.
    pub settings: Settings,
    /// Bounds over all requests.
    pub gate: Gate,
    /// Who may send; none where tokens are not asked for.
    pub guard: Option<auth::Guard>,
    /// Where records go.
    pub publisher: Publisher,
    /// What is replaced in log lines.
    pub redactor: Arc<Redactor>,
    /// Series of all requests.
    pub series: Arc<Series>,
    /// The time at which requests come.
    pub clock: Arc<dyn Clock>,
}

/// What became of a request that was taken.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Outcome {
    /// Items that Kafka has acknowledged.
    pub taken: Taken,
    /// Items that were refused.
    pub refused: Refusals,
    /// What was passed over and how much of it, in words: valid, but nothing that is judged. Empty if nothing was.
    pub passed_over: String,
    /// Headers of the answer that the format prescribes.
    pub headers: Vec<(&'static str, String)>,
}

impl Door {
    /// Lets a reader fill a batch; off the async threads where the body is large.
    async fn read(
        self: &Arc<Self>,
        size: usize,
        headers: BTreeMap<String, String>,
        read: impl FnOnce(&Context<'_>, &mut Batch) -> Result<(), Unreadable> + Send + 'static,
    ) -> Result<Batch, Failure> {
        if size < LARGE {
            return Ok(self.fill(&headers, read)?);
        }
        let door = Arc::clone(self);
        match tokio::task::spawn_blocking(move || door.fill(&headers, read)).await {
            Ok(batch) => Ok(batch?),
            Err(error) => {
                tracing::error!(%error, "a body could not be read");
                Err(Failure::Broken("the reader failed".to_owned()))
            }
        }
    }

    fn fill(
        &self,
        headers: &BTreeMap<String, String>,
        read: impl FnOnce(&Context<'_>, &mut Batch) -> Result<(), Unreadable>,
    ) -> Result<Batch, Unreadable> {
        let now_ms = self.clock.now().as_millisecond();
        let mut batch = Batch::new(&self.settings.limits, now_ms)
            .redacting(Arc::clone(&self.redactor))
            .counting(Arc::clone(&self.series));
        let context = Context { identity: &self.settings.identity, now_ms, headers };
        read(&context, &mut batch)?;
        Ok(batch)
    }

    /// Reads a body of so many bytes and writes what it holds. What is read of it has room in the slot beside the body itself, and
    /// both are given back before Kafka is waited for: `held` says how many bytes the slot has for the body.
    pub(crate) async fn take(
        self: &Arc<Self>,
        format: &'static str,
        (size, held): (usize, usize),
        headers: BTreeMap<String, String>,
        read: impl FnOnce(&Context<'_>, &mut Batch) -> Result<(), Unreadable> + Send + 'static,
        slot: &mut Slot,
    ) -> Result<Outcome, Failure> {
        slot.grow(size * DECODED)?;
        let batch = self.read(size, headers, read).await?;
        slot.shrink(held + size * DECODED);
        self.deliver(format, batch, slot).await
    }

    /// Writes what was read, and counts it once Kafka has acknowledged it.
    async fn deliver(&self, format: &'static str, batch: Batch, slot: &mut Slot) -> Result<Outcome, Failure> {
        let outcome = Outcome {
            taken: batch.taken,
            refused: batch.refused.clone(),
            passed_over: batch.passed_over.join(", "),
            headers: batch.headers.clone(),
        };
        let records = batch.into_records();
        slot.grow(records.iter().map(|record| record.payload.len() + record.key.len()).sum())?;
        self.publisher.publish(&records).await?;
        metrics::count_taken(&outcome.taken);
        metrics::count_refused(format, &outcome.refused);
        for (reason, _) in outcome.refused.counts() {
            notice::refused(format, reason.as_str(), &outcome.refused.message());
        }
        let word = if outcome.refused.is_empty() { "ok" } else { "partial" };
        metrics::REQUESTS.add_one([format, word]);
        Ok(outcome)
    }

    /// Returns when a client that is refused as retryable is told to try again, seconds.
    pub(crate) fn retry_after_s(&self) -> u64 {
        self.settings.requests.retry_after_s
    }
}
