//! Reading a topic without a group: for tools, tests and restoring state. Blocking; run it off the async threads.

use std::time::{Duration, Instant};

use rdkafka::consumer::{BaseConsumer, Consumer as _};
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::metadata::{MetadataPartition, MetadataTopic};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Error, Options};
use crate::events::Topic;
use crate::events::envelope::Headers;

/// A record that was read.
#[derive(Debug, Clone)]
pub struct Line {
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Broker's or producer's timestamp, milliseconds.
    pub timestamp_ms: Option<i64>,
    /// Key, as text.
    pub key: Option<String>,
    /// Headers that are text.
    pub headers: Headers,
    /// Payload; none for a deletion marker.
    pub payload: Option<Vec<u8>>,
}

/// Where to begin.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum From {
    /// At the oldest record.
    Beginning,
    /// At the next record to come.
    End,
    /// This many records before the end of each partition.
    Last(i64),
}

/// Reads partitions of one topic from a place to the end, and on.
pub struct Reader {
    consumer: BaseConsumer,
    topic: Topic,
    ends: Vec<(i32, i64)>,
}

impl Reader {
    /// Opens a topic; all partitions, or one.
    pub fn open(
        options: &Options,
        topic: Topic,
        partition: Option<i32>,
        from: From,
        deadline: Duration,
    ) -> Result<Self, Error> {
        let mut config = options.client();
        config
            .set("group.id", "firewatch-reader")
            .set("enable.auto.commit", "false")
            .set("fetch.wait.max.ms", "50")
            .set("allow.auto.create.topics", "false");
        let consumer: BaseConsumer = options.finish(config).create()?;
        let partitions: Vec<i32> = if let Some(partition) = partition {
            vec![partition]
        } else {
            let metadata = consumer.fetch_metadata(Some(topic.name()), deadline)?;
            let found = metadata.topics().first().map_or(&[][..], MetadataTopic::partitions);
            found.iter().map(MetadataPartition::id).collect()
        };
        let mut list = TopicPartitionList::new();
        let mut ends = Vec::with_capacity(partitions.len());
        for partition in partitions {
            let (low, high) = consumer.fetch_watermarks(topic.name(), partition, deadline)?;
            let start = match from {
                From::Beginning => low,
                From::End => high,
                From::Last(count) => (high - count.max(0)).max(low),
            };
            list.add_partition_offset(topic.name(), partition, Offset::Offset(start))?;
            if start < high {
                ends.push((partition, high));
            }
        }
        consumer.assign(&list)?;
        Ok(Self { consumer, topic, ends })
    }

    /// Returns the next record, or none if none came within `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Line>, Error> {
        match self.consumer.poll(wait) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(None),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error.into()),
            // the client connects again by itself; whoever reads has a deadline
            Some(Err(error)) => {
                tracing::debug!(%error, "reading goes on");
                Ok(None)
            }
            Some(Ok(message)) => {
                let headers = message.headers().map_or_else(Vec::new, |headers| {
                    headers
                        .iter()
                        .filter_map(|header| {
                            Some((header.key.to_owned(), std::str::from_utf8(header.value?).ok()?.to_owned()))
                        })
                        .collect()
                });
                Ok(Some(Line {
                    partition: message.partition(),
                    offset: message.offset(),
                    timestamp_ms: message.timestamp().to_millis(),
                    key: message.key().map(|key| String::from_utf8_lossy(key).into_owned()),
                    headers,
                    payload: message.payload().map(<[u8]>::to_vec),
                }))
            }
        }
    }

    /// Returns everything up to the end as it stood when the topic was opened. Compaction may have removed the very
    /// last record, so a partition's end also counts as reached by position.
    pub fn to_end(mut self, deadline: Duration) -> Result<Vec<Line>, Error> {
        let until = Instant::now() + deadline;
        let mut lines = Vec::new();
        let mut ends = std::mem::take(&mut self.ends);
        while !ends.is_empty() {
            if Instant::now() > until {
                return Err(Error::Other(format!("{} was not read to its end in time", self.topic)));
            }
            if let Some(line) = self.next(Duration::from_millis(50))? {
                lines.push(line);
            }
            let position = self.consumer.position()?;
            ends.retain(|(partition, high)| {
                let at = position.find_partition(self.topic.name(), *partition).map(|found| found.offset());
                !matches!(at, Some(Offset::Offset(at)) if at >= *high)
            });
        }
        Ok(lines)
    }
}
