//! Topics that are not ours: read by their names, whatever is in them, from where a group stands.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use rdkafka::Message as _;
use rdkafka::consumer::{CommitMode, Consumer as _, StreamConsumer};
use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::{Error, Options, link};

/// Longest wait for further records once there is one.
const GATHERING: Duration = Duration::from_millis(5);

/// What was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ForeignRecord {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
    /// Payload; empty where the record has none.
    pub payload: Arc<[u8]>,
}

/// A member of a consumer group over topics that are not ours. What was read is read again after a restart, and after its
/// partition has changed hands, until it is [`done`](Self::done).
pub struct ForeignConsumer(StreamConsumer<link::Context>);

impl ForeignConsumer {
    /// Joins `group` and reads `topics` from where the group stands, or from the beginning. Topics that are not there are read
    /// once they are.
    pub fn join(options: &Options, group: &str, topics: &[&str]) -> Result<Self, Error> {
        let consumer: StreamConsumer<link::Context> =
            options.finish(options.member(group)).create_with_context(link::Context::new(options))?;
        consumer.subscribe(topics)?;
        Ok(Self(consumer))
    }

    /// Waits for records and returns what lies ready, in order: at least one, at most `most`, and no further one once their
    /// payloads have `bytes` bytes. Nothing is lost where the caller stops waiting: what it was not given is read again.
    ///
    /// Fails where Kafka cannot be read; the next call tries again.
    pub async fn next(&self, most: usize, bytes: usize) -> Result<Vec<ForeignRecord>, Error> {
        let mut found = vec![read(&self.0.recv().await?)];
        let mut size = found[0].payload.len();
        while found.len() < most && size < bytes {
            match tokio::time::timeout(GATHERING, self.0.recv()).await {
                Ok(Ok(message)) => {
                    let record = read(&message);
                    size += record.payload.len();
                    found.push(record);
                }
                // an error comes again with the next call
                Ok(Err(_)) | Err(_) => break,
            }
        }
        Ok(found)
    }

    /// Notes that these records, and all before them, need not be read again.
    pub fn done(&self, records: &[ForeignRecord]) {
        let last: BTreeMap<(&str, i32), i64> =
            records.iter().map(|record| ((&*record.topic, record.partition), record.offset)).collect();
        let mut offsets = TopicPartitionList::with_capacity(last.len());
        let noted = last.into_iter().try_for_each(|((topic, partition), offset)| {
            offsets.add_partition_offset(topic, partition, Offset::Offset(offset + 1))
        });
        if let Err(error) = noted.and_then(|()| self.0.store_offsets(&offsets)) {
            tracing::debug!(%error, "offsets not stored: a partition is no longer ours");
        }
    }

    /// Commits what is done. Blocks until Kafka has answered.
    pub fn commit(&self) {
        match self.0.commit_consumer_state(CommitMode::Sync) {
            Ok(()) | Err(KafkaError::ConsumerCommit(RDKafkaErrorCode::NoOffset)) => {}
            Err(error) => tracing::info!(%error, "commit refused; the records will be read again"),
        }
    }
}

fn read(message: &rdkafka::message::BorrowedMessage<'_>) -> ForeignRecord {
    ForeignRecord {
        topic: message.topic().to_owned(),
        partition: message.partition(),
        offset: message.offset(),
        payload: message.payload().unwrap_or_default().into(),
    }
}
