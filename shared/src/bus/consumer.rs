//! The consumer: a thread of its own polls, hands records out through a bounded queue, pauses while the queue is
//! full, stores offsets of finished records only, and drains before partitions are given away.

use std::collections::{BTreeSet, VecDeque};
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::{Duration, Instant};

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::lag_gauge::LagGauge;
use super::tracker::{Ticket, Tracker};
use super::{Error, Options, link};
use crate::events::Topic;
use crate::events::envelope::Headers;
use crate::failpoint::Failpoint;
use crate::metrics::runtime;

/// Records that one batch holds at most.
const BATCH: usize = 256;
/// Bytes of payload from which on a batch takes no further record.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a full queue is waited for before fetching is paused: a pause throws away what was fetched ahead. Polling
/// stands still meanwhile, so it is far below any timeout of the group.
const STALL: Duration = Duration::from_millis(500);
/// Time between two looks at a full queue.
const LOOK: Duration = Duration::from_millis(1);

/// What was read.
#[derive(Debug)]
pub struct Message {
    /// Topic.
    pub topic: Topic,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Broker's or producer's timestamp, milliseconds; for bookkeeping, not for decisions.
    pub timestamp_ms: Option<i64>,
    /// Key as it was written.
    pub key: Option<Vec<u8>>,
    /// Headers that are text.
    pub headers: Headers,
    /// Payload; empty where the record has none.
    pub payload: Vec<u8>,
}

/// A record and the right to work on it.
#[derive(Debug)]
pub struct Record {
    /// What was read.
    pub message: Message,
    /// The right to work on it.
    pub ticket: Ticket,
}

impl Deref for Record {
    type Target = Message;

    fn deref(&self) -> &Message {
        &self.message
    }
}

/// Records of one partition in a row, and the right to work on them.
#[derive(Debug)]
pub struct Batch {
    /// What was read; never empty.
    pub messages: Vec<Message>,
    /// The right to work on all of it.
    pub ticket: Ticket,
}

/// A member of a consumer group that is handed record after record, each with a ticket of its own.
pub struct Consumer(Batches);

/// A member of a consumer group that is handed what lies ready, a batch of one partition at a time.
pub struct Batches {
    ready: mpsc::Receiver<Batch>,
    shared: Arc<Shared>,
    thread: Option<std::thread::JoinHandle<()>>,
    drain_timeout: Duration,
}

struct Shared {
    tracker: Arc<Tracker>,
    stop: AtomicBool,
    stopped: AtomicBool,
    assigned: AtomicU64,
    drain_timeout: Duration,
    epoch: tokio::sync::watch::Sender<u64>,
    assignment: tokio::sync::watch::Sender<Assignment>,
}

/// The partitions that this member holds.
#[derive(Debug, Clone, Default)]
pub struct Assignment {
    /// Epoch of the tickets of their records.
    pub epoch: u64,
    /// Their numbers, whatever the topic.
    pub partitions: BTreeSet<i32>,
}

struct Context {
    shared: Arc<Shared>,
    link: link::Context,
}

impl ClientContext for Context {
    const ENABLE_REFRESH_OAUTH_TOKEN: bool = link::Context::ENABLE_REFRESH_OAUTH_TOKEN;

    fn log(&self, level: RDKafkaLogLevel, facility: &str, message: &str) {
        self.link.log(level, facility, message);
    }

    fn error(&self, error: KafkaError, reason: &str) {
        self.link.error(error, reason);
    }

    fn generate_oauth_token(&self, config: Option<&str>) -> Result<OAuthToken, Box<dyn std::error::Error>> {
        self.link.generate_oauth_token(config)
    }
}

