//! What any HTTP server may do wrong, to each adapter alike.

use std::time::{Duration, Instant};

use investigation::query::adapters::cloudwatch::{LogSource, MetricSource};
use investigation::query::adapters::elasticsearch::ElasticSource;
use investigation::query::adapters::jaeger::JaegerSource;
use investigation::query::adapters::kubernetes::{EventSource, PodLogSource};
use investigation::query::adapters::loki::LokiSource;
use investigation::query::adapters::prometheus::PrometheusSource;
use investigation::query::adapters::tempo::TempoSource;
use investigation::query::adapters::victorialogs::VictoriaLogsSource;
use investigation::query::http::MAX_BODY;
use investigation::query::options::{
    Elasticsearch, Jaeger, Kubernetes, Loki, Prometheus, Tempo, VictoriaLogs,
};
use investigation::query::source::{Failure, QuerySource};
use proptest::prelude::*;
use proptest::test_runner::{Config, TestRunner};
use shared::events::Question;
use shared::events::question::{Aspect, LogTopic, Report, Role, Subject};

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply};

const LINES: Subject = Subject::Lines { about: LogTopic::Memory };
const CALLS: Subject = Subject::Calls { aspect: Aspect::Duration };

/// Every adapter at that address, with something that it can be asked.
fn all(url: &str) -> Vec<(Box<dyn QuerySource>, Question)> {
    let url = || url.to_owned();
    let prometheus = Prometheus { url: url(), ..Prometheus::default() };
    let kubernetes = Kubernetes { url: url(), ..Kubernetes::default() };
    let cloudwatch = super::cloudwatch::options(&url());
    let sources: Vec<(Box<dyn QuerySource>, Subject)> = vec![
        (Box::new(PrometheusSource::new(&prometheus).unwrap()), Subject::Series { role: Role::CpuUsage }),
        (Box::new(EventSource::new(&kubernetes).unwrap()), Subject::Events { about: Report::Failing }),
        (Box::new(PodLogSource::new(&kubernetes).unwrap()), LINES),
        (Box::new(JaegerSource::new(&Jaeger { url: url(), ..Jaeger::default() }).unwrap()), CALLS),
        (Box::new(TempoSource::new(&Tempo { url: url(), ..Tempo::default() }).unwrap()), CALLS),
        (Box::new(LokiSource::new(&Loki { url: url(), ..Loki::default() }).unwrap()), LINES),
        (
            Box::new(
                VictoriaLogsSource::new(&VictoriaLogs { url: url(), ..VictoriaLogs::default() }).unwrap(),
            ),
            LINES,
        ),
        (
            Box::new(ElasticSource::new(&Elasticsearch { url: url(), ..Elasticsearch::default() }).unwrap()),
            LINES,
        ),
        (Box::new(MetricSource::new(&cloudwatch).unwrap()), Subject::Series { role: Role::CpuUsage }),
        (Box::new(LogSource::new(&cloudwatch).unwrap()), LINES),
    ];
    sources.into_iter().map(|(source, subject)| (source, question("payment", subject))).collect()
}

async fn outcomes(
    answer: impl FnMut(&crate::double::Request) -> Reply + Send + 'static,
) -> Vec<(&'static str, Failure)> {
    let double = Double::serve(answer).await;
    let mut outcomes = Vec::new();
    for (source, question) in all(&double.url) {
        assert!(source.can_answer(question.subject));
        outcomes.push((source.name(), ask(&*source, &question).await.unwrap_err()));
    }
    outcomes
}

#[tokio::test]
async fn what_is_no_http_cannot_be_reached() {
    for bytes in [b"nonsense\r\n\r\n".as_slice(), b"", b"HTTP/1.1 200 OK\r\ncontent-length: 9\r\n\r\n{"] {
        for (name, failure) in outcomes(move |_| Reply::Bytes(bytes.to_vec())).await {
            assert!(matches!(failure, Failure::Unreachable(_)), "{name}: {failure:?}");
        }
    }
    for (source, question) in all("http://127.0.0.1:1") {
        let failure = ask(&*source, &question).await.unwrap_err();
        assert!(matches!(failure, Failure::Unreachable(_)), "{}: {failure:?}", source.name());
    }
}

