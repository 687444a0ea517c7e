//! Events of a cluster, and logs of pods.

use investigation::query::adapters::kubernetes::{EventSource, PodLogSource};
use investigation::query::options::Kubernetes;
use investigation::query::source::Failure;
use serde_json::{Value, json};
use shared::events::evidence::Answer;
use shared::events::question::{LogTopic, Report, Subject};

use super::ask;
use crate::answers::question;
use crate::double::{Double, Reply, Request};
use crate::scene::at;

const FAILING: Subject = Subject::Events { about: Report::Failing };
const MEMORY: Subject = Subject::Lines { about: LogTopic::Memory };

fn options(url: &str) -> Kubernetes {
    Kubernetes { url: url.into(), namespace: "shop".into(), ..Kubernetes::default() }
}

fn event(pod: &str, reason: &str, count: u32, first: i64, last: i64) -> Value {
    json!({
        "metadata": { "name": "x" },
        "involvedObject": { "kind": "Pod", "namespace": "shop", "name": pod },
        "reason": reason, "message": "Back-off restarting failed container", "type": "Warning", "count": count,
        "firstTimestamp": at(first), "lastTimestamp": at(last), "eventTime": null,
    })
}

fn pod(name: &str, started: i64) -> Value {
    json!({
        "metadata": { "name": name },
        "spec": { "containers": [{ "name": "sidecar" }, { "name": "payment" }] },
        "status": { "startTime": at(-90_000), "containerStatuses": [
            { "name": "payment", "state": { "running": { "startedAt": at(started) } } },
        ] },
    })
}

#[tokio::test]
async fn events_of_a_workload_are_split_at_the_first_symptom() {
    let double = Double::serve(|request| match request.path.as_str() {
        "/api/v1/namespaces/shop/events" => Reply::Json(json!({ "metadata": { "resourceVersion": "1" }, "items": [
            // half of its time lies before
            event("payment-6d4b9c7f8d-x2k4z", "BackOff", 11, -300, 300),
            event("payment-0", "Unhealthy", 1, 30, 30),
            event("payment-0", "Unhealthy", 5, -9_000, -8_000),
            event("payment-history-0", "BackOff", 9, 10, 20),
            { "involvedObject": { "kind": "Pod", "name": "payment-1" }, "eventTime": "2020-01-01T00:00:00.000000Z",
              "series": { "count": 4, "lastObservedTime": at(60) }, "reason": "FailedMount" },
        ] })),
        other => panic!("{other}"),
    })
    .await;
    let Answer::Events { events } =
        ask(&EventSource::new(&options(&double.url)).unwrap(), &question("payment", FAILING)).await.unwrap()
    else {
        panic!()
    };
    let seen: Vec<(i64, &str, u32)> = events
        .iter()
        .map(|event| (event.at.as_second() - at(0).as_second(), event.reason.as_str(), event.count))
        .collect();
    assert_eq!(seen, [(-1, "BackOff", 5), (30, "Unhealthy", 1), (60, "FailedMount", 1), (300, "BackOff", 6)]);
    assert_eq!(double.requests()[0].query["fieldSelector"], "type=Warning");
}

#[tokio::test]
async fn no_event_means_something_only_of_a_workload_that_is_there() {
    let serve = |pods: Vec<Value>| {
        Double::serve(move |request| {
            let items = if request.path.ends_with("/pods") { pods.clone() } else { Vec::new() };
            Reply::Json(json!({ "items": items }))
        })
    };
    let there = serve(vec![pod("payment-0", -90_000)]).await;
    let source = EventSource::new(&options(&there.url)).unwrap();
    assert_eq!(ask(&source, &question("payment", FAILING)).await, Ok(Answer::Events { events: Vec::new() }));
    assert_eq!(there.requests()[1].query["labelSelector"], "app=payment");
    let absent = serve(Vec::new()).await;
    let source = EventSource::new(&options(&absent.url)).unwrap();
    assert_eq!(ask(&source, &question("payment", FAILING)).await, Err(Failure::Unknown("payment".into())));
    // no selector can be made of such a name
    assert_eq!(ask(&source, &question("a,b=c", FAILING)).await, Err(Failure::Unknown("a,b=c".into())));
    assert_eq!(absent.requests().len(), 3);
    let long =
        Double::serve(|_| Reply::Json(json!({ "metadata": { "continue": "abc" }, "items": [] }))).await;
    let source = EventSource::new(&options(&long.url)).unwrap();
    assert_eq!(ask(&source, &question("payment", FAILING)).await, Err(Failure::Partial));
    let forbidden = r#"{"kind":"Status","status":"Failure","reason":"Forbidden","code":403}"#;
    let refusing = Double::serve(|_| Reply::Status(403, forbidden.to_owned())).await;
    let source = EventSource::new(&options(&refusing.url)).unwrap();
    assert_eq!(ask(&source, &question("payment", FAILING)).await, Err(Failure::Status(403)));
}

fn logs(request: &Request, started: i64) -> Reply {
    match request.path.as_str() {
        "/api/v1/namespaces/shop/pods" => {
            Reply::Json(json!({ "items": [pod("payment-0", started), pod("payment-1", started)] }))
        }
        "/api/v1/namespaces/shop/pods/payment-0/log" => {
            let line = |second: i64, text: &str| format!("{} {text}\n", at(second));
            let lines = [
                line(-600, "started"),
                line(20, "java.lang.OutOfMemoryError: Java heap space"),
                line(80, "Out of memory: killed"),
                "no time Out of memory\n".to_owned(),
                line(700, "Out of memory after the window"),
            ];
            Reply::Body([lines.concat().as_bytes(), b"\xff\xfe\n"].concat())
        }
        "/api/v1/namespaces/shop/pods/payment-1/log" => Reply::Body(Vec::new()),
        other => panic!("{other}"),
    }
}

#[tokio::test]
async fn lines_of_pods_are_counted_as_far_as_their_logs_reach() {
    for (started, minutes_known) in [(-90_000, 71), (-300, 15), (100, 8)] {
        let double = Double::serve(move |request| logs(request, started)).await;
        let answer =
            ask(&PodLogSource::new(&options(&double.url)).unwrap(), &question("payment", MEMORY)).await;
        let Ok(Answer::Lines { minutes, example }) = answer else { panic!("{answer:?}") };
        assert_eq!(minutes.len(), minutes_known, "{started}");
        if started < 0 {
            let counts: Vec<f64> =
                minutes.iter().map(|minute| minute.value).filter(|count| *count > 0.0).collect();
            assert_eq!(counts, [1.0, 1.0]);
        }
        assert_eq!(example.as_deref(), Some("Out of memory: killed"));
        let log = &double.requests()[1];
        assert_eq!(log.query["container"], "payment");
        assert_eq!(log.query["sinceTime"], at(-3_640).to_string());
    }
}
