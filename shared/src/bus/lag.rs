//! How many records topics hold and how far groups have read them. Looks only: joins no group, moves no offset.
//! Blocking; run it off the async threads.

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Error, Options};
use crate::events::Topic;

/// What one partition holds: the records from `begin` up to, but without, `end`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Extent {
    /// Partition.
    pub partition: i32,
    /// Offset of the oldest record.
    pub begin: i64,
    /// Offset of the next record to come.
    pub end: i64,
}

impl Extent {
    /// Returns the number of offsets, which is the number of records unless the topic is compacted.
    pub fn records(&self) -> i64 {
        (self.end - self.begin).max(0)
    }
}

/// What topics hold, by partition. A topic that is not on the broker is absent.
pub type Extents = BTreeMap<Topic, Vec<Extent>>;

/// Returns what `topics` hold. `deadline` bounds each request to the broker.
pub fn extents(options: &Options, topics: &[Topic], deadline: Duration) -> Result<Extents, Error> {
    let consumer = observer(options, "firewatch-reader")?;
    let metadata = consumer.fetch_metadata(None, deadline)?;
    let mut extents = Extents::new();
    for topic in topics {
        let Some(found) = metadata.topics().iter().find(|found| found.name() == topic.name()) else {
            continue;
        };
        let mut partitions = Vec::with_capacity(found.partitions().len());
        for partition in found.partitions() {
            let (begin, end) = consumer.fetch_watermarks(topic.name(), partition.id(), deadline)?;
            partitions.push(Extent { partition: partition.id(), begin, end });
        }
        partitions.sort_by_key(|extent| extent.partition);
        extents.insert(*topic, partitions);
    }
    Ok(extents)
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
    let committed = consumer.committed_offsets(list, deadline)?;
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

/// Makes a client that is a member of no group: it neither subscribes nor commits. Committed offsets are asked of
/// `group`.
fn observer(options: &Options, group: &str) -> Result<BaseConsumer, Error> {
    let mut config = options.client();
    config.set("group.id", group).set("enable.auto.commit", "false").set("allow.auto.create.topics", "false");
    Ok(options.finish(config).create()?)
}
