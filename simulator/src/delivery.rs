//! The way to Kafka: in order, tick by tick, and nothing is dropped. While Kafka is away a bounded number of ticks waits;
//! when that is used up, time stands still in the shop.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::future::join_all;
use shared::bus::{self, Producer};
use shared::service::Readiness;
use tokio::sync::mpsc;
use tracing::{info, warn};

use crate::record::Record;
use crate::telemetry::Telemetry;

/// Name of the dependency in `/readyz`.
const KAFKA: &str = "kafka";
/// Ticks that wait for Kafka at most.
pub const BUFFERED_TICKS: usize = 360;
/// How often to say that Kafka is awaited.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses before another attempt; without an end.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();

/// Where records go.
pub trait Sink: Send + Sync + 'static {
    /// Writes one record and waits until it is safe.
    fn send(&self, record: &Record) -> impl Future<Output = Result<(), bus::Error>> + Send;
}

impl Sink for Producer {
    async fn send(&self, record: &Record) -> Result<(), bus::Error> {
        Self::send(self, record.topic, Some(&record.key), &record.headers, &record.payload).await
    }
}

/// Writes all ticks of the queue until its other end is closed.
pub async fn deliver(
    sink: impl Sink,
    mut queue: mpsc::Receiver<Vec<Record>>,
    telemetry: Telemetry,
    readiness: Readiness,
) {
    while let Some(records) = queue.recv().await {
        let mut waiting = records;
        let mut late = false;
        for delay in BACKOFF.build() {
            let attempts = join_all(waiting.iter().map(|record| sink.send(record)));
            let outcomes = patiently(attempts, || {
                warn!(
                    records = waiting.len(),
                    ticks_behind = queue.len(),
                    "waiting for kafka to acknowledge"
                );
                readiness.down(KAFKA, "no acknowledgement");
                late = true;
            })
            .await;
            let mut refused = Vec::new();
            let mut reason = None;
            for (record, outcome) in waiting.into_iter().zip(outcomes) {
                match outcome {
                    Ok(()) => telemetry.delivered(record.topic),
                    Err(error) => {
                        refused.push(record);
                        reason = Some(error);
                    }
                }
            }
            let Some(error) = reason else { break };
            waiting = refused;
            telemetry.retried(waiting.len());
            readiness.down(KAFKA, &error.to_string());
            late = true;
            warn!(%error, records = waiting.len(), ticks_behind = queue.len(), "kafka took no records, trying again");
            tokio::time::sleep(delay).await;
        }
        readiness.up(KAFKA);
        if late {
            info!(ticks_behind = queue.len(), "kafka takes records again");
        }
    }
}

/// Waits for `work`, and says so each time [`PATIENCE`] is over.
async fn patiently<T>(work: impl Future<Output = T>, mut complain: impl FnMut()) -> T {
    tokio::pin!(work);
    loop {
        match tokio::time::timeout(PATIENCE, &mut work).await {
            Ok(done) => return done,
            Err(_) => complain(),
        }
    }
}
