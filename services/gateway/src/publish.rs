//! Writes records to Kafka, and knows whether it answers.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use futures::future::try_join_all;
use shared::bus::{Error, PING, Producer};
use shared::events::envelope::Headers;
use shared::failpoint::Failpoint;
use shared::service::Readiness;
use tokio_util::sync::CancellationToken;

use crate::metrics;
use crate::telemetry::Record;

/// Time between two questions whether Kafka answers.
const LOOK: Duration = Duration::from_secs(1);

/// Why records were not acknowledged. Some of them may have been written nevertheless.
#[derive(Debug, thiserror::Error)]
pub enum Unavailable {
    /// No broker answers.
    #[error("kafka does not answer")]
    Down,
    /// Not within the deadline.
    #[error("kafka did not acknowledge within {} ms", .0.as_millis())]
    Late(Duration),
    /// Kafka refused, or the client did.
    #[error("{0}")]
    Failed(#[from] Error),
}

/// Writes records. Cheap to clone.
#[derive(Clone)]
pub struct Publisher {
    producer: Producer,
    timeout: Duration,
    known: Arc<Known>,
}

#[derive(Default)]
struct Known {
    is_down: AtomicBool,
    /// Requests that were acknowledged.
    acknowledged: AtomicU64,
}

impl Publisher {
    /// Writes by a producer; all records of a request within `timeout`.
    pub fn new(producer: Producer, timeout: Duration) -> Self {
        Self { producer, timeout, known: Arc::default() }
    }

    /// Writes records, and returns after Kafka has acknowledged each.
    pub async fn publish(&self, records: &[Record]) -> Result<(), Unavailable> {
        if records.is_empty() {
            return Ok(());
        }
        if self.known.is_down.load(Ordering::Relaxed) {
            return Err(Unavailable::Down);
        }
        let began = Instant::now();
        let outcome = match tokio::time::timeout(self.timeout, self.write(records)).await {
            Err(_) => Err(Unavailable::Late(self.timeout)),
            Ok(outcome) => outcome.map_err(Unavailable::from),
        };
        let name = if outcome.is_ok() { "ok" } else { "failed" };
        metrics::PUBLISH_SECONDS.observe([name], began.elapsed().as_secs_f64());
        if outcome.is_ok() {
            self.known.acknowledged.fetch_add(1, Ordering::Relaxed);
        }
        outcome
    }

    async fn write(&self, records: &[Record]) -> Result<(), Error> {
        let (headers, mut pending) = (Headers::new(), Vec::with_capacity(records.len()));
        Failpoint::Received.hit();
        for record in records {
            let sent =
                self.producer.enqueue(record.topic, Some(&record.key), &headers, &record.payload).await?;
            pending.push(sent.acknowledged());
            Failpoint::HalfSent.hit();
        }
        try_join_all(pending).await?;
        Failpoint::Accepted.hit();
        Ok(())
    }

    /// Asks again and again whether Kafka answers, until `shutdown`. While it does not, requests are refused at once.
    pub async fn watch(self, readiness: Readiness, shutdown: CancellationToken) {
        loop {
            let before = self.known.acknowledged.load(Ordering::Relaxed);
            let outcome = self.producer.answers(PING).await;
            // a broker that acknowledges is there, however busy it is
            let is_down = outcome.is_err() && self.known.acknowledged.load(Ordering::Relaxed) == before;
            self.known.is_down.store(is_down, Ordering::Relaxed);
            if is_down {
                readiness.record("kafka", &outcome);
            } else {
                readiness.up("kafka");
            }
            tokio::select! {
                () = shutdown.cancelled() => return,
                () = tokio::time::sleep(LOOK) => {}
            }
        }
    }

    /// Waits until everything handed over is written or has failed.
    pub async fn flush(&self, deadline: Duration) {
        let producer = self.producer.clone();
        let flushed = tokio::task::spawn_blocking(move || producer.flush(deadline)).await;
        if let Ok(Err(error)) = flushed {
            tracing::warn!(%error, "records were not flushed");
        }
    }
}
