//! The bridge: telemetry that others write to Kafka already is read by the readers of the doors, and written to the raw topics.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures::{StreamExt as _, stream};
use serde::{Deserialize, Serialize};
use shared::bus::{self, ForeignConsumer, ForeignRecord};
use shared::events::Topic;
use tokio_util::sync::CancellationToken;

use crate::door::failure::Failure;
use crate::door::routes::{Call, Reader};
use crate::door::{Door, notice};
use crate::formats::generic::Kind;
use crate::formats::otlp::Signal;
use crate::formats::{Context, Unreadable};
use crate::metrics;
use crate::telemetry::Batch;

/// Most records that are read before offsets are noted.
const RECORDS: usize = 256;
/// Records of them that are worked on at once.
const AT_ONCE: usize = 16;
/// Wait before the next attempt, where the pipeline's Kafka does not take records or the other one gives none.
const PAUSE: Duration = Duration::from_secs(1);

/// Settings under `[gateway.bridge]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Settings {
    /// What is read, by the name of its topic. Without topics nothing is.
    pub topics: BTreeMap<String, Source>,
    /// Consumer group.
    pub group: String,
    /// The Kafka that has the topics, as `[kafka]`; without it that of the pipeline.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub kafka: Option<bus::Options>,
}

impl Default for Settings {
    fn default() -> Self {
        Self { topics: BTreeMap::new(), group: "firewatch-gateway".to_owned(), kafka: None }
    }
}

/// What the records of a topic are.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Source {
    /// How they are encoded.
    pub encoding: Encoding,
    /// What they hold.
    #[serde(default)]
    pub items: Kind,
}

/// How the records of a topic are encoded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Encoding {
    /// OTLP in protobuf: `otlp_proto` of the Collector.
    OtlpProto,
    /// OTLP in JSON: `otlp_json` of the Collector.
    OtlpJson,
    /// Lines of InfluxDB: `influx` of Telegraf.
    Influx,
    /// Remote write 1.0 of Prometheus, in a snappy block: `prometheusremotewrite` of Telegraf.
    RemoteWrite,
    /// Remote write 2.0, in a snappy block.
    #[serde(rename = "remote_write_2")]
    RemoteWrite2,
    /// Our own JSON, as at `/v1/events/...`.
    Json,
}

impl Source {
    /// Returns who reads the records, and the name of the format in metrics; none where the encoding has no such items.
    fn reader(self) -> Option<(Reader, &'static str)> {
        let otlp = match self.items {
            Kind::Metrics => Some((Signal::Metrics, "kafka_otlp_metrics")),
            Kind::Logs => Some((Signal::Logs, "kafka_otlp_logs")),
            Kind::Spans => Some((Signal::Traces, "kafka_otlp_traces")),
            Kind::Deployments | Kind::Alerts => None,
        };
        let of_metrics = |reader, format| (self.items == Kind::Metrics).then_some((reader, format));
        match self.encoding {
            Encoding::OtlpProto => otlp.map(|(signal, format)| (Reader::OtlpProtobuf(signal), format)),
            Encoding::OtlpJson => otlp.map(|(signal, format)| (Reader::OtlpJson(signal), format)),
            Encoding::Influx => of_metrics(Reader::Influx, "kafka_influx"),
            Encoding::RemoteWrite | Encoding::RemoteWrite2 => {
                of_metrics(Reader::RemoteWrite, "kafka_remote_write")
            }
            Encoding::Json => {
                let format = match self.items {
                    Kind::Metrics => "kafka_events_metrics",
                    Kind::Logs => "kafka_events_logs",
                    Kind::Deployments => "kafka_events_deployments",
                    Kind::Spans => "kafka_events_spans",
                    Kind::Alerts => "kafka_events_alerts",
                };
                Some((Reader::Events(self.items), format))
            }
        }
    }

    /// Returns the content type that a request with such a body would have.
    fn content_type(self) -> &'static str {
        match self.encoding {
            Encoding::RemoteWrite2 => "application/x-protobuf;proto=io.prometheus.write.v2.Request",
            _ => self.reader().map_or("", |(reader, _)| reader.content_types()[0]),
        }
    }
}

impl Settings {
    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (topic, source) in &self.topics {
            if source.reader().is_none() {
                let Source { encoding, items } = source;
                problems.push(format!("topics.{topic}: {encoding:?} has no {items:?}"));
            }
            if self.kafka.is_none() && Topic::from_name(topic).is_some() {
                problems.push(format!("topics.{topic} is a topic of the pipeline itself"));
            }
        }
        if !self.topics.is_empty() && self.group.is_empty() {
            problems.push("group is empty".to_owned());
        }
        problems.extend(self.kafka.iter().flat_map(bus::Options::validate));
        problems
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        self.kafka.iter().flat_map(bus::Options::warnings).collect()
    }
}

/// A bridge that has joined its consumer group.
pub struct Bridge {
    door: Arc<Door>,
    consumer: ForeignConsumer,
}

