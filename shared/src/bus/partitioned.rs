//! The runtime of a stage that keeps its state in memory: one task per partition, its state in a compacted topic.
//!
//! The group's offset is committed only up to what the last snapshot reflects, and only after the snapshot and every
//! event before it are acknowledged. A crash between the two leaves parts of the state ahead of the offset: each part
//! holds the offsets it reflects, and its task skips what it already holds.

use std::collections::BTreeMap;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::Duration;

use tokio::sync::{mpsc, watch};
use tokio_util::sync::CancellationToken;

use super::reader::{From, Reader};
use super::tick::{self, Ticker};
use super::tracker::Ticket;
use super::{Consumer, Error, Options, Producer, Record, dead_letter};
use crate::error::panic_message;
use crate::events::envelope::expect_type;
use crate::events::{Outgoing, Topic};
use crate::gap::Gap;

/// Records a partition's task may have waiting.
const QUEUE: usize = 1024;

/// What a task makes of one record.
#[derive(Debug, Default)]
pub struct Output {
    /// Events to publish, in order.
    pub publish: Vec<Outgoing>,
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
    /// Takes one record. Skips what the state already reflects. `timestamp_ms` is the record's own time.
    fn record(&mut self, topic: Topic, offset: i64, timestamp_ms: i64, payload: &[u8]) -> Output;

    /// Returns how long nothing must have come on `topic` for it to mean something to this partition. A record that
    /// says so ([`tick`](super::tick)) is then written to the topic. Nothing is written by default.
    fn patience(&self, topic: Topic) -> Option<Duration> {
        let _ = topic;
        None
    }

    /// Returns the parts that have changed since the last snapshot that was [`Task::saved`], each with the offsets it
    /// reflects, in the order they must be written.
    fn snapshot(&mut self) -> Vec<Part>;

    /// Notes that the last snapshot was acknowledged.
    fn saved(&mut self);
}

/// How a partitioned stage runs.
#[derive(Debug, Clone)]
pub struct Settings {
    /// Consumer group, dead-letter topic and metric label.
    pub stage: &'static str,
    /// Input topics; equal partition numbers go to one task.
    pub topics: Vec<Topic>,
    /// Compacted topic of the state.
    pub state: Topic,
    /// Longest time between snapshots.
    pub snapshot_every: Duration,
}

/// Reads until `shutdown`. For each assigned partition `make` is given the records of its state, in the order of the
/// log (compaction may have left several of one key), and returns its task.
pub async fn run<T: Task>(
    options: &Options,
    settings: Settings,
    make: impl Fn(i32, Vec<Part>) -> T + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let producer = Producer::connect(options)?;
    let mut consumer = Consumer::join(options, settings.stage, &settings.topics)?;
    let revocations = consumer.handle().revocations();
    let settings = Arc::new(settings);
    let make = Arc::new(make);
    let mut tasks: BTreeMap<i32, (u64, mpsc::Sender<Record>)> = BTreeMap::new();
    let mut running = tokio::task::JoinSet::new();
    let failure = loop {
        let record = tokio::select! {
            () = shutdown.cancelled() => break None,
            Some(ended) = running.join_next() => match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => break Some(error),
                Err(panic) => break Some(Error::Other(format!("a partition's task panicked: {panic}"))),
            },
            record = consumer.next() => match record {
                Some(record) => record,
                None => break None,
            },
        };
        if !record.ticket.is_current() {
            continue;
        }
        let (epoch, partition) = (record.ticket.epoch(), record.partition);
        if tasks.get(&partition).is_none_or(|(of, sender)| *of != epoch || sender.is_closed()) {
            let (sender, records) = mpsc::channel(QUEUE);
            tasks.insert(partition, (epoch, sender));
            running.spawn(work(
                options.clone(),
                Arc::clone(&settings),
                producer.clone(),
                partition,
                Arc::clone(&make),
                records,
                revocations.clone(),
                epoch,
            ));
        }
        // a task that has ended hands its records back by dropping them: they are read again after the rebalance
        tokio::select! {
            () = shutdown.cancelled() => break None,
            _ = tasks[&partition].1.send(record) => {}
        }
    };
    tasks.clear();
    consumer.leave().await;
    running.shutdown().await;
    let closing = producer.clone();
    let _ = tokio::task::spawn_blocking(move || closing.flush(Duration::from_secs(2))).await;
    failure.map_or(Ok(()), Err)
}

