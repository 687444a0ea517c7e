//! Every path of HTTP: what its clients send arrives, and a table of what each answers to what cannot be taken.

use std::fmt::Write as _;

use anyhow::{Context as _, Result, ensure};
use gateway::Settings;
use gateway::config::Requests;
use gateway::door::routes::{ROUTES, Reader, Route};
use gateway::formats::deployments::Source;
use gateway::formats::generic::Kind;
use gateway::formats::otlp::Signal;
use gateway::telemetry::Limits;
use prost::Message as _;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE, ORIGIN};
use serde_json::json;
use shared::events::Topic;
use shared::secret::Secret;
use stack::testing::bench::{Bench, until};

use crate::export;
use crate::place::{Gateway, JSON, PATIENCE, PROTOBUF, compressed, now_ms};

/// Largest body of the table, bytes.
const LIMIT: usize = 50_000;
const SECRET: &str = "secret of the source";
/// Bodies in tests/bodies are from the past.
const ALL_TIMES: Limits = Limits {
    items: 1_000,
    labels: 64,
    label_bytes: 1_024,
    line_bytes: 32_768,
    series_per_service: 1_000,
    past_ms: i64::MAX / 4,
    future_ms: 0,
};

fn settings() -> Settings {
    let mut settings = Settings { limits: ALL_TIMES, ..Settings::default() };
    let deployments = &mut settings.deployments;
    for secret in [
        &mut deployments.github.secret,
        &mut deployments.gitlab.secret,
        &mut deployments.argocd.secret,
        &mut deployments.flux.secret,
    ] {
        *secret = Secret::new(SECRET);
    }
    settings
}

fn snappy(body: &[u8]) -> Vec<u8> {
    snap::raw::Encoder::new().compress_vec(body).unwrap()
}

/// What a client of a reader sends: content type, body, topic, key of a record.
fn sent(reader: Reader) -> (&'static str, Vec<u8>, Topic, &'static str) {
    macro_rules! body {
        ($file:literal) => {
            include_bytes!(concat!("../bodies/", $file)).to_vec()
        };
    }
    let ms = now_ms();
    let events = |topic, item: serde_json::Value| (JSON, item.to_string().into_bytes(), topic, "payment");
    match reader {
        Reader::OtlpProtobuf(Signal::Metrics) | Reader::OtlpJson(Signal::Metrics) => {
            let export = export::metrics("payment", export::all_kinds(ms));
            (PROTOBUF, export.encode_to_vec(), Topic::RawMetrics, "payment")
        }
        Reader::OtlpProtobuf(Signal::Logs) | Reader::OtlpJson(Signal::Logs) => {
            let export = export::logs("payment", vec![export::line("y", ms)]);
            (PROTOBUF, export.encode_to_vec(), Topic::RawLogs, "payment")
        }
        Reader::OtlpProtobuf(Signal::Traces) | Reader::OtlpJson(Signal::Traces) => {
            let export = export::spans("payment", vec![export::span(1, 2, 2, 4, ms)]);
            (PROTOBUF, export.encode_to_vec(), Topic::RawMetrics, "payment")
        }
        Reader::RemoteWrite => (PROTOBUF, snappy(&body!("remote-write-1.bin")), Topic::RawMetrics, "payment"),
        Reader::Webhook => (JSON, body!("alertmanager-webhook.json"), Topic::RawAlerts, "payment"),
        Reader::Posted => (JSON, body!("prometheus-alerts.json"), Topic::RawAlerts, "order"),
        Reader::Events(Kind::Metrics) => events(
            Topic::RawMetrics,
            json!({ "service": "payment", "metric": "m", "value": 1.5, "ts_ms": ms }),
        ),
        Reader::Events(Kind::Logs) => events(
            Topic::RawLogs,
            json!({ "service": "payment", "level": "error", "message": "m", "ts_ms": ms }),
        ),
        Reader::Events(Kind::Deployments) => {
            events(Topic::RawDeployments, json!({ "service": "payment", "version": "1.2.3", "ts_ms": ms }))
        }
        Reader::Events(Kind::Spans) => {
            let span = json!({ "service": "payment", "trace_id": "payment", "span_id": "b",
                "peer": "bank", "operation": "charge", "duration_ms": 12.0, "status": "ok", "ts_ms": ms });
            events(Topic::RawSpans, span)
        }
        Reader::Events(Kind::Alerts) => {
            let alert = json!({ "service": "payment", "name": "Slow", "fingerprint": "0123456789abcdef",
                "firing": true, "starts_ms": ms, "ts_ms": ms });
            events(Topic::RawAlerts, alert)
        }
        Reader::CloudEvents => (
            "application/cloudevents-batch+json",
            body!("cloudevents.json"),
            Topic::RawDeployments,
            "payment",
        ),
        Reader::Deployments(Source::GitHub) => (JSON, body!("github.json"), Topic::RawDeployments, "payment"),
        Reader::Deployments(Source::GitLab) => (JSON, body!("gitlab.json"), Topic::RawDeployments, "order"),
        Reader::Deployments(Source::ArgoCd) => (JSON, body!("argocd.json"), Topic::RawDeployments, "cart"),
        Reader::Deployments(Source::Flux) => (JSON, body!("flux.json"), Topic::RawDeployments, "cart"),
        Reader::Kubernetes => (JSON, body!("kubernetes-events.json"), Topic::RawLogs, "payment"),
        Reader::Influx => ("text/plain; charset=utf-8", body!("telegraf.lp"), Topic::RawMetrics, "payment"),
    }
}

