//! The runtime of a stage that keeps its state in memory: one task per partition, its state in a compacted topic.
//!
//! The group's offset is committed only up to what the last snapshot reflects, and only after the snapshot and every
//! event before it are acknowledged. A crash between the two leaves parts of the state ahead of the offset: each part
//! holds the offsets it reflects, and its task skips what it already holds.
//!
//! Topics change under a stage: they get more partitions, or are made again. The stage then begins again from its last
//! snapshot, with the new shape. Where it cannot, it stands still and `/readyz` names topic and remedy.

mod failures;
mod notices;
mod session;
mod unsaved;

use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio_util::sync::CancellationToken;

use super::admin::Admin;
use super::shape::{Obstacle, Shape};
use super::{Error, Options};
use crate::agent::Agent;
use crate::events::{Outgoing, Topic};
use crate::metrics::runtime;
use failures::Failures;
pub use notices::{Notice, To};
use session::{End, Session};
use unsaved::Unsaved;

/// Name of the work on partitions among the dependencies of `/readyz`.
const PARTITIONS: &str = "partitions";
/// Pause before Kafka is asked again that did not answer.
const UNANSWERED: Duration = Duration::from_secs(1);

/// Where a stage reports whether it can work.
pub trait Health: Send + Sync {
    /// Notes that something works, or why not.
    fn note(&self, what: &'static str, outcome: Result<(), String>);
}

/// What a task makes of one record.
#[derive(Debug, Default)]
pub struct Output {
    /// Events to publish, in order.
    pub publish: Vec<Outgoing>,
    /// What the tasks of other partitions are to know.
    pub notices: Vec<Notice>,
    /// Why the record, or a part of it, is refused; it then goes to the dead-letter topic.
    pub refused: Option<String>,
}

/// One record of the state topic, e.g. the state of one service.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Part {
    /// Key; begins with the partition, so that partitions do not overwrite each other.
    pub key: String,
    /// The state, as the task writes it.
    pub payload: Vec<u8>,
}

/// State of one partition.
pub trait Task: Send + 'static {
    /// Takes one record. Skips what the state already reflects. `timestamp_ms` is the record's own time. A fatal error
    /// ends the process; after any other the record is refused.
    fn record(
        &mut self,
        topic: Topic,
        offset: i64,
        timestamp_ms: i64,
        payload: &[u8],
    ) -> Result<Output, crate::error::Error>;

    /// Takes the removal of `key` from a compacted topic: a record without a payload. Without an own implementation it is
    /// a record like any other.
    fn removed(
        &mut self,
        topic: Topic,
        offset: i64,
        timestamp_ms: i64,
        key: &[u8],
    ) -> Result<Output, crate::error::Error> {
        let _ = key;
        self.record(topic, offset, timestamp_ms, &[])
    }

    /// Takes a notice of the task of another partition, or its own one to all. `partitions` is how many were addressed,
    /// where it went to all. Nothing follows from it by default.
    fn notice(
        &mut self,
        topic: Topic,
        offset: i64,
        timestamp_ms: i64,
        body: &str,
        partitions: Option<i32>,
    ) -> Output {
        let _ = (topic, offset, timestamp_ms, body, partitions);
        Output::default()
    }

    /// Returns how long nothing must have come on `topic` for it to mean something to this partition. A record that
    /// says so ([`tick`](super::tick)) is then written to the topic. Nothing is written by default.
    fn patience(&self, topic: Topic) -> Option<Duration> {
        let _ = topic;
        None
    }

    /// Notes how many partitions the first input has, before the first record.
    fn spread_among(&mut self, partitions: i32) {
        let _ = partitions;
    }

    /// Returns the offset of the last record of `topic` that the state reflects.
    fn applied(&self, topic: Topic) -> Option<i64> {
        let _ = topic;
        None
    }

    /// Notes that the log of `topic` begins anew: its next records have offsets that were taken before.
    fn begin_anew(&mut self, topic: Topic) {
        let _ = topic;
    }

    /// Returns the parts that have changed since the last snapshot that was [`Task::saved`], each with the offsets it
    /// reflects, in the order they must be written. Each is made when it is asked for.
    fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_>;

    /// Notes that the last snapshot was acknowledged.
    fn saved(&mut self);
}

