//! Telemetry that others write to Kafka: it becomes what the doors make of it, once, whatever stops meanwhile.

use std::time::Duration;

use anyhow::{Context as _, Result, ensure};
use gateway::Settings;
use gateway::bridge::{self, Encoding, Source};
use gateway::config::Requests;
use gateway::formats::generic::Kind;
use prost::Message;
use shared::bus;
use shared::events::Topic;
use shared::service::Common;
use shared::testing::foreign::ForeignTopic;
use stack::parts::kafka::{Further, create_topics};
use stack::testing::bench::{Bench, until};

use crate::export;
use crate::place::{Gateway, JSON, PATIENCE, PROTOBUF, all_values, now_ms, samples};

/// `prometheus.WriteRequest`, as far as it is needed.
#[derive(Clone, PartialEq, Message)]
struct WriteRequest {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<TimeSeries>,
}

#[derive(Clone, PartialEq, Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Number>,
}

#[derive(Clone, PartialEq, Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, Copy, PartialEq, Message)]
struct Number {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
}

fn remote_write(service: &str, ms: i64) -> Vec<u8> {
    let label = |name: &str, value: &str| Label { name: name.to_owned(), value: value.to_owned() };
    let labels = vec![label("__name__", "up"), label("instance", "a:1"), label("job", service)];
    let series = TimeSeries { labels, samples: vec![Number { value: 1.0, timestamp: ms }] };
    let request = WriteRequest { timeseries: vec![series] };
    snap::raw::Encoder::new().compress_vec(&request.encode_to_vec()).unwrap()
}

/// What is sent by both ways: its service, how it is encoded, the path and content type of its door, and the topic of what it
/// becomes.
struct Case {
    service: String,
    source: Source,
    path: &'static str,
    content_type: &'static str,
    body: Vec<u8>,
    topic: Topic,
}

fn cases(run: &str, ms: i64) -> Vec<Case> {
    let case = |encoding, items, path, content_type, topic, body: &dyn Fn(&str) -> Vec<u8>| {
        let service = format!("{run}-{encoding:?}-{items:?}").to_lowercase();
        let body = body(&service);
        Case { service, source: Source { encoding, items }, path, content_type, body, topic }
    };
    let metrics = |service: &str| export::metrics(service, export::all_kinds(ms));
    let logs = |service: &str| export::logs(service, vec![export::line("a line", ms)]);
    vec![
        case(Encoding::OtlpProto, Kind::Metrics, "/v1/metrics", PROTOBUF, Topic::RawMetrics, &|service| {
            metrics(service).encode_to_vec()
        }),
        case(Encoding::OtlpJson, Kind::Metrics, "/v1/metrics", JSON, Topic::RawMetrics, &|service| {
            serde_json::to_vec(&metrics(service)).unwrap()
        }),
        case(Encoding::OtlpProto, Kind::Logs, "/v1/logs", PROTOBUF, Topic::RawLogs, &|service| {
            logs(service).encode_to_vec()
        }),
        case(Encoding::OtlpJson, Kind::Logs, "/v1/logs", JSON, Topic::RawLogs, &|service| {
            serde_json::to_vec(&logs(service)).unwrap()
        }),
        // of the spans themselves trace ids are the keys, so what is derived of them is looked at
        case(Encoding::OtlpProto, Kind::Spans, "/v1/traces", PROTOBUF, Topic::RawMetrics, &|service| {
            export::spans(service, vec![export::span(1, 2, 2, 4, ms)]).encode_to_vec()
        }),
        case(
            Encoding::Influx,
            Kind::Metrics,
            "/v1/influx/write",
            "text/plain",
            Topic::RawMetrics,
            &|service| format!("cpu,service={service},host=a usage=0.5 {ms}000000\n").into_bytes(),
        ),
        case(
            Encoding::RemoteWrite,
            Kind::Metrics,
            "/api/v1/write",
            PROTOBUF,
            Topic::RawMetrics,
            &|service| remote_write(service, ms),
        ),
        case(Encoding::Json, Kind::Metrics, "/v1/events/metrics", JSON, Topic::RawMetrics, &|service| {
            let sample = serde_json::json!({ "service": service, "metric": "m", "value": 1, "ts_ms": ms });
            sample.to_string().into_bytes()
        }),
    ]
}

