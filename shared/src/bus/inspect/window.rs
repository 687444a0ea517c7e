//! What a topic holds between two times. Looks only: joins no group, moves no offset. Blocking; run it off the async
//! threads.

use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::lag::{self, OffsetRange};
use super::observer::{Observer, READER, observer};
use crate::bus::{Error, Options};
use crate::events::Topic;

/// How far timestamps of one partition may be out of order. They are the producers' own, and producers' clocks differ.
const DISORDER_MS: i64 = 60_000;

/// Returns where the records with a timestamp from `from_ms` to `until_ms` lie. Others lie among them: a reader looks at
/// each timestamp. `deadline` bounds each request to the broker.
pub fn between(
    options: &Options,
    topic: Topic,
    from_ms: i64,
    until_ms: i64,
    deadline: Duration,
) -> Result<Vec<OffsetRange>, Error> {
    let consumer = observer(options, READER)?;
    let mut extents = lag::held(&consumer, topic, None, deadline)?;
    // one more after the last record that may still be of the window
    let after_ms = until_ms.saturating_add(DISORDER_MS).saturating_add(1);
    let begins = first_at(&consumer, topic, &extents, from_ms, deadline)?;
    let ends = first_at(&consumer, topic, &extents, after_ms, deadline)?;
    for (extent, (begin, end)) in extents.iter_mut().zip(begins.into_iter().zip(ends)) {
        extent.begin = begin.unwrap_or(extent.end);
        extent.end = end.unwrap_or(extent.end).min(extent.end);
    }
    Ok(extents)
}

/// Returns, for each partition, the offset of the first record that is not older than `ms`; none where all are older.
fn first_at(
    consumer: &Observer,
    topic: Topic,
    extents: &[OffsetRange],
    ms: i64,
    deadline: Duration,
) -> Result<Vec<Option<i64>>, Error> {
    if extents.is_empty() {
        return Ok(Vec::new());
    }
    let mut asked = TopicPartitionList::new();
    for extent in extents {
        asked.add_partition_offset(topic.name(), extent.partition, Offset::Offset(ms.max(0)))?;
    }
    let found = consumer.offsets_for_times(asked, deadline)?;
    extents
        .iter()
        .map(|extent| match found.find_partition(topic.name(), extent.partition) {
            Some(found) => {
                found.error()?;
                Ok(match found.offset() {
                    Offset::Offset(offset) => Some(offset),
                    _ => None,
                })
            }
            None => Ok(None),
        })
        .collect()
}
