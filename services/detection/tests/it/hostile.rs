//! Bad input is refused or dropped with a reason, and the stream goes on.

use std::sync::Arc;

use detection::partition::task::Assigned;
use detection::service::outcome::Reason;
use detection::{At, Partition, Settings};
use shared::bus::partitioned::Task as _;
use shared::events::anomaly::Status;
use shared::events::{MAX_PAYLOAD, Topic};
use shared::text::secrets::{self, Redactor};

use crate::shop::START_MS;

const HOUR_MS: i64 = 3_600_000;

fn at(offset: i64) -> At {
    At { offset, timestamp_ms: Some(START_MS) }
}

fn sample(service: &str, metric: &str, value: f64, ts_ms: i64) -> Vec<u8> {
    format!(r#"{{"service":"{service}","metric":"{metric}","value":{value},"ts_ms":{ts_ms}}}"#).into_bytes()
}

fn dropped(partition: &mut Partition, ts_ms: i64) -> Option<Reason> {
    let outcome = partition.metrics(&sample("user", "m", 1.0, ts_ms), at(0));
    assert!(outcome.refused.is_none());
    outcome.dropped.iter().next().map(|(reason, count)| {
        assert_eq!((count, outcome.used), (1, 0));
        reason
    })
}

#[test]
fn times_out_of_order_are_dropped_by_reason() {
    let mut partition = Partition::new(0, Arc::default());
    for (ts_ms, reason) in [
        (START_MS, None),
        (START_MS, Some(Reason::Duplicate)),
        (START_MS - 1, Some(Reason::OutOfOrder)),
        (START_MS - HOUR_MS - 1, Some(Reason::Late)),
        (946_684_800_000, Some(Reason::Late)),
        (START_MS + 24 * HOUR_MS, Some(Reason::Ahead)),
        (START_MS + 300_001, Some(Reason::Ahead)),
        // its clock is ahead: it is of the time of its record
        (START_MS + 300_000, Some(Reason::Duplicate)),
        (START_MS + 10_000, None),
    ] {
        assert_eq!(dropped(&mut partition, ts_ms), reason, "{ts_ms}");
    }
}

#[test]
fn times_that_are_not_in_milliseconds_are_refused() {
    let mut partition = Partition::new(0, Arc::default());
    for ts_ms in
        [i64::MIN, -5, 0, START_MS / 1000, START_MS * 1000, START_MS.saturating_mul(1_000_000), i64::MAX]
    {
        let outcome = partition.metrics(&sample("user", "m", 9e9, ts_ms), at(0));
        assert_eq!(outcome.refused.unwrap().reason(), "invalid", "{ts_ms}");
    }
    assert_eq!(partition.series(), 0);
}

#[test]
fn a_first_sample_of_the_far_future_does_not_block_the_series() {
    let mut partition = Partition::new(0, Arc::default());
    assert_eq!(dropped(&mut partition, START_MS + 24 * HOUR_MS), Some(Reason::Ahead));
    assert_eq!(dropped(&mut partition, START_MS), None);
}

#[test]
fn series_are_bounded() {
    let settings = Settings { max_series: 3, max_series_per_service: 2, ..Settings::default() };
    let mut partition = Partition::new(0, Arc::new(settings));
    let mut used = 0;
    for service in ["a", "b", "c", "d"] {
        for metric in ["x", "y", "z"] {
            let outcome = partition.metrics(&sample(service, metric, 1.0, START_MS), at(0));
            used += outcome.used;
            assert_eq!(outcome.dropped.iter().count() as u32 + outcome.used, 1);
        }
    }
    assert_eq!((used, partition.series()), (3, 3));
}

#[test]
fn junk_between_samples_changes_nothing() {
    let huge = vec![b' '; MAX_PAYLOAD + 1];
    let junk: [&[u8]; 9] = [
        b"",
        b"{",
        b"[]]",
        b"\xff\xfe",
        br#"{"service":"user","metric":"m","value":"NaN","ts_ms":1}"#,
        br#"{"service":"user","metric":"m","value":null,"ts_ms":1}"#,
        br#"{"service":"user","metric":"m","value":1e999,"ts_ms":1}"#,
        br#"{"service":"user","metric":"m","value":1,"ts_ms":1.5}"#,
        &huge,
    ];
    let mut partition = Partition::new(0, Arc::default());
    let mut firing = 0;
    for i in 0..200 {
        let value = 100.0 + (i % 5) as f64 + if i >= 150 { 500.0 } else { 0.0 };
        let ts_ms = START_MS + i * 1000;
        let payload = sample("user", "latency_p99_ms", value, ts_ms);
        let outcome = partition.metrics(&payload, At { offset: 2 * i, timestamp_ms: Some(ts_ms) });
        firing += outcome.anomalies.iter().filter(|anomaly| anomaly.status == Status::Firing).count().min(1);
        let outcome = partition.metrics(junk[i as usize % junk.len()], at(2 * i + 1));
        assert!(outcome.refused.is_some() && outcome.used == 0);
        let offset = i;
        assert!(partition.log(junk[i as usize % 4], at(offset)).refused.is_some());
        assert!(partition.deployment(junk[i as usize % 4], at(offset)).refused.is_some());
    }
    assert!(firing > 0);
}

#[test]
fn the_largest_numbers_leave_finite_anomalies() {
    // seconds, and half hours for two weeks, in which its seasons are learned
    for interval_ms in [1000, 1_800_000] {
        let mut partition = Partition::new(0, Arc::default());
        let mut told = 0;
        for i in 0..700 {
            let value = if i % 7 < 3 && i > 100 { 1e30 } else { -1e30 + (i % 3) as f64 * 1e29 };
            let ts_ms = START_MS + i * interval_ms;
            let at = At { offset: i, timestamp_ms: Some(ts_ms) };
            let outcome = partition.metrics(&sample("user", "m", value, ts_ms), at);
            assert_eq!(outcome.used, 1);
            for anomaly in &outcome.anomalies {
                shared::events::encode(anomaly).unwrap();
                told += 1;
            }
        }
        assert!(told > 0, "{interval_ms} ms");
    }
}

#[test]
fn secrets_in_log_lines_are_not_published() {
    let secrets = ["ada@example.com", "AKIAIOSFODNN7EXAMPLE", "hunter2hunter2", "CUST-4711"];
    let patterns = vec![r"CUST-\d+".to_owned()];
    let redactor = Redactor::new(&secrets::Options { patterns, ..secrets::Options::default() });
    let settings = Settings { redactor, partitions: 1, ..Settings::default() };
    let mut task = Assigned::restore(0, Arc::new(settings), &mut std::iter::empty());
    let mut published = String::new();
    for second in 0..1_500 {
        let ts_ms = START_MS + second * 1_000;
        let line = if second < 1_200 {
            "GET /health took 3 ms".to_owned()
        } else {
            format!(
                "charge of {} for {} refused: password={} key {}",
                secrets[0], secrets[3], secrets[2], secrets[1]
            )
        };
        let level = if second < 1_200 { "INFO" } else { "ERROR" };
        let record =
            serde_json::json!({ "service": "user", "level": level, "message": line, "ts_ms": ts_ms });
        let payload = record.to_string().into_bytes();
        let output = task.record(Topic::RawLogs, second, ts_ms, &payload).unwrap();
        for outgoing in output.publish {
            published.push_str(str::from_utf8(&outgoing.payload).unwrap());
        }
    }
    assert!(published.contains("charge of [email "), "{published}");
    for secret in secrets {
        assert!(!published.contains(secret), "{secret} in {published}");
    }
}
