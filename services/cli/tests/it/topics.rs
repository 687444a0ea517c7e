//! What `firewatch topics` prints.

use std::collections::BTreeMap;

use cli::topics::line::{Document, render};
use cli::topics::list::{self, Row};
use serde_json::{Value, json};
use shared::agent::Agent;
use shared::bus::reader::Line;
use shared::events::Topic;

use crate::fixtures::{anomaly, incident, plan, postmortem, root_cause, screen};

fn record(key: &str, payload: &[u8]) -> Line {
    Line {
        partition: 3,
        offset: 120,
        timestamp_ms: Some(1_772_359_300_000),
        key: Some(key.to_owned()),
        headers: Vec::new(),
        payload: Some(payload.to_vec()),
    }
}

fn line(topic: Topic, value: &Value) -> String {
    render(topic, &record("payment", value.to_string().as_bytes()), &screen())
}

#[test]
fn each_event_reads_well() {
    let ts = 1_772_359_210_000_i64;
    let sample = |metric: &str, value: f64, unit: &str| json!({"service": "payment", "metric": metric, "value": value, "ts_ms": ts, "unit": unit});
    let batch = json!([
        sample("request_rate", 79.31, "1/s"),
        sample("error_rate", 0.512, "%"),
        sample("latency_p99_ms", 7_380.4, "ms"),
        sample("db_connections", 31.0, ""),
        sample("cpu_percent", 22.0, "%"),
    ]);
    let lines = [
        line(Topic::RawMetrics, &batch),
        line(Topic::RawMetrics, &sample("latency_p99_ms", 412.3, "ms")),
        line(
            Topic::RawLogs,
            &json!({"service": "payment", "level": "error", "message": "timed out waiting for a connection", "ts_ms": ts}),
        ),
        line(
            Topic::RawDeployments,
            &json!({"service": "user", "version": "2.4.1", "ts_ms": ts, "deployed_by": "ci", "description": "faster login"}),
        ),
        line(
            Topic::RawSpans,
            &json!({"trace_id": "4bf92f3577b34da6a3ce929d0e0e4736", "span_id": "00f067aa0ba902b7", "service": "order", "operation": "POST /orders", "ts_ms": ts, "duration_ms": 83.24, "status": "error"}),
        ),
        line(Topic::Anomalies, &anomaly()),
        line(Topic::IncidentsUpdated, &incident()),
        line(Topic::RcaCompleted, &root_cause()),
        line(Topic::Plans, &plan()),
        line(
            Topic::Actions,
            &json!({"incident_id": "00000000-0000-5000-8000-000000000012", "plan_id": "00000000-0000-5000-8000-0000000000b1", "order": 2, "outcome": "refused by policy", "at": "2026-03-01T10:00:40Z"}),
        ),
        line(Topic::Postmortems, &postmortem()),
        line(
            Topic::SimFaults,
            &json!({"fault": 1, "scenario": "db-connections", "service": "payment", "phase": "started", "at": "2026-03-01T10:00:00Z", "environment": "production"}),
        ),
    ];
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn what_cannot_be_read_is_shown_in_part() {
    let deleted = Line { payload: None, ..record("0/production/payment", b"") };
    let lines = [
        render(Topic::DetectionState, &record("0/production/payment", &[1, 0, 255, 7]), &screen()),
        render(Topic::DetectionState, &deleted, &screen()),
        render(Topic::RawMetrics, &record("payment", b""), &screen()),
        render(Topic::RawMetrics, &record("payment", b"[]"), &screen()),
        render(
            Topic::RawMetrics,
            &record("payment", br#"{"service": "payment", "value": "NaN"}"#),
            &screen(),
        ),
        render(
            Topic::RawLogs,
            &record("\x1b[31mred\x07", b"\x1b]0;owned\x07{\x1b[2J not JSON\r\nat all"),
            &screen(),
        ),
        render(Topic::RawLogs, &record("payment", "a".repeat(600_000).as_bytes()), &screen()),
    ];
    insta::assert_snapshot!(lines.concat());
}

#[test]
fn hostile_telemetry_stays_one_harmless_line() {
    let message = "\u{1b}[31mERROR\u{1b}[0m \u{1b}]0;owned\u{7}first\nsecond\u{9b}2J \u{202e}gnp.exe";
    let text = line(
        Topic::RawLogs,
        &json!({"service": "pay\rment", "level": "warn", "message": message, "ts_ms": 0}),
    );
    assert_eq!(text, "1970-01-01 00:00:00  WARN  pay ment  ERROR ]0;ownedfirst second gnp.exe\n");
    let wild = json!({"service": "payment", "level": "warn", "message": "x", "ts_ms": i64::MAX});
    assert_eq!(line(Topic::RawLogs, &wild).lines().count(), 1);
}

#[test]
fn a_dead_letter_tells_why_and_where_from() {
    let mut letter = record("payment", anomaly().to_string().as_bytes());
    let headers = [
        ("dlq_reason", "invalid: revision counts\x1b[2J from 1"),
        ("dlq_attempts", "3"),
        ("dlq_origin_topic", "anomalies.detected"),
        ("dlq_origin_partition", "2"),
        ("dlq_origin_offset", "77"),
    ];
    letter.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let mut broken = letter.clone();
    broken.payload = Some(b"{\"service\": \"pay".to_vec());
    let bare = Line { headers: Vec::new(), payload: None, ..letter.clone() };
    let topic = Topic::DeadLetters(Agent::Correlation);
    insta::assert_snapshot!([letter, broken, bare].map(|record| render(topic, &record, &screen())).concat());
}

#[test]
fn a_decision_about_a_dead_letter_is_told_as_one() {
    let mut decided = record("payment", b"");
    let headers = [
        ("dlq_mark", "discarded"),
        ("dlq_marked_offset", "42"),
        ("dlq_marked_by", "alice\x1b[2J"),
        ("dlq_marked_because", "a test\r\nof ours"),
    ];
    decided.headers = headers.map(|(name, value)| (name.to_owned(), value.to_owned())).to_vec();
    let line = |record: &Line| render(Topic::DeadLetters(Agent::Correlation), record, &screen());
    assert_eq!(line(&decided), "2026-03-01 10:01:40  [3]@42 discarded by alice [2J: a test of ours\n");
    decided.headers[0].1 = "forgotten".to_owned();
    assert_eq!(line(&decided), "2026-03-01 10:01:40  a decision that cannot be read\n");
}

#[test]
fn a_record_without_a_time_of_its_own_has_that_of_its_envelope() {
    let mut updated = record("incident", incident().to_string().as_bytes());
    updated.headers = vec![("ce_time".to_owned(), "2026-03-01T10:01:00Z".to_owned())];
    assert!(render(Topic::IncidentsUpdated, &updated, &screen()).starts_with("2026-03-01 10:01:00  #12"));
}

#[test]
fn a_record_is_a_document_too() {
    let mut letter = record("payment", b"not JSON");
    letter.headers = vec![("dlq_reason".to_owned(), "malformed".to_owned())];
    insta::assert_json_snapshot!([
        Document::of(Topic::RawLogs, &record("payment", br#"{"a": 1}"#)),
        Document::of(Topic::DeadLetters(Agent::Detection), &letter),
    ]);
}

#[test]
fn the_topics_in_a_table() {
    let row = |topic, exists, records, carries, key, behind: &[(&'static str, i64)]| Row {
        topic,
        exists,
        partitions: if exists { 6 } else { 0 },
        records,
        carries,
        key,
        behind: behind.iter().copied().collect::<BTreeMap<_, _>>(),
    };
    let rows = [
        row("raw.metrics", true, 1_234_567, Some("firewatch.metric.v1"), "service", &[("detection", 42)]),
        row(
            "incidents.opened",
            true,
            3,
            Some("firewatch.incident.v1"),
            "incident",
            &[("communication", 0), ("investigation", 1)],
        ),
        row("detection.state", true, 12, None, "partition, service", &[]),
        row("dlq.correlation", true, 2, None, "as the input", &[]),
        row("sim.faults", false, 0, Some("firewatch.fault.v1"), "service", &[]),
    ];
    insta::assert_snapshot!(list::render(&rows, &screen()));
}
