//! The way to Kafka or to a gateway: in order, tick by tick. While it is away nothing is dropped and a bounded number of ticks
//! waits; when that is used up, time stands still in the shop. A record that is refused for good is dropped and counted.

use std::future::Future;
use std::time::Duration;

use backon::{BackoffBuilder as _, ExponentialBuilder};
use futures::future::join_all;
use shared::bus::{self, Producer};
use shared::service::Readiness;
use tokio::sync::mpsc;
use tracing::{error, info, warn};

use crate::record::Record;
use crate::telemetry::Telemetry;

/// Ticks that wait at most.
pub const BUFFERED_TICKS: usize = 360;
/// How often to say that an acknowledgement is awaited.
const PATIENCE: Duration = Duration::from_secs(5);
/// Pauses before another attempt; without an end.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(5))
    .without_max_times();

/// Why a record was not written.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// Another attempt may succeed.
    #[error("{0}")]
    Unavailable(String),
    /// No attempt will succeed.
    #[error("{0}")]
    Refused(String),
}

impl From<bus::Error> for Error {
    fn from(error: bus::Error) -> Self {
        Self::Unavailable(error.to_string())
    }
}

/// Where records go.
pub trait Sink: Send + Sync + 'static {
    /// Name of the dependency in `/readyz` and in logs.
    const NAME: &'static str;

    /// Writes one record and waits until it is safe.
    fn send(&self, record: &Record) -> impl Future<Output = Result<(), Error>> + Send;
}

impl Sink for Producer {
    const NAME: &'static str = "kafka";

    async fn send(&self, record: &Record) -> Result<(), Error> {
        Ok(Self::send(self, record.topic, Some(&record.key), &record.headers, &record.payload).await?)
    }
}

/// Writes all ticks of the queue until its other end is closed.
pub async fn deliver<S: Sink>(
    sink: S,
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
                let (records, ticks_behind) = (waiting.len(), queue.len());
                warn!(to = S::NAME, records, ticks_behind, "waiting for an acknowledgement");
                readiness.down(S::NAME, "no acknowledgement");
                late = true;
            })
            .await;
            let (left, reason) = settle(waiting, outcomes, &telemetry);
            waiting = left;
            let Some(reason) = reason else { break };
            telemetry.retried(waiting.len());
            readiness.down(S::NAME, &reason);
            late = true;
            let (records, ticks_behind) = (waiting.len(), queue.len());
            warn!(to = S::NAME, reason, records, ticks_behind, "records were not taken, trying again");
            tokio::time::sleep(delay).await;
        }
        readiness.up(S::NAME);
        if late {
            info!(to = S::NAME, ticks_behind = queue.len(), "records are taken again");
        }
    }
}

/// Counts what is safe and what is refused. Returns what has to be sent again, and why.
fn settle(
    records: Vec<Record>,
    outcomes: Vec<Result<(), Error>>,
    telemetry: &Telemetry,
) -> (Vec<Record>, Option<String>) {
    let (mut left, mut reason) = (Vec::new(), None);
    for (record, outcome) in records.into_iter().zip(outcomes) {
        match outcome {
            Ok(()) => telemetry.delivered(record.topic),
            Err(Error::Refused(reason)) => {
                error!(topic = record.topic.name(), reason, "a record was refused and is dropped");
                telemetry.refused();
            }
            Err(Error::Unavailable(why)) => {
                left.push(record);
                reason = Some(why);
            }
        }
    }
    (left, reason)
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
