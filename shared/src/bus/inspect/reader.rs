//! Reading a topic without a group: for tools, tests and restoring state. Blocking; run it off the async threads.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::message::{Headers as _, Message as _};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::lag::{self, OffsetRange};
use super::observer::{Observer, READER, observer};
use crate::bus::{Error, Options};
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

/// Longest wait for one record before the end is looked for.
const LOOK: Duration = Duration::from_millis(50);

/// Reads partitions of one topic from a place to the end, and on.
pub struct Reader {
    consumer: Observer,
    topic: Topic,
    /// End of each partition as it stood when the topic was opened.
    ends: BTreeMap<i32, i64>,
    /// Partitions whose end was not reached yet.
    unread: Vec<i32>,
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
        let consumer = observer(options, READER)?;
        let mut extents = lag::held(&consumer, topic, partition, deadline)?;
        for extent in &mut extents {
            extent.begin = match from {
                From::Beginning => extent.begin,
                From::End => extent.end,
                From::Last(count) => (extent.end - count.max(0)).max(extent.begin),
            };
        }
        Self::assign(consumer, topic, &extents)
    }

    /// Opens a topic to read what `extents` say, e.g. a part of what it holds.
    pub fn over(options: &Options, topic: Topic, extents: &[OffsetRange]) -> Result<Self, Error> {
        Self::assign(observer(options, READER)?, topic, extents)
    }

    fn assign(consumer: Observer, topic: Topic, extents: &[OffsetRange]) -> Result<Self, Error> {
        let mut list = TopicPartitionList::new();
        for extent in extents {
            list.add_partition_offset(topic.name(), extent.partition, Offset::Offset(extent.begin))?;
        }
        consumer.assign(&list)?;
        let ends = extents.iter().map(|extent| (extent.partition, extent.end)).collect();
        let unread =
            extents.iter().filter(|extent| extent.records() > 0).map(|extent| extent.partition).collect();
        Ok(Self { consumer, topic, ends, unread })
    }

    /// Returns the next record, or none if none came within `wait`.
    pub fn next(&mut self, wait: Duration) -> Result<Option<Line>, Error> {
        match self.consumer.poll(wait) {
            None | Some(Err(KafkaError::PartitionEOF(_))) => Ok(None),
            Some(Err(error @ KafkaError::MessageConsumptionFatal(_))) => Err(error.into()),
            // the client connects again by itself; whoever reads has a deadline
            Some(Err(error)) => {
                tracing::debug!(%error, "transient Kafka error; reading continues");
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

    /// Returns everything up to the end as it stood when the topic was opened. Fails after `deadline`.
    pub fn to_end(self, deadline: Duration) -> Result<Vec<Line>, Error> {
        Lines { reader: self, deadline: Instant::now() + deadline, silence: None, ended: false }.collect()
    }

    /// Returns, one by one, everything up to the end as it stood when the topic was opened. Fails once no record has
    /// come for `silence`.
    pub fn lines(self, silence: Duration) -> Lines {
        Lines { reader: self, deadline: Instant::now() + silence, silence: Some(silence), ended: false }
    }

    /// Returns whether the end is reached. Compaction may have removed the very last record, so a partition's end is
    /// known by position.
    fn at_end(&mut self) -> Result<bool, Error> {
        if !self.unread.is_empty() {
            let position = self.consumer.position()?;
            self.unread.retain(|partition| {
                let at = position.find_partition(self.topic.name(), *partition).map(|found| found.offset());
                !matches!(at, Some(Offset::Offset(at)) if at >= self.ends[partition])
            });
        }
        Ok(self.unread.is_empty())
    }
}

/// The records up to the end of a topic.
pub struct Lines {
    reader: Reader,
    deadline: Instant,
    /// How long after each record the next one must come.
    silence: Option<Duration>,
    ended: bool,
}

impl Lines {
    fn read(&mut self) -> Result<Option<Line>, Error> {
        while !self.reader.at_end()? {
            if Instant::now() > self.deadline {
                return Err(Error::Other(format!("{} was not read to its end in time", self.reader.topic)));
            }
            let Some(line) = self.reader.next(LOOK)? else { continue };
            if let Some(silence) = self.silence {
                self.deadline = Instant::now() + silence;
            }
            // while one partition is read to its end, others may grow
            if line.offset < self.reader.ends[&line.partition] {
                return Ok(Some(line));
            }
        }
        Ok(None)
    }
}

impl Iterator for Lines {
    type Item = Result<Line, Error>;

    fn next(&mut self) -> Option<Self::Item> {
        if self.ended {
            return None;
        }
        let read = self.read().transpose();
        self.ended = !matches!(read, Some(Ok(_)));
        read
    }
}
