//! `detection replay` and `detection tune` over a small file.

use std::collections::{HashMap, HashSet};
use std::fmt::Write as _;
use std::sync::Arc;

use detection::tools::replay::{Args, Format, Summary, replay};
use detection::tools::tune::tune;
use detection::{At, Partition, Settings};
use simulator::{Options, Shop};

use crate::shop::{Noise, START_MS, Source};

/// A file as the evaluation kit writes it, with a repeated stamp, one that goes back, and a line that is none.
fn file() -> String {
    let mut source = Source::new(Noise::Gaussian, 5);
    let mut file = String::new();
    for i in 0..260_i64 {
        let burns = (200..220).contains(&i);
        let value = if burns { 3000.0 } else { 380.0 } * (1.0 + 0.05 * source.draw());
        let ts_ms = START_MS + 10_000 * if i == 50 { 49 } else { i };
        let _ = writeln!(
            file,
            r#"{{"ts_ms":{ts_ms},"service":"payment","metric":"latency_p99_ms","value":{value:.1}}}"#
        );
        if i == 100 {
            let _ = writeln!(file, "\nnot a sample");
            let _ = writeln!(
                file,
                r#"{{"ts_ms":{},"service":"payment","metric":"latency_p99_ms","value":1}}"#,
                ts_ms - 5
            );
        }
    }
    file
}

fn run(format: Format, explain: bool) -> (String, Summary) {
    let args = Args { file: "-".into(), format, explain };
    let mut out = Vec::new();
    let summary = replay(file().as_bytes(), &mut out, &args, Settings::default()).unwrap();
    (String::from_utf8(out).unwrap(), summary)
}

#[test]
fn each_decision_is_one_line() {
    let (jsonl, summary) = run(Format::Jsonl, false);
    assert_eq!(summary, Summary { used: 259, dropped: 2, refused: 1, decisions: 1, series: 1 });
    let scores: Vec<u64> = jsonl
        .lines()
        .map(|line| serde_json::from_str::<serde_json::Value>(line).unwrap()["score"].as_u64().unwrap())
        .collect();
    assert_eq!(scores, [0, 1, 0], "suspect, firing, cleared");
    insta::assert_snapshot!(jsonl);
}

#[test]
fn the_table_reads_well() {
    insta::assert_snapshot!(run(Format::Table, true).0);
}

/// Returns a week of the simulator at 5 min a sample in bursty noise, with a few faults.
fn a_week_of_the_shop() -> String {
    let noise = simulator::noise::Noise::Bursty;
    let options =
        Options { interval_ms: 300_000, noise, first_fault_after: 800, min_gap: 500, ..Options::default() };
    let mut shop = Shop::new(options);
    let ticks = (0..2016).map(|i| shop.tick(START_MS + i * 300_000).metrics);
    let lines = ticks.map(|metrics| serde_json::to_string(&metrics).unwrap() + "\n");
    lines.chain(["not a sample\n".to_owned()]).collect()
}

#[test]
fn each_change_of_status_is_one_line() {
    let file = a_week_of_the_shop();
    let args = Args { file: "-".into(), format: Format::Jsonl, explain: false };
    let mut out = Vec::new();
    replay(file.as_bytes(), &mut out, &args, Settings::default()).unwrap();
    let out = String::from_utf8(out).unwrap();
    let told: HashSet<(i64, String, String, String)> = out
        .lines()
        .map(|line| {
            let line: serde_json::Value = serde_json::from_str(line).unwrap();
            let text = |field: &str| line[field].as_str().unwrap().to_owned();
            (line["ts_ms"].as_i64().unwrap(), text("service"), text("metric"), text("status"))
        })
        .collect();
    let mut partition = Partition::new(0, Arc::new(Settings { partitions: 1, ..Settings::default() }));
    let (mut statuses, mut changes) = (HashMap::new(), 0);
    for (line, offset) in file.lines().zip(0..) {
        let outcome = partition.metrics(line.as_bytes(), At { offset, timestamp_ms: None });
        for anomaly in &outcome.anomalies {
            if statuses.insert(anomaly.anomaly_id, anomaly.status) == Some(anomaly.status) {
                continue;
            }
            changes += 1;
            let (at_ms, status) = (anomaly.observed_at.as_millisecond(), anomaly.status.to_string());
            let line = (at_ms, anomaly.service.clone(), anomaly.metric.clone(), status);
            assert!(told.contains(&line), "{line:?}");
        }
    }
    assert!(changes > 20, "{changes}");
}

#[test]
fn tune_tells_what_other_budgets_would_have_raised() {
    let mut out = Vec::new();
    tune(a_week_of_the_shop().as_bytes(), &mut out, &[0.01, 1.0, 100.0], &Settings::default()).unwrap();
    insta::assert_snapshot!(String::from_utf8(out).unwrap());
}

#[test]
fn tune_refuses_a_budget_that_is_none() {
    let refused = |budgets: &[f64]| tune("".as_bytes(), Vec::new(), budgets, &Settings::default()).is_err();
    assert!(refused(&[0.0]) && refused(&[f64::NAN]) && refused(&[-1.0]));
    assert!(refused(&(1..=20).map(f64::from).collect::<Vec<_>>()), "memory is bounded");
}
