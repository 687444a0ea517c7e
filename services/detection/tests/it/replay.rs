//! `detection replay` and `detection tune` over a small file.

use std::fmt::Write as _;

use detection::Settings;
use detection::tools::replay::{Args, Format, Summary, replay};
use detection::tools::tune::tune;
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
