//! A broker whose topics a test may change, and a stage that remembers what it took.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use rdkafka::ClientConfig;
use rdkafka::TopicPartitionList;
use rdkafka::admin::{AdminClient, AdminOptions, NewPartitions, NewTopic, TopicReplication};
use rdkafka::client::DefaultClientContext;
use rdkafka::producer::{BaseProducer, BaseRecord, Producer as _};
use shared::agent::Agent;
use shared::bus::partitioned::{self, Output, Part, Settings, Task};
use shared::bus::{self, Producer, lag};
use shared::error::Error;
use shared::events::Topic;
use shared::metrics;
use shared::service::Readiness;
use stack::parts::kafka::{Further, Kafka};
use stack::testing::bench::until;
use tokio::sync::OnceCell;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use super::PATIENCE;

/// Setting `kafka.stall_after_s`.
const STALL_AFTER_S: u32 = 3;
/// The same.
pub(super) const STALL_AFTER: Duration = Duration::from_secs(STALL_AFTER_S as u64);

/// A broker of these tests' own, and the topics of one of them.
pub(super) struct Ground {
    pub(super) kafka: bus::Options,
    agent: Agent,
    inputs: Vec<Topic>,
    state: Topic,
    admin: AdminClient<DefaultClientContext>,
}

impl Ground {
    pub(super) async fn open(agent: Agent, inputs: &[Topic], state: Topic) -> Self {
        static BROKER: OnceCell<Kafka> = OnceCell::const_new();
        let start = || async { stack::testing::kafka_with(&Further::default()).await };
        let broker = BROKER.get_or_try_init(start).await.unwrap();
        let kafka = bus::Options {
            brokers: broker.brokers().to_owned(),
            session_timeout_ms: 6_000,
            drain_timeout_ms: 3_000,
            stall_after_s: STALL_AFTER_S,
            ..bus::Options::default()
        };
        metrics::runtime::register();
        let mut config = ClientConfig::new();
        config.set("bootstrap.servers", &kafka.brokers);
        let admin = config.create().unwrap();
        Self { kafka, agent, inputs: inputs.to_vec(), state, admin }
    }

    pub(super) async fn create(&self, topic: Topic, partitions: i32) {
        let new = NewTopic::new(topic.name(), partitions, TopicReplication::Fixed(1));
        // one that was deleted may still be there for a moment
        let created = until(PATIENCE, async || {
            let results = self.admin.create_topics([&new], &AdminOptions::new()).await.unwrap();
            results.into_iter().next().unwrap().map(drop)
        });
        created.await.unwrap();
    }

    pub(super) async fn raise(&self, topic: Topic, partitions: usize) {
        let more = NewPartitions::new(topic.name(), partitions);
        let results = self.admin.create_partitions([&more], &AdminOptions::new()).await.unwrap();
        results.into_iter().next().unwrap().unwrap();
    }

    pub(super) async fn delete(&self, topic: Topic) {
        let results = self.admin.delete_topics(&[topic.name()], &AdminOptions::new()).await.unwrap();
        results.into_iter().next().unwrap().unwrap();
    }

    /// Removes the records of partition 0 before an offset.
    pub(super) async fn truncate(&self, topic: Topic, offset: i64) {
        let mut offsets = TopicPartitionList::new();
        offsets.add_partition_offset(topic.name(), 0, rdkafka::Offset::Offset(offset)).unwrap();
        self.admin.delete_records(&offsets, &AdminOptions::new()).await.unwrap();
    }

    pub(super) async fn partitions(&self, topic: Topic) -> usize {
        let kafka = self.kafka.clone();
        let ask = move || lag::extents(&kafka, &[topic], PATIENCE).unwrap();
        tokio::task::spawn_blocking(ask).await.unwrap()[&topic].len()
    }

