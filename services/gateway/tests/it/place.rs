//! A gateway that runs, and what it wrote.

use std::io::Write as _;
use std::time::Duration;

use anyhow::{Result, ensure};
use gateway::{Addresses, Settings};
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use serde::de::DeserializeOwned;
use shared::bus;
use shared::bus::reader::{From, Reader};
use shared::clock::{Clock as _, SystemClock};
use shared::events::{LogRecord, MetricSample, Span, Topic};
use shared::service::{Common, Config, Deps, Readiness};
use stack::testing::bench::{Bench, until};
use tokio::sync::oneshot;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything.
pub(crate) const PATIENCE: Duration = Duration::from_mins(1);
pub(crate) const PROTOBUF: &str = "application/x-protobuf";
pub(crate) const JSON: &str = "application/json";

pub(crate) fn now_ms() -> i64 {
    SystemClock.now().as_millisecond()
}

/// A running gateway.
pub(crate) struct Gateway {
    pub(crate) addresses: Addresses,
    pub(crate) readiness: Readiness,
    pub(crate) client: reqwest::Client,
    shutdown: CancellationToken,
    running: JoinHandle<Result<()>>,
}

impl Gateway {
    /// Starts a gateway on free ports and waits until its doors are open.
    pub(crate) async fn start(common: &Common, settings: Settings) -> Result<Self> {
        let any = "127.0.0.1:0".to_owned();
        Self::start_at(common, Settings { listen: any.clone(), grpc_listen: any, ..settings }).await
    }

    /// As [`Gateway::start`], where the settings say.
    pub(crate) async fn start_at(common: &Common, settings: Settings) -> Result<Self> {
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let deps = Deps { process: "gateway-test".into(), readiness: readiness.clone() };
        let config = Config::of("gateway", common.clone(), settings);
        let (send, opened) = oneshot::channel();
        let stop = shutdown.clone();
        let running = tokio::spawn(async move {
            gateway::serve(config, deps, stop, |addresses| send.send(addresses).unwrap_or_default()).await
        });
        let addresses = tokio::time::timeout(PATIENCE, opened).await??;
        Ok(Self { addresses, readiness, client: reqwest::Client::new(), shutdown, running })
    }

    pub(crate) fn url(&self, path: &str) -> String {
        format!("http://{}{path}", self.addresses.http)
    }

    /// Posts a body.
    pub(crate) fn post(&self, path: &str, content_type: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
        self.client.post(self.url(path)).header(CONTENT_TYPE, content_type).body(body)
    }

    /// Posts a body that is compressed.
    pub(crate) fn post_compressed(
        &self,
        path: &str,
        content_type: &str,
        encoding: &str,
        body: &[u8],
    ) -> reqwest::RequestBuilder {
        self.post(path, content_type, compressed(encoding, body)).header(CONTENT_ENCODING, encoding)
    }

    /// Begins to stop it.
    pub(crate) fn cancel(&self) {
        self.shutdown.cancel();
    }

    /// Stops it and waits for its end.
    pub(crate) async fn stop(self) -> Result<()> {
        self.shutdown.cancel();
        tokio::time::timeout(PATIENCE, self.running).await??
    }
}

pub(crate) fn compressed(encoding: &str, body: &[u8]) -> Vec<u8> {
    match encoding {
        "gzip" => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
            encoder.write_all(body).unwrap();
            encoder.finish().unwrap()
        }
        "zstd" => zstd::encode_all(body, 3).unwrap(),
        _ => body.to_vec(),
    }
}

/// Opens the raw topics and a database.
pub(crate) async fn bench() -> Result<Bench> {
    Bench::open(&[Topic::RawMetrics, Topic::RawLogs, Topic::RawSpans]).await
}

async fn read<T: DeserializeOwned>(bench: &Bench, topic: Topic, key: &str) -> Result<Vec<T>> {
    let lines = bench.records(topic, key).await?;
    let mut found = Vec::new();
    for line in lines {
        let payload = line.payload.unwrap_or_default();
        if topic == Topic::RawMetrics {
            found.extend(serde_json::from_slice::<Vec<T>>(&payload)?);
        } else {
            found.push(serde_json::from_slice(&payload)?);
        }
    }
    Ok(found)
}

/// Returns the samples of a service once there are this many.
pub(crate) async fn samples(bench: &Bench, service: &str, count: usize) -> Result<Vec<MetricSample>> {
    let found = until(PATIENCE, async || {
        let found = read::<MetricSample>(bench, Topic::RawMetrics, service).await.unwrap_or_default();
        if found.len() >= count { Ok(found) } else { Err(found) }
    })
    .await?;
    ensure!(found.len() == count, "{found:#?}");
    ensure!(found.iter().all(|sample| shared::events::Event::validate(sample).is_ok()), "{found:#?}");
    Ok(found)
}

/// Returns the values of all samples, whatever their service.
pub(crate) async fn all_values(kafka: &bus::Options) -> Result<Vec<f64>> {
    let kafka = kafka.clone();
    let lines = tokio::task::spawn_blocking(move || {
        Reader::open(&kafka, Topic::RawMetrics, None, From::Beginning, Duration::from_secs(10))
            .and_then(|reader| reader.to_end(Duration::from_secs(20)))
    });
    let mut values = Vec::new();
    for line in lines.await?? {
        let found: Vec<MetricSample> = serde_json::from_slice(&line.payload.unwrap_or_default())?;
        values.extend(found.iter().map(|sample| sample.value));
    }
    Ok(values)
}

/// Returns the log lines of a service.
pub(crate) async fn lines(bench: &Bench, service: &str) -> Result<Vec<LogRecord>> {
    read(bench, Topic::RawLogs, service).await
}

/// Returns the spans of a trace.
pub(crate) async fn spans(bench: &Bench, trace: &str) -> Result<Vec<Span>> {
    read(bench, Topic::RawSpans, trace).await
}
