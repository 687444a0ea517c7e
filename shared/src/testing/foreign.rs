//! What others write to topics that are not ours.

use rdkafka::admin::{AdminClient, AdminOptions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::config::FromClientConfig;
use rdkafka::producer::{FutureProducer, FutureRecord};

use crate::bus::{Error, Options};

/// Writes to one topic.
pub struct ForeignTopic {
    name: String,
    producer: FutureProducer,
}

impl ForeignTopic {
    /// Creates a topic with a number of partitions.
    pub async fn create(options: &Options, name: &str, partitions: i32) -> Result<Self, Error> {
        let config = options.finish(options.client());
        let admin: AdminClient<DefaultClientContext> = AdminClient::from_config(&config)?;
        let topic = NewTopic::new(name, partitions, TopicReplication::Fixed(1));
        for created in admin.create_topics([&topic], &AdminOptions::new()).await? {
            created.map_err(|(topic, code)| Error::Other(format!("{topic} was not created: {code}")))?;
        }
        Ok(Self { name: name.to_owned(), producer: FutureProducer::from_config(&config)? })
    }

    /// Writes a record, and waits for its acknowledgement.
    pub async fn send(&self, key: &str, payload: &[u8]) -> Result<(), Error> {
        let record = FutureRecord::to(&self.name).key(key).payload(payload);
        let timeout = rdkafka::util::Timeout::Never;
        self.producer.send(record, timeout).await.map(drop).map_err(|(error, _)| error.into())
    }
}
