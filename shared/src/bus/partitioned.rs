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
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::consumer::{Assignment, Batch};
use super::inspect::reader::{From, Reader};
use super::rate_limiter::RateLimiter;
use super::tick::{self, Ticker};
use super::tracker::Ticket;
use super::{Batches, Error, Message, Options, Producer, dead_letter};
use crate::agent::Agent;
use crate::error::{Class, panic_message};
use crate::events::envelope::{expect_type, header, id_of};
use crate::events::{Outgoing, Topic};
use crate::failpoint::Failpoint;
use crate::metrics::runtime;
use crate::trace;

/// Batches a partition's task may have waiting.
const QUEUE: usize = 4;
/// Batches after which a snapshot is written in any case: their offsets wait for it.
const UNSAVED: usize = 50_000;
/// Events on their way from which on their acknowledgements are waited for.
const UNACKNOWLEDGED: usize = 10_000;
/// Longest wait for one more record of the state, when it is restored.
const SILENCE: Duration = Duration::from_secs(30);

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
    /// Takes one record. Skips what the state already reflects. `timestamp_ms` is the record's own time. A fatal error
    /// ends the process; after any other the record is refused.
    fn record(
        &mut self,
        topic: Topic,
        offset: i64,
        timestamp_ms: i64,
        payload: &[u8],
    ) -> Result<Output, crate::error::Error>;

    /// Returns how long nothing must have come on `topic` for it to mean something to this partition. A record that
    /// says so ([`tick`]) is then written to the topic. Nothing is written by default.
    fn patience(&self, topic: Topic) -> Option<Duration> {
        let _ = topic;
        None
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
    /// Input topics; equal partition numbers go to one task.
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
/// log (compaction may have left several of one key), and returns its task. It may block.
pub async fn run<T: Task>(
    options: &Options,
    settings: Settings,
    make: impl Fn(i32, &mut dyn Iterator<Item = Part>) -> T + Send + Sync + 'static,
    shutdown: CancellationToken,
) -> Result<(), Error> {
    let producer = Producer::connect(options)?;
    let mut consumer = Batches::join(options, settings.stage.name(), &settings.topics)?;
    let (revocations, mut assignments) = (consumer.handle().revocations(), consumer.handle().assignments());
    let shared = Arc::new(Shared {
        options: options.clone(),
        limiter: RateLimiter::new(settings.snapshot_rate),
        settings,
        producer: producer.clone(),
        make,
    });
    let mut tasks: BTreeMap<i32, (u64, mpsc::Sender<Batch>)> = BTreeMap::new();
    let mut running = JoinSet::new();
    let failure = loop {
        let begin = |tasks: &mut BTreeMap<_, _>, running: &mut JoinSet<_>, partition, epoch| {
            let (sender, batches) = mpsc::channel(QUEUE);
            tasks.insert(partition, (epoch, sender));
            running.spawn(Arc::clone(&shared).work(partition, batches, revocations.clone(), epoch));
        };
        let batch = tokio::select! {
            () = shutdown.cancelled() => break None,
            // also what nothing comes of has a task: time may pass for what it has seen before
            Ok(()) = assignments.changed() => {
                let Assignment { epoch, partitions } = assignments.borrow_and_update().clone();
                for partition in partitions {
                    if tasks.get(&partition).is_none_or(|(of, _)| *of != epoch) {
                        begin(&mut tasks, &mut running, partition, epoch);
                    }
                }
                continue;
            }
            Some(ended) = running.join_next() => match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => break Some(error),
                Err(panic) => break Some(Error::Other(format!("a partition's task panicked: {panic}"))),
            },
            batch = consumer.next() => match batch {
                Some(batch) => batch,
                None => break None,
            },
        };
        if !batch.ticket.is_current() {
            continue;
        }
        let (epoch, (_, partition)) = (batch.ticket.epoch(), batch.ticket.place());
        if tasks.get(&partition).is_none_or(|(of, sender)| *of != epoch || sender.is_closed()) {
            begin(&mut tasks, &mut running, partition, epoch);
        }
        // a task that has ended hands its records back by dropping them: they are read again after the rebalance
        tokio::select! {
            () = shutdown.cancelled() => break None,
            _ = tasks[&partition].1.send(batch) => {}
        }
    };
    tasks.clear();
    consumer.leave().await;
    running.shutdown().await;
    let closing = producer.clone();
    let _ = tokio::task::spawn_blocking(move || closing.flush(Duration::from_secs(2))).await;
    failure.map_or(Ok(()), Err)
}

