//! One membership in the group: from joining until the process stops, something fails, or the topics change.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant as Began};

use tokio::sync::{mpsc, watch};
use tokio::task::JoinSet;
use tokio::time::Instant;
use tokio_util::sync::CancellationToken;

use super::super::admin::Admin;
use super::super::consumer::{Assignment, Batch, Batches, Handle};
use super::super::inspect::reader::{From, Reader};
use super::super::progress::PROGRESS;
use super::super::rate_limiter::RateLimiter;
use super::super::shape::Shape;
use super::super::tick::{self, Ticker};
use super::super::tracker::Ticket;
use super::super::{Error, Message, Options, Pending, Producer, dead_letter, lag};
use super::unsaved::Unsaved;
use super::{Health, Output, PARTITIONS, Part, Settings, Task, notices};
use crate::clock::{Clock as _, SystemClock};
use crate::error::{Class, panic_message};
use crate::events::envelope::{expect_type, header, id_of};
use crate::events::topic::Retention;
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
pub(super) const SILENCE: Duration = Duration::from_secs(30);
/// Longest wait for one answer about offsets.
const REQUEST: Duration = Duration::from_secs(10);
/// Time between two reports to `/readyz`.
const REPORT: Duration = Duration::from_secs(2);
/// Time after which it is logged again that records come without a key.
const REMIND: Duration = Duration::from_mins(10);

/// Why a session has ended.
pub(super) enum End {
    /// The process is told to stop.
    Shutdown,
    /// The topics have other numbers of partitions.
    Reshaped(String),
}

/// What a session runs with.
pub(super) struct Session<'a, H> {
    pub(super) options: &'a Options,
    pub(super) settings: &'a Settings,
    pub(super) health: &'a H,
    pub(super) admin: &'a Admin,
    pub(super) shutdown: &'a CancellationToken,
    pub(super) unsaved: &'a Arc<Unsaved>,
    /// Time after which it counts as running.
    pub(super) steady: Duration,
}

/// The tasks of the assigned partitions.
struct Tasks<M> {
    shared: Arc<Shared<M>>,
    revocations: watch::Receiver<u64>,
    senders: BTreeMap<i32, (u64, mpsc::Sender<Batch>)>,
    running: JoinSet<Result<(), Error>>,
}

impl<T: Task, M: Fn(i32, &mut dyn Iterator<Item = Part>) -> T + Send + Sync + 'static> Tasks<M> {
    /// Begins the task of a partition, unless it has one that takes records of this epoch.
    fn begin(&mut self, partition: i32, epoch: u64) {
        let runs = |(of, sender): &(u64, mpsc::Sender<Batch>)| *of == epoch && !sender.is_closed();
        if self.senders.get(&partition).is_some_and(runs) {
            return;
        }
        let (sender, batches) = mpsc::channel(QUEUE);
        self.senders.insert(partition, (epoch, sender));
        let shared = Arc::clone(&self.shared);
        self.running.spawn(shared.work(partition, batches, self.revocations.clone(), epoch));
    }
}

impl<H: Health> Session<'_, H> {
    /// Reads until `shutdown`, a failure, or a change of the shape.
    pub(super) async fn run<T: Task, M>(&self, shape: Shape, make: Arc<M>, begun: Began) -> Result<End, Error>
    where
        M: Fn(i32, &mut dyn Iterator<Item = Part>) -> T + Send + Sync + 'static,
    {
        let (settings, shutdown) = (self.settings, self.shutdown);
        let producer = Producer::connect(self.options)?;
        let mut consumer =
            Batches::join(self.options, settings.stage.name(), &settings.topics, shape.clone())?;
        let handle = consumer.handle();
        let shared = Arc::new(Shared {
            options: self.options.clone(),
            limiter: RateLimiter::new(settings.snapshot_rate),
            settings: settings.clone(),
            shape: shape.clone(),
            producer: producer.clone(),
            reminded: Mutex::default(),
            unsaved: Arc::clone(self.unsaved),
            make,
        });
        let (senders, running) = (BTreeMap::new(), JoinSet::new());
        let mut tasks = Tasks { shared, revocations: handle.revocations(), senders, running };
        let end = tokio::select! {
            () = shutdown.cancelled() => Ok(End::Shutdown),
            counts = shape.changed(self.admin) => Ok(End::Reshaped(counts)),
            error = hand_out(&mut consumer, &mut tasks) => Err(error),
            never = self.report(&handle, begun) => match never {},
        };
        tasks.senders.clear();
        consumer.leave().await;
        tasks.running.shutdown().await;
        let _ = tokio::task::spawn_blocking(move || producer.flush(Duration::from_secs(2))).await;
        end
    }

    /// Reports how the member stands. Never ends.
    async fn report(&self, handle: &Handle, begun: Began) -> Infallible {
        let stage = self.settings.stage.name();
        loop {
            tokio::time::sleep(REPORT).await;
            self.health.note(PROGRESS, handle.progress().map_err(|stalled| stalled.to_string()));
            runtime::ASSIGNED_PARTITIONS.set([stage], handle.assigned() as f64);
            runtime::IN_FLIGHT.set([stage], handle.in_flight() as f64);
            self.unsaved.show(self.settings.stage);
            if begun.elapsed() >= self.steady {
                self.health.note(PARTITIONS, Ok(()));
            }
        }
    }
}