impl ConsumerContext for Context {
    fn pre_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        if let Rebalance::Revoke(partitions) = rebalance {
            self.shared.drain(consumer, partitions.count(), consumer.assignment_lost());
        }
    }

    fn post_rebalance(&self, consumer: &BaseConsumer<Self>, rebalance: &Rebalance<'_>) {
        match rebalance {
            Rebalance::Assign(partitions) => {
                // a pause outlives an assignment in librdkafka
                if let Err(error) = consumer.resume(partitions) {
                    tracing::warn!(%error, "partitions could not be resumed");
                }
                self.shared.assigned.store(partitions.count() as u64, Ordering::SeqCst);
                self.shared.assignment.send_replace(Assignment {
                    epoch: self.shared.tracker.epoch(),
                    partitions: partitions.elements().iter().map(TopicPartitionListElem::partition).collect(),
                });
                tracing::info!(partitions = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(_) => self.shared.assigned.store(0, Ordering::SeqCst),
            Rebalance::Error(error) => tracing::warn!(%error, "rebalance failed"),
        }
    }
}

impl Shared {
    /// Finishes what is in flight, commits it and forgets the assignment. If it was lost already, someone else has it:
    /// nothing may be written in its name any more, so what is in flight is disowned first.
    fn drain(&self, consumer: &BaseConsumer<Context>, partitions: usize, lost: bool) {
        if lost {
            self.tracker.clear();
        }
        let _ = self.epoch.send_replace(self.tracker.void());
        let in_time = self.tracker.drain(self.drain_timeout);
        if !in_time {
            tracing::warn!(
                in_flight = self.tracker.in_flight(),
                "drain deadline passed; the rest will be redelivered"
            );
        }
        Failpoint::Drained.hit();
        runtime::DRAINS.add_one([if in_time { "true" } else { "false" }]);
        store_progress(consumer, &self.tracker);
        match consumer.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => {
                tracing::info!(%error, "commit on revoke refused; the records will be redelivered");
            }
        }
        self.tracker.clear();
        tracing::info!(partitions, "partitions revoked");
    }
}

fn store_progress(consumer: &BaseConsumer<Context>, tracker: &Tracker) {
    let progress = tracker.progress();
    if progress.is_empty() {
        return;
    }
    let mut offsets = TopicPartitionList::with_capacity(progress.len());
    for ((topic, partition), offset) in progress {
        if let Err(error) = offsets.add_partition_offset(topic.name(), partition, Offset::Offset(offset)) {
            tracing::warn!(%error, "offset could not be stored");
        }
    }
    if let Err(error) = consumer.store_offsets(&offsets) {
        tracing::debug!(%error, "offset not stored: the partition is no longer ours");
    }
}

impl Consumer {
    /// Joins `group` and reads `topics` from where the group stands, or from the beginning.
    pub fn join(options: &Options, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        Batches::of(1, options, group, topics).map(Self)
    }

    /// Returns the next record; none once the consumer has been stopped.
    pub async fn next(&mut self) -> Option<Record> {
        let Batch { mut messages, ticket } = self.0.next().await?;
        Some(Record { message: messages.pop()?, ticket })
    }

    /// Returns a handle to watch and to stop the consumer.
    pub fn handle(&self) -> Handle {
        self.0.handle()
    }

    /// See [`Batches::leave`].
    pub async fn leave(self) {
        self.0.leave().await;
    }
}

impl Batches {
    /// Joins `group` and reads `topics` from where the group stands, or from the beginning.
    pub fn join(options: &Options, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        Self::of(BATCH, options, group, topics)
    }

    fn of(most: usize, options: &Options, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        let (epoch, _) = tokio::sync::watch::channel(0);
        let drain_timeout = Duration::from_millis(u64::from(options.drain_timeout_ms));
        let shared = Arc::new(Shared {
            tracker: Arc::default(),
            stop: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            assigned: AtomicU64::new(0),
            drain_timeout,
            epoch,
            assignment: tokio::sync::watch::Sender::default(),
        });
        let mut config = options.client();
        config
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "500")
            .set("enable.auto.offset.store", "false")
            .set("partition.assignment.strategy", "range")
            .set("session.timeout.ms", options.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (options.session_timeout_ms / 4).to_string())
            .set("max.poll.interval.ms", "300000")
            .set("fetch.wait.max.ms", "50")
            .set("queued.min.messages", "10000")
            .set("queued.max.messages.kbytes", "32768")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer<Context> = options.finish(config).create_with_context(Context {
            shared: Arc::clone(&shared),
            link: link::Context::new(options),
        })?;
        let names: Vec<&str> = topics.iter().map(|topic| topic.name()).collect();
        consumer.subscribe(&names)?;
        let (sender, ready) = mpsc::channel((options.read_ahead / most).max(1));
        let thread = std::thread::Builder::new()
            .name(format!("{group}-poll"))
            .spawn({
                let shared = Arc::clone(&shared);
                let topics = topics.to_vec();
                let lag = LagGauge::new(group, &topics);
                move || {
                    let batcher =
                        Batcher { sender, tracker: Arc::clone(&shared.tracker), topics, most, open: None };
                    poll(consumer, &shared, batcher, lag);
                }
            })
            .map_err(|error| Error::Other(error.to_string()))?;
        Ok(Self { ready, shared, thread: Some(thread), drain_timeout })
    }

    /// Returns the next batch; none once the consumer has been stopped.
    pub async fn next(&mut self) -> Option<Batch> {
        self.ready.recv().await
    }

    /// Returns a handle to watch and to stop the consumer.
    pub fn handle(&self) -> Handle {
        Handle(Arc::clone(&self.shared))
    }

    /// Stops polling, finishes what is in flight, commits and leaves the group. Goes on without the client if that
    /// takes longer than the drain deadline and a grace of two seconds.
    pub async fn leave(mut self) {
        self.shared.stop.store(true, Ordering::SeqCst);
        self.ready.close();
        while self.ready.try_recv().is_ok() {}
        let deadline = tokio::time::Instant::now() + self.drain_timeout + Duration::from_secs(2);
        while !self.shared.stopped.load(Ordering::SeqCst) && tokio::time::Instant::now() < deadline {
            tokio::time::sleep(Duration::from_millis(10)).await;
        }
        if let Some(thread) = self.thread.take()
            && !thread.is_finished()
        {
            tracing::debug!("Kafka client still closing; not waited for");
        }
    }
}

