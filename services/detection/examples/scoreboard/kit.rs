//! The evaluation kit's public part, judged by the kit's own scorer.

use std::fmt::Write as _;
use std::fs::File;
use std::io::{BufReader, BufWriter};
use std::path::Path;
use std::process::{Command, Stdio};

use anyhow::{Context as _, Result, ensure};
use detection::Settings;
use detection::tools::replay::{Args, Format, replay};
use serde_json::Value;

/// Baselines of the kit, with the threshold that each has of its own (`d / (d + 4)` for `d` deviations).
const BASELINES: [(&str, &str, &str); 2] = [
    ("seed", "0.3846", "z-score of the last samples, 2.5 deviations"),
    ("zscore2000_refractory", "0.6", "z-score of 2000 samples, 6 deviations, silent for 150 samples"),
];

/// Scores the kit, if it is there.
pub(crate) fn score(page: &mut String) -> Result<Value> {
    if let Some(folder) = std::env::var_os("FIREWATCH_BENCH_DIR") {
        return nab(folder.as_ref(), page);
    }
    eprintln!("FIREWATCH_BENCH_DIR is not set: the evaluation kit is NOT scored");
    page.push_str("\nThe evaluation kit was not found, and not scored.\n");
    Ok(Value::Null)
}

/// Replays the NAB files and lets the kit score the decisions, beside two of its baselines.
fn nab(kit: &Path, page: &mut String) -> Result<Value> {
    let data = kit.join("data/nab/dev");
    std::fs::create_dir_all("target/score")?;
    let decisions = Path::new("target/score/nab.jsonl");
    let mut unpacked = Command::new("gzip")
        .arg("-dc")
        .arg(data.join("points.jsonl.gz"))
        .stdout(Stdio::piped())
        .spawn()
        .context("running gzip")?;
    let points = BufReader::with_capacity(1 << 16, unpacked.stdout.take().context("no output of gzip")?);
    let args = Args { file: "-".into(), format: Format::Jsonl, explain: false };
    let summary = replay(points, BufWriter::new(File::create(decisions)?), &args, Settings::default())?;
    ensure!(unpacked.wait()?.success(), "gzip failed");
    let _ = write!(
        page,
        "\n## NAB, public files\n\n{} samples of {} series, standard profile, own decision at a fixed threshold: it is \
         what the settings were looked at with, so expect less elsewhere.\n\n\
         | detector or folder | score | windows hit | false runs in 1,000 rows |\n|---|---|---|---|\n",
        summary.used, summary.series
    );
    for (method, threshold, name) in BASELINES {
        let path = format!("target/score/{method}.jsonl");
        let out = File::create(&path)?;
        let status = Command::new("python3")
            .arg(kit.join("baselines_nab.py"))
            .arg(method)
            .arg(&data)
            .stdout(out)
            .status()?;
        ensure!(status.success(), "the baseline {method} failed");
        for row in judge(kit, &data, Path::new(&path), threshold)?.iter().take(1) {
            write_row(page, name, row);
        }
    }
    let rows = judge(kit, &data, decisions, "0.5")?;
    for (index, row) in rows.iter().enumerate() {
        let folder = row["service"].as_str().map(|folder| format!("- {folder}"));
        let name = if index == 0 { "**ours**" } else { folder.as_deref().unwrap_or("-") };
        write_row(page, name, row);
    }
    rows.into_iter().next().context("the scorer printed nothing")
}

/// Returns what the scorer prints: the whole, then each folder.
fn judge(kit: &Path, data: &Path, decisions: &Path, threshold: &str) -> Result<Vec<Value>> {
    let output = Command::new("python3")
        .arg(kit.join("score_nab.py"))
        .args(["--threshold", threshold, "--by-folder", "--data"])
        .arg(data)
        .arg("--pred")
        .arg(decisions)
        .stderr(Stdio::inherit())
        .output()
        .context("running the scorer")?;
    ensure!(output.status.success(), "the scorer failed");
    let lines = String::from_utf8(output.stdout)?;
    lines.lines().map(|line| Ok(serde_json::from_str(line)?)).collect()
}

fn write_row(page: &mut String, name: &str, row: &Value) {
    let figure = |field: &str| row[field].as_f64().unwrap_or(f64::NAN);
    let _ = writeln!(
        page,
        "| {name} | {:.1} | {} of {} | {:.2} |",
        figure("normalised"),
        figure("windows_hit"),
        figure("windows"),
        figure("false_runs_per_1000_rows")
    );
}
