//! Provisioning: creates the topics with their partitions and retention, and tells where a broker disagrees.

use std::collections::BTreeMap;
use std::fmt;
use std::sync::Arc;
use std::time::{Duration, Instant};

use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::consumer::Consumer as _;
use rdkafka::error::KafkaError;
use rdkafka::metadata::MetadataTopic;
use rdkafka::types::RDKafkaErrorCode;

use super::observer::{self, Observer, READER};
use crate::bus::link::Context;
use crate::bus::{Mechanism, Options, partitions_in};
use crate::events::topic::{Retention, Topic};

/// Longest wait for one answer of the broker. Without it librdkafka waits a minute for a broker that is not there.
const REQUEST: Duration = Duration::from_secs(5);
/// Longest wait for new topics to have a leader for each partition.
const SETTLE: Duration = Duration::from_secs(30);

/// Why topics could not be provisioned.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The broker did not answer, or refused.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The brokers refuse us, or we them: a login, a certificate.
    #[error(transparent)]
    Bus(#[from] crate::bus::Error),
    /// The client library gives tokens to other clients only.
    #[error(
        "topics cannot be created with the login OAUTHBEARER; create them by the cluster's own tools: {0}"
    )]
    Token(String),
    /// The broker refused one topic.
    #[error("topic {topic} was refused: {reason}")]
    Refused {
        /// Which.
        topic: String,
        /// What the broker said.
        reason: RDKafkaErrorCode,
    },
    /// New topics have no leaders yet.
    #[error("no leader yet for {}", .0.join(", "))]
    Unsettled(Vec<String>),
    /// The blocking call was torn down with its runtime.
    #[error("the call to the broker was abandoned")]
    Abandoned,
}

/// A topic that exists with another number of partitions than Firewatch wants. It is left alone: changing the number
/// moves keys to other partitions and breaks their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Mismatch {
    /// Which topic.
    pub topic: Topic,
    /// How many partitions it has.
    pub found: usize,
}

impl fmt::Display for Mismatch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { topic, found } = self;
        write!(f, "topic {topic} has {found} partitions instead of {}", topic.partitions())
    }
}

/// The partitions of a topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Partitions {
    /// How many there are.
    pub total: usize,
    /// How many have a leader right now.
    pub led: usize,
}

/// What [`Admin::provision`] did.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Provisioned {
    /// Topics that were missing and are there now.
    pub created: Vec<Topic>,
    /// Topics that were there with another number of partitions.
    pub mismatched: Vec<Mismatch>,
}

/// Talks to the broker about topics. Every call is bounded in time.
pub struct Admin {
    client: AdminClient<Context>,
    /// An administrator's client never says why it is not connected.
    observer: Arc<Observer>,
    mechanism: Mechanism,
}

impl Admin {
    /// Makes a client. Nothing is sent before the first call.
    pub fn new(options: &Options) -> Result<Self, Error> {
        let mut config = options.client();
        config.set("socket.timeout.ms", REQUEST.as_millis().to_string());
        Ok(Self {
            client: options.finish(config).create_with_context(Context::new(options))?,
            observer: Arc::new(observer::observer(options, READER)?),
            mechanism: options.sasl.mechanism,
        })
    }

    /// Returns every topic on the broker. Fails within `timeout` where no broker answers.
    pub async fn topics(&self, timeout: Duration) -> Result<BTreeMap<String, Partitions>, Error> {
        let observer = Arc::clone(&self.observer);
        let ask = move || {
            observer.fetch_metadata(None, timeout).map_err(|error| observer::failed(&observer, error))
        };
        let metadata = tokio::task::spawn_blocking(ask).await.map_err(|_| Error::Abandoned)??;
        self.observer.context().options().link.answered();
        let partitions = |topic: &MetadataTopic| Partitions {
            total: topic.partitions().len(),
            led: topic.partitions().iter().filter(|partition| partition.leader() >= 0).count(),
        };
        Ok(metadata.topics().iter().map(|topic| (topic.name().to_owned(), partitions(topic))).collect())
    }

    /// Returns the partitions of each of `topics` that is there.
    pub async fn counts(&self, topics: &[Topic]) -> Result<BTreeMap<Topic, i32>, Error> {
        let (observer, topics) = (Arc::clone(&self.observer), topics.to_vec());
        let ask = move || {
            let mut counts = BTreeMap::new();
            for topic in topics {
                let metadata = observer
                    .fetch_metadata(Some(topic.name()), REQUEST)
                    .map_err(|error| observer::failed(&observer, error))?;
                let partitions = partitions_in(&metadata);
                if partitions > 0 {
                    counts.insert(topic, partitions);
                }
            }
            observer.context().options().link.answered();
            Ok(counts)
        };
        tokio::task::spawn_blocking(ask).await.map_err(|_| Error::Abandoned)?
    }

