//! Kafka: an idempotent producer, an ordered consumer with drain, dead letters and topic administration.

pub mod consumer;
pub mod dead_letter;
mod diagnosis;
pub mod foreign;
mod inspect;
mod lag_gauge;
pub mod link;
pub mod partitioned;
pub mod producer;
pub(crate) mod progress;
mod rate_limiter;
pub mod security;
mod shape;
pub mod tick;
pub mod tracker;

use std::collections::BTreeMap;
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::error::KafkaError;
use rdkafka::metadata::Metadata;
use serde::{Deserialize, Serialize};

use crate::text::redact::is_loopback;
pub use consumer::{Batches, Consumer, Message, Record};
pub use foreign::{ForeignConsumer, ForeignRecord};
pub use inspect::{admin, lag, reader, window};
pub use link::Link;
pub use producer::{Pending, Producer};
pub use security::{Mechanism, Sasl, Tls};

/// Longest wait for a broker's answer to the question whether it is there.
pub const PING: Duration = Duration::from_secs(5);

/// How to reach Kafka.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// `host:port`, separated by commas.
    pub brokers: String,
    /// Name under which the brokers know our clients; empty: `firewatch-` and the name of the process.
    pub client_id: String,
    /// TLS.
    pub tls: Tls,
    /// How we log in.
    pub sasl: Sasl,
    /// A replica that is not heard of for this long loses its partitions, milliseconds.
    pub session_timeout_ms: u32,
    /// Longest wait for work in flight on a revoke or at shutdown, milliseconds; below the session timeout.
    pub drain_timeout_ms: u32,
    /// Longest wait for an acknowledgement, milliseconds.
    pub delivery_timeout_ms: u32,
    /// Records read ahead of what is handled.
    pub read_ahead: usize,
    /// Seconds for which records may wait, or partitions may be missing, before `/readyz` reports it.
    pub stall_after_s: u32,
    /// Further librdkafka properties, e.g. `client.rack`; they win over the above.
    pub properties: BTreeMap<String, String>,
    /// What is known of the connection; shared with clones.
    #[serde(skip)]
    pub link: Link,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            brokers: "127.0.0.1:9092".to_owned(),
            client_id: String::new(),
            tls: Tls::default(),
            sasl: Sasl::default(),
            session_timeout_ms: 10_000,
            drain_timeout_ms: 6_000,
            delivery_timeout_ms: 30_000,
            read_ahead: 512,
            stall_after_s: 60,
            properties: BTreeMap::new(),
            link: Link::default(),
        }
    }
}

impl Options {
    /// Returns everything that is wrong with the options.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.brokers.trim().is_empty() {
            problems.push("kafka.brokers is empty".to_owned());
        }
        if self.drain_timeout_ms >= self.session_timeout_ms {
            problems.push(format!(
                "kafka.drain_timeout_ms {} is not below kafka.session_timeout_ms {}",
                self.drain_timeout_ms, self.session_timeout_ms
            ));
        }
        if self.read_ahead == 0 {
            problems.push("kafka.read_ahead is 0".to_owned());
        }
        if self.stall_after_s == 0 {
            problems.push("kafka.stall_after_s is 0".to_owned());
        }
        problems.extend(self.tls.validate());
        problems.extend(self.sasl.validate());
        problems
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let protected = self.tls.enabled
            || self.properties.get("security.protocol").is_some_and(|protocol| protocol.ends_with("SSL"));
        let away: Vec<&str> =
            self.brokers.split(',').map(str::trim).filter(|broker| !is_loopback(broker)).collect();
        if protected || away.is_empty() {
            return Vec::new();
        }
        let secret = match self.sasl.mechanism {
            mechanism if mechanism.reveals() => ", and with it the password or token",
            _ => "",
        };
        let brokers = away.join(",");
        vec![format!("Kafka at {brokers} is addressed in plain text{secret}; set kafka.tls.enabled")]
    }

    pub(crate) fn client(&self) -> ClientConfig {
        let mut config = ClientConfig::new();
        config
            .set("bootstrap.servers", &self.brokers)
            .set("client.id", if self.client_id.is_empty() { "firewatch" } else { &self.client_id })
            .set("socket.timeout.ms", "10000")
            .set("reconnect.backoff.ms", "100")
            .set("reconnect.backoff.max.ms", "2000");
        security::apply(&self.tls, &self.sasl, &mut config);
        config
    }

    /// Returns what every member of a group is made of: it begins with the oldest record, reads what was committed, and only what
    /// is marked as done is committed.
    fn member(&self, group: &str) -> ClientConfig {
        let mut config = self.client();
        config
            .set("group.id", group)
            .set("auto.offset.reset", "earliest")
            .set("isolation.level", "read_committed")
            .set("enable.auto.commit", "true")
            .set("auto.commit.interval.ms", "500")
            .set("enable.auto.offset.store", "false")
            .set("session.timeout.ms", self.session_timeout_ms.to_string())
            .set("heartbeat.interval.ms", (self.session_timeout_ms / 4).to_string())
            .set("max.poll.interval.ms", "300000")
            .set("fetch.wait.max.ms", "50")
            .set("queued.max.messages.kbytes", "32768")
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("allow.auto.create.topics", "false");
        config
    }

    pub(crate) fn finish(&self, mut config: ClientConfig) -> ClientConfig {
        for (name, value) in &self.properties {
            config.set(name, value);
        }
        config
    }

    /// Returns the error of a request that failed: the reason why we are refused, if that is it.
    fn failed(&self, error: KafkaError) -> Error {
        match (self.link.refusal(), self.link.outage()) {
            (Some(reason), _) => Error::Refused(reason),
            (None, Some(reason)) => Error::Unconnected(reason),
            (None, None) => error.into(),
        }
    }
}

/// Why Kafka did not do what was asked.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// The client refused or the broker answered with an error.
    #[error("kafka: {0}")]
    Kafka(#[from] KafkaError),
    /// The brokers refuse us, or we them: a login, a certificate.
    #[error("kafka: {0}")]
    Refused(String),
    /// No broker is connected.
    #[error("kafka: no broker is connected: {0}")]
    Unconnected(String),
    /// No acknowledgement within the deadline.
    #[error("kafka did not acknowledge within {0} ms")]
    NotAcknowledged(u32),
    /// The client was dropped while a record was on its way.
    #[error("kafka client was closed")]
    Closed,
    /// A task cannot go on, and trying again would not help.
    #[error("{0}")]
    Fatal(String),
    /// Something else that has no error of its own.
    #[error("kafka: {0}")]
    Other(String),
}

impl From<Error> for crate::error::Error {
    fn from(error: Error) -> Self {
        if matches!(error, Error::Fatal(_)) { Self::fatal(error) } else { Self::unavailable(error) }
    }
}

/// Returns how many partitions the topic has that metadata were asked for; none where it is not on the broker.
fn partitions_in(metadata: &Metadata) -> i32 {
    let partitions = metadata.topics().first().map_or(0, |found| found.partitions().len());
    i32::try_from(partitions).unwrap_or(i32::MAX)
}
