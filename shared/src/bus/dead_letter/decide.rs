//! Deciding about letters: their records are published again, or let be.

use super::letter::{DeadLetter, NotRedrivable, Original};
use super::mark::{Author, Decision};
use crate::bus::{Error, Pending, Producer};
use crate::events::Topic;

/// Why a decision could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum DispositionError {
    /// The letter does not hold the record.
    #[error(transparent)]
    NotRedrivable(#[from] NotRedrivable),
    /// Kafka has not taken the record, or not said so. It may have been published all the same.
    #[error("not published: {0}")]
    Unpublished(#[source] Error),
    /// The record, if there was one to publish, is published, but the decision is not on record.
    #[error("not marked, so it still shows as waiting: {0}")]
    Unmarked(#[source] Error),
}

/// Publishes the records that letters were, then marks the letters. A letter is marked only once Kafka has acknowledged
/// its record: after a crash between the two it shows as waiting, and redriving it again has no second effect, because
/// the record keeps the id it was known by. Records of one partition are written in the order of the letters. Returns
/// what became of each.
pub async fn redrive(
    producer: &Producer,
    letters: &[DeadLetter],
    author: &Author,
) -> Vec<Result<(), DispositionError>> {
    let mut records = Vec::with_capacity(letters.len());
    for letter in letters {
        records.push(match letter.original() {
            Err(unfit) => Err(DispositionError::NotRedrivable(unfit)),
            Ok(record) => publish(producer, &record).await.map_err(DispositionError::Unpublished),
        });
    }
    let mut done = Vec::with_capacity(letters.len());
    for record in records {
        done.push(match record {
            Err(undone) => Err(undone),
            Ok(record) => record.acknowledged().await.map_err(DispositionError::Unpublished),
        });
    }
    mark(producer, Decision::Redriven, letters, author, done).await
}

/// Marks letters as discarded: nobody is going to send their records again. Returns what became of each.
pub async fn discard(
    producer: &Producer,
    letters: &[DeadLetter],
    author: &Author,
) -> Vec<Result<(), DispositionError>> {
    let all = letters.iter().map(|_| Ok(())).collect();
    mark(producer, Decision::Discarded, letters, author, all).await
}

async fn publish(producer: &Producer, record: &Original) -> Result<Pending, Error> {
    let Original { topic, partition, key, headers, payload } = record;
    producer.enqueue_at(*topic, Some(*partition), key.as_deref(), headers, payload).await
}

/// Marks those of `letters` for which all went well so far.
async fn mark(
    producer: &Producer,
    decision: Decision,
    letters: &[DeadLetter],
    author: &Author,
    so_far: Vec<Result<(), DispositionError>>,
) -> Vec<Result<(), DispositionError>> {
    let mut marks = Vec::with_capacity(letters.len());
    for (letter, so_far) in letters.iter().zip(so_far) {
        marks.push(match so_far {
            Err(undone) => Err(undone),
            Ok(()) => note(producer, decision, letter, author).await.map_err(DispositionError::Unmarked),
        });
    }
    let mut done = Vec::with_capacity(letters.len());
    for mark in marks {
        done.push(match mark {
            Err(undone) => Err(undone),
            Ok(mark) => mark.acknowledged().await.map_err(DispositionError::Unmarked),
        });
    }
    done
}

async fn note(
    producer: &Producer,
    decision: Decision,
    letter: &DeadLetter,
    author: &Author,
) -> Result<Pending, Error> {
    let topic = Topic::DeadLetters(letter.address.stage);
    let headers = author.headers(decision, letter.address.offset);
    producer.enqueue_at(topic, Some(letter.address.partition), letter.key.as_deref(), &headers, b"").await
}
