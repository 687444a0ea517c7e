use std::collections::BTreeMap;

use proptest::prelude::*;
use serde_json::json;
use shared::events::Topic;

use super::*;
use crate::identity::Rules;
use crate::telemetry::{Limits, Record, Taken};

const NOW_MS: i64 = 1_772_359_210_000;

fn with(
    headers: &[(&str, &str)],
    read: impl FnOnce(&Context<'_>, &mut Batch) -> Result<(), Unreadable>,
) -> (Result<(), Unreadable>, Batch) {
    let identity = Rules { renames: [("pay".to_owned(), "payment".to_owned())].into(), ..Rules::default() };
    let headers: BTreeMap<_, _> =
        headers.iter().map(|(name, value)| ((*name).into(), (*value).into())).collect();
    let ctx = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    let result = read(&ctx, &mut batch);
    (result, batch)
}

fn items(kind: Kind, body: &str) -> Batch {
    let (result, batch) = with(&[], |ctx, batch| read(body.as_bytes(), kind, ctx, batch));
    result.unwrap();
    batch
}

fn events(headers: &[(&str, &str)], body: &str) -> (Result<(), Unreadable>, Batch) {
    with(headers, |ctx, batch| cloudevents::read(body.as_bytes(), ctx, batch))
}

fn only(batch: Batch) -> (Topic, Value) {
    let mut records = batch.into_records();
    assert_eq!(records.len(), 1);
    let Record { topic, payload, .. } = records.remove(0);
    (topic, serde_json::from_slice(&payload).unwrap())
}

/// Returns the smallest item of a kind.
fn smallest(kind: Kind) -> Value {
    match kind {
        Kind::Metrics => json!({"service": "payment", "metric": "m", "value": 1.5, "ts_ms": NOW_MS}),
        Kind::Logs => {
            json!({"service": "payment", "level": "error", "message": "it failed", "ts_ms": NOW_MS})
        }
        Kind::Deployments => json!({"service": "payment", "version": "1.4.2", "ts_ms": NOW_MS}),
        Kind::Spans => json!({
            "trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "payment",
            "operation": "charge", "ts_ms": NOW_MS, "duration_ms": 12.5, "status": "ok"
        }),
        Kind::Alerts => json!({
            "fingerprint": "a1", "service": "payment", "name": "Slow", "firing": true, "starts_ms": NOW_MS,
            "ts_ms": NOW_MS
        }),
    }
}

fn event(kind: &str, data: &Value) -> Value {
    json!({"specversion": "1.0", "id": "1", "source": "/ci", "type": kind, "time": "2026-03-01T10:00:00Z", "data": data})
}

#[test]
fn each_kind_is_taken_as_object_array_and_lines() {
    for kind in Kind::ALL {
        let one = smallest(kind);
        let pretty = serde_json::to_string_pretty(&one).unwrap();
        for (body, count) in [
            (one.to_string(), 1),
            (pretty, 1),
            (json!([one, one]).to_string(), 2),
            (format!("{one}\n\r\n{one}\n"), 2),
        ] {
            let batch = items(kind, &body);
            let Taken { samples, lines, spans, deployments, alerts, .. } = batch.taken;
            let taken = [samples, lines, deployments, spans, alerts];
            assert_eq!(taken[kind as usize], count, "{}: {}", kind.name(), batch.refused.message());
            assert_eq!(taken.iter().sum::<usize>(), count);
        }
    }
}

#[test]
fn an_item_may_leave_out_what_the_request_says() {
    let body = json!({
        "level": "warn", "message": "slow", "ts_ms": NOW_MS, "labels": {"app": "pay", "env": "staging"}
    });
    let (topic, line) = only(items(Kind::Logs, &body.to_string()));
    assert_eq!(
        (topic, &line["service"], &line["environment"]),
        (Topic::RawLogs, &json!("payment"), &json!("staging"))
    );
    let renamed = json!({"service": "pay", "version": "1", "ts_ms": NOW_MS});
    assert_eq!(only(items(Kind::Deployments, &renamed.to_string())).1["service"], json!("payment"));
}

#[test]
fn a_histogram_is_kept() {
    let mut one = smallest(Kind::Metrics);
    one["histogram"] = json!({"sum": 3.0, "bounds": [1.0], "counts": [1.0, 0.5]});
    let (_, samples) = only(items(Kind::Metrics, &one.to_string()));
    assert_eq!(samples[0]["histogram"]["counts"], json!([1.0, 0.5]));
}

#[test]
fn a_bad_item_is_refused_alone_and_named() {
    let seconds = json!({"service": "payment", "metric": "m", "value": 1.0, "ts_ms": NOW_MS / 1000});
    let text = json!({"service": "payment", "metric": "m", "value": 1.0, "ts_ms": "2026-03-01T10:00:00Z"});
    let batch = items(
        Kind::Metrics,
        &json!([smallest(Kind::Metrics), seconds, text, {"metric": "m"}, 7]).to_string(),
    );
    let counts: Vec<_> = batch.refused.counts().collect();
    assert_eq!(counts, [(Reason::Clock, 2), (Reason::NoService, 1), (Reason::Invalid, 1)]);
    let message = batch.refused.message();
    assert!(message.contains("ts_ms is in seconds"), "{message}");
    assert!(message.contains("item 2: ts_ms is a text") && message.contains("item 4"), "{message}");
    assert_eq!(batch.taken.samples, 1);
    let nameless = json!([{"service": "", "level": "info", "message": "m", "ts_ms": NOW_MS}]);
    let message = items(Kind::Logs, &nameless.to_string()).refused.message();
    assert!(message.contains("item 0: invalid: service is empty"), "{message}");
    let mut long = smallest(Kind::Logs);
    long["level"] = json!("x".repeat(100_000));
    let message = items(Kind::Logs, &long.to_string()).refused.message();
    assert!(message.len() < 1_000, "{} bytes", message.len());
    let batch = items(Kind::Logs, &format!("{}\nnot json\n", smallest(Kind::Logs)));
    assert_eq!((batch.taken.lines, batch.refused.count(Reason::Invalid)), (1, 1));
    assert!(batch.refused.message().contains("line 2"));
}

#[test]
fn what_is_no_json_is_refused_as_a_whole() {
    let deep = "[".repeat(200_000);
    let nested = format!("[{}", "{\"a\":".repeat(100_000));
    let truncated = json!([smallest(Kind::Logs)]).to_string();
    for body in ["", " ", "not json", "[1,", &truncated[..20], &deep, &nested] {
        let (result, _) = with(&[], |ctx, batch| read(body.as_bytes(), Kind::Logs, ctx, batch));
        assert!(matches!(result, Err(Unreadable::Malformed { .. })), "{body:.40}");
    }
    let (result, _) = with(&[], |ctx, batch| read(b"\xff", Kind::Logs, ctx, batch));
    assert!(result.is_err());
}

#[test]
fn a_deeply_nested_item_is_refused_alone() {
    let deep = format!("{{\"labels\":{}{}}}", "[".repeat(300), "]".repeat(300));
    let batch = items(Kind::Logs, &format!("{}\n{deep}\n", smallest(Kind::Logs)));
    assert_eq!((batch.taken.lines, batch.refused.total()), (1, 1));
}

#[test]
fn cloudevents_are_taken_in_each_mode() {
    for kind in Kind::ALL {
        let data = smallest(kind);
        let one = event(kind.event_type(), &data);
        let mut encoded = one.clone();
        encoded["data"].take();
        let fields = encoded.as_object_mut().unwrap();
        fields.remove("data");
        fields.insert(
            "data_base64".into(),
            base64::Engine::encode(&base64::engine::general_purpose::STANDARD, data.to_string()).into(),
        );
        let structured = [("content-type", "application/cloudevents+json; charset=utf-8")];
        let batched = [("content-type", "application/cloudevents-batch+json")];
        let binary = [
            ("content-type", "application/json"),
            ("ce-specversion", "1.0"),
            ("ce-id", "1"),
            ("ce-source", "/ci"),
            ("ce-type", kind.event_type()),
        ];
        let modes: [(&[_], _); 4] = [
            (&structured, one.to_string()),
            (&structured, encoded.to_string()),
            (&batched, json!([one]).to_string()),
            (&binary, data.to_string()),
        ];
        for (headers, body) in modes {
            let (result, batch) = events(headers, &body);
            assert_eq!((result, batch.refused.message()), (Ok(()), String::new()), "{body}");
            assert_eq!(batch.into_records().len(), 1);
        }
    }
}

#[test]
fn the_time_of_a_cloudevent_stands_in() {
    let data = json!({"service": "payment", "version": "1"});
    let headers = [("content-type", "application/cloudevents+json")];
    let (_, batch) = events(&headers, &event(Deployment::TYPE, &data).to_string());
    assert_eq!(only(batch).1["ts_ms"], json!(1_772_359_200_000_i64));
}

#[test]
fn a_bad_event_is_refused_alone_and_named() {
    let good = event(Deployment::TYPE, &smallest(Kind::Deployments));
    let with = |field: &str, value: Value| {
        let mut event = good.clone();
        event[field] = value;
        event
    };
    let body = json!([
        with("type", json!("com.github.push")),
        with("specversion", json!("0.3")),
        with("id", json!("")),
        with("data_base64", json!("e30=")),
        with("time", json!("yesterday")),
        good,
        {}
    ]);
    let (result, batch) =
        events(&[("content-type", "application/cloudevents-batch+json")], &body.to_string());
    assert_eq!((result, batch.taken.deployments), (Ok(()), 1));
    assert_eq!((batch.refused.count(Reason::Unsupported), batch.refused.count(Reason::Invalid)), (2, 4));
    assert!(
        batch.refused.message().contains("event 0: type \"com.github.push\" is none of firewatch.metric.v1")
    );
}

#[test]
fn a_request_without_a_mode_is_refused() {
    for headers in
        [&[][..], &[("content-type", "application/json")], &[("ce-specversion", "1.0"), ("ce-id", "1")]]
    {
        assert!(matches!(events(headers, "{}").0, Err(Unreadable::Malformed { .. })));
    }
}

proptest! {
    #[test]
    fn any_text_is_read_or_refused(body in "\\PC{0,200}", number in any::<f64>(), time in any::<i64>()) {
        for kind in Kind::ALL {
            let _ = with(&[], |ctx, batch| read(body.as_bytes(), kind, ctx, batch));
        }
        let one = json!({"service": body, "metric": "m", "value": number, "ts_ms": time}).to_string();
        let batch = items(Kind::Metrics, &one);
        prop_assert_eq!(batch.taken.samples + batch.refused.total(), 1);
    }
}