impl Bridge {
    /// Joins; none where there are no topics to read. `kafka` is the one of the pipeline.
    ///
    /// # Errors
    /// If the client cannot be made of its options. Whether Kafka answers is seen later.
    pub fn join(door: &Arc<Door>, kafka: &bus::Options) -> Result<Option<Self>, bus::Error> {
        let settings = &door.settings.bridge;
        let topics: Vec<&str> = settings.topics.keys().map(String::as_str).collect();
        if topics.is_empty() {
            return Ok(None);
        }
        let kafka = settings.kafka.as_ref().unwrap_or(kafka);
        let consumer = ForeignConsumer::join(kafka, &settings.group, &topics)?;
        tracing::info!(?topics, group = settings.group, "the bridge reads");
        Ok(Some(Self { door: Arc::clone(door), consumer }))
    }

    /// Reads until `shutdown`.
    pub async fn run(self, shutdown: CancellationToken) {
        tokio::select! {
            // what is not done is read again
            () = shutdown.cancelled() => {}
            () = self.read() => {}
        }
        let consumer = self.consumer;
        if tokio::task::spawn_blocking(move || consumer.commit()).await.is_err() {
            tracing::warn!("the bridge could not commit; some records will be read again");
        }
    }

    async fn read(&self) {
        let mut failed = None;
        loop {
            match self.consumer.next(RECORDS, self.door.settings.requests.body_bytes).await {
                Ok(records) => {
                    failed = None;
                    take_all(&self.door, &records).await;
                    self.consumer.done(&records);
                }
                Err(error) => {
                    let error = error.to_string();
                    if failed.as_ref() != Some(&error) {
                        tracing::warn!(error, "the bridge cannot read; it tries again");
                    }
                    failed = Some(error);
                    tokio::time::sleep(PAUSE).await;
                }
            }
        }
    }
}

async fn take_all(door: &Arc<Door>, records: &[ForeignRecord]) {
    let attempts: Vec<_> = records.iter().map(|record| take(door, record)).collect();
    let mut taken = stream::iter(attempts).buffered(AT_ONCE);
    while taken.next().await.is_some() {}
}

/// Takes what a record holds. What cannot be read is counted and logged; it stays where it is, in the topic of others. Where the
/// pipeline's Kafka does not take it, it is tried again.
async fn take(door: &Arc<Door>, record: &ForeignRecord) {
    let Some(source) = door.settings.bridge.topics.get(&record.topic).copied() else { return };
    let Some((reader, format)) = source.reader() else { return };
    loop {
        let Err(failure) = attempt(door, source, reader, format, record).await else { return };
        metrics::REQUESTS.add_one([format, failure.outcome()]);
        let ForeignRecord { topic, partition, offset, .. } = record;
        notice::refused(
            format,
            failure.outcome(),
            &format!("{topic}, partition {partition}, offset {offset}: {failure}"),
        );
        if !failure.is_retryable() {
            return;
        }
        tokio::time::sleep(PAUSE).await;
    }
}

async fn attempt(
    door: &Arc<Door>,
    source: Source,
    reader: Reader,
    format: &'static str,
    record: &ForeignRecord,
) -> Result<(), Failure> {
    let size = record.payload.len();
    let limit = door.settings.requests.body_bytes;
    if size > limit {
        return Err(Failure::TooLarge(limit));
    }
    let mut slot = door.gate.enter()?;
    slot.grow(size)?;
    let (caller, body) = (Arc::clone(door), Arc::clone(&record.payload));
    let headers = BTreeMap::from([("content-type".to_owned(), source.content_type().to_owned())]);
    let read = move |context: &Context<'_>, batch: &mut Batch| -> Result<(), Unreadable> {
        let call = Call { body: &body, query: "", settings: &caller.settings, context };
        reader.read(&call, batch)
    };
    door.take(format, (size, size), headers, read, &mut slot).await?;
    Ok(())
}

#[cfg(test)]
mod tests {
    use shared::service::StageOptions as _;

    use super::*;

    fn read(toml: &str) -> Result<Settings, toml::de::Error> {
        toml::from_str(toml)
    }

    #[test]
    fn each_encoding_is_read_by_the_reader_of_its_door() {
        let settings = read(
            r#"
            [topics.otlp_spans]
            encoding = "otlp_proto"
            items = "traces"
            [topics.telegraf]
            encoding = "influx"
            [topics.prometheus]
            encoding = "remote_write_2"
            [topics.ci]
            encoding = "json"
            items = "deployments"
            "#,
        )
        .unwrap();
        let readers: Vec<_> =
            settings.topics.values().map(|source| source.reader().map(|found| found.0)).collect();
        assert_eq!(
            readers,
            [
                Some(Reader::Events(Kind::Deployments)),
                Some(Reader::OtlpProtobuf(Signal::Traces)),
                Some(Reader::RemoteWrite),
                Some(Reader::Influx),
            ]
        );
        assert_eq!(settings.validate(), Vec::<String>::new());
    }

    #[test]
    fn what_cannot_work_is_refused() {
        assert!(read("[topics.a]\nencoding = \"avro\"").is_err());
        let settings = read(
            r#"
            group = ""
            [topics.a]
            encoding = "influx"
            items = "logs"
            [topics."raw.metrics"]
            encoding = "json"
            "#,
        )
        .unwrap();
        assert_eq!(settings.validate().len(), 3, "{:?}", settings.validate());
        let whole = crate::Settings { bridge: settings, ..crate::Settings::default() };
        assert_eq!(whole.validate().len(), 3);
    }
}
