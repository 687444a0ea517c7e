//! The producer: idempotent, acknowledged by all in-sync replicas.

use std::time::Duration;

use rdkafka::error::{KafkaError, RDKafkaErrorCode};
use rdkafka::message::{Header, OwnedHeaders};
use rdkafka::producer::{DeliveryFuture, FutureProducer, FutureRecord, Producer as _};

use super::link::Context;
use super::{Error, Link, Options, PING, partitions_in};
use crate::events::Topic;
use crate::events::envelope::Headers;

/// Writes records. Cheap to clone; connects in the background and again after every outage.
#[derive(Clone)]
pub struct Producer {
    inner: FutureProducer<Context>,
    options: Options,
}

/// A record that is on its way.
pub struct Pending {
    delivery: DeliveryFuture,
    deadline_ms: u32,
    link: Link,
}

impl Pending {
    /// Waits until Kafka has acknowledged the record.
    pub async fn acknowledged(self) -> Result<(), Error> {
        // librdkafka ends every delivery by itself after `message.timeout.ms`; the margin is for its bookkeeping
        let deadline = Duration::from_millis(u64::from(self.deadline_ms) + 5_000);
        match tokio::time::timeout(deadline, self.delivery).await {
            Err(_) => Err(Error::NotAcknowledged(self.deadline_ms)),
            Ok(Err(_)) => Err(Error::Closed),
            Ok(Ok(Err((error, _)))) => Err(self.link.refusal().map_or_else(|| error.into(), Error::Refused)),
            Ok(Ok(Ok(_))) => {
                self.link.answered();
                Ok(())
            }
        }
    }
}

impl Producer {
    /// Prepares a producer. Does not wait for a broker.
    pub fn connect(options: &Options) -> Result<Self, Error> {
        let mut config = options.client();
        config
            .set("enable.idempotence", "true")
            .set("acks", "all")
            // A broker that knows nothing of a producer takes any sequence number from it. Of two requests in flight after a
            // restart the first may fail and the second be written: the client then reports both as written.
            .set("max.in.flight", "1")
            // partitions that are added are written to soon
            .set("topic.metadata.refresh.interval.ms", "10000")
            .set("message.timeout.ms", options.delivery_timeout_ms.to_string())
            .set("linger.ms", "1")
            .set("compression.type", "zstd")
            .set("queue.buffering.max.messages", "100000")
            .set("queue.buffering.max.kbytes", "65536")
            .set("message.max.bytes", "1000000");
        let inner = options.finish(config).create_with_context(Context::new(options))?;
        Ok(Self { inner, options: options.clone() })
    }

    /// Writes one record and waits for the acknowledgement.
    pub async fn send(
        &self,
        topic: Topic,
        key: Option<&str>,
        headers: &Headers,
        payload: &[u8],
    ) -> Result<(), Error> {
        self.enqueue(topic, key, headers, payload).await?.acknowledged().await
    }

    /// Hands one record to the client, waiting while its queue is full. Records are written in the order of the calls.
    pub async fn enqueue(
        &self,
        topic: Topic,
        key: Option<&str>,
        headers: &Headers,
        payload: &[u8],
    ) -> Result<Pending, Error> {
        self.enqueue_at(topic, None, key, headers, payload).await
    }

    /// As [`Producer::enqueue`], to a partition of the caller's choice.
    pub async fn enqueue_at(
        &self,
        topic: Topic,
        partition: Option<i32>,
        key: Option<&str>,
        headers: &Headers,
        payload: &[u8],
    ) -> Result<Pending, Error> {
        let owned =
            headers.iter().fold(OwnedHeaders::new_with_capacity(headers.len()), |owned, (name, value)| {
                owned.insert(Header { key: name, value: Some(value) })
            });
        let mut record = FutureRecord::<str, [u8]>::to(topic.name()).payload(payload).headers(owned);
        if let Some(key) = key {
            record = record.key(key);
        }
        if let Some(partition) = partition {
            record = record.partition(partition);
        }
        self.hand_over(record).await
    }

    /// Removes a key from a partition of a compacted topic: writes a record of it without a payload.
    pub async fn remove(&self, topic: Topic, partition: i32, key: &str) -> Result<Pending, Error> {
        self.hand_over(FutureRecord::<str, [u8]>::to(topic.name()).partition(partition).key(key)).await
    }

    async fn hand_over(&self, mut record: FutureRecord<'_, str, [u8]>) -> Result<Pending, Error> {
        loop {
            match self.inner.send_result(record) {
                Ok(delivery) => {
                    let (deadline_ms, link) = (self.options.delivery_timeout_ms, self.options.link.clone());
                    return Ok(Pending { delivery, deadline_ms, link });
                }
                Err((KafkaError::MessageProduction(RDKafkaErrorCode::QueueFull), returned)) => {
                    record = returned;
                    tokio::time::sleep(Duration::from_millis(5)).await;
                }
                Err((error, _)) => return Err(error.into()),
            }
        }
    }

    /// Returns how many partitions a topic has now.
    pub async fn partitions(&self, topic: Topic) -> Result<i32, Error> {
        let inner = self.inner.clone();
        let ask = move || inner.client().fetch_metadata(Some(topic.name()), PING);
        match tokio::task::spawn_blocking(ask).await {
            Ok(Ok(metadata)) => Ok(partitions_in(&metadata)),
            Ok(Err(error)) => Err(self.options.failed(error)),
            Err(_) => Err(Error::Closed),
        }
    }

    /// Waits until everything handed over is written or has failed. Blocks; call it off the async threads.
    pub fn flush(&self, deadline: Duration) -> Result<(), Error> {
        Ok(self.inner.flush(deadline)?)
    }

    /// Asks whether a broker answers.
    pub async fn answers(&self, deadline: Duration) -> Result<(), Error> {
        let inner = self.inner.clone();
        let ask = move || inner.client().fetch_metadata(Some(Topic::Anomalies.name()), deadline).map(|_| ());
        match tokio::task::spawn_blocking(ask).await {
            Ok(Ok(())) => {
                self.options.link.answered();
                Ok(())
            }
            Ok(Err(error)) => Err(self.options.failed(error)),
            Err(_) => Err(Error::Closed),
        }
    }
}
