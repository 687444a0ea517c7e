//! What the tasks of different partitions say to each other: in the log of an input, so that it is part of what a task
//! decides by, also when that log is read again.
//!
//! A notice is a tick with a header. To everything else that reads the topic it is an array without samples.

use super::super::tick::TICK;
use super::super::{Error, Message, Producer};
use crate::events::Topic;
use crate::events::envelope::{Headers, header};

/// Header with what is said.
const BODY: &str = "firewatch_notice";
/// Header with how many partitions were addressed, where all were.
const PARTITIONS: &str = "firewatch_partitions";

/// Whom a notice is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum To {
    /// Every partition of the topic, the sender's own too.
    All,
    /// One partition.
    One(i32),
}

/// What a task says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Notice {
    /// Topic into which it is written.
    pub topic: Topic,
    /// Whom it is for.
    pub to: To,
    /// What it says.
    pub body: String,
}

/// Returns the notice that a record is: what it says, and how many partitions were addressed.
pub(super) fn of(record: &Message) -> Option<(&str, Option<i32>)> {
    if record.headers.is_empty() || record.payload != TICK {
        return None;
    }
    let body = header(&record.headers, BODY)?;
    Some((body, header(&record.headers, PARTITIONS).and_then(|count| count.parse().ok())))
}

/// Hands a notice to the client, and does not wait for it to be acknowledged: a partition that cannot be written to must
/// not stop the others. What is not written is lost, and is asked again.
pub(super) async fn write(producer: &Producer, notice: &Notice) {
    let written = match notice.to {
        To::One(partition) => enqueue(producer, notice, [partition], Vec::new()).await,
        To::All => match producer.partitions(notice.topic).await {
            Ok(count) => {
                enqueue(producer, notice, 0..count, vec![(PARTITIONS.to_owned(), count.to_string())]).await
            }
            Err(error) => Err(error),
        },
    };
    if let Err(error) = written {
        tracing::debug!(%error, topic = notice.topic.name(), "a notice was not written");
    }
}

async fn enqueue(
    producer: &Producer,
    notice: &Notice,
    partitions: impl IntoIterator<Item = i32>,
    mut headers: Headers,
) -> Result<(), Error> {
    headers.push((BODY.to_owned(), notice.body.clone()));
    for partition in partitions {
        producer.enqueue_at(notice.topic, Some(partition), None, &headers, TICK).await?;
    }
    Ok(())
}
