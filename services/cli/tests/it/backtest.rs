//! `firewatch backtest`: what it prints of files, and how it ends where they cannot be read.

use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};

use serde_json::Value;

const MINUTE_MS: i64 = 60_000;
/// 2026-03-01 10:00:00 UTC.
const BEGIN_MS: i64 = 1_772_359_200_000;
const ROWS: i64 = 140;
/// First row in which payment's processor is busy, and the first in which it is not any more.
const FAULT: std::ops::Range<i64> = 120..132;

fn firewatch(arguments: &[&str]) -> Output {
    let mut command = Command::new(env!("CARGO_BIN_EXE_firewatch"));
    // no setting is read, so a wrong one does not matter
    command.args(arguments).env("FIREWATCH_KAFKA__BROKER", "x").output().unwrap()
}

fn text(bytes: &[u8]) -> String {
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// Writes a case: api calls order, order calls payment; payment's processor is busy, and all three are slow.
fn case(name: &str) -> PathBuf {
    let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("backtest").join(name);
    std::fs::create_dir_all(&folder).unwrap();
    let mut samples = String::new();
    for row in 0..ROWS {
        let is_hit = FAULT.contains(&row);
        for (place, service) in ["api", "order", "payment"].into_iter().enumerate() {
            let wobble = ((row * 7 + place as i64 * 3) % 11) as f64;
            let busy = if is_hit && service == "payment" { 40.0 } else { 0.0 };
            let slow = if is_hit { 120.0 } else { 0.0 };
            for (metric, value) in
                [("cpu_percent", 30.0 + wobble + busy), ("latency_p95_ms", 80.0 + wobble + slow)]
            {
                let ts_ms = BEGIN_MS + row * MINUTE_MS;
                let _ = writeln!(
                    samples,
                    r#"{{"ts_ms":{ts_ms},"service":"{service}","metric":"{metric}","value":{value}}}"#
                );
            }
        }
    }
    let alert = BEGIN_MS + FAULT.start * MINUTE_MS + 20_000;
    for (file, text) in [
        ("metrics.jsonl", samples),
        (
            "topology.json",
            r#"{"services":["api","order","payment"],"edges":[["api","order"],["order","payment"]]}"#.into(),
        ),
        ("alert.json", format!(r#"{{"ts_ms":{alert},"service":"api","metric":null}}"#)),
    ] {
        std::fs::write(folder.join(file), text).unwrap();
    }
    folder
}

#[test]
fn a_case_is_ranked_with_both_probabilities() {
    let folder = case("payment-is-busy");
    let folder = folder.to_str().unwrap();
    let output = firewatch(&["backtest", "cause", folder]);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let ranking: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!((&ranking["case_id"], &ranking["verdict"]), (&"payment-is-busy".into(), &"cause".into()));
    let first = &ranking["ranking"][0];
    assert_eq!((&first["service"], &first["category"]), (&"payment".into(), &"cpu".into()));
    assert!(first["probability"].as_f64().unwrap() > 0.8, "{first}");
    assert!(first["category_probability"].as_f64().unwrap() > 0.8, "{first}");
    insta::assert_snapshot!(text(&firewatch(&["backtest", "cause", folder, "--format", "table"]).stdout));
}

#[test]
fn a_stream_is_one_incident_for_one_fault() {
    let folder = case("stream");
    let (file, topology) = (folder.join("metrics.jsonl"), folder.join("topology.json"));
    let arguments =
        ["backtest", "incidents", file.to_str().unwrap(), "--topology", topology.to_str().unwrap()];
    let output = firewatch(&arguments);
    assert!(output.status.success(), "{}", text(&output.stderr));
    let lines: Vec<Value> =
        text(&output.stdout).lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(lines.len(), 1, "{lines:?}");
    let opened = (lines[0]["ts_ms"].as_i64().unwrap() - BEGIN_MS) / MINUTE_MS;
    assert!((FAULT.start..FAULT.start + 4).contains(&opened), "opened in row {opened}");
    assert_eq!(lines[0]["ranking"][0]["service"], "payment");
    let table = firewatch(&[&arguments[..], &["--format", "table"]].concat());
    insta::assert_snapshot!(text(&table.stdout));
    assert!(
        text(&table.stderr).starts_with("840 samples of 6 series in 140 rows"),
        "{}",
        text(&table.stderr)
    );
}

#[test]
fn files_that_cannot_be_read_are_one_line_and_the_code_that_fits() {
    let folder = case("broken");
    std::fs::write(folder.join("alert.json"), "{}").unwrap();
    for (arguments, code) in [
        (vec!["backtest", "cause", "no-such-folder"], 3),
        (vec!["backtest", "incidents", "no-such-file"], 3),
        (vec!["backtest", "cause", folder.to_str().unwrap()], 1),
        (vec!["backtest", "cause"], 2),
    ] {
        let output = firewatch(&arguments);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {}", text(&output.stderr));
        assert!(code == 2 || text(&output.stderr).lines().count() == 1, "{}", text(&output.stderr));
    }
}
