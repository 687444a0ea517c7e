use proptest::prelude::*;
use serde_json::{Value, json};
use shared::events::decode;

use super::*;
use crate::identity::Rules;
use crate::telemetry::Limits;

const NOW_MS: i64 = 1_772_359_210_000;

fn with(body: &[u8], settings: &Settings) -> (Result<Answer, Unreadable>, Batch) {
    let (identity, headers) = (Rules::default(), BTreeMap::new());
    let ctx = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    let answer = read(body, settings, &ctx, &mut batch);
    (answer, batch)
}

fn events(body: &Value) -> (Answer, Batch) {
    let (answer, batch) = with(body.to_string().as_bytes(), &Settings::default());
    (answer.unwrap(), batch)
}

fn lines(batch: Batch) -> Vec<LogRecord> {
    batch.into_records().iter().map(|record| decode(&record.payload).unwrap()).collect()
}

/// An event as `kubectl get events -o json` has it.
fn core() -> Value {
    json!({
        "apiVersion": "v1", "kind": "Event", "type": "Warning", "reason": "BackOff",
        "message": "Back-off restarting failed container payment in pod payment-7d9c5b6f4d-x2k8p",
        "involvedObject": {
            "apiVersion": "v1", "kind": "Pod", "name": "payment-7d9c5b6f4d-x2k8p", "namespace": "shop",
            "fieldPath": "spec.containers{payment}", "uid": "1", "resourceVersion": "2"
        },
        "count": 37, "firstTimestamp": "2026-03-01T09:30:00Z", "lastTimestamp": "2026-03-01T10:00:00Z",
        "eventTime": null, "reportingComponent": "kubelet", "reportingInstance": "node-1",
        "source": {"component": "kubelet", "host": "node-1"},
        "metadata": {"name": "payment.17", "namespace": "shop", "creationTimestamp": "2026-03-01T09:30:00Z"}
    })
}

/// An event of the newer API.
fn newer() -> Value {
    json!({
        "apiVersion": "events.k8s.io/v1", "kind": "Event", "type": "Warning", "reason": "Unhealthy",
        "note": "Readiness probe failed: HTTP probe failed with statuscode: 503", "action": "Probing",
        "regarding": {"kind": "Pod", "name": "order-0", "namespace": "shop", "labels": {"app": "orders"}},
        "eventTime": "2026-03-01T09:58:00.123456Z", "reportingController": "kubelet",
        "series": {"count": 4, "lastObservedTime": "2026-03-01T09:59:30.500000Z"},
        "deprecatedCount": 1, "deprecatedSource": {},
        "metadata": {"name": "order.18", "creationTimestamp": "2026-03-01T09:58:00Z"}
    })
}

#[test]
fn warnings_become_lines_of_their_workloads() {
    let (answer, batch) =
        events(&json!({"apiVersion": "v1", "kind": "EventList", "items": [core(), newer()]}));
    assert_eq!((answer.ignored, batch.refused.message()), (0, String::new()));
    let read = lines(batch);
    let shown: Vec<_> = read.iter().map(|it| (&*it.service, it.level, it.ts_ms)).collect();
    let at = 1_772_359_200_000;
    assert_eq!(shown, [("payment", Level::Error, at), ("orders", Level::Warn, at - 29_500)]);
    assert_eq!(
        read[0].message,
        "BackOff: Back-off restarting failed container payment in pod payment-7d9c5b6f4d-x2k8p"
    );
    let labels: Vec<_> = read[0].labels.iter().map(|(name, value)| format!("{name}={value}")).collect();
    assert_eq!(
        labels,
        [
            "k8s.container.name=payment",
            "k8s.event.count=37",
            "k8s.event.reason=BackOff",
            "k8s.namespace.name=shop",
            "k8s.node.name=node-1",
            "k8s.object.kind=Pod",
            "k8s.object.name=payment-7d9c5b6f4d-x2k8p",
        ]
    );
    assert_eq!(read[1].labels["k8s.event.count"], "4");
}

