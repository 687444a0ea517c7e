//! Jaeger and Tempo.

use investigation::query::adapters::jaeger::JaegerSource;
use investigation::query::adapters::tempo::TempoSource;
use investigation::query::compare::compare;
use investigation::query::options::{Jaeger, Tempo};
use investigation::query::source::{Failure, QuerySource};
use serde_json::{Value, json};
use shared::events::evidence::Answer;
use shared::events::question::{Aspect, Subject, Trend};

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply, Request};
use crate::scene::at;

const DURATION: Subject = Subject::Calls { aspect: Aspect::Duration };
const FAILURES: Subject = Subject::Calls { aspect: Aspect::Failures };

/// Checks answers: calls of payment took 20 ms before and take 900 ms and fail since.
async fn slow_since(source: &dyn QuerySource) {
    let asked = question("payment", DURATION);
    let answer = ask(source, &asked).await.unwrap();
    let Answer::Calls { calls } = &answer else { panic!("{answer:?}") };
    assert_eq!(calls.len(), 24, "{}", source.name());
    assert!(calls.iter().all(|call| call.name == "POST /charge" && (call.at >= at(0)) == call.failed));
    let found = compare(&asked, &answer).unwrap();
    assert_eq!((found.trend, found.before, found.since), (Trend::Rose, 20.0, 900.0));
    let failures = compare(&question("payment", FAILURES), &answer).unwrap();
    assert_eq!((failures.trend, failures.since), (Trend::Rose, 100.0));
}

fn jaeger(request: &Request) -> Reply {
    assert_eq!(request.path, "/api/traces");
    assert_eq!(
        (request.query["service"].as_str(), request.query["tags"].as_str()),
        ("payment", r#"{"span.kind":"client"}"#)
    );
    let start: i64 = request.query["start"].parse().unwrap();
    let is_since = start >= at(0).as_microsecond();
    let span = |process: &str, kind: &str, second: i64| {
        let error = if is_since {
            json!({ "key": "error", "type": "bool", "value": true })
        } else {
            json!({ "key": "x" })
        };
        json!({
            "traceID": "a", "spanID": "b", "operationName": "POST /charge", "references": [],
            "startTime": start + second * 1_000_000, "duration": if is_since { 900_000 } else { 20_000 },
            "tags": [{ "key": "span.kind", "type": "string", "value": kind }, error], "logs": [], "processID": process,
        })
    };
    let trace = |second: i64| {
        json!({
            "traceID": "a",
            "spans": [span("p1", "client", second), span("p1", "server", second), span("p2", "client", second), span("p9", "client", second)],
            "processes": { "p1": { "serviceName": "payment", "tags": [] }, "p2": { "serviceName": "order" } },
        })
    };
    let traces: Vec<Value> = (1..=12).map(|number| trace(number * 10)).collect();
    Reply::Json(json!({ "data": traces, "total": 0, "limit": 0, "offset": 0, "errors": null }))
}

#[tokio::test]
async fn jaeger_gives_the_calls_of_a_service_before_and_since() {
    let source = |url: &str| JaegerSource::new(&Jaeger { url: url.into(), ..Jaeger::default() }).unwrap();
    let double = Double::serve(jaeger).await;
    slow_since(&source(&double.url)).await;
    let requests = double.requests();
    assert_eq!(requests[0].query["end"], requests[1].query["start"]);
    let partial = json!({ "data": [], "errors": [{ "code": 500, "msg": "storage" }] });
    let double = Double::serve(move |_| Reply::Json(partial.clone())).await;
    assert_eq!(ask(&source(&double.url), &question("payment", DURATION)).await, Err(Failure::Partial));
    // a service that it does not know is a service without calls
    let double = Double::serve(|_| Reply::Json(json!({ "data": null, "errors": null }))).await;
    let none = ask(&source(&double.url), &question("payment", DURATION)).await.unwrap();
    assert_eq!(compare(&question("payment", DURATION), &none), None);
}

fn tempo(request: &Request) -> Reply {
    assert_eq!(request.path, "/api/search");
    assert_eq!(
        request.query["q"],
        r#"{ resource.service.name = "payment" && kind = client } | select(status, name)"#
    );
    let start: i64 = request.query["start"].parse().unwrap();
    let is_since = start >= at(0).as_second();
    let span = |number: i64| {
        json!({
            "spanID": "b", "name": "POST /charge",
            "startTimeUnixNano": ((start + number * 10) * 1_000_000_000).to_string(),
            "durationNanos": if is_since { "900000000" } else { "20000000" },
            "attributes": [{ "key": "status", "value": { "stringValue": if is_since { "error" } else { "ok" } } }],
        })
    };
    let trace = |number: i64| json!({ "traceID": "a", "rootServiceName": "order", "durationMs": 20, "spanSets": [{ "spans": [span(number)], "matched": 1 }] });
    let traces: Vec<Value> = (1..=12).map(trace).collect();
    Reply::Json(json!({ "traces": traces, "metrics": { "inspectedBytes": "1" } }))
}

#[tokio::test]
async fn tempo_gives_the_calls_of_a_service_before_and_since() {
    let source = |url: &str| TempoSource::new(&Tempo { url: url.into(), ..Tempo::default() }).unwrap();
    slow_since(&source(&Double::serve(tempo).await.url)).await;
    let broken = json!({ "traces": [{ "spanSets": [{ "spans": [{ "startTimeUnixNano": "soon", "durationNanos": "1" }] }] }] });
    let double = Double::serve(move |_| Reply::Json(broken.clone())).await;
    let answer = ask(&source(&double.url), &question("payment", DURATION)).await;
    assert!(matches!(answer, Err(Failure::Malformed(_))), "{answer:?}");
    let double = Double::serve(|_| Reply::Status(400, "invalid TraceQL".into())).await;
    assert_eq!(ask(&source(&double.url), &question("payment", DURATION)).await, Err(Failure::Status(400)));
}