/// Watches and stops a consumer.
#[derive(Clone)]
pub struct Handle(Arc<Shared>);

impl Handle {
    /// Tells the polling thread to drain and leave.
    pub fn stop(&self) {
        self.0.stop.store(true, Ordering::SeqCst);
    }

    /// Returns how many partitions are assigned.
    pub fn assigned(&self) -> u64 {
        self.0.assigned.load(Ordering::SeqCst)
    }

    /// Returns how many records were read and are not finished.
    pub fn in_flight(&self) -> usize {
        self.0.tracker.in_flight()
    }

    /// Returns a watch that changes when the assignment is about to be given back.
    pub fn revocations(&self) -> tokio::sync::watch::Receiver<u64> {
        self.0.epoch.subscribe()
    }

    /// Returns a watch of what is assigned, before anything of it is read.
    pub fn assignments(&self) -> tokio::sync::watch::Receiver<Assignment> {
        self.0.assignment.subscribe()
    }
}

/// Where what was read is made into batches and handed out.
struct Batcher {
    sender: mpsc::Sender<Batch>,
    tracker: Arc<Tracker>,
    topics: Vec<Topic>,
    /// Records of a batch.
    most: usize,
    /// The batch that is being filled, and bytes of its payloads.
    open: Option<(Batch, usize)>,
}

impl Batcher {
    /// Takes a record in. Returns the batch that is full with it or that it does not belong to.
    fn take(&mut self, message: &BorrowedMessage<'_>) -> Option<Batch> {
        let known = self.open.as_ref().map(|(batch, _)| batch.ticket.place().0);
        let is_known = |topic: &Topic| topic.name() == message.topic();
        let topic = known.filter(is_known).or_else(|| self.topics.iter().copied().find(is_known))?;
        let place = (topic, message.partition());
        let bytes = message.payload_len();
        let goes_on = self.open.as_mut().is_some_and(|(batch, before)| {
            batch.ticket.place() == place
                && *before + bytes <= BATCH_BYTES
                && batch.ticket.extend(message.offset())
        });
        let full = if goes_on { None } else { self.close() };
        let (batch, before) = self.open.get_or_insert_with(|| {
            let ticket = self.tracker.issue(place, message.offset());
            (Batch { messages: Vec::with_capacity(self.most.min(BATCH)), ticket }, 0)
        });
        batch.messages.push(own(message, topic));
        *before += bytes;
        if full.is_none() && batch.messages.len() >= self.most { self.close() } else { full }
    }

    /// Returns the batch that is being filled.
    fn close(&mut self) -> Option<Batch> {
        self.open.take().map(|(batch, _)| batch)
    }
}