#[test]
fn each_way_to_send_events_is_read() {
    let watched = json!({"type": "MODIFIED", "object": core()});
    for (body, count) in [
        (core().to_string(), 1),
        (json!([core(), newer()]).to_string(), 2),
        (format!("{}\n{}\n", core(), newer()), 2),
        (format!("{watched}\n{watched}\n"), 2),
        (serde_json::to_string_pretty(&core()).unwrap(), 1),
        (json!({"items": []}).to_string(), 0),
    ] {
        let (answer, batch) = with(body.as_bytes(), &Settings::default());
        assert_eq!(
            (answer, batch.taken.lines, batch.refused.message()),
            (Ok(Answer::default()), count, String::new())
        );
    }
}

#[test]
fn normal_events_and_removed_ones_are_ignored() {
    let mut scaled = core();
    scaled["type"] = json!("Normal");
    scaled["reason"] = json!("ScalingReplicaSet");
    let removed = json!({"type": "DELETED", "object": core()});
    let bookmark = json!({"type": "BOOKMARK", "object": {"kind": "Event", "metadata": {}}});
    let body = json!([scaled, removed, bookmark]);
    let (answer, batch) = events(&body);
    assert_eq!((answer.ignored, batch.taken.lines, batch.refused.total()), (3, 0, 0));
    let settings = Settings { normal_events: true, ..Settings::default() };
    let (answer, batch) = with(body.to_string().as_bytes(), &settings);
    assert_eq!(answer, Ok(Answer { ignored: 2 }));
    assert_eq!(lines(batch)[0].level, Level::Info);
}

#[test]
fn what_is_about_no_workload_is_of_the_cluster_and_a_namespace_may_be_an_environment() {
    let mut node = core();
    node["involvedObject"] = json!({"kind": "Node", "name": "node-1"});
    let settings =
        Settings { environments: [("shop".to_owned(), "staging".to_owned())].into(), ..Settings::default() };
    let (_, batch) = with(json!([node, core()]).to_string().as_bytes(), &settings);
    let read = lines(batch);
    let shown: Vec<_> = read.iter().map(|it| (&*it.service, &*it.environment)).collect();
    assert_eq!(shown, [("kubernetes", "production"), ("payment", "staging")]);
}

#[test]
fn settings_that_cannot_work_are_named() {
    assert_eq!(Settings::default().validate(), [""; 0]);
    let environments = [("shop".to_owned(), String::new())].into();
    let settings = Settings { cluster_service: String::new(), environments, ..Settings::default() };
    let problems = settings.validate();
    assert!(problems[0].starts_with("cluster_service:") && problems[1].starts_with("environments.shop:"));
}

#[test]
fn a_bad_event_is_refused_alone_and_named_by_its_index() {
    let with = |field: &str, value: Value| {
        let mut event = core();
        event[field] = value;
        event
    };
    let mut timeless = core();
    for field in ["firstTimestamp", "lastTimestamp", "metadata"] {
        timeless.as_object_mut().unwrap().remove(field);
    }
    let (_, batch) = events(&json!([
        with("type", json!("Odd")),
        with("lastTimestamp", json!("yesterday")),
        with("count", json!(-1)),
        timeless,
        with("lastTimestamp", json!("2027-03-01T10:00:00Z")),
        7,
        {},
        core()
    ]));
    let counts: Vec<_> = batch.refused.counts().collect();
    assert_eq!(
        counts,
        [(Reason::Clock, 1), (Reason::InFuture, 1), (Reason::Unsupported, 1), (Reason::Invalid, 4)]
    );
    assert!(batch.refused.message().contains("event 0: its type \"Odd\""));
    assert_eq!(batch.taken.lines, 1);
}

#[test]
fn what_is_no_json_is_refused() {
    let deep = "[".repeat(100_000);
    for body in [&b""[..], b" ", b"\xff", b"{", b"[{]", deep.as_bytes()] {
        let (answer, _) = with(body, &Settings::default());
        assert!(matches!(answer, Err(Unreadable::Malformed { .. })), "{:.20}", String::from_utf8_lossy(body));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(body in "\\PC{0,200}", name in "\\PC{0,40}", kind in "(Pod|Job|ReplicaSet)") {
        let _ = with(body.as_bytes(), &Settings::default());
        let mut event = core();
        event["involvedObject"]["name"] = json!(name);
        event["involvedObject"]["kind"] = json!(kind);
        event["message"] = json!(body);
        let (_, batch) = events(&event);
        prop_assert_eq!(batch.taken.lines + batch.refused.total(), 1);
    }
}
