//! Dead letters: the input unchanged, plus why and where it came from.

use super::{Error, Producer, Record};
use crate::events::Topic;
use crate::events::envelope::Headers;

/// Header names of a dead letter.
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
}

/// Most bytes of a dead letter: payload, key and headers together stay below what a broker takes by default.
const MAX_LETTER: usize = 900_000;
/// Most bytes of the record's own headers that are kept.
const MAX_HEADERS: usize = 32 * 1024;
/// Most bytes of the key that are kept.
const MAX_KEY: usize = 1024;

/// Sends a record to the dead-letter topic of `stage` and waits for the acknowledgement. What is too large for a
/// broker is cut, and the letter says so.
pub async fn send(
    producer: &Producer,
    stage: &'static str,
    record: &Record,
    reason: &str,
    attempts: u32,
) -> Result<(), Error> {
    let mut room = MAX_HEADERS;
    let mut headers: Headers = record
        .headers
        .iter()
        .filter(|(name, value)| {
            let size = name.len() + value.len();
            let fits = !name.starts_with("dlq_") && size <= room;
            room -= if fits { size } else { 0 };
            fits
        })
        .cloned()
        .collect();
    let reason: String = reason.chars().take(1_000).collect();
    for (name, value) in [
        (header::REASON, reason),
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
    let key = record.key.as_deref().map(|key| String::from_utf8_lossy(&key[..key.len().min(MAX_KEY)]));
    producer.send(Topic::DeadLetters(stage), key.as_deref(), &headers, kept).await?;
    metrics::counter!("firewatch_dead_letters_total", "stage" => stage).increment(1);
    tracing::warn!(
        topic = record.topic.name(),
        partition = record.partition,
        offset = record.offset,
        attempts,
        "record sent to the dead-letter topic"
    );
    Ok(())
}