/// Hands what is read to the tasks of its partitions, until one of them fails.
async fn hand_out<T: Task, M>(consumer: &mut Batches, tasks: &mut Tasks<M>) -> Error
where
    M: Fn(i32, &mut dyn Iterator<Item = Part>) -> T + Send + Sync + 'static,
{
    let mut assignments = consumer.handle().assignments();
    loop {
        let batch = tokio::select! {
            // also what nothing comes of has a task: time may pass for what it has seen before
            Ok(()) = assignments.changed() => {
                let Assignment { epoch, partitions } = assignments.borrow_and_update().clone();
                tasks.shared.unsaved.retain(&partitions);
                for partition in partitions {
                    tasks.begin(partition, epoch);
                }
                continue;
            }
            Some(ended) = tasks.running.join_next() => match ended {
                Ok(Ok(())) => continue,
                Ok(Err(error)) => return error,
                Err(panic) => return Error::Other(format!("a partition's task panicked: {panic}")),
            },
            batch = consumer.next() => match batch {
                Some(batch) => batch,
                None => return Error::Other("the Kafka client has stopped polling".to_owned()),
            },
        };
        if !batch.ticket.is_current() {
            continue;
        }
        let (_, partition) = batch.ticket.place();
        tasks.begin(partition, batch.ticket.epoch());
        // a task that has ended hands its records back by dropping them: they are read again after the rebalance
        let _ = tasks.senders[&partition].1.send(batch).await;
    }
}

