//! The same log yields the same anomalies, byte for byte, also with a crash anywhere in between.

use std::collections::BTreeMap;
use std::sync::Arc;

use detection::{At, Offsets, Outcome, Partition, Settings};
use proptest::prelude::*;
use shared::events::anomaly::Status;

use crate::shop::{Noise, START_MS, Source, healthy};

const HALF_HOUR_MS: i64 = 1_800_000;

/// What a record holds.
enum Input {
    Metrics(String),
    Log(String),
    Deployment(String),
}

/// Why calls fail, one after the other.
const SENTENCES: [&str; 4] =
    ["door is shut", "no key was found for it", "somebody else was faster", "the floor is wet"];

/// An anomaly's identity, and its bytes.
type Reported = BTreeMap<(String, u32), String>;

/// Writes a log in which two services burn now and then and one falls silent once, among ticks and repeated, late and
/// broken records.
#[expect(clippy::too_many_lines, reason = "data, written out")]
fn input(seed: u64) -> Vec<Input> {
    let mut source = Source::new(Noise::Gaussian, seed);
    let mut log = Vec::new();
    for i in 0..400_i64 {
        let ts_ms = START_MS + i * 10_000;
        if i % 7 == 0 {
            log.push(Input::Metrics("[]".to_owned()));
        }
        for (s, service) in ["payment", "user"].into_iter().enumerate() {
            if service == "user" && (210..235).contains(&i) {
                continue;
            }
            let burns = (i / 25 + s as i64 + seed as i64) % 4 == 3;
            let latency = 380.0 * (1.0 + 0.05 * source.draw()) * if burns { 5.0 } else { 1.0 };
            let rate = 80.0 * (1.0 + 0.05 * source.draw());
            // now and then all a little worse, and since a deployment some of it for good
            let worse = if i % 100 > 80 { 1.1 } else { 1.0 };
            let cpu = 30.0 * (1.0 + 0.05 * source.draw()) * worse * if i > 270 { 1.15 } else { 1.0 };
            let stamp = if source.draw() > 2.2 { ts_ms - 10_000 } else { ts_ms };
            let sample = |metric: &str, value: f64| {
                format!(r#"{{"service":"{service}","metric":"{metric}","value":{value},"ts_ms":{stamp}}}"#)
            };
            let broken = if source.draw() > 2.0 { "null" } else { r#"{"service":"x"}"# };
            log.push(Input::Metrics(match i % 10 {
                9 => format!(
                    "[{},{broken},{},{}]",
                    sample("latency_p99_ms", latency * worse),
                    sample("request_rate", rate / worse),
                    sample("cpu_percent", cpu)
                ),
                _ => format!(
                    "[{},{},{}]",
                    sample("latency_p99_ms", latency * worse),
                    sample("request_rate", rate / worse),
                    sample("cpu_percent", cpu)
                ),
            }));
            // close to its limit now and then, which is raised, and tells nothing for a while
            let used = if burns { 96 } else { 40 };
            let limit = if i < 200 { 100 } else { 120 };
            let connections = sample("db_connections", f64::from(used));
            log.push(Input::Metrics(if (300..=330).contains(&i) {
                connections
            } else {
                format!("[{},{connections}]", sample("db_connections_max", f64::from(limit)))
            }));
            let mut line = |level: &str, message: &str, after_ms: i64| {
                let ts_ms = ts_ms + after_ms;
                log.push(Input::Log(format!(
                    r#"{{"service":"{service}","level":"{level}","message":"{message}","ts_ms":{ts_ms}}}"#
                )));
            };
            line("INFO", &format!("request {i} answered"), 0);
            line("INFO", "cache is warm", 4000);
            if i == 0 {
                line("ERROR", &format!("call 0 failed: {}", SENTENCES[0]), 5000);
            }
            if burns {
                // the first sentence is known from the start, the others are new
                let why = SENTENCES[(i / 100) as usize];
                for call in 0..4 {
                    line("ERROR", &format!("call {call} failed: {why}"), 5000 + call);
                }
                if i % 25 == 7 {
                    line("ERROR", "panic: no key", 6000);
                }
            } else if i % 40 == 0 {
                log.push(Input::Log("[]".to_owned()));
            }
            if i % 90 == 0 {
                log.push(Input::Deployment(format!(
                    r#"{{"service":"{service}","version":"build-{i}","ts_ms":{ts_ms}}}"#
                )));
            }
        }
    }
    log
}

/// Feeds the records from `from` to `to` that the partition has not seen yet.
fn feed(partition: &mut Partition, log: &[Input], from: Offsets, to: usize, emitted: &mut Reported) {
    feed_at(5_000, partition, log, from, to, emitted);
}

/// The same, with records of metrics that come `pace_ms` after one another.
fn feed_at(
    pace_ms: i64,
    partition: &mut Partition,
    log: &[Input],
    from: Offsets,
    to: usize,
    emitted: &mut Reported,
) {
    // each topic counts its own offsets
    let mut next = Offsets { metrics: 0, logs: 0, deployments: 0, alerts: 0 };
    for (place, input) in log[..to].iter().enumerate() {
        let at = |offset: i64| At { offset, timestamp_ms: Some(START_MS + offset * pace_ms) };
        let line_at =
            |offset: i64| At { offset, timestamp_ms: Some(START_MS + 400 * 10_000 + 1000 * place as i64) };
        let mut outcome = Outcome::default();
        match input {
            Input::Metrics(payload) => {
                if next.metrics > from.metrics {
                    outcome = partition.metrics(payload.as_bytes(), at(next.metrics));
                }
                next.metrics += 1;
            }
            Input::Log(payload) => {
                if next.logs > from.logs {
                    outcome = partition.log(payload.as_bytes(), line_at(next.logs));
                }
                next.logs += 1;
            }
            Input::Deployment(payload) => {
                if next.deployments > from.deployments {
                    outcome = partition.deployment(payload.as_bytes(), at(next.deployments));
                }
                next.deployments += 1;
            }
        }
        for anomaly in outcome.anomalies {
            let id = (anomaly.anomaly_id.to_string(), anomaly.revision);
            let bytes = serde_json::to_string(&anomaly).unwrap();
            if let Some(before) = emitted.insert(id, bytes.clone()) {
                assert_eq!(before, bytes, "emitted again, and differently");
            }
        }
    }
}

/// Writes four weeks of half hours of a service that follows the week, and has too much traffic now and then.
fn weeks(seed: u64) -> Vec<Input> {
    let mut source = Source::new(Noise::Weekly, seed);
    let mut log = Vec::new();
    for i in 0..28 * 48 {
        let ts_ms = START_MS + i * HALF_HOUR_MS;
        // ever more, for what it has done before is nothing new
        let load = if i < 300 || i % 97 < 94 { 1.0 } else { (i / 97) as f64 };
        let rate = load * healthy(80.0, 0, ts_ms, &mut source);
        log.push(Input::Metrics(format!(
            r#"{{"service":"shop","metric":"request_rate","value":{rate},"ts_ms":{ts_ms}}}"#
        )));
    }
    log
}

/// Where a snapshot is taken, how many of its records are written, and how far the log is read before the crash.
type Life = (f64, usize, f64);

fn lives() -> impl Strategy<Value = Vec<Life>> {
    prop::collection::vec((0.0_f64..1.0, 0_usize..=4, 0.0_f64..0.3), 1..5)
}

/// Reads a log in one life, and in several with a crash at the end of each; returns what was emitted by the one and by the
/// others.
fn live(log: &[Input], pace_ms: i64, lives: &[Life]) -> (Reported, Reported) {
    let settings = Arc::new(Settings::default());
    let (mut whole, mut emitted) = (Reported::new(), Reported::new());
    let mut only = Partition::new(3, settings.clone());
    feed_at(pace_ms, &mut only, log, Offsets::default(), log.len(), &mut whole);

    let mut state: BTreeMap<String, Vec<u8>> = BTreeMap::new();
    let restore = |state: &BTreeMap<String, Vec<u8>>| {
        let records = state.iter().map(|(key, value)| (key.as_str(), value.as_slice()));
        let restored = Partition::restore(3, settings.clone(), records);
        assert!(restored.refused.is_empty());
        restored
    };
    for &(snapshot_at, written, further) in lives {
        let mut life = restore(&state);
        let place = |part: f64| (part.min(1.0) * log.len() as f64) as usize;
        feed_at(pace_ms, &mut life.partition, log, life.resume, place(snapshot_at), &mut emitted);
        let snapshot = life.partition.snapshot();
        let written = snapshot.records.iter().take(written);
        state.extend(written.map(|record| (record.key.clone(), record.value.clone())));
        let seen = life.partition.applied();
        feed_at(pace_ms, &mut life.partition, log, seen, place(snapshot_at + further), &mut emitted);
    }
    let mut last = restore(&state);
    feed_at(pace_ms, &mut last.partition, log, last.resume, log.len(), &mut emitted);
    (whole, emitted)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    #[test]
    fn crashes_anywhere_change_no_byte(seed in 0_u64..1000, lives in lives()) {
        let (whole, emitted) = live(&input(seed), 5_000, &lives);
        prop_assert!(whole.len() > 10);
        prop_assert_eq!(emitted, whole);
    }

    #[test]
    fn crashes_in_any_week_change_no_byte(seed in 0_u64..1000, lives in lives()) {
        let (whole, emitted) = live(&weeks(seed), HALF_HOUR_MS, &lives);
        prop_assert!(whole.len() > 4);
        prop_assert_eq!(emitted, whole);
    }
}

#[test]
fn the_log_of_this_test_has_all_kinds_of_anomalies() {
    let mut emitted = Reported::new();
    feed(&mut Partition::new(0, Arc::default()), &input(1), Offsets::default(), input(1).len(), &mut emitted);
    for status in [Status::Suspect, Status::Firing, Status::Cleared] {
        let name = format!(r#""status":"{status}""#);
        assert!(emitted.values().any(|anomaly| anomaly.contains(&name)), "no {status}");
    }
    for field in [
        r#""metric":"silence","unit":"s","severity":"sev2""#,
        r#""metric":"joint""#,
        r#""metric":"cpu_percent:regression""#,
        r#""metric":"db_connections","unit":"","severity":"sev2""#,
    ] {
        assert!(emitted.values().any(|anomaly| anomaly.contains(field)), "no {field}");
    }
    assert!(emitted.values().any(|anomaly| anomaly.contains("call <*> failed")));
    for metric in ["logs:errors", "logs:new_template", "logs:critical"] {
        for status in [Status::Firing, Status::Cleared] {
            let said = |anomaly: &&String| {
                anomaly.contains(&format!(r#""metric":"{metric}""#))
                    && anomaly.contains(&format!(r#""status":"{status}""#))
            };
            assert!(emitted.values().any(|anomaly| said(&anomaly)), "no {status} {metric}");
        }
    }
    assert!(emitted.values().any(|anomaly| anomaly.contains("build-")));
}

#[test]
fn state_that_cannot_be_read_is_named_and_passed_over() {
    let mut partition = Partition::new(0, Arc::default());
    feed(&mut partition, &input(1), Offsets::default(), 100, &mut Reported::new());
    let snapshot = partition.snapshot();
    assert_eq!(snapshot.records.last().unwrap().key, "0");
    let damaged = |mut value: Vec<u8>| {
        value.truncate(value.len() / 2);
        value
    };
    let payment = damaged(snapshot.records[0].value.clone());
    let other_format = [&[99], &snapshot.records[1].value[1..]].concat();
    let records = [
        ("0/production/payment", payment.as_slice()),
        ("0/production/user", other_format.as_slice()),
        ("1/production/order", b"of another partition".as_slice()),
        ("0", snapshot.records[2].value.as_slice()),
    ];
    let restored = Partition::restore(0, Arc::default(), records);
    assert_eq!(restored.refused.len(), 2, "{:?}", restored.refused);
    assert_eq!(restored.resume, partition.applied());
    assert_eq!(restored.partition.series(), 0);
}

#[test]
fn a_snapshot_holds_what_has_changed_and_stays_small() {
    let mut partition = Partition::new(0, Arc::default());
    assert!(partition.snapshot().records.is_empty());
    feed(&mut partition, &input(1), Offsets::default(), 2000, &mut Reported::new());
    let snapshot = partition.snapshot();
    // two services, one of whose records only the name could be read, and the partition
    assert_eq!(snapshot.records.len(), 4);
    // five series a service, two of which remember what they do at their time, its log, and what is said of all together
    assert!(
        snapshot.records[0].value.len() < 5 * 1850 + 2 * 1100 + 2900,
        "{} bytes",
        snapshot.records[0].value.len()
    );
    assert_eq!(partition.snapshot(), snapshot, "nothing is forgotten before it is saved");
    partition.saved(snapshot.version);
    assert!(partition.snapshot().records.is_empty());
}

#[test]
fn the_state_of_the_largest_service_fits_into_one_record() {
    let settings = Settings::default();
    let mut source = Source::new(Noise::Gaussian, 1);
    // beyond 32 series no further one remembers what it does at its time
    let mut sizes = [1, 36, 40].map(|series| (series, Partition::new(0, Arc::new(settings.clone())), 0));
    for i in 0..12_000 {
        let ts_ms = START_MS + i * 300_000;
        let value = 1e9 * (1.0 + 0.05 * source.draw());
        for (series, partition, _) in &mut sizes {
            let sample = |number: usize| {
                format!(
                    r#"{{"service":"user","metric":"http_requests_{number}","value":{value},"ts_ms":{ts_ms}}}"#
                )
            };
            let samples: Vec<String> = (0..*series).map(sample).collect();
            let payload = format!("[{}]", samples.join(","));
            partition.metrics(payload.as_bytes(), At { offset: i, timestamp_ms: Some(ts_ms) });
        }
    }
    for (_, partition, size) in &mut sizes {
        *size = partition.snapshot().records[0].value.len();
    }
    let [(.., one), (.., some), (.., more)] = sizes;
    let series = (more - some) / 4;
    let service = more + series * (settings.max_series_per_service - 40);
    eprintln!("{one} bytes with one series, {series} bytes for the last ones, {service} bytes a service");
    assert!(service < 950_000, "{series} bytes a series, {service} bytes a service");
}