/// What the tasks of all partitions share.
struct Shared<M> {
    options: Options,
    settings: Settings,
    producer: Producer,
    limiter: RateLimiter,
    make: M,
}

impl<T: Task, M: Fn(i32, &mut dyn Iterator<Item = Part>) -> T + Send + Sync + 'static> Shared<M> {
    async fn work(
        self: Arc<Self>,
        partition: i32,
        mut batches: mpsc::Receiver<Batch>,
        mut revocations: watch::Receiver<u64>,
        epoch: u64,
    ) -> Result<(), Error> {
        let restoring = Arc::clone(&self);
        let restored = tokio::task::spawn_blocking(move || restoring.restore(partition)).await;
        let mut task = restored.map_err(|error| Error::Other(error.to_string()))??;
        Failpoint::Restored.hit();
        let mut journal = Journal { done: Vec::new(), pending: Vec::new() };
        let due = tokio::time::sleep(self.settings.snapshot_every);
        tokio::pin!(due);
        let (mut ticker, mut looks) = (Ticker::new(&self.settings.topics), tokio::time::interval(tick::LOOK));
        loop {
            let revoked = *revocations.borrow_and_update() > epoch;
            if revoked {
                break;
            }
            let is_due = tokio::select! {
                biased;
                _ = revocations.changed() => continue,
                () = &mut due => true,
                _ = looks.tick() => {
                    for topic in ticker.due(|topic| task.patience(topic)) {
                        let (place, headers) = (Some(partition), Vec::new());
                        let tick = self.producer.enqueue_at(topic, place, None, &headers, tick::TICK).await?;
                        journal.pending.push(tick);
                    }
                    continue;
                }
                batch = batches.recv() => match batch {
                    None => break,
                    Some(batch) => {
                        ticker.observe(batch.ticket.place().0);
                        self.take(&mut task, &mut journal, batch).await?;
                        journal.done.len() >= UNSAVED
                    }
                },
            };
            if is_due {
                let bytes = self.settle(&mut journal, partition, &mut task).await?;
                let now = Instant::now();
                due.as_mut().reset(self.limiter.spend(bytes, now).max(now + self.settings.snapshot_every));
            }
        }
        self.settle(&mut journal, partition, &mut task).await.map(|_| ())
    }

    /// Lets the task take a batch, and hands what follows to the client.
    async fn take(&self, task: &mut T, journal: &mut Journal, mut batch: Batch) -> Result<(), Error> {
        if !batch.ticket.start() {
            return Ok(());
        }
        for message in &batch.messages {
            let mut output = taken(task, message)?;
            self.trace(message, &mut output.publish);
            for outgoing in &output.publish {
                let headers = outgoing.envelope.to_headers();
                let key = Some(outgoing.key.as_str());
                journal
                    .pending
                    .push(self.producer.enqueue(outgoing.topic, key, &headers, &outgoing.payload).await?);
            }
            if let Some(reason) = output.refused {
                let stage = self.settings.stage;
                let letter = dead_letter::enqueue(&self.producer, stage, message, &reason, 1).await?;
                journal.pending.push(letter);
                dead_letter::count(stage, message, 1);
            }
            if journal.pending.len() >= UNACKNOWLEDGED {
                journal.acknowledged().await?;
            }
        }
        journal.done.push(batch.ticket);
        Ok(())
    }

    /// Makes events part of the trace of the record that caused them. A record without events has no span: there are
    /// too many.
    fn trace(&self, message: &Message, events: &mut [Outgoing]) {
        if events.is_empty() {
            return;
        }
        let parent = header(&message.headers, "traceparent");
        let id = id_of(&message.headers, message.topic, message.partition, message.offset);
        trace::handling(self.settings.stage, trace::Work::Record(message.topic), id, parent).in_scope(|| {
            for outgoing in events {
                outgoing.envelope.continue_trace(parent);
                trace::published(outgoing);
            }
        });
    }

    /// Waits for every event to be acknowledged, writes the snapshot, and only then lets the offsets go. Returns how
    /// many bytes it has.
    async fn settle(&self, journal: &mut Journal, partition: i32, task: &mut T) -> Result<usize, Error> {
        journal.acknowledged().await?;
        Failpoint::Emitted.hit();
        // a partition that was lost, not given back, has another owner: its state is no longer ours to write
        journal.done.retain(Ticket::is_ours);
        if journal.done.is_empty() {
            return Ok(0);
        }
        let (mut writes, mut bytes) = (Vec::new(), 0);
        for part in task.snapshot() {
            bytes += part.payload.len();
            let key = Some(part.key.as_str());
            let (state, headers) = (self.settings.state, Vec::new());
            writes
                .push(self.producer.enqueue_at(state, Some(partition), key, &headers, &part.payload).await?);
            Failpoint::HalfSaved.hit();
        }
        for write in writes {
            write.acknowledged().await?;
        }
        Failpoint::Saved.hit();
        task.saved();
        for ticket in journal.done.drain(..) {
            ticket.finish();
        }
        let stage = self.settings.stage;
        runtime::SNAPSHOTS.add_one([stage.name()]);
        runtime::SNAPSHOT_BYTES.add([stage.name()], bytes as u64);
        Ok(bytes)
    }

    /// Makes the task of a partition from its state. Blocking.
    fn restore(&self, partition: i32) -> Result<T, Error> {
        let open = Duration::from_secs(10);
        let reader =
            Reader::open(&self.options, self.settings.state, Some(partition), From::Beginning, open)?;
        let (mut records, mut failure) = (0_u64, None);
        let mut parts = reader
            .lines(SILENCE)
            .map_while(|line| line.map_err(|error| failure = Some(error)).ok())
            .filter_map(|line| Some(Part { key: line.key?, payload: line.payload? }))
            .inspect(|_| records += 1);
        let task = (self.make)(partition, &mut parts);
        // what the task has not asked for may still hide a failure
        parts.for_each(drop);
        if let Some(error) = failure {
            return Err(error);
        }
        tracing::info!(partition, records, "state restored");
        Ok(task)
    }
}