    /// Writes one record, as soon as the partition is there.
    pub(super) async fn write(&self, topic: Topic, partition: i32, value: &str) {
        let written = until(PATIENCE, async || {
            // a client of its own: others may remember a topic that was made again since
            let producer = Producer::connect(&self.kafka).unwrap();
            let (place, key, headers) = (Some(partition), Some("key"), Vec::new());
            producer.enqueue_at(topic, place, key, &headers, value.as_bytes()).await?.acknowledged().await
        });
        written.await.unwrap();
    }

    /// Writes values in one transaction, and commits or aborts it.
    pub(super) async fn transaction(&self, topic: Topic, values: &[&str], commit: bool) {
        let producer = self.begin_transaction(topic, values).await;
        let end = move || {
            if commit { producer.commit_transaction(PATIENCE) } else { producer.abort_transaction(PATIENCE) }
        };
        tokio::task::spawn_blocking(end).await.unwrap().unwrap();
    }

    /// Writes values in a transaction that stays open.
    pub(super) async fn begin_transaction(&self, topic: Topic, values: &[&str]) -> BaseProducer {
        let (brokers, name) = (self.kafka.brokers.clone(), topic.name());
        let values: Vec<String> = values.iter().map(|&value| value.to_owned()).collect();
        let write = move || {
            let mut config = ClientConfig::new();
            config.set("bootstrap.servers", brokers).set("transactional.id", format!("test {}", values[0]));
            let producer: BaseProducer = config.create().unwrap();
            producer.init_transactions(PATIENCE).unwrap();
            producer.begin_transaction().unwrap();
            for value in &values {
                let record = BaseRecord::to(name).partition(0).key("key").payload(value);
                producer.send(record).map_err(|(error, _)| error).unwrap();
            }
            producer.flush(PATIENCE).unwrap();
            producer
        };
        tokio::task::spawn_blocking(write).await.unwrap()
    }

    /// Waits until the group has committed this offset of partition 0.
    pub(super) async fn is_committed(&self, topic: Topic, offset: i64) {
        let committed = until(PATIENCE, async || {
            let (kafka, group) = (self.kafka.clone(), self.agent.name());
            let ask = move || {
                let extents = lag::extents(&kafka, &[topic], PATIENCE).unwrap();
                (extents[&topic][0].end, lag::behind(&kafka, group, &extents, PATIENCE).unwrap())
            };
            let (end, behind) = tokio::task::spawn_blocking(ask).await.unwrap();
            let left = behind.get(&topic).copied();
            if end == offset && left == Some(0) { Ok(()) } else { Err((end, left)) }
        });
        committed.await.unwrap();
    }
}

/// What one process has taken: partitions and values.
#[derive(Default)]
struct Memory {
    taken: Mutex<Vec<(i32, String)>>,
    is_held: AtomicBool,
}

/// A task that remembers what it took, and skips what its state reflects.
struct Remembering {
    partition: i32,
    applied: BTreeMap<String, i64>,
    memory: Arc<Memory>,
}

impl Task for Remembering {
    fn record(&mut self, topic: Topic, offset: i64, _: i64, payload: &[u8]) -> Result<Output, Error> {
        while self.memory.is_held.load(Ordering::Relaxed) {
            std::thread::sleep(Duration::from_millis(10));
        }
        let applied = self.applied.entry(topic.name().to_owned()).or_insert(-1);
        if offset > *applied {
            *applied = offset;
            let value = String::from_utf8_lossy(payload).into_owned();
            self.memory.taken.lock().unwrap().push((self.partition, value));
        }
        Ok(Output::default())
    }

    fn applied(&self, topic: Topic) -> Option<i64> {
        self.applied.get(topic.name()).copied().or(Some(-1))
    }

    fn begin_anew(&mut self, topic: Topic) {
        self.applied.remove(topic.name());
    }

    fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_> {
        let payload = serde_json::to_vec(&self.applied).unwrap();
        Box::new(std::iter::once(Part { key: self.partition.to_string(), payload }))
    }

    fn saved(&mut self) {}
}