/// Returns the headers by which a source shows its secret.
fn shown(reader: Reader, body: &[u8]) -> Vec<(&'static str, String)> {
    let signature = || {
        let key = ring::hmac::Key::new(ring::hmac::HMAC_SHA256, SECRET.as_bytes());
        format!("sha256={}", hex::encode(ring::hmac::sign(&key, body)))
    };
    let Reader::Deployments(source) = reader else { return Vec::new() };
    match source {
        Source::GitHub => {
            vec![("x-hub-signature-256", signature()), ("x-github-event", "deployment_status".to_owned())]
        }
        Source::GitLab => {
            vec![("x-gitlab-token", SECRET.to_owned()), ("x-gitlab-event", "Deployment Hook".to_owned())]
        }
        Source::ArgoCd => vec![("authorization", format!("Bearer {SECRET}"))],
        Source::Flux => vec![("x-signature", signature())],
    }
}

fn request(gateway: &Gateway, route: &Route, content_type: &str, body: Vec<u8>) -> reqwest::RequestBuilder {
    let mut request = gateway.client.post(gateway.url(route.path));
    if !content_type.is_empty() {
        request = request.header(CONTENT_TYPE, content_type);
    }
    for (name, value) in shown(route.readers[0], &body) {
        request = request.header(name, value);
    }
    request.body(body)
}

/// Opens all topics that the gateway writes.
async fn bench() -> Result<Bench> {
    Bench::open(&[
        Topic::RawMetrics,
        Topic::RawLogs,
        Topic::RawSpans,
        Topic::RawDeployments,
        Topic::RawAlerts,
    ])
    .await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_each_client_sends_arrives() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, settings()).await?;
    for route in &ROUTES {
        let (content_type, body, topic, key) = sent(route.readers[0]);
        let before = bench.records(topic, key).await?.len();
        let answer = request(&gateway, route, content_type, body).send().await?;
        let (status, headers, text) = (answer.status(), answer.headers().clone(), answer.text().await?);
        ensure!(status == 200 || status == 204, "{}: {status} {text}", route.path);
        if route.readers[0] == Reader::RemoteWrite {
            let written = headers["x-prometheus-remote-write-samples-written"].to_str()?.parse::<usize>()?;
            ensure!(written > 0, "{headers:?}");
        }
        until(PATIENCE, async || {
            let found = bench.records(topic, key).await.map_or(0, |found| found.len());
            if found > before { Ok(()) } else { Err(found) }
        })
        .await
        .with_context(|| format!("{}: nothing of {key} in {topic}", route.path))?;
    }
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_gets_what_the_table_says() -> Result<()> {
    let bench = bench().await?;
    let requests = Requests { body_bytes: LIMIT, ..Requests::default() };
    let gateway = Gateway::start(&bench.common, Settings { requests, ..settings() }).await?;
    let mut table = String::new();
    let mut last = "";
    for route in ROUTES.iter().filter(|route| std::mem::replace(&mut last, route.format) != route.format) {
        let (content_type, good, ..) = sent(route.readers[0]);
        let bomb = compressed("gzip", &vec![b' '; 20_000_000]);
        let cases = [
            ("nothing", content_type, "", Vec::new()),
            ("bytes that are no text", content_type, "", vec![0xff; 40]),
            ("half of a body", content_type, "", good[..good.len() / 2].to_vec()),
            ("JSON of the wrong type", content_type, "", b"[7,{\"labels\":7}]".to_vec()),
            ("JSON that is deep", content_type, "", b"[".repeat(5_000)),
            ("another content type", "application/xml", "", good.clone()),
            ("a form of a web page", "application/x-www-form-urlencoded", "", good.clone()),
            ("another encoding", content_type, "br", good.clone()),
            ("not compressed as it says", content_type, "gzip", good.clone()),
            ("too large", content_type, "", vec![b' '; LIMIT + 1]),
            ("too large once decompressed", content_type, "gzip", bomb),
        ];
        writeln!(table, "\n{}", route.path)?;
        for (what, content_type, encoding, body) in cases {
            let mut request = request(&gateway, route, content_type, body);
            if !encoding.is_empty() {
                request = request.header(CONTENT_ENCODING, encoding);
            }
            let answer = request.send().await.with_context(|| format!("{}: {what}", route.path))?;
            let status = answer.status();
            ensure!(!status.is_server_error() && status != 429, "{}: {what}: {status}", route.path);
            let is_protobuf = answer.headers().get(CONTENT_TYPE).is_some_and(|one| one == PROTOBUF);
            let body = answer.bytes().await?;
            let text = if is_protobuf {
                tonic_types::Status::decode(body)?.message
            } else {
                String::from_utf8(body.to_vec())?
            };
            ensure!(text.len() < 600, "{}: {what}: {text}", route.path);
            writeln!(table, "  {what:<28} {} {}", status.as_u16(), text.trim())?;
        }
        let (content_type, body, ..) = sent(route.readers[0]);
        let page = request(&gateway, route, content_type, body).header(ORIGIN, "https://example.org");
        writeln!(table, "  {:<28} {}", "from a web page", page.send().await?.status().as_u16())?;
    }
    insta::assert_snapshot!(table);
    gateway.stop().await
}
