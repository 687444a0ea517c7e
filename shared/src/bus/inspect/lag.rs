//! How many records topics hold and how far groups have read them. Looks only: joins no group, moves no offset.
//! Blocking; run it off the async threads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
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

/// Pause before a partition without a leader is asked again.
const ELECTION: Duration = Duration::from_millis(100);

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
            let (begin, end) =
                watermarks(consumer, topic, partition, deadline).map_err(|error| failed(consumer, error))?;
            Ok(OffsetRange { partition, begin, end })
        })
        .collect()
}

/// Returns the first offset of a partition and the next one. A partition whose leader changes, or that was just made
/// and has none yet, is asked again until `deadline`: the client gives up at the first such answer.
fn watermarks(
    consumer: &Observer,
    topic: Topic,
    partition: i32,
    deadline: Duration,
) -> Result<(i64, i64), KafkaError> {
    let begun = Instant::now();
    loop {
        let left = deadline.saturating_sub(begun.elapsed());
        match consumer.fetch_watermarks(topic.name(), partition, left) {
            Err(error) if has_no_leader(&error) && left > ELECTION => std::thread::sleep(ELECTION),
            outcome => return outcome,
        }
    }
}

fn has_no_leader(error: &KafkaError) -> bool {
    use RDKafkaErrorCode::{
        FencedLeaderEpoch, LeaderNotAvailable, NotLeaderForPartition, UnknownLeaderEpoch,
    };
    matches!(
        error.rdkafka_error_code(),
        Some(NotLeaderForPartition | LeaderNotAvailable | FencedLeaderEpoch | UnknownLeaderEpoch)
    )
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

#[cfg(test)]
mod tests {
    use rdkafka::mocking::MockCluster;
    use rdkafka::types::{RDKafkaApiKey, RDKafkaRespErr};

    use super::*;

    #[test]
    fn a_partition_whose_leader_changes_is_asked_again_until_the_deadline() {
        let cluster = MockCluster::new(1).unwrap();
        cluster.create_topic(Topic::Anomalies.name(), 1, 1).unwrap();
        let options = Options { brokers: cluster.bootstrap_servers(), ..Options::default() };
        let has_moved = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_NOT_LEADER_FOR_PARTITION; 12];
        let held = |errors: &[RDKafkaRespErr], deadline| {
            cluster.clear_request_errors(RDKafkaApiKey::ListOffsets);
            cluster.request_errors(RDKafkaApiKey::ListOffsets, errors);
            extents(&options, &[Topic::Anomalies], deadline)
        };
        let empty = vec![OffsetRange { partition: 0, begin: 0, end: 0 }];
        let expected = Extents::from([(Topic::Anomalies, empty)]);
        assert_eq!(held(&has_moved, Duration::from_secs(30)).unwrap(), expected);
        let denied = [RDKafkaRespErr::RD_KAFKA_RESP_ERR_TOPIC_AUTHORIZATION_FAILED; 2];
        held(&denied, Duration::from_secs(30)).unwrap_err();
        let error = held(&has_moved, Duration::from_millis(300)).unwrap_err().to_string();
        assert!(error.contains("NotLeaderForPartition"), "{error}");
    }
}