/// A stage that runs.
pub(super) struct Stage {
    memory: Arc<Memory>,
    readiness: Readiness,
    shutdown: CancellationToken,
    running: JoinHandle<Result<(), bus::Error>>,
}

impl Stage {
    pub(super) fn start(ground: &Ground) -> Self {
        let settings = Settings {
            stage: ground.agent,
            topics: ground.inputs.clone(),
            state: ground.state,
            snapshot_every: Duration::from_millis(200),
            snapshot_rate: f64::INFINITY,
        };
        let (memory, readiness, shutdown) =
            (Arc::<Memory>::default(), Readiness::default(), CancellationToken::new());
        let remembers = Arc::clone(&memory);
        let make = move |partition, parts: &mut dyn Iterator<Item = Part>| Remembering {
            partition,
            applied: parts
                .last()
                .map(|part| serde_json::from_slice(&part.payload).unwrap())
                .unwrap_or_default(),
            memory: Arc::clone(&remembers),
        };
        let (kafka, health, stop) = (ground.kafka.clone(), readiness.clone(), shutdown.clone());
        let running =
            tokio::spawn(async move { partitioned::run(&kafka, settings, &health, make, stop).await });
        Self { memory, readiness, shutdown, running }
    }

    pub(super) fn taken(&self) -> BTreeSet<String> {
        self.memory.taken.lock().unwrap().iter().map(|(_, value)| value.clone()).collect()
    }

    /// Returns the partitions of which something was taken.
    pub(super) fn numbers(&self) -> BTreeSet<i32> {
        self.memory.taken.lock().unwrap().iter().map(|(partition, _)| *partition).collect()
    }

    /// Waits until just these values were taken, each once.
    pub(super) async fn takes(&self, values: &[&str]) {
        let mut wanted: Vec<&str> = values.to_vec();
        wanted.sort_unstable();
        let done = until(PATIENCE, async || {
            let taken = self.memory.taken.lock().unwrap().clone();
            let mut values: Vec<&str> = taken.iter().map(|(_, value)| value.as_str()).collect();
            values.sort_unstable();
            if values == wanted { Ok(()) } else { Err((taken, self.readiness.report())) }
        });
        done.await.unwrap();
    }

    /// Waits until this value was taken.
    pub(super) async fn takes_last(&self, value: &str) {
        let done = until(PATIENCE, async || {
            let taken = self.taken();
            if taken.contains(value) { Ok(()) } else { Err((taken, self.readiness.report())) }
        });
        done.await.unwrap();
    }

    pub(super) fn hold(&self, is_held: bool) {
        self.memory.is_held.store(is_held, Ordering::Relaxed);
    }

    pub(super) async fn is_ready(&self) {
        let done = until(PATIENCE, async || {
            let (is_ready, report) = self.readiness.report();
            if is_ready { Ok(()) } else { Err(report) }
        });
        done.await.unwrap();
    }

    /// Waits until the stage is not ready and says these words.
    pub(super) async fn is_down(&self, words: &[&str]) {
        let done = until(PATIENCE, async || {
            let (is_ready, report) = self.readiness.report();
            let says = words.iter().all(|word| report.contains(word));
            if !is_ready && says { Ok(()) } else { Err(report) }
        });
        done.await.unwrap();
    }

    pub(super) async fn stop(self) {
        self.shutdown.cancel();
        self.running.await.unwrap().unwrap();
    }
}

/// Returns the value of a metric of a stage and topic, as `/metrics` shows it.
pub(super) fn gauge(name: &str, agent: Agent, topic: Topic) -> Option<f64> {
    let rendered = metrics::render();
    let (stage, topic) = (format!("stage=\"{}\"", agent.name()), format!("topic=\"{topic}\""));
    let mut lines = rendered.lines().filter(|line| line.starts_with(name));
    let line = lines.find(|line| line.contains(&stage) && line.contains(&topic))?;
    line.rsplit(' ').next()?.parse().ok()
}