    /// Gives a topic more partitions and waits until each has its leader. Only for topics whose records are written to
    /// partitions of the writer's choice: of any other it would move keys.
    pub async fn widen(&self, topic: Topic, partitions: i32) -> Result<(), Error> {
        if self.mechanism == Mechanism::OauthBearer {
            return Err(Error::Token(topic.to_string()));
        }
        let wanted = usize::try_from(partitions).unwrap_or_default();
        let options = AdminOptions::new().request_timeout(Some(SETTLE)).operation_timeout(Some(SETTLE));
        let more = [NewPartitions::new(topic.name(), wanted)];
        for result in self.client.create_partitions(&more, &options).await? {
            match result {
                Ok(_) => {}
                // another replica was faster
                Err((_, RDKafkaErrorCode::InvalidPartitions))
                    if self.counts(&[topic]).await?.get(&topic).is_some_and(|found| *found >= partitions) => {
                }
                Err((topic, reason)) => return Err(Error::Refused { topic, reason }),
            }
        }
        self.led(&[(topic, wanted)]).await
    }

    /// Creates those of `topics` that are missing and waits until each has its leaders. Safe to repeat, and when
    /// several do it at once. The replication factor is the broker's own default.
    pub async fn provision(&self, topics: &[Topic]) -> Result<Provisioned, Error> {
        let existing = self.topics(REQUEST).await?;
        let (present, missing): (Vec<Topic>, Vec<Topic>) =
            topics.iter().partition(|topic| existing.contains_key(topic.name()));
        let mismatched = present
            .into_iter()
            .map(|topic| Mismatch { topic, found: existing[topic.name()].total })
            .filter(|found| found.found != found.topic.partitions() as usize)
            .collect();
        let created = self.create(&missing).await?;
        self.settle(&created).await?;
        Ok(Provisioned { created, mismatched })
    }

    async fn create(&self, topics: &[Topic]) -> Result<Vec<Topic>, Error> {
        if topics.is_empty() {
            return Ok(Vec::new());
        }
        if self.mechanism == Mechanism::OauthBearer {
            let missing: Vec<_> = topics.iter().map(|topic| topic.name()).collect();
            return Err(Error::Token(missing.join(", ")));
        }
        let settings: Vec<_> = topics.iter().map(|topic| configuration(topic.retention())).collect();
        let wanted: Vec<_> = topics
            .iter()
            .zip(&settings)
            .map(|(topic, settings)| {
                let new = NewTopic::new(topic.name(), topic.partitions(), TopicReplication::Fixed(-1));
                settings.iter().fold(new, |new, (key, value)| new.set(key, value))
            })
            .collect();
        let options = AdminOptions::new().request_timeout(Some(SETTLE)).operation_timeout(Some(SETTLE));
        let mut created = Vec::new();
        for (topic, result) in topics.iter().zip(self.client.create_topics(&wanted, &options).await?) {
            match result {
                Ok(_) => created.push(*topic),
                Err((_, RDKafkaErrorCode::TopicAlreadyExists)) => {}
                Err((topic, reason)) => return Err(Error::Refused { topic, reason }),
            }
        }
        Ok(created)
    }

    async fn settle(&self, topics: &[Topic]) -> Result<(), Error> {
        let wanted: Vec<_> = topics.iter().map(|topic| (*topic, topic.partitions() as usize)).collect();
        self.led(&wanted).await
    }

    /// Waits until topics have so many partitions with a leader.
    async fn led(&self, wanted: &[(Topic, usize)]) -> Result<(), Error> {
        let started = Instant::now();
        loop {
            let found = self.topics(REQUEST).await?;
            let waiting: Vec<_> = wanted
                .iter()
                .filter(|(topic, wanted)| found.get(topic.name()).is_none_or(|found| found.led < *wanted))
                .map(|(topic, _)| topic.name().to_owned())
                .collect();
            if waiting.is_empty() {
                return Ok(());
            }
            if started.elapsed() > SETTLE {
                return Err(Error::Unsettled(waiting));
            }
            tokio::time::sleep(Duration::from_millis(100)).await;
        }
    }
}

/// Returns the settings of a new topic.
fn configuration(retention: Retention) -> Vec<(&'static str, String)> {
    match retention {
        Retention::Hours(hours) => vec![
            ("cleanup.policy", "delete".to_owned()),
            ("retention.ms", (u64::from(hours) * 3_600_000).to_string()),
        ],
        // small segments: a record is only compacted away once its segment is closed
        Retention::Compacted => {
            vec![
                ("cleanup.policy", "compact".to_owned()),
                ("segment.ms", 3_600_000.to_string()),
                ("segment.bytes", (64 << 20).to_string()),
                // an older record of a key may be the better one, see `partitioned`
                ("min.compaction.lag.ms", 600_000.to_string()),
            ]
        }
    }
}