#[tokio::test]
async fn status_garbage_size_and_redirects_are_failures() {
    for (name, failure) in outcomes(|_| Reply::Status(503, "<html>".into())).await {
        assert_eq!(failure, Failure::Status(503), "{name}");
    }
    for (name, failure) in outcomes(|_| Reply::Body(b"<html>gateway</html>".to_vec())).await {
        assert!(matches!(failure, Failure::Malformed(_)), "{name}: {failure:?}");
    }
    for (name, failure) in outcomes(|_| Reply::Body("[".repeat(100_000).into_bytes())).await {
        assert!(matches!(failure, Failure::Malformed(_)), "{name}: {failure:?}");
    }
    for (name, failure) in outcomes(|_| Reply::Body(vec![b' '; MAX_BODY + 1])).await {
        assert_eq!(failure, Failure::TooLarge, "{name}");
    }
    // nobody else is sent a login
    let other = Double::serve(|_| Reply::Json(serde_json::json!({}))).await;
    let place = other.url.clone();
    for (name, failure) in outcomes(move |_| Reply::Redirect(place.clone())).await {
        assert_eq!(failure, Failure::Status(307), "{name}");
    }
    assert!(other.requests().is_empty());
}

#[tokio::test]
async fn silence_and_half_an_answer_end_at_the_deadline() {
    let double = Double::serve({
        let mut number = 0;
        move |_| {
            number += 1;
            if number % 2 == 0 { Reply::Silence } else { Reply::Stalled }
        }
    })
    .await;
    for (source, question) in all(&double.url).iter().chain(&all(&double.url)[..1]) {
        let begun = Instant::now();
        let deadline = tokio::time::Instant::now() + Duration::from_millis(100);
        let failure = source.ask(question, deadline).await.unwrap_err();
        assert!(matches!(failure, Failure::Timeout(_)), "{}: {failure:?}", source.name());
        assert!(begun.elapsed() < Duration::from_secs(5), "{:?}", begun.elapsed());
    }
}

/// Words that the APIs use.
const WORDS: [&str; 60] = [
    "status",
    "success",
    "data",
    "resultType",
    "matrix",
    "streams",
    "result",
    "values",
    "metric",
    "items",
    "metadata",
    "name",
    "involvedObject",
    "payment",
    "count",
    "firstTimestamp",
    "lastTimestamp",
    "2026-11-29T09:26:40Z",
    "spans",
    "processes",
    "p1",
    "processID",
    "serviceName",
    "startTime",
    "duration",
    "tags",
    "key",
    "value",
    "span.kind",
    "client",
    "traces",
    "spanSets",
    "startTimeUnixNano",
    "durationNanos",
    "hits",
    "timestamps",
    "_msg",
    "timed_out",
    "_shards",
    "failed",
    "total",
    "aggregations",
    "matching",
    "minutes",
    "buckets",
    "doc_count",
    "example",
    "_source",
    "MetricDataResults",
    "Timestamps",
    "Values",
    "StatusCode",
    "Complete",
    "NextToken",
    "events",
    "timestamp",
    "nextToken",
    "__type",
    "1e308",
    "-1",
];

/// JSON of the words that the APIs use, in any places.
fn document() -> impl Strategy<Value = serde_json::Value> {
    let word = prop::sample::select(WORDS.to_vec()).prop_map(str::to_owned);
    let leaf = prop_oneof![
        Just(serde_json::Value::Null),
        any::<bool>().prop_map(Into::into),
        any::<i64>().prop_map(Into::into),
        any::<f64>().prop_map(Into::into),
        word.clone().prop_map(Into::into),
    ];
    leaf.prop_recursive(6, 64, 6, move |inner| {
        prop_oneof![
            prop::collection::vec(inner.clone(), 0..6).prop_map(Into::into),
            prop::collection::btree_map(word.clone(), inner, 0..6)
                .prop_map(|fields| serde_json::Value::Object(fields.into_iter().collect())),
        ]
    })
}

/// Whatever is answered, nothing panics: an answer or a failure comes back.
#[test]
fn no_answer_panics() {
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let body = prop_oneof![
        prop::collection::vec(any::<u8>(), 0..200),
        document().prop_map(|document| document.to_string().into_bytes()),
    ];
    let served = std::sync::Arc::new(std::sync::Mutex::new(Vec::new()));
    let shown = std::sync::Arc::clone(&served);
    let double = runtime.block_on(Double::serve(move |_| Reply::Body(shown.lock().unwrap().clone())));
    let sources = all(&double.url);
    let mut runner = TestRunner::new(Config { cases: 200, failure_persistence: None, ..Config::default() });
    runner
        .run(&body, |body| {
            *served.lock().unwrap() = body;
            for (source, question) in &sources {
                let answer = runtime.block_on(ask(&**source, question));
                if let Ok(answer) = answer {
                    _ = investigation::query::compare::compare(question, &answer);
                }
            }
            Ok(())
        })
        .unwrap();
}
