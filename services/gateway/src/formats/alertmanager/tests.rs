use proptest::prelude::*;
use serde_json::{Value, json};
use shared::events::decode;

use super::*;
use crate::identity::Rules;
use crate::telemetry::Limits;

const NOW_MS: i64 = 1_772_359_210_000;

type Read = fn(&[u8], &Settings, &Context<'_>, &mut Batch) -> Result<Answer, Unreadable>;

fn with(read: Read, body: &[u8], settings: &Settings) -> (Result<Answer, Unreadable>, Batch) {
    let (identity, headers) = (Rules::default(), BTreeMap::new());
    let ctx = Context { identity: &identity, now_ms: NOW_MS, headers: &headers };
    let mut batch = Batch::new(&Limits::default(), NOW_MS);
    let answer = read(body, settings, &ctx, &mut batch);
    (answer, batch)
}

fn alerts(batch: Batch) -> Vec<Alert> {
    batch.into_records().iter().map(|record| decode(&record.payload).unwrap()).collect()
}

fn post(alerts: &Value) -> (Answer, Batch) {
    let (answer, batch) = with(posted, alerts.to_string().as_bytes(), &Settings::default());
    (answer.unwrap(), batch)
}

/// A group of two alerts, as Alertmanager 0.28 sends it.
fn group() -> Value {
    json!({
        "receiver": "firewatch", "status": "firing",
        "alerts": [
            {
                "status": "firing",
                "labels": {"alertname": "HighErrorRate", "service": "payment", "severity": "critical", "env": "staging"},
                "annotations": {"summary": "5 % of the requests of payment fail"},
                "startsAt": "2026-03-01T09:58:00.123456789Z", "endsAt": "0001-01-01T00:00:00Z",
                "generatorURL": "http://prometheus.example/graph?g0.expr=1", "fingerprint": "1fb6a1d9a6e0c6a3"
            },
            {
                "status": "resolved",
                "labels": {"alertname": "HighLatency", "job": "order", "priority": "P2"},
                "annotations": {"description": "order is slow"},
                "startsAt": "2026-03-01T11:00:00+02:00", "endsAt": "2026-03-01T11:50:00+02:00",
                "generatorURL": "", "fingerprint": "00000000000000aa"
            }
        ],
        "groupLabels": {}, "commonLabels": {}, "commonAnnotations": {},
        "externalURL": "http://alertmanager.example", "version": "4", "groupKey": "{}:{}", "truncatedAlerts": 3
    })
}

#[test]
fn each_alert_of_a_group_has_its_own_status() {
    let (answer, batch) = with(webhook, group().to_string().as_bytes(), &Settings::default());
    assert_eq!(answer, Ok(Answer { skipped: 0, truncated: 3 }));
    let read = alerts(batch);
    let firing = &read[0];
    assert_eq!(
        (&*firing.service, &*firing.environment, &*firing.name),
        ("payment", "staging", "HighErrorRate")
    );
    assert_eq!((firing.firing, firing.starts_ms, firing.ends_ms), (true, 1_772_359_080_123, None));
    assert_eq!((&*firing.severity, &*firing.fingerprint), ("critical", "1fb6a1d9a6e0c6a3"));
    assert_eq!((&*firing.summary, firing.ts_ms), ("5 % of the requests of payment fail", NOW_MS));
    let resolved = &read[1];
    assert_eq!(
        (&*resolved.service, &*resolved.severity, &*resolved.summary),
        ("order", "P2", "order is slow")
    );
    assert_eq!((resolved.firing, resolved.ends_ms), (false, Some(1_772_358_600_000)));
}

#[test]
fn a_webhook_that_is_none_is_refused_as_a_whole() {
    let mut old = group();
    old["version"] = json!("3");
    let deep = "[".repeat(100_000);
    let truncated = group().to_string();
    for body in [
        old.to_string().as_bytes(),
        &truncated.as_bytes()[..200],
        b"{}",
        b"[]",
        b"",
        b"\xff",
        br#"{"version":"4","alerts":{}}"#,
        deep.as_bytes(),
    ] {
        let (answer, batch) = with(webhook, body, &Settings::default());
        assert!(matches!(answer, Err(Unreadable::Malformed { .. })), "{}", String::from_utf8_lossy(body));
        assert_eq!(batch.taken.alerts, 0);
    }
}

#[test]
fn a_posted_alert_fires_until_its_end() {
    let labels =
        json!({"alertname": "HighErrorRate", "service": "payment", "severity": "critical", "empty": ""});
    let (_, batch) = post(&json!([
        {"labels": labels, "startsAt": "2026-03-01T09:55:00Z", "endsAt": "2026-03-01T10:04:00Z", "generatorURL": "x"},
        {"labels": labels, "startsAt": "2026-03-01T09:55:00Z", "endsAt": "2026-03-01T09:59:00Z"},
        {"labels": labels, "startsAt": "2026-03-01T09:55:00Z"},
        {"labels": labels, "startsAt": "0001-01-01T00:00:00Z", "endsAt": "0001-01-01T00:00:00Z"},
        {"labels": labels, "endsAt": "2026-03-01T09:59:00Z"},
    ]));
    assert_eq!(batch.refused.message(), "");
    let read = alerts(batch);
    let minute = |count: i64| NOW_MS - 10_000 + count * 60_000;
    let shown: Vec<_> = read.iter().map(|it| (it.firing, it.starts_ms, it.ends_ms)).collect();
    assert_eq!(
        shown,
        [
            (true, minute(-5), Some(minute(4))),
            (false, minute(-5), Some(minute(-1))),
            (true, minute(-5), Some(NOW_MS + 300_000)),
            (true, NOW_MS, Some(NOW_MS + 300_000)),
            (false, minute(-1), Some(minute(-1))),
        ]
    );
    assert!(read.iter().all(|it| it.fingerprint == read[0].fingerprint));
}

#[test]
fn fingerprints_are_those_of_prometheus() {
    // computed by prometheus/common v0.62.0
    for (labels, expected) in [
        (
            &[("alertname", "HighErrorRate"), ("service", "payment"), ("severity", "critical")][..],
            "80628af91ac2d0eb",
        ),
        (&[("alertname", "A"), ("region", "é")], "856fa5205049e02d"),
        (&[], "cbf29ce484222325"),
    ] {
        let labels = labels.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect();
        assert_eq!(fingerprint(&labels), expected);
    }
}

#[test]
fn alerts_that_always_fire_are_skipped() {
    let (answer, batch) = post(&json!([
        {"labels": {"alertname": "Watchdog", "severity": "none"}},
        {"labels": {"alertname": "Other", "severity": "none"}},
    ]));
    assert_eq!((answer.skipped, batch.taken.alerts, batch.refused.total()), (2, 0, 0));
}

#[test]
fn settings_that_cannot_work_are_named() {
    assert_eq!(Settings::default().validate(), [""; 0]);
    let settings =
        Settings { resolve_timeout_minutes: 0, fallback_service: "x".repeat(257), ..Settings::default() };
    let problems = settings.validate();
    assert!(
        problems[0].starts_with("resolve_timeout_minutes: 0") && problems[1].starts_with("fallback_service:")
    );
    assert!(serde_json::from_str::<Settings>(r#"{"severity_label": []}"#).is_err());
}

#[test]
fn the_service_is_named_by_own_labels_then_by_the_identity_and_last_by_the_fallback() {
    let settings = Settings {
        service_labels: vec!["team_service".into()],
        fallback_service: "platform".into(),
        ..Settings::default()
    };
    let body = json!([
        {"labels": {"alertname": "A", "service": "kube-state-metrics", "team_service": "payment"}},
        {"labels": {"alertname": "A", "service": "order"}},
        {"labels": {"alertname": "A"}},
    ])
    .to_string();
    let (_, batch) = with(posted, body.as_bytes(), &settings);
    let services: Vec<_> = alerts(batch).into_iter().map(|alert| alert.service).collect();
    assert_eq!(services, ["payment", "order", "platform"]);
}

#[test]
fn a_bad_alert_is_refused_alone_and_named_by_its_index() {
    let many: BTreeMap<String, &str> = (0..80).map(|at| (format!("l{at}"), "x")).collect();
    let (_, batch) = post(&json!([
        {"labels": {"alertname": "A"}},
        {"labels": {"service": "payment"}},
        {"labels": {"alertname": "A", "service": "payment"}, "startsAt": "yesterday"},
        {"labels": {"alertname": "A", "service": 3}},
        {"labels": many},
        {"labels": {"alertname": "A", "service": "a"},
         "startsAt": "2026-03-01T09:59:00Z", "endsAt": "2026-03-01T09:55:00Z"},
        {"labels": {"alertname": "A", "service": "payment"}},
        7,
    ]));
    let counts: Vec<_> = batch.refused.counts().collect();
    let expected = [(Reason::Name, 1), (Reason::NoService, 1), (Reason::Labels, 1), (Reason::Invalid, 4)];
    assert_eq!(counts, expected);
    assert!(
        batch.refused.message().contains("alert 0: no label names a service"),
        "{}",
        batch.refused.message()
    );
    assert_eq!(batch.taken.alerts, 1);
}

#[test]
fn long_values_are_cut_and_the_summary_is_one_line() {
    let long = "é".repeat(10_000);
    let (_, batch) = post(&json!([
        {"labels": {"alertname": "A", "service": "payment", "long": long}, "annotations": {"summary": "a\nb\u{1b}[31m"}},
    ]));
    let read = alerts(batch);
    assert_eq!((read[0].labels["long"].len(), &*read[0].summary), (MAX_VALUE_BYTES, "a b [31m"));
}

proptest! {
    #[test]
    fn any_times_are_taken_or_refused(starts in any::<i64>(), ends in any::<i64>()) {
        let time = |seconds: i64| Timestamp::from_second(seconds % 253_000_000_000).map(|time| time.to_string());
        let (Ok(starts), Ok(ends)) = (time(starts), time(ends)) else { return Ok(()) };
        let (_, batch) = post(&json!([
            {"labels": {"alertname": "A", "service": "a"}, "startsAt": starts, "endsAt": ends},
        ]));
        prop_assert_eq!(batch.taken.alerts + batch.refused.total(), 1);
        alerts(batch);
    }
}