/// How a partitioned stage runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Consumer group, dead-letter topic and metric label.
    pub stage: Agent,
    /// Input topics; equal partition numbers go to one task. The group shares the partitions of the first one.
    pub topics: Vec<Topic>,
    /// Compacted topic of the state.
    pub state: Topic,
    /// Time between snapshots, as long as they fit into `snapshot_rate`.
    pub snapshot_every: Duration,
    /// Bytes of snapshots that all partitions together may write a second. Where there is more to write, they are
    /// written less often.
    pub snapshot_rate: f64,
}

/// Reads until `shutdown`. For each assigned partition `make` is given the records of its state, in the order of the
/// log (compaction may have left several of one key), and returns its task. It may block. A compacted input of which the
/// task then reflects nothing is read to its end before anything else: its records may lie before the group's offset.
///
/// After a failure it begins again from the last snapshot, after pauses that grow; what it cannot do is reported to
/// `health` meanwhile. A fatal error of a task is returned.
pub async fn run<T: Task>(
    options: &Options,
    settings: Settings,
    health: &impl Health,
    make: impl Fn(i32, &mut dyn Iterator<Item = Part>) -> T + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let admin = Admin::new(options).map_err(|error| Error::Other(error.to_string()))?;
    let (mut obstacles, mut failures) = (Failures::default(), Failures::default());
    let make = Arc::new(make);
    let rest = async |pause| {
        tokio::select! {
            () = shutdown.cancelled() => {}
            () = tokio::time::sleep(pause) => {}
        }
    };
    let timeout = session::SILENCE.max(Duration::from_millis(options.delivery_timeout_ms.into()));
    let steady = failures::steady(timeout);
    let unsaved = Arc::new(Unsaved::default());
    runtime::begin(settings.stage.name(), settings.topics.iter().map(|topic| topic.name()));
    while !shutdown.is_cancelled() {
        unsaved.show(settings.stage);
        let shape = match Shape::prepare(&admin, &settings.topics, settings.state).await {
            Ok(shape) => shape,
            Err(obstacle) => {
                let reason = obstacle.to_string();
                health.note(PARTITIONS, Err(reason.clone()));
                // an outage has its own line, and no cause that would last
                let is_outage = matches!(obstacle, Obstacle::Kafka(_));
                rest(if is_outage { UNANSWERED } else { obstacles.note(reason) }).await;
                continue;
            }
        };
        obstacles = Failures::default();
        if let Some(counts) = shape.uneven() {
            tracing::warn!(
                counts,
                "inputs have different numbers of partitions; give all the same or findings lack their logs and deployments"
            );
        }
        if !failures.stand_still() {
            health.note(PARTITIONS, Ok(()));
        }
        let begun = Instant::now();
        let (settings, admin, shutdown, unsaved) = (&settings, &admin, &shutdown, &unsaved);
        let session = Session { options, settings, health, admin, shutdown, unsaved, steady };
        match session.run(shape, Arc::clone(&make), begun).await {
            Ok(End::Shutdown) => break,
            Ok(End::Reshaped(counts)) => {
                tracing::warn!(counts, "topics have another number of partitions; all are taken over anew");
                failures = Failures::default();
            }
            Err(error @ Error::Fatal(_)) => return Err(error),
            Err(error) => {
                // what was not acknowledged is not in any snapshot either: it is read and scored again
                runtime::RESTARTS.add_one([settings.stage.name()]);
                failures.forget_after(begun.elapsed(), steady);
                let pause = failures.note(error.to_string());
                if failures.stand_still() {
                    health.note(PARTITIONS, Err(error.to_string()));
                }
                rest(pause).await;
            }
        }
    }
    Ok(())
}
