//! What people decide about dead letters: send the record again, or let it be. Each decision is on record.

use std::fmt;

use jiff::Timestamp;

use super::header;
use super::letter::{Letter, Original, Unfit};
use crate::bus::reader::Line;
use crate::bus::{Error, Pending, Producer};
use crate::clock::from_ms;
use crate::events::Topic;
use crate::events::envelope::{Headers, header as find};
use crate::plain::one_line;

/// Most characters of a name.
const NAME: usize = 100;
/// Most characters of a reason.
const BECAUSE: usize = 300;

/// What was decided about a letter.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Decision {
    /// The record was published again.
    Redriven,
    /// The record is let be.
    Discarded,
}

impl Decision {
    /// Returns its name, as it is written and shown.
    pub fn name(self) -> &'static str {
        match self {
            Self::Redriven => "redriven",
            Self::Discarded => "discarded",
        }
    }
}

impl fmt::Display for Decision {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}

/// A decision that is on record.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mark {
    /// What was decided.
    pub decision: Decision,
    /// Offset of the letter, on the mark's own partition.
    pub offset: i64,
    /// When.
    pub at: Option<Timestamp>,
    /// Who, as their system calls them; nobody has checked it.
    pub by: String,
    /// Why, in their words.
    pub because: Option<String>,
}

/// Tells whether a record of a dead-letter topic is a mark, and so no letter.
pub fn is_mark(headers: &[(String, String)]) -> bool {
    find(headers, header::MARK).is_some()
}

impl Mark {
    /// Reads a mark; none if the record is a letter, or a mark that cannot be read.
    pub fn of(line: &Line) -> Option<Self> {
        let decision = find(&line.headers, header::MARK)?;
        Some(Self {
            decision: [Decision::Redriven, Decision::Discarded]
                .into_iter()
                .find(|known| known.name() == decision)?,
            offset: find(&line.headers, header::MARKED_OFFSET)?.parse().ok()?,
            at: line.timestamp_ms.map(from_ms),
            by: one_line(find(&line.headers, header::MARKED_BY).unwrap_or("somebody"), NAME),
            because: find(&line.headers, header::MARKED_BECAUSE).map(|because| one_line(because, BECAUSE)),
        })
    }
}

/// Who decides, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Author {
    /// Who, as their system calls them.
    pub by: String,
    /// Why, in their words.
    pub because: Option<String>,
}

impl Author {
    fn headers(&self, decision: Decision, letter: &Letter) -> Headers {
        let because = self.because.as_deref().map(|because| one_line(because, BECAUSE));
        [
            (header::MARK, Some(decision.name().to_owned())),
            (header::MARKED_OFFSET, Some(letter.address.offset.to_string())),
            (header::MARKED_BY, Some(one_line(&self.by, NAME))),
            (header::MARKED_BECAUSE, because),
        ]
        .into_iter()
        .filter_map(|(name, value)| Some((name.to_owned(), value?)))
        .collect()
    }
}

/// Why a decision could not be carried out.
#[derive(Debug, thiserror::Error)]
pub enum Undone {
    /// The letter does not hold the record.
    #[error(transparent)]
    Unfit(#[from] Unfit),
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
pub async fn redrive(producer: &Producer, letters: &[Letter], author: &Author) -> Vec<Result<(), Undone>> {
    let mut records = Vec::with_capacity(letters.len());
    for letter in letters {
        records.push(match letter.original() {
            Err(unfit) => Err(Undone::Unfit(unfit)),
            Ok(record) => publish(producer, &record).await.map_err(Undone::Unpublished),
        });
    }
    let mut done = Vec::with_capacity(letters.len());
    for record in records {
        done.push(match record {
            Err(undone) => Err(undone),
            Ok(record) => record.acknowledged().await.map_err(Undone::Unpublished),
        });
    }
    mark(producer, Decision::Redriven, letters, author, done).await
}

/// Marks letters as discarded: nobody is going to send their records again. Returns what became of each.
pub async fn discard(producer: &Producer, letters: &[Letter], author: &Author) -> Vec<Result<(), Undone>> {
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
    letters: &[Letter],
    author: &Author,
    so_far: Vec<Result<(), Undone>>,
) -> Vec<Result<(), Undone>> {
    let mut marks = Vec::with_capacity(letters.len());
    for (letter, so_far) in letters.iter().zip(so_far) {
        marks.push(match so_far {
            Err(undone) => Err(undone),
            Ok(()) => note(producer, decision, letter, author).await.map_err(Undone::Unmarked),
        });
    }
    let mut done = Vec::with_capacity(letters.len());
    for mark in marks {
        done.push(match mark {
            Err(undone) => Err(undone),
            Ok(mark) => mark.acknowledged().await.map_err(Undone::Unmarked),
        });
    }
    done
}

async fn note(
    producer: &Producer,
    decision: Decision,
    letter: &Letter,
    author: &Author,
) -> Result<Pending, Error> {
    let topic = Topic::DeadLetters(letter.address.stage);
    let headers = author.headers(decision, letter);
    producer.enqueue_at(topic, Some(letter.address.partition), letter.key.as_deref(), &headers, b"").await
}
