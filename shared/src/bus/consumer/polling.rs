//! The polling thread: makes batches of what is read and hands them out.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{BorrowedMessage, Headers as _, Message as _};
use tokio::sync::mpsc::{self, error::TrySendError};

use super::{BATCH, Batch, Context, Message, Shared, commit_again, store_progress};
use crate::bus::lag_gauge::LagGauge;
use crate::bus::tracker::{Place, Tracker};
use crate::events::Topic;

/// Bytes of payload from which on a batch takes no further record.
const BATCH_BYTES: usize = 256 * 1024;
/// How long a full queue is waited for before fetching is paused: a pause throws away what was fetched ahead. Polling
/// stands still meanwhile, so it is far below any timeout of the group.
const STALL: Duration = Duration::from_millis(500);
/// Time between two looks at a full queue.
const LOOK: Duration = Duration::from_millis(1);

/// Where what was read is made into batches and handed out.
pub(super) struct Batcher {
    sender: mpsc::Sender<Batch>,
    tracker: Arc<Tracker>,
    topics: Vec<Topic>,
    /// Records of a batch.
    most: usize,
    /// The batch that is being filled, and bytes of its payloads.
    open: Option<(Batch, usize)>,
    /// Partitions whose log has begun anew: the offset that was read, and the one that was expected.
    anew: Vec<(Place, i64, i64)>,
}

impl Batcher {
    /// Makes batches of at most `most` records.
    pub(super) fn new(
        sender: mpsc::Sender<Batch>,
        tracker: Arc<Tracker>,
        topics: Vec<Topic>,
        most: usize,
    ) -> Self {
        Self { sender, tracker, topics, most, open: None, anew: Vec::new() }
    }

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
        if !goes_on && let Some(expected) = self.tracker.went_back(place, message.offset()) {
            self.anew.push((place, message.offset(), expected));
        }
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

/// Polls until it is stopped, hands out what is read, and leaves the group.
pub(super) fn poll(
    consumer: BaseConsumer<Context>,
    shared: &Shared,
    mut batcher: Batcher,
    mut lag: LagGauge,
) {
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
        for (place, offset, expected) in batcher.anew.drain(..) {
            lag.began_anew(place, offset, expected);
            shared.progress.began_anew(place);
            commit_again(&consumer, place, offset);
        }
        store_progress(&consumer, &shared.tracker);
        lag.show(&consumer, &shared.tracker, &shared.progress);
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