#[allow(clippy::too_many_arguments, reason = "the parts of one task, named where it is spawned")]
async fn work<T: Task, M: Fn(i32, Vec<Part>) -> T + Send + Sync + 'static>(
    options: Options,
    settings: Arc<Settings>,
    producer: Producer,
    partition: i32,
    make: Arc<M>,
    mut records: mpsc::Receiver<Record>,
    mut revocations: watch::Receiver<u64>,
    epoch: u64,
) -> Result<(), Error> {
    let mut task = make(partition, restore(&options, settings.state, partition).await?);
    Gap::Restored.reach();
    let mut journal = Journal { done: Vec::new(), pending: Vec::new() };
    let mut ticks = tokio::time::interval(settings.snapshot_every);
    ticks.tick().await;
    let (mut ticker, mut looks) = (Ticker::new(&settings.topics), tokio::time::interval(tick::LOOK));
    loop {
        let revoked = *revocations.borrow_and_update() > epoch;
        if revoked {
            break;
        }
        tokio::select! {
            biased;
            _ = revocations.changed() => {}
            _ = ticks.tick() => {
                journal.settle(&settings, &producer, partition, &mut task).await?;
            }
            _ = looks.tick() => for topic in ticker.due(&task) {
                let tick = producer.enqueue_at(topic, Some(partition), None, &Vec::new(), tick::TICK).await?;
                journal.pending.push(tick);
            },
            record = records.recv() => match record {
                None => break,
                Some(mut record) => {
                    ticker.hear(record.topic);
                    if !record.ticket.start() {
                        continue;
                    }
                    let output = taken(&mut task, &record);
                    for outgoing in &output.publish {
                        journal.pending.push(producer.enqueue(
                            outgoing.topic,
                            Some(&outgoing.key),
                            &outgoing.envelope.to_headers(),
                            &outgoing.payload,
                        ).await?);
                    }
                    if let Some(reason) = output.refused {
                        dead_letter::send(&producer, settings.stage, &record, &reason, 1).await?;
                    }
                    journal.done.push(record.ticket);
                    if journal.done.len() >= 50_000 {
                        journal.settle(&settings, &producer, partition, &mut task).await?;
                    }
                }
            },
        }
    }
    journal.settle(&settings, &producer, partition, &mut task).await
}

/// Lets the task take one record. A record of another type, or one on which the task panics, is refused: what is behind
/// it goes on. A panic may leave the one series it struck half changed; the process and all others are spared.
fn taken<T: Task>(task: &mut T, record: &Record) -> Output {
    let refused = |reason: String| Output { publish: Vec::new(), refused: Some(reason) };
    if let Err(refusal) = expect_type(record.topic, &record.headers) {
        return refused(refusal.to_string());
    }
    let timestamp_ms = record.timestamp_ms.unwrap_or(i64::MAX);
    let take = AssertUnwindSafe(|| task.record(record.topic, record.offset, timestamp_ms, &record.payload));
    catch_unwind(take)
        .unwrap_or_else(|panic| refused(format!("the task panicked: {}", panic_message(&*panic))))
}

/// What was done since the last snapshot.
struct Journal {
    done: Vec<Ticket>,
    pending: Vec<super::Pending>,
}

impl Journal {
    /// Waits for every event to be acknowledged, writes the snapshot, and only then lets the offsets go.
    async fn settle<T: Task>(
        &mut self,
        settings: &Settings,
        producer: &Producer,
        partition: i32,
        task: &mut T,
    ) -> Result<(), Error> {
        for pending in self.pending.drain(..) {
            pending.acknowledged().await?;
        }
        Gap::Emitted.reach();
        // a partition that was lost, not given back, has another owner: its state is no longer ours to write
        self.done.retain(Ticket::is_ours);
        if self.done.is_empty() {
            return Ok(());
        }
        let mut writes = Vec::new();
        for part in task.snapshot() {
            let key = Some(part.key.as_str());
            writes.push(
                producer.enqueue_at(settings.state, Some(partition), key, &Vec::new(), &part.payload).await?,
            );
            Gap::HalfSaved.reach();
        }
        for write in writes {
            write.acknowledged().await?;
        }
        Gap::Saved.reach();
        task.saved();
        for ticket in self.done.drain(..) {
            ticket.finish();
        }
        metrics::counter!("firewatch_snapshots_total", "stage" => settings.stage).increment(1);
        Ok(())
    }
}

async fn restore(options: &Options, state: Topic, partition: i32) -> Result<Vec<Part>, Error> {
    let options = options.clone();
    let lines = tokio::task::spawn_blocking(move || {
        Reader::open(&options, state, Some(partition), From::Beginning, Duration::from_secs(10))?
            .to_end(Duration::from_mins(1))
    })
    .await
    .map_err(|error| Error::Other(error.to_string()))??;
    let parts: Vec<Part> =
        lines.into_iter().filter_map(|line| Some(Part { key: line.key?, payload: line.payload? })).collect();
    tracing::info!(partition, records = parts.len(), "state restored");
    Ok(parts)
}

/// Keeps `/readyz` honest until `shutdown`.
#[cfg(feature = "service")]
pub async fn watch(producer: Producer, readiness: crate::service::Readiness, shutdown: CancellationToken) {
    loop {
        match producer.answers(Duration::from_secs(5)).await {
            Ok(()) => readiness.up("kafka"),
            Err(error) => readiness.down("kafka", &error.to_string()),
        }
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(Duration::from_secs(2)) => {}
        }
    }
}
