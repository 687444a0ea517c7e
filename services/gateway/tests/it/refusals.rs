//! What each door refuses: a table of requests and of what each gets.

use std::time::{Duration, Instant};

use anyhow::Result;
use gateway::Settings;
use gateway::config::Requests;
use gateway::telemetry::Limits;
use prost::Message as _;
use reqwest::header::CONTENT_ENCODING;
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

use crate::export;
use crate::place::{Gateway, JSON, PROTOBUF, bench, compressed, now_ms};

/// Largest body of these tests, bytes.
const LIMIT: usize = 50_000;

fn settings() -> Settings {
    let requests =
        Requests { body_bytes: LIMIT, body_timeout_ms: 1_000, head_timeout_ms: 1_000, ..Requests::default() };
    Settings { requests, limits: Limits { items: 10, ..Limits::default() }, ..Settings::default() }
}

/// A request: what it is, its content type, its content encoding, its body, and the status and the code that it gets.
type Case = (&'static str, &'static str, &'static str, Vec<u8>, u16, i32);

fn cases(path: &str) -> Vec<Case> {
    let ms = now_ms();
    let good = match path {
        "/v1/metrics" => export::metrics("x", export::all_kinds(ms)).encode_to_vec(),
        "/v1/logs" => export::logs("x", vec![export::line("y", ms)]).encode_to_vec(),
        _ => export::spans("x", vec![export::span(1, 2, 3, 4, ms)]).encode_to_vec(),
    };
    let bomb = vec![b' '; 20_000_000];
    let gzip = compressed("gzip", &good);
    let torn = gzip[..gzip.len() / 2].to_vec();
    vec![
        ("nothing at all is an export of nothing", PROTOBUF, "", vec![], 200, 0),
        ("parameters of the content type", "application/json; charset=utf-8", "", b"{}".to_vec(), 200, 0),
        ("fields of a later version", JSON, "", br#"{"future":[{"x":1}]}"#.to_vec(), 200, 0),
        ("no JSON", JSON, "", b"hello".to_vec(), 400, 3),
        ("no body", JSON, "", vec![], 400, 3),
        ("an array", JSON, "", b"[]".to_vec(), 400, 3),
        ("JSON that ends", JSON, "", br#"{"resourceMetrics":[{"#.to_vec(), 400, 3),
        ("JSON that is deep", JSON, "", [b"{\"a\":".repeat(5_000), b"1".to_vec()].concat(), 400, 3),
        ("JSON of the wrong type", JSON, "", wrong(path).into_bytes(), 400, 3),
        ("no UTF-8", JSON, "", b"{\"\xff\":1}".to_vec(), 400, 3),
        ("no protobuf", PROTOBUF, "", b"hello world".to_vec(), 400, 3),
        ("protobuf that ends", PROTOBUF, "", good[..good.len() - 3].to_vec(), 400, 3),
        ("protobuf as JSON", JSON, "", good.clone(), 400, 3),
        ("JSON as protobuf", PROTOBUF, "", b"{}".to_vec(), 400, 3),
        ("another content type", "text/plain", "", good.clone(), 415, 3),
        ("no content type", "", "", good.clone(), 415, 3),
        ("another encoding", PROTOBUF, "br", good.clone(), 415, 3),
        ("two encodings", PROTOBUF, "gzip, gzip", compressed("gzip", &gzip), 415, 3),
        ("not compressed as it says", PROTOBUF, "gzip", good.clone(), 400, 3),
        ("not compressed as it says", PROTOBUF, "zstd", good.clone(), 400, 3),
        ("compressed and torn", PROTOBUF, "gzip", torn, 400, 3),
        ("too large", PROTOBUF, "", vec![0; LIMIT + 1], 413, 3),
        ("too large once decompressed", PROTOBUF, "gzip", compressed("gzip", &bomb), 413, 3),
        ("too large once decompressed", JSON, "zstd", compressed("zstd", &bomb), 413, 3),
    ]
}

fn wrong(path: &str) -> String {
    let (outer, inner) = match path {
        "/v1/metrics" => ("resourceMetrics", "scopeMetrics"),
        "/v1/logs" => ("resourceLogs", "scopeLogs"),
        _ => ("resourceSpans", "scopeSpans"),
    };
    format!(r#"{{"{outer}":[{{"{inner}":"text"}}]}}"#)
}

#[tokio::test(flavor = "multi_thread")]
async fn what_cannot_be_taken_gets_a_status_and_a_sentence() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, settings()).await?;
    for path in ["/v1/metrics", "/v1/logs", "/v1/traces"] {
        for (what, content_type, encoding, body, status, code) in cases(path) {
            let mut request = gateway.client.post(gateway.url(path)).body(body);
            if !content_type.is_empty() {
                request = request.header("content-type", content_type);
            }
            if !encoding.is_empty() {
                request = request.header(CONTENT_ENCODING, encoding);
            }
            let began = Instant::now();
            let answer = request.send().await?;
            let is_json = content_type.starts_with(JSON);
            let expected = if is_json { JSON } else { PROTOBUF };
            assert_eq!(answer.status(), status, "{path}: {what} {encoding}");
            assert_eq!(answer.headers()["content-type"], expected, "{path}: {what}");
            assert!(!answer.headers().contains_key("retry-after"), "{path}: {what}");
            assert!(began.elapsed() < Duration::from_secs(5), "{path}: {what}");
            let body = answer.bytes().await?;
            if status == 200 {
                continue;
            }
            let (found, message) = if is_json {
                let read: serde_json::Value = serde_json::from_slice(&body)?;
                (read["code"].as_i64().unwrap() as i32, read["message"].as_str().unwrap().to_owned())
            } else {
                let read = tonic_types::Status::decode(body)?;
                (read.code, read.message)
            };
            assert_eq!(found, code, "{path}: {what}: {message}");
            assert!(message.len() > 10 && message.len() < 400, "{path}: {what}: {message}");
        }
    }
    assert_eq!(gateway.client.get(gateway.url("/v1/metrics")).send().await?.status(), 405);
    assert_eq!(gateway.client.post(gateway.url("/v1/other")).send().await?.status(), 404);
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn items_beyond_the_limit_are_refused_by_number() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, settings()).await?;
    let points = vec![export::number(1.0, now_ms()); 14];
    let body = serde_json::to_vec(&export::metrics("many", vec![export::gauge("a", points)]))?;
    let answer: serde_json::Value = gateway.post("/v1/metrics", JSON, body).send().await?.json().await?;
    assert_eq!(answer["partialSuccess"]["rejectedDataPoints"], "4", "{answer}");
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn slow_clients_are_cut_off() -> Result<()> {
    let bench = bench().await?;
    let gateway = Gateway::start(&bench.common, settings()).await?;
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 100\r\n\r\n{";
    for (what, sent, expected) in
        [("a body that does not come", head, "HTTP/1.1 408"), ("a head that does not end", &head[..40], "")]
    {
        let mut stream = TcpStream::connect(gateway.addresses.http).await?;
        stream.write_all(sent.as_bytes()).await?;
        let mut answer = Vec::new();
        let read = tokio::time::timeout(Duration::from_secs(10), stream.read_to_end(&mut answer)).await;
        assert!(read.is_ok(), "{what}: the connection is still open");
        let answer = String::from_utf8_lossy(&answer);
        assert!(answer.starts_with(expected), "{what}: {answer}");
    }
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn beyond_the_bounds_clients_are_told_to_try_again_and_what_is_in_flight_is_finished() -> Result<()> {
    let bench = bench().await?;
    let requests = Requests { in_flight: 1, retry_after_s: 7, ..Requests::default() };
    let gateway = Gateway::start(&bench.common, Settings { requests, ..Settings::default() }).await?;
    let head = "POST /v1/metrics HTTP/1.1\r\nhost: x\r\ncontent-type: application/json\r\ncontent-length: 2\r\n\r\n{";
    let mut first = TcpStream::connect(gateway.addresses.http).await?;
    first.write_all(head.as_bytes()).await?;
    let answer = stack::testing::bench::until(Duration::from_secs(10), async || {
        let answer = gateway.post("/v1/metrics", JSON, b"{}".to_vec()).send().await.unwrap();
        if answer.status() == 429 { Ok(answer) } else { Err(answer.status()) }
    })
    .await?;
    assert_eq!(answer.headers()["retry-after"], "7");
    let mut client =
        opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_client::MetricsServiceClient::new(
            crate::grpc::channel(&gateway).await?,
        );
    let refused = client.export(export::metrics("x", Vec::new())).await.unwrap_err();
    let retry = tonic_types::StatusExt::get_details_retry_info(&refused).unwrap();
    assert_eq!(
        (refused.code(), retry.retry_delay),
        (tonic::Code::ResourceExhausted, Some(Duration::from_secs(7)))
    );
    // a request in flight is finished, and no other one is taken
    gateway.cancel();
    stack::testing::bench::until(Duration::from_secs(10), async || {
        match TcpStream::connect(gateway.addresses.http).await {
            Ok(_) => Err("connected"),
            Err(_) => Ok(()),
        }
    })
    .await?;
    first.write_all(b"}").await?;
    let mut begin = [0; 12];
    first.read_exact(&mut begin).await?;
    assert_eq!(&begin, b"HTTP/1.1 200");
    gateway.stop().await
}
