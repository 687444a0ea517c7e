//! Alerts of other rule engines: they fire, clear and expire by fingerprint.

use std::sync::Arc;

use detection::{At, Outcome, Partition, Settings};
use serde_json::{Value, json};
use shared::events::anomaly::{Ended, Status};
use shared::events::{Anomaly, Kind, Severity};

const START_MS: i64 = 1_750_000_000_000;
const MINUTE_MS: i64 = 60_000;

fn partition() -> Partition {
    Partition::new(0, Arc::new(Settings::default()))
}

/// Returns what a source says `minute` minutes after the start: of an alert that began then and is over four minutes later unless
/// it is sent again.
fn said(fingerprint: &str, minute: i64, firing: bool) -> Value {
    let ts_ms = START_MS + minute * MINUTE_MS;
    let ends_ms = if firing { ts_ms + 4 * MINUTE_MS } else { ts_ms };
    json!({
        "fingerprint": fingerprint, "service": "payment", "name": "HighErrorRate", "firing": firing,
        "starts_ms": START_MS, "ends_ms": ends_ms, "ts_ms": ts_ms, "severity": "critical",
        "summary": "5 % of the requests fail",
    })
}

fn with(mut alert: Value, field: &str, value: Value) -> Value {
    alert[field] = value;
    alert
}

/// Feeds records as they come, each at its own time; a tick has none, and comes at the minute that stands there.
fn feed(partition: &mut Partition, from: i64, records: &[Value]) -> Vec<Anomaly> {
    let take = |(offset, record): (usize, &Value)| take(partition, from + offset as i64, record).anomalies;
    records.iter().enumerate().flat_map(take).collect()
}

fn take(partition: &mut Partition, offset: i64, record: &Value) -> Outcome {
    let (payload, stamp_ms) = match record.as_i64() {
        Some(minute) => ("[]".to_owned(), START_MS + minute * MINUTE_MS),
        None => (record.to_string(), record["ts_ms"].as_i64().unwrap()),
    };
    partition.alert(payload.as_bytes(), At { offset, timestamp_ms: Some(stamp_ms) })
}

fn statuses(anomalies: &[Anomaly]) -> Vec<(Status, Option<Ended>)> {
    anomalies.iter().map(|anomaly| (anomaly.status, anomaly.ended)).collect()
}

#[test]
fn an_alert_fires_once_however_often_it_is_sent_and_clears_when_it_is_resolved() {
    let records = [said("a", 0, true), said("a", 1, true), said("a", 2, true), said("a", 3, false), json!(9)];
    let anomalies = feed(&mut partition(), 0, &records);
    assert_eq!(statuses(&anomalies), [(Status::Firing, None), (Status::Cleared, Some(Ended::Recovered))]);
    let [fired, cleared] = &anomalies[..] else { panic!("{anomalies:?}") };
    assert_eq!(fired.anomaly_id, cleared.anomaly_id);
    assert_eq!((fired.kind, fired.severity), (Kind::Errors, Severity::Sev2));
    assert_eq!((&*fired.metric, &*fired.detector), ("alert:HighErrorRate", "alertmanager/1"));
    let explanations: Vec<&str> = anomalies.iter().map(|anomaly| &*anomaly.explanation).collect();
    insta::assert_debug_snapshot!(explanations);
}

#[test]
fn an_alert_that_is_not_sent_again_is_over_when_its_source_said_and_nothing_is_known_of_a_recovery() {
    let mut partition = partition();
    let anomalies = feed(&mut partition, 0, &[said("a", 0, true), said("a", 1, true), json!(4)]);
    assert_eq!(statuses(&anomalies), [(Status::Firing, None)]);
    assert_eq!(partition.alert_patience_ms(), Some(MINUTE_MS + 1));
    let anomalies = feed(&mut partition, 3, &[json!(6)]);
    assert_eq!(statuses(&anomalies), [(Status::Cleared, Some(Ended::SourceGone))]);
    assert_eq!(partition.alert_patience_ms(), None);
    // what does not say when it is over is forgotten after a day
    let endless = with(said("b", 10, true), "ends_ms", Value::Null);
    assert_eq!(feed(&mut partition, 4, &[endless, json!(10 + 24 * 60 - 1)]).len(), 1);
    assert_eq!(feed(&mut partition, 6, &[json!(10 + 24 * 60)]).len(), 1);
}

#[test]
fn two_alerts_of_one_rule_that_begin_together_are_two() {
    let records = [said("a", 0, true), said("b", 0, true), said("a", 1, false)];
    let anomalies = feed(&mut partition(), 0, &records);
    assert_eq!(anomalies.len(), 3);
    assert_ne!(anomalies[0].anomaly_id, anomalies[1].anomaly_id);
    assert_eq!((anomalies[2].status, anomalies[2].anomaly_id), (Status::Cleared, anomalies[0].anomaly_id));
}