/// What the tasks of all partitions share.
struct Shared<M> {
    options: Options,
    settings: Settings,
    shape: Shape,
    producer: Producer,
    limiter: RateLimiter,
    /// When it was last logged that records come without a key.
    reminded: Mutex<BTreeMap<Topic, Began>>,
    unsaved: Arc<Unsaved>,
    make: Arc<M>,
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
        let mut journal = Journal::default();
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
                        // not waited for: one that is lost is due again
                        self.producer.enqueue_at(topic, place, None, &headers, tick::TICK).await?;
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
        let (topic, partition) = batch.ticket.place();
        self.unsaved.taken(partition, Began::now());
        if let (Some(first), Some(last)) = (batch.messages.first(), batch.messages.last())
            && journal.taken.insert(topic, last.offset).is_some_and(|before| first.offset <= before)
        {
            task.begin_anew(topic);
        }
        for message in &batch.messages {
            if message.key.is_none() && message.payload != tick::TICK {
                self.count_unkeyed(topic);
            }
            let mut output = taken(task, message)?;
            self.trace(message, &mut output.publish);
            for notice in &output.notices {
                notices::write(&self.producer, notice).await;
            }
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
        let written_ms = batch.messages.first().and_then(|message| message.timestamp_ms);
        runtime::observe_age(self.settings.stage.name(), written_ms, SystemClock.now());
        batch.ticket.worked();
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

    /// Counts a record without a key, and logs now and then that there are some.
    fn count_unkeyed(&self, topic: Topic) {
        runtime::UNKEYED.add_one([self.settings.stage.name(), topic.name()]);
        let mut reminded = self.reminded.lock().unwrap_or_else(PoisonError::into_inner);
        if reminded.get(&topic).is_none_or(|at| at.elapsed() >= REMIND) {
            reminded.insert(topic, Began::now());
            tracing::warn!(
                topic = topic.name(),
                "records come without a key; write them with the service as their key or each partition knows only a part"
            );
        }
    }

    /// Waits for every event to be acknowledged, writes the snapshot, and only then lets the offsets go. Returns how
    /// many bytes it has.
    async fn settle(&self, journal: &mut Journal, partition: i32, task: &mut T) -> Result<usize, Error> {
        journal.acknowledged().await?;
        Failpoint::Emitted.hit();
        // a partition that was lost, not given back, has another owner: its state is no longer ours to write
        journal.done.retain(Ticket::is_ours);
        if journal.done.is_empty() {
            self.unsaved.saved(partition);
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
        self.unsaved.saved(partition);
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
        let reader =
            Reader::open(&self.options, self.settings.state, Some(partition), From::Beginning, REQUEST)?;
        let (mut records, mut failure) = (0_u64, None);
        let mut parts = reader
            .lines(SILENCE)
            .map_while(|line| line.map_err(|error| failure = Some(error)).ok())
            .filter_map(|line| Some(Part { key: line.key?, payload: line.payload? }))
            .inspect(|_| records += 1);
        let mut task = (self.make)(partition, &mut parts);
        // what the task has not asked for may still hide a failure
        parts.for_each(drop);
        if let Some(error) = failure {
            return Err(error);
        }
        tracing::info!(partition, records, "state restored");
        if let Some(first) = self.settings.topics.first() {
            task.spread_among(self.shape.partitions(*first));
        }
        self.compare(partition, &mut task)?;
        self.catch_up(partition, &mut task)?;
        Ok(task)
    }

    /// Gives a task what compacted inputs hold of which it reflects nothing: the group may have read them before the state
    /// was lost. What follows from the records is published when the group reads them. Blocking.
    fn catch_up(&self, partition: i32, task: &mut T) -> Result<(), Error> {
        for topic in self.settings.topics.iter().copied() {
            let is_new = topic.retention() == Retention::Compacted && task.applied(topic) == Some(-1);
            if !is_new || partition >= self.shape.partitions(topic) {
                continue;
            }
            let reader = Reader::open(&self.options, topic, Some(partition), From::Beginning, REQUEST)?;
            for line in reader.lines(SILENCE) {
                let line = line?;
                let message = Message {
                    topic,
                    partition: line.partition,
                    offset: line.offset,
                    timestamp_ms: line.timestamp_ms,
                    key: line.key.map(String::into_bytes),
                    headers: line.headers,
                    payload: line.payload.unwrap_or_default(),
                };
                taken(task, &message)?;
            }
        }
        Ok(())
    }

    /// Compares what the state reflects with the logs: one that ends before has begun anew. Blocking.
    fn compare(&self, partition: i32, task: &mut T) -> Result<(), Error> {
        let topics = self.settings.topics.iter().copied();
        let read: BTreeMap<Topic, i64> = topics
            .filter(|topic| partition < self.shape.partitions(*topic))
            .filter_map(|topic| Some((topic, task.applied(topic).filter(|applied| *applied >= 0)?)))
            .collect();
        if read.is_empty() {
            return Ok(());
        }
        let ends = lag::ends(&self.options, read.keys().copied(), partition, REQUEST)?;
        for (topic, end) in ends {
            let applied = read[&topic];
            if end <= applied {
                runtime::LOGS_BEGUN_ANEW.add_one([self.settings.stage.name(), topic.name()]);
                tracing::warn!(
                    topic = topic.name(),
                    partition,
                    end,
                    applied,
                    "the log of a partition ends before what was read of it; it is read from its beginning"
                );
                task.begin_anew(topic);
            }
        }
        Ok(())
    }
}

/// Lets the task take one record. A record of another type, or one on which the task panics, is refused: what is behind
/// it goes on. A panic may leave the one series it struck half changed; the process and all others are spared. A fatal
/// error is an error of the program, which reading the record again would only repeat.
fn taken<T: Task>(task: &mut T, record: &Message) -> Result<Output, Error> {
    let refused = |reason: String| Output { refused: Some(reason), ..Output::default() };
    if let Err(refusal) = expect_type(record.topic, &record.headers) {
        return Ok(refused(refusal.to_string()));
    }
    let timestamp_ms = record.timestamp_ms.unwrap_or(i64::MAX);
    let take = AssertUnwindSafe(|| match notices::of(record) {
        Some((body, partitions)) => {
            Ok(task.notice(record.topic, record.offset, timestamp_ms, body, partitions))
        }
        None => match record.key.as_deref().filter(|_| is_removal(record)) {
            Some(key) => task.removed(record.topic, record.offset, timestamp_ms, key),
            None => task.record(record.topic, record.offset, timestamp_ms, &record.payload),
        },
    });
    match catch_unwind(take) {
        Ok(Ok(output)) => Ok(output),
        Ok(Err(error)) if error.class() == Class::Fatal => Err(Error::Fatal(error.to_string())),
        Ok(Err(error)) => Ok(refused(error.to_string())),
        Err(panic) => Ok(refused(format!("the task panicked: {}", panic_message(&*panic)))),
    }
}

/// Returns whether a record removes its key from a compacted topic.
fn is_removal(record: &Message) -> bool {
    record.payload.is_empty() && record.topic.retention() == Retention::Compacted
}

/// What was done since the last snapshot.
#[derive(Default)]
struct Journal {
    done: Vec<Ticket>,
    pending: Vec<Pending>,
    /// Last offset that was taken of each topic.
    taken: BTreeMap<Topic, i64>,
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