/// Lets the task take one record. A record of another type, or one on which the task panics, is refused: what is behind
/// it goes on. A panic may leave the one series it struck half changed; the process and all others are spared. A fatal
/// error is an error of the program, which reading the record again would only repeat.
fn taken<T: Task>(task: &mut T, record: &Message) -> Result<Output, Error> {
    let refused = |reason: String| Output { publish: Vec::new(), refused: Some(reason) };
    if let Err(refusal) = expect_type(record.topic, &record.headers) {
        return Ok(refused(refusal.to_string()));
    }
    let timestamp_ms = record.timestamp_ms.unwrap_or(i64::MAX);
    let take = AssertUnwindSafe(|| task.record(record.topic, record.offset, timestamp_ms, &record.payload));
    match catch_unwind(take) {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) if error.class() == Class::Fatal => Err(Error::Fatal(error.to_string())),
        Ok(Err(error)) => Ok(refused(error.to_string())),
        Err(panic) => Ok(refused(format!("the task panicked: {}", panic_message(&*panic)))),
    }
}

/// What was done since the last snapshot.
struct Journal {
    done: Vec<Ticket>,
    pending: Vec<super::Pending>,
}

impl Journal {
    /// Waits for every event to be acknowledged.
    async fn acknowledged(&mut self) -> Result<(), Error> {
        for pending in self.pending.drain(..) {
            pending.acknowledged().await?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error;

    /// A task whose every record ends alike.
    struct Ending(fn() -> Result<Output, error::Error>);

    impl Task for Ending {
        fn record(&mut self, _: Topic, _: i64, _: i64, _: &[u8]) -> Result<Output, error::Error> {
            self.0()
        }

        fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_> {
            Box::new(std::iter::empty())
        }

        fn saved(&mut self) {}
    }

    #[test]
    fn a_fatal_error_ends_the_task_and_any_other_refuses_the_record() {
        let record = Message {
            topic: Topic::RawMetrics,
            partition: 0,
            offset: 7,
            timestamp_ms: Some(0),
            key: None,
            headers: Vec::new(),
            payload: Vec::new(),
        };
        let fatal = taken(&mut Ending(|| Err(error::Error::fatal(anyhow::anyhow!("no input")))), &record);
        assert_eq!(error::Error::from(fatal.unwrap_err()).class(), Class::Fatal);
        let reject = taken(&mut Ending(|| Err(error::Error::reject(anyhow::anyhow!("no number")))), &record);
        assert!(reject.unwrap().refused.is_some());
        assert!(taken(&mut Ending(|| panic!("a slip")), &record).unwrap().refused.is_some());
        assert!(taken(&mut Ending(|| Ok(Output::default())), &record).unwrap().refused.is_none());
    }
}
