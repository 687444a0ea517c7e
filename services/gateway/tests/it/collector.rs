//! The real OpenTelemetry Collector with the files of `docs/connect`: each item arrives once, also if the gateway is away meanwhile.

use std::collections::BTreeSet;
use std::path::Path;
use std::process::Command;

use anyhow::{Context as _, Result, ensure};
use axum::Router;
use axum::routing::get;
use gateway::Settings;
use opentelemetry_proto::tonic::trace::v1::Span;
use shared::store::tokens::Scope;
use stack::parts::ports;
use stack::parts::process::Process;
use stack::run::layout::{self, Layout};
use stack::testing::bench::{Bench, until};
use stack::testing::collector::collector;

use crate::export;
use crate::place::{Gateway, PATIENCE, PROTOBUF, bench, lines, now_ms, samples, spans};
use crate::tokens::create;

/// What a service exposes.
const PAGE: &str = "\
# TYPE http_requests_total counter
http_requests_total{route=\"/pay\"} 5
# TYPE queue_depth gauge
queue_depth 3
# TYPE latency_seconds histogram
latency_seconds_bucket{le=\"0.5\"} 1
latency_seconds_bucket{le=\"+Inf\"} 3
latency_seconds_sum 1.5
latency_seconds_count 3
";

/// A Collector that sends to a gateway.
struct Collector {
    process: Process,
    url: String,
    client: reqwest::Client,
    /// Service whose page is scraped.
    scraped: String,
    _scratch: Layout,
}

impl Collector {
    /// Starts a Collector with a file of `docs/connect/files`.
    async fn start(binary: &Path, file: &str, gateway: &Gateway, token: &str, target: &str) -> Result<Self> {
        let (scratch, guard) = stack::testing::scratch()?;
        let [http, grpc, metrics] = ports::free()?;
        let file = layout::root().join("docs/connect/files").join(file);
        let scraped = format!("scraped-{http}-{}", now_ms());
        let environment = [
            ("FIREWATCH_URL", format!("http://{}", gateway.addresses.http)),
            ("FIREWATCH_GRPC", gateway.addresses.grpc.context("no gRPC")?.to_string()),
            ("FIREWATCH_TOKEN", token.to_owned()),
            ("OTLP_HTTP_LISTEN", format!("127.0.0.1:{http}")),
            ("OTLP_GRPC_LISTEN", format!("127.0.0.1:{grpc}")),
            ("COLLECTOR_METRICS_PORT", metrics.to_string()),
            ("SCRAPE_JOB", scraped.clone()),
            ("SCRAPE_INTERVAL", "1s".to_owned()),
            ("SCRAPE_TARGET", target.to_owned()),
        ];
        let binary = binary.to_owned();
        let process = Process::new("collector", scratch.log("collector"), guard, move || {
            let mut command = Command::new(&binary);
            command.arg("--config").arg(&file).envs(environment.clone());
            command
        });
        process.start()?;
        let (url, client) = (format!("http://127.0.0.1:{http}"), reqwest::Client::new());
        process
            .until("readiness", PATIENCE, async || {
                client.get(&url).send().await?;
                Ok(())
            })
            .await?;
        Ok(Self { process, url, client, scraped, _scratch: scratch })
    }

    /// Sends an export, which the Collector takes into its queue.
    async fn post(&self, path: &str, export: &impl prost::Message) -> Result<()> {
        let request = self.client.post(format!("{}{path}", self.url)).header("content-type", PROTOBUF);
        let answer = request.body(export.encode_to_vec()).send().await?;
        let status = answer.status();
        ensure!(status.is_success(), "{status}: {}", answer.text().await?);
        Ok(())
    }

    /// Sends items of all three signals: eight samples, a line and a span.
    async fn feed(&self, service: &str, turn: u8) -> Result<()> {
        let ms = now_ms();
        self.post("/v1/metrics", &export::metrics(service, export::all_kinds(ms))).await?;
        let line = export::line(&format!("line {turn}"), ms);
        self.post("/v1/logs", &export::logs(service, vec![line])).await?;
        let span = Span { trace_id: trace(service), ..export::span(0, turn, 2, 40, ms) };
        self.post("/v1/traces", &export::spans(&format!("{service}-traced"), vec![span])).await
    }
}

/// Returns a trace that no other test has: the end of the name of a service.
fn trace(service: &str) -> Vec<u8> {
    service.bytes().rev().take(16).collect()
}

/// Checks that everything that was fed so far arrived, once.
async fn arrived(bench: &Bench, service: &str, turns: usize) -> Result<()> {
    let trace = hex::encode(trace(service));
    let found = until(PATIENCE, async || {
        let lines = lines(bench, service).await.map_err(|error| error.to_string())?;
        let spans = spans(bench, &trace).await.map_err(|error| error.to_string())?;
        if lines.len() >= turns && spans.len() >= turns {
            Ok((lines, spans))
        } else {
            Err(format!("{lines:?} {spans:?}"))
        }
    })
    .await?;
    samples(bench, service, 8 * turns).await?;
    ensure!((found.0.len(), found.1.len()) == (turns, turns), "{found:#?}");
    Ok(())
}

/// Feeds a Collector, also while the gateway is away.
async fn passes_everything_once(file: &str, service: &str) -> Result<()> {
    let Some(binary) = collector(&format!("the test of {file}")) else { return Ok(()) };
    let bench = bench().await?;
    let service = format!("{service}-{}", now_ms());
    let token = create(&bench.store, "collector", Scope::Ingest, None).await?;
    let page = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
    let target = page.local_addr()?.to_string();
    let page = tokio::spawn(async { axum::serve(page, Router::new().route("/metrics", get(PAGE))).await });

    let gateway = Gateway::start(&bench.common, Settings { tokens: true, ..Settings::default() }).await?;
    let collector = Collector::start(&binary, file, &gateway, &token, &target).await?;
    collector.feed(&service, 1).await?;
    arrived(&bench, &service, 1).await?;

    let addresses = gateway.addresses;
    gateway.stop().await?;
    collector.feed(&service, 2).await?;
    // a few attempts, of any signal
    until(PATIENCE, async || {
        let failures = collector.process.tail(1_000).matches("Exporting failed").count();
        if failures >= 3 { Ok(()) } else { Err(failures) }
    })
    .await?;
    let settings = Settings {
        listen: addresses.http.to_string(),
        grpc_listen: addresses.grpc.context("no gRPC")?.to_string(),
        tokens: true,
        ..Settings::default()
    };
    let gateway = Gateway::start_at(&bench.common, settings).await?;
    arrived(&bench, &service, 2).await?;
    if !file.contains("grpc") {
        scraped(&bench, &collector.scraped).await?;
    }
    collector.process.check()?;
    collector.process.stop().await?;
    page.abort();
    gateway.stop().await
}

/// Checks that each scrape of a page arrived once.
async fn scraped(bench: &Bench, service: &str) -> Result<()> {
    let found = until(PATIENCE, async || {
        let records = bench.records(shared::events::Topic::RawMetrics, service).await;
        let mut found = Vec::new();
        for record in records.map_err(|error| error.to_string())? {
            let samples: Vec<shared::events::MetricSample> =
                serde_json::from_slice(&record.payload.unwrap_or_default())
                    .map_err(|error| error.to_string())?;
            found.extend(samples);
        }
        let scrapes = found.iter().filter(|sample| sample.metric == "queue_depth").count();
        if scrapes >= 3 { Ok(found) } else { Err(format!("{scrapes} scrapes in {found:?}")) }
    })
    .await?;
    let different: BTreeSet<_> =
        found.iter().map(|sample| (&sample.metric, &sample.labels, sample.ts_ms)).collect();
    ensure!(different.len() == found.len(), "a sample arrived twice: {found:#?}");
    let of = |metric: &str| found.iter().find(|sample| sample.metric == metric).context(metric.to_owned());
    assert_eq!(
        (of("http_requests_total")?.value, &*of("http_requests_total")?.labels["route"]),
        (5.0, "/pay")
    );
    assert_eq!(of("queue_depth")?.value, 3.0);
    let histogram = of("latency_seconds")?.histogram.as_ref().context("no histogram")?;
    assert_eq!((&*histogram.bounds, &*histogram.counts), (&[0.5][..], &[1.0, 2.0][..]));
    Ok(())
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_passes_everything_once_over_http() -> Result<()> {
    passes_everything_once("collector.yaml", "collector-http").await
}

#[tokio::test(flavor = "multi_thread")]
async fn a_collector_passes_everything_once_over_grpc() -> Result<()> {
    passes_everything_once("collector-grpc.yaml", "collector-grpc").await
}