#[tokio::test(flavor = "multi_thread")]
async fn each_encoding_becomes_what_its_door_makes_of_it() -> Result<()> {
    let bench = Bench::open(&[Topic::RawMetrics, Topic::RawLogs, Topic::RawSpans]).await?;
    let ms = now_ms();
    let run = format!("bridge-{ms}");
    let cases = cases(&run, ms);
    let topics = cases.iter().map(|case| (case.service.clone(), case.source)).collect();
    let bridge = bridge::Settings { topics, group: run.clone(), ..bridge::Settings::default() };
    let settings = Settings { bridge, ..Settings::default() };
    let mut sent = Vec::new();
    for case in &cases {
        sent.push(ForeignTopic::create(&bench.common.kafka, &case.service, 2).await?);
    }
    let gateway = Gateway::start(&bench.common, settings.clone()).await?;
    for (case, topic) in cases.iter().zip(&sent) {
        let answer = gateway.post(case.path, case.content_type, case.body.clone()).send().await?;
        ensure!(answer.status().is_success(), "{}: {}", case.service, answer.text().await?);
        // what cannot be read is left out, and nothing else
        topic.send("a", b"\x01 no such format").await?;
        topic.send("a", &case.body).await?;
    }
    for case in &cases {
        let (topic, service) = (case.topic, &case.service);
        let found = until(PATIENCE, async || {
            let found = bench.records(topic, service).await.unwrap_or_default();
            if found.len() >= 2 { Ok(found) } else { Err(found) }
        });
        let found = found.await.with_context(|| format!("{service} in {topic}"))?;
        ensure!(found.len() == 2 && found[0].payload == found[1].payload, "{service}: {found:#?}");
    }
    gateway.stop().await?;

    // another replica of the group goes on where this one stopped
    let gateway = Gateway::start(&bench.common, settings).await?;
    let last = export::metrics(&run, vec![export::gauge("a", vec![export::number(1.0, ms)])]);
    let proto = cases.iter().position(|case| case.path == "/v1/metrics" && case.content_type == PROTOBUF);
    sent[proto.context("OTLP")?].send("a", &last.encode_to_vec()).await?;
    samples(&bench, &run, 1).await?;
    for case in &cases {
        ensure!(bench.records(case.topic, &case.service).await?.len() == 2, "{} twice", case.service);
    }
    gateway.stop().await
}

#[tokio::test(flavor = "multi_thread")]
async fn what_the_pipeline_does_not_take_is_sent_again_until_it_does() -> Result<()> {
    let further = Further::default();
    let brokers = || stack::testing::kafka_with(&further);
    let (theirs, ours) = tokio::try_join!(brokers(), brokers())?;
    create_topics(ours.admin()).await?;
    let of = |brokers: &str| bus::Options { brokers: brokers.to_owned(), ..bus::Options::default() };
    let (their_kafka, our_kafka) = (of(theirs.brokers()), of(ours.brokers()));
    let source = Source { encoding: Encoding::OtlpProto, items: Kind::Metrics };
    let bridge = bridge::Settings {
        topics: [("otlp_metrics".to_owned(), source)].into(),
        kafka: Some(their_kafka.clone()),
        ..bridge::Settings::default()
    };
    let requests = Requests { publish_timeout_ms: 2_000, ..Requests::default() };
    let common = Common { kafka: our_kafka.clone(), ..Common::default() };
    let gateway = Gateway::start(&common, Settings { bridge, requests, ..Settings::default() }).await?;
    // the topic is made later than its reader
    let topic = ForeignTopic::create(&their_kafka, "otlp_metrics", 1).await?;
    let export = |value: f64| {
        let points = vec![export::number(value, now_ms())];
        export::metrics("bridge", vec![export::gauge("a", points)]).encode_to_vec()
    };
    topic.send("a", &export(1.0)).await?;
    let arrived = async |is_it: fn(&mut Vec<f64>) -> bool| {
        until(PATIENCE, async || {
            let mut found = all_values(&our_kafka).await.map_err(|error| error.to_string())?;
            if is_it(&mut found) { Ok(()) } else { Err(format!("{found:?}")) }
        })
        .await
    };
    arrived(|found| *found == [1.0]).await?;

    ours.process().stop().await?;
    topic.send("a", &export(2.0)).await?;
    tokio::time::sleep(Duration::from_secs(4)).await;
    ours.restart().await?;
    arrived(|found| {
        // what was tried when the broker went may have arrived twice, and detection drops it
        found.dedup();
        *found == [1.0, 2.0]
    })
    .await?;

    theirs.process().stop().await?;
    theirs.restart().await?;
    topic.send("a", &export(3.0)).await?;
    arrived(|found| found.last() == Some(&3.0)).await?;
    gateway.stop().await
}