#[test]
fn an_alert_whose_end_was_lost_ends_where_it_begins_anew() {
    let again = with(said("a", 3, true), "starts_ms", json!(START_MS + 2 * MINUTE_MS));
    let anomalies = feed(&mut partition(), 0, &[said("a", 0, true), again]);
    let ids: Vec<_> = anomalies.iter().map(|anomaly| anomaly.anomaly_id).collect();
    assert_eq!(
        statuses(&anomalies),
        [(Status::Firing, None), (Status::Cleared, Some(Ended::Recovered)), (Status::Firing, None)]
    );
    assert!(ids[0] == ids[1] && ids[1] != ids[2]);
}

#[test]
fn what_came_late_or_for_the_second_time_changes_nothing() {
    let mut partition = partition();
    feed(&mut partition, 0, &[said("a", 2, true)]);
    let late = take(&mut partition, 1, &said("a", 1, false));
    assert_eq!((late.anomalies.len(), late.dropped.total()), (0, 1));
    assert_eq!(feed(&mut partition, 2, &[said("a", 3, false), said("a", 3, false)]).len(), 1);
}

#[test]
fn an_alert_counts_as_its_severity_says() {
    let of = |severity: &str| {
        let anomalies = feed(&mut partition(), 0, &[with(said("a", 0, true), "severity", json!(severity))]);
        anomalies.first().map(|anomaly| (anomaly.status, anomaly.severity, anomaly.evidence))
    };
    assert_eq!(of("Critical"), Some((Status::Firing, Severity::Sev2, 6.0)));
    assert_eq!(of(""), Some((Status::Firing, Severity::Sev3, 6.0)));
    assert_eq!(of("warning"), Some((Status::Suspect, Severity::Sev4, 3.0)));
    assert_eq!(of("info"), None);
}

#[test]
fn hostile_records_are_refused_and_texts_are_cleaned() {
    let mut partition = partition();
    for record in [
        json!({}),
        with(said("a", 0, true), "service", json!("")),
        with(said("a", 0, true), "name", json!("a\u{7}")),
        with(said("a", 0, true), "starts_ms", json!(START_MS / 1000)),
        with(said("a", 0, true), "ends_ms", json!(START_MS - 1)),
        with(said("a", 0, true), "firing", json!("yes")),
    ] {
        let outcome = partition.alert(record.to_string().as_bytes(), At { offset: 0, timestamp_ms: None });
        assert!(outcome.refused.is_some() && outcome.anomalies.is_empty(), "{record}");
    }
    let ahead = with(said("a", 0, true), "starts_ms", json!(START_MS + 60 * MINUTE_MS));
    let ahead = with(ahead, "ends_ms", json!(START_MS + 70 * MINUTE_MS));
    assert_eq!(take(&mut partition, 1, &ahead).dropped.total(), 1);
    let text = format!("first\nsecond\u{202e}{}", "x".repeat(10_000));
    let anomalies = feed(&mut partition, 2, &[with(said("a", 0, true), "summary", json!(text))]);
    let explanation = &anomalies[0].explanation;
    assert!(explanation.len() < 500 && !explanation.contains(['\n', '\u{202e}']), "{explanation}");
}

#[test]
fn there_are_only_so_many_alerts_of_a_service() {
    let records: Vec<Value> = (0..600).map(|number| said(&number.to_string(), 0, true)).collect();
    assert_eq!(feed(&mut partition(), 0, &records).len(), 500);
}

#[test]
fn a_restart_anywhere_changes_nothing() {
    let records = [
        said("a", 0, true),
        said("b", 1, true),
        said("a", 2, false),
        json!(3),
        said("b", 3, true),
        json!(6),
        json!(8),
        said("c", 9, true),
    ];
    let expected = feed(&mut partition(), 0, &records);
    assert_eq!(expected.len(), 5);
    for crash in 0..=records.len() {
        let mut before = partition();
        let mut found = feed(&mut before, 0, &records[..crash]);
        let state = before.snapshot().records.into_iter().map(|record| (record.key, record.value));
        let restored = Partition::restore(0, Arc::new(Settings::default()), state);
        assert!(restored.refused.is_empty(), "{:?}", restored.refused);
        let mut after = restored.partition;
        // the last records are read again
        let again = crash.saturating_sub(2);
        let next = i64::try_from(again).unwrap().max(restored.resume.alerts + 1);
        found.extend(feed(&mut after, next, &records[usize::try_from(next).unwrap()..]));
        assert_eq!(found, expected, "after {crash} records");
    }
}
