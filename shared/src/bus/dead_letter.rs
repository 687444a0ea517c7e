//! Dead letters: the input unchanged, plus why and where it came from, and what people have decided about them.
//!
//! A decision is a record of its own, a [`Disposition`], behind the letter on the same partition of the same topic. So it
//! lives as long as the letter does, whoever reads the letter finds it, and no database is needed.

pub mod decide;
pub mod letter;
pub mod letters;
pub mod mark;

use super::{Error, Message, Pending, Producer};
use crate::agent::Agent;
use crate::events::Topic;
use crate::events::envelope::Headers;
use crate::metrics::runtime;

pub use decide::{DispositionError, discard, redrive};
pub use letter::{Address, DeadLetter, NotRedrivable, Origin, Original};
pub use letters::DeadLetterReader;
pub use mark::{Author, Decision, Disposition, is_mark};

/// Prefix of all headers of ours; an input's headers of that kind are not kept.
const OURS: &str = "dlq_";

/// Header names of a dead letter and of a mark.
pub mod header {
    /// Why it was refused.
    pub const REASON: &str = "dlq_reason";
    /// How often it was tried.
    pub const ATTEMPTS: &str = "dlq_attempts";
    /// Topic it was read from.
    pub const TOPIC: &str = "dlq_origin_topic";
    /// Partition it was read from.
    pub const PARTITION: &str = "dlq_origin_partition";
    /// Offset it was read at.
    pub const OFFSET: &str = "dlq_origin_offset";
    /// Size of the payload where it was too large to keep; the payload is then cut.
    pub const CUT_FROM: &str = "dlq_cut_from_bytes";
    /// What else of the record could not be kept as it was: `key`, `headers` or both.
    pub const CHANGED: &str = "dlq_changed";
    /// Of a mark: what was decided, `redriven` or `discarded`.
    pub const MARK: &str = "dlq_mark";
    /// Of a mark: offset of the letter, on the mark's own partition.
    pub const MARKED_OFFSET: &str = "dlq_marked_offset";
    /// Of a mark: who decided, as the operator's system calls them.
    pub const MARKED_BY: &str = "dlq_marked_by";
    /// Of a mark: why, in the operator's words.
    pub const MARKED_BECAUSE: &str = "dlq_marked_because";
}

/// Most bytes of a dead letter: payload, key and headers together stay below what a broker takes by default.
const MAX_LETTER: usize = 900_000;
/// Most bytes of the record's own headers that are kept.
const MAX_HEADERS: usize = 32 * 1024;
/// Most characters of the reason.
const MAX_REASON: usize = 1_000;
/// Most bytes of the key that are kept.
const MAX_KEY: usize = 1024;

/// Returns a reason as a letter carries it.
pub(crate) fn shortened(reason: &str) -> String {
    reason.chars().take(MAX_REASON).collect()
}

/// Sends a record to the dead-letter topic of `stage` and waits for the acknowledgement.
pub async fn send(
    producer: &Producer,
    stage: Agent,
    record: &Message,
    reason: &str,
    attempts: u32,
) -> Result<(), Error> {
    enqueue(producer, stage, record, reason, attempts).await?.acknowledged().await?;
    count(stage, record, attempts);
    Ok(())
}

/// Hands the letter of a record to the client. What is too large for a broker is cut and a key that is no text is made
/// one; the letter then says so.
pub async fn enqueue(
    producer: &Producer,
    stage: Agent,
    record: &Message,
    reason: &str,
    attempts: u32,
) -> Result<Pending, Error> {
    let mut room = MAX_HEADERS;
    let theirs: Vec<_> = record.headers.iter().filter(|(name, _)| !name.starts_with(OURS)).collect();
    let mut headers: Headers = theirs
        .iter()
        .filter(|(name, value)| {
            let size = name.len() + value.len();
            let fits = size <= room;
            room -= if fits { size } else { 0 };
            fits
        })
        .map(|header| (*header).clone())
        .collect();
    let key = record.key.as_deref().map(|key| String::from_utf8_lossy(&key[..key.len().min(MAX_KEY)]));
    let changed = [
        ("key", key.as_deref().map(str::as_bytes) != record.key.as_deref()),
        ("headers", headers.len() < theirs.len()),
    ];
    let changed: Vec<&str> =
        changed.into_iter().filter_map(|(what, changed)| changed.then_some(what)).collect();
    if !changed.is_empty() {
        headers.push((header::CHANGED.to_owned(), changed.join(", ")));
    }
    for (name, value) in [
        (header::REASON, shortened(reason)),
        (header::ATTEMPTS, attempts.to_string()),
        (header::TOPIC, record.topic.name().to_owned()),
        (header::PARTITION, record.partition.to_string()),
        (header::OFFSET, record.offset.to_string()),
    ] {
        headers.push((name.to_owned(), value));
    }
    let kept = &record.payload[..record.payload.len().min(MAX_LETTER)];
    if kept.len() < record.payload.len() {
        headers.push((header::CUT_FROM.to_owned(), record.payload.len().to_string()));
    }
    producer.enqueue(Topic::DeadLetters(stage), key.as_deref(), &headers, kept).await
}

/// Tells of a letter.
pub(super) fn count(stage: Agent, record: &Message, attempts: u32) {
    runtime::DEAD_LETTERS.add_one([stage.name()]);
    tracing::warn!(
        topic = record.topic.name(),
        partition = record.partition,
        offset = record.offset,
        attempts,
        "record sent to the dead-letter topic"
    );
}
