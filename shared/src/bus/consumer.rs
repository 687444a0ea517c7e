//! The consumer: a thread of its own polls, hands records out through a bounded queue, pauses while the queue is
//! full, stores offsets of finished records only, and drains before partitions are given away.

mod polling;

use std::collections::BTreeSet;
use std::ops::Deref;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use rdkafka::client::{ClientContext, OAuthToken};
use rdkafka::config::RDKafkaLogLevel;
use rdkafka::consumer::{BaseConsumer, CommitMode, Consumer as _, ConsumerContext, Rebalance};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList, TopicPartitionListElem};
use rdkafka::types::RDKafkaRespErr as Response;
use tokio::sync::mpsc;

use super::lag_gauge::LagGauge;
use super::progress::{Progress, Stalled};
use super::shape::Shape;
use super::tracker::{Place, Ticket, Tracker};
use super::{Error, Options, link};
use crate::events::Topic;
use crate::events::envelope::Headers;
use crate::failpoint::Failpoint;
use crate::metrics::runtime;
use polling::{Batcher, poll};

/// Longest wait for the offsets that the group has committed; an assignment waits for it.
const COMMITTED: Duration = Duration::from_secs(1);
/// Records that one batch holds at most.
const BATCH: usize = 256;

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
    progress: Progress,
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
    /// Where equal partition numbers of all topics go to one member.
    shape: Option<Shape>,
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

    fn stats(&self, statistics: Statistics) {
        self.shared.progress.statistics(&statistics);
    }
}

impl ConsumerContext for Context {
    // assigns eagerly, as the strategy `range` wants it
    fn rebalance(&self, consumer: &BaseConsumer<Self>, what: Response, partitions: &mut TopicPartitionList) {
        let outcome = match what {
            Response::RD_KAFKA_RESP_ERR__ASSIGN_PARTITIONS => {
                let own = self.shape.as_ref().map(|shape| shape.complete(partitions));
                let own = own.as_ref().unwrap_or(partitions);
                self.pre_rebalance(consumer, &Rebalance::Assign(own));
                let outcome = consumer.assign(own);
                self.post_rebalance(consumer, &Rebalance::Assign(own));
                outcome
            }
            Response::RD_KAFKA_RESP_ERR__REVOKE_PARTITIONS => {
                self.pre_rebalance(consumer, &Rebalance::Revoke(partitions));
                let outcome = consumer.unassign();
                self.post_rebalance(consumer, &Rebalance::Revoke(partitions));
                outcome
            }
            error => {
                let outcome = consumer.unassign();
                self.post_rebalance(consumer, &Rebalance::Error(KafkaError::Rebalance(error.into())));
                outcome
            }
        };
        if let Err(error) = outcome {
            tracing::warn!(%error, "an assignment could not be taken over");
        }
    }

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
                // nothing of it was read yet: where retention has removed more than that, records are lost
                let committed = consumer
                    .committed_offsets(TopicPartitionList::clone(partitions), COMMITTED)
                    .unwrap_or_else(|error| {
                        tracing::debug!(%error, "committed offsets could not be read");
                        TopicPartitionList::new()
                    });
                self.shared.progress.assigned(partitions, &committed);
                self.shared.assignment.send_replace(Assignment {
                    epoch: self.shared.tracker.epoch(),
                    partitions: partitions.elements().iter().map(TopicPartitionListElem::partition).collect(),
                });
                tracing::info!(partitions = partitions.count(), "partitions assigned");
            }
            Rebalance::Revoke(_) => {
                self.shared.assigned.store(0, Ordering::SeqCst);
                self.shared.progress.unassigned();
            }
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

/// Commits an offset that lies before what was committed: the client itself only ever commits later ones.
fn commit_again(consumer: &BaseConsumer<Context>, (topic, partition): Place, offset: i64) {
    let mut offsets = TopicPartitionList::with_capacity(1);
    let outcome = offsets
        .add_partition_offset(topic.name(), partition, Offset::Offset(offset))
        .and_then(|()| consumer.store_offsets(&offsets))
        .and_then(|()| consumer.commit(&offsets, CommitMode::Async));
    if let Err(error) = outcome {
        tracing::warn!(%error, topic = topic.name(), partition, "the new beginning could not be committed");
    }
}

impl Consumer {
    /// Joins `group` and reads `topics` from where the group stands, or from the beginning.
    pub fn join(options: &Options, group: &str, topics: &[Topic]) -> Result<Self, Error> {
        Batches::of(1, options, group, topics, None).map(Self)
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
    /// Joins `group` and reads `topics` from where the group stands, or from the beginning. Partitions of one number go
    /// to one member, also where the topics have different numbers of them.
    pub(super) fn join(
        options: &Options,
        group: &str,
        topics: &[Topic],
        shape: Shape,
    ) -> Result<Self, Error> {
        Self::of(BATCH, options, group, topics, Some(shape))
    }

    fn of(
        most: usize,
        options: &Options,
        group: &str,
        topics: &[Topic],
        shape: Option<Shape>,
    ) -> Result<Self, Error> {
        let (epoch, _) = tokio::sync::watch::channel(0);
        let drain_timeout = Duration::from_millis(u64::from(options.drain_timeout_ms));
        let shared = Arc::new(Shared {
            tracker: Arc::default(),
            stop: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
            assigned: AtomicU64::new(0),
            progress: Progress::new(Duration::from_secs(u64::from(options.stall_after_s))),
            drain_timeout,
            epoch,
            assignment: tokio::sync::watch::Sender::default(),
        });
        let mut config = options.member(group);
        config
            .set("statistics.interval.ms", "2000")
            .set("partition.assignment.strategy", "range")
            .set("queued.min.messages", "10000");
        let consumer: BaseConsumer<Context> = options.finish(config).create_with_context(Context {
            shared: Arc::clone(&shared),
            shape,
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
                    let tracker = Arc::clone(&shared.tracker);
                    let batcher = Batcher::new(sender, tracker, topics, most);
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

    /// Returns whether the member makes progress, and what keeps it from that.
    pub fn progress(&self) -> Result<(), Stalled> {
        self.0.progress.report()
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