fn poll(consumer: BaseConsumer<Context>, shared: &Shared, mut batcher: Batcher, mut lag: LagGauge) {
    // what was already fetched when the queue filled up; bounded by the client's own fetch buffer
    let mut waiting: VecDeque<Batch> = VecDeque::new();
    let mut paused = false;
    let link = consumer.context().link.options().link.clone();
    while !shared.stop.load(Ordering::SeqCst) && !batcher.sender.is_closed() {
        hand_out(&mut waiting, &batcher.sender);
        if !waiting.is_empty() && !paused {
            wait_for_room(&mut waiting, &batcher.sender, &shared.stop);
            paused = !waiting.is_empty() && set_paused(&consumer, true);
        }
        // not at the first free slot: each pause throws away what was fetched ahead
        if paused && waiting.is_empty() && batcher.sender.capacity() > batcher.sender.max_capacity() / 2 {
            paused = !set_paused(&consumer, false);
        }
        // a full queue pauses fetching, but polling goes on: it is what keeps us in the group
        let wait = match (&batcher.open, waiting.is_empty()) {
            // a batch is what lies ready: nobody waits for it to become full
            (Some(_), _) => Duration::ZERO,
            (None, true) => Duration::from_millis(50),
            (None, false) => Duration::from_millis(2),
        };
        let ready = match consumer.poll(wait) {
            None => batcher.close(),
            Some(Err(error)) => {
                match error {
                    KafkaError::MessageConsumption(
                        RDKafkaErrorCode::UnknownTopicOrPartition | RDKafkaErrorCode::UnknownTopic,
                    ) => link.other("a topic does not exist yet", "it is waited for"),
                    // the context has been told of it, with the reason
                    KafkaError::MessageConsumption(_) => tracing::debug!(%error, "poll failed"),
                    error => link.other(&error.to_string(), "poll failed; the client tries again"),
                }
                batcher.close()
            }
            Some(Ok(message)) => {
                link.answered();
                match batcher.take(&message) {
                    None => continue,
                    ready => ready,
                }
            }
        };
        waiting.extend(ready);
        hand_out(&mut waiting, &batcher.sender);
        store_progress(&consumer, &shared.tracker);
        lag.show(&consumer, &shared.tracker);
    }
    drop((waiting, batcher));
    shared.drain(&consumer, shared.assigned.load(Ordering::SeqCst) as usize, consumer.assignment_lost());
    lag.forget();
    consumer.unsubscribe();
    // leaving the group needs a last poll; closing the client has been seen to hang, so nobody waits for it
    let _ = consumer.poll(Duration::from_millis(100));
    shared.stopped.store(true, Ordering::SeqCst);
    drop(consumer);
}

/// Hands out what waits, as far as the queue has room.
fn hand_out(waiting: &mut VecDeque<Batch>, sender: &mpsc::Sender<Batch>) {
    while let Some(batch) = waiting.pop_front() {
        match sender.try_send(batch) {
            Err(TrySendError::Full(batch)) if batch.ticket.is_current() => {
                waiting.push_front(batch);
                break;
            }
            // handed over, or no longer ours
            Ok(()) | Err(_) => {}
        }
    }
}

/// Waits a moment for the queue to take what waits.
fn wait_for_room(waiting: &mut VecDeque<Batch>, sender: &mpsc::Sender<Batch>, stop: &AtomicBool) {
    let end = Instant::now() + STALL;
    while !waiting.is_empty() && Instant::now() < end && !stop.load(Ordering::SeqCst) {
        std::thread::sleep(LOOK);
        hand_out(waiting, sender);
    }
}

fn own(message: &BorrowedMessage<'_>, topic: Topic) -> Message {
    let headers = message.headers().map_or_else(Vec::new, |headers| {
        headers
            .iter()
            .take(32)
            .filter_map(|header| {
                let value = std::str::from_utf8(header.value?).ok()?;
                Some((header.key.to_owned(), value.to_owned()))
            })
            .collect()
    });
    Message {
        topic,
        partition: message.partition(),
        offset: message.offset(),
        timestamp_ms: message.timestamp().to_millis(),
        key: message.key().map(<[u8]>::to_vec),
        headers,
        payload: message.payload().map(<[u8]>::to_vec).unwrap_or_default(),
    }
}

/// Pauses or resumes what is assigned; returns whether that was done.
fn set_paused(consumer: &BaseConsumer<Context>, paused: bool) -> bool {
    let outcome = consumer.assignment().and_then(|partitions| {
        if paused { consumer.pause(&partitions) } else { consumer.resume(&partitions) }
    });
    if let Err(error) = &outcome {
        tracing::warn!(%error, paused, "pause or resume failed");
    }
    outcome.is_ok()
}
