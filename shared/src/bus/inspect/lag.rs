//! How many records topics hold and how far groups have read them. Looks only: joins no group, moves no offset.
//! Blocking; run it off the async threads.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::Consumer as _;
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::observer::{Observer, READER, failed, observer};
use crate::bus::{Error, Options};
use crate::events::Topic;

/// What one partition holds: the records from `begin` up to, but without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct OffsetRange {
    /// Partition.
    pub partition: i32,
    /// Offset of the oldest record.
    pub begin: i64,
    /// Offset of the next record to come.
    pub end: i64,
}

impl OffsetRange {
    /// Returns the number of offsets, which is the number of records unless the topic is compacted.
    pub fn records(&self) -> i64 {
        (self.end - self.begin).max(0)
    }
}

/// What topics hold, by partition. A topic that is not on the broker is absent.
pub type Extents = BTreeMap<Topic, Vec<OffsetRange>>;

/// Returns what `topics` hold. `deadline` bounds each request to the broker.
pub fn extents(options: &Options, topics: &[Topic], deadline: Duration) -> Result<Extents, Error> {
    let consumer = observer(options, READER)?;
    let mut extents = Extents::new();
    for topic in topics {
        let held = held(&consumer, *topic, None, deadline)?;
        if !held.is_empty() {
            extents.insert(*topic, held);
        }
    }
    Ok(extents)
}

/// Returns the offset of the next record to come of the partition of that number of each topic.
pub(in crate::bus) fn ends(
    options: &Options,
    topics: impl IntoIterator<Item = Topic>,
    partition: i32,
    deadline: Duration,
) -> Result<BTreeMap<Topic, i64>, Error> {
    let consumer = observer(options, READER)?;
    let end = |topic| {
        let held = held(&consumer, topic, Some(partition), deadline)?;
        Ok((topic, held.first().map_or(0, |range| range.end)))
    };
    topics.into_iter().map(end).collect()
}

/// Returns what the partitions of a topic hold, or one of them; nothing where the topic is not on the broker.
pub(super) fn held(
    consumer: &Observer,
    topic: Topic,
    partition: Option<i32>,
    deadline: Duration,
) -> Result<Vec<OffsetRange>, Error> {
    let mut partitions = if let Some(partition) = partition {
        vec![partition]
    } else {
        let metadata =
            consumer.fetch_metadata(Some(topic.name()), deadline).map_err(|error| failed(consumer, error))?;
        consumer.context().options().link.answered();
        let found = metadata.topics().first().map_or(&[][..], MetadataTopic::partitions);
        found.iter().map(MetadataPartition::id).collect()
    };
    partitions.sort_unstable();
    partitions
        .into_iter()
        .map(|partition| {
            let (begin, end) = consumer
                .fetch_watermarks(topic.name(), partition, deadline)
                .map_err(|error| failed(consumer, error))?;
            Ok(OffsetRange { partition, begin, end })
        })
        .collect()
}

/// Returns, for each topic that `group` has read from, the number of records it has yet to read. A partition without
/// a committed offset counts in full: our groups begin at the oldest record.
pub fn behind(
    options: &Options,
    group: &str,
    extents: &Extents,
    deadline: Duration,
) -> Result<BTreeMap<Topic, i64>, Error> {
    let consumer = observer(options, group)?;
    let mut list = TopicPartitionList::new();
    for (topic, partitions) in extents {
        for extent in partitions {
            list.add_partition(topic.name(), extent.partition);
        }
    }
    let committed = consumer.committed_offsets(list, deadline).map_err(|error| failed(&consumer, error))?;
    let mut behind = BTreeMap::new();
    for (topic, partitions) in extents {
        let read: Vec<Option<i64>> = partitions
            .iter()
            .map(|extent| match committed.find_partition(topic.name(), extent.partition)?.offset() {
                Offset::Offset(offset) => Some(offset),
                _ => None,
            })
            .collect();
        if read.iter().any(Option::is_some) {
            let left = partitions.iter().zip(read).map(|(extent, read)| {
                (extent.end - read.map_or(extent.begin, |offset| offset.max(extent.begin))).max(0)
            });
            behind.insert(*topic, left.sum());
        }
    }
    Ok(behind)
}
