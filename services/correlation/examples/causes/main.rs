//! Ranks the dev parts of the evaluation kit (found by `FIREWATCH_BENCH_DIR`) and prints the kit's own scores, beside those
//! that the research code reached.
//!
//! `cargo run --release -p correlation --example causes [REFERENCE]`, where REFERENCE is a folder that
//! `tests/reference/kit.py` wrote: then each case and incident is compared as well. The kit's scripts need `python3`.
//! `causes --cases` leaves out invented changes and streams. The figures of the cases are also written to
//! `target/score/causes.jsonl`.

mod calibration;
mod kit;
mod reference;

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Context as _, Result};
use calibration::Calibration;
use correlation::backtest::cause::{self, Ranking};
use correlation::backtest::folder::{self, Reading};
use correlation::backtest::incidents;
use correlation::backtest::topology;
use correlation::cause::incidents::WARM_UP_ROWS;
use correlation::cause::{Evidence, Minutes};
use kit::{Kit, Known};
use serde_json::{Value, json};

/// How the spans and logs from before a case are known.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum History {
    /// Those of earlier cases and the normal minutes, as in a running pipeline.
    Causal,
    /// The normal minutes.
    Iso,
    /// None: only the case's folder.
    Folder,
}

/// One way to rank a part of the kit, and what the research code reached on it.
struct Mode {
    part: &'static str,
    name: &'static str,
    /// Rows before the alert that are no history: as the kit cuts its files, or as the command does.
    before_rows: usize,
    history: History,
    /// AC@1 and AC@3 of the research code, by the first letters of the cases.
    reference: &'static [(&'static str, &'static str)],
}

/// Where the figures of the cases are written.
const FIGURES: &str = "target/score/causes.jsonl";

const MODES: [Mode; 6] = [
    Mode {
        part: "petshop",
        name: "flow",
        before_rows: 1,
        history: History::Folder,
        reference: &[("pet", "1.000 / 1.000")],
    },
    Mode {
        part: "petshop",
        name: "flow_as_read",
        before_rows: 3,
        history: History::Folder,
        reference: &[("pet", "not published")],
    },
    Mode {
        part: "nezha",
        name: "causal",
        before_rows: 2,
        history: History::Causal,
        reference: &[("nezha-ob", ".792 / .958"), ("nezha-tt", ".941 / 1.000")],
    },
    Mode {
        part: "nezha",
        name: "iso",
        before_rows: 2,
        history: History::Iso,
        reference: &[("nezha-ob", ".750 / .875"), ("nezha-tt", ".941 / 1.000")],
    },
    Mode {
        part: "nezha",
        name: "folder",
        before_rows: 2,
        history: History::Folder,
        reference: &[("nezha-ob", "not published"), ("nezha-tt", "not published")],
    },
    Mode {
        part: "nezha",
        name: "as_read",
        before_rows: 3,
        history: History::Folder,
        reference: &[("nezha-ob", "not published"), ("nezha-tt", "not published")],
    },
];

fn main() -> Result<()> {
    let Some(folder) = std::env::var_os("FIREWATCH_BENCH_DIR") else {
        eprintln!("FIREWATCH_BENCH_DIR is not set: NOTHING is ranked and NOTHING is compared");
        return Ok(());
    };
    let argument = std::env::args_os().nth(1);
    let only_cases = argument.as_ref().is_some_and(|argument| argument == "--cases");
    let reference = argument.filter(|_| !only_cases).map(PathBuf::from);
    let kit = Kit::expand(folder.as_ref())?;
    let mut lines = Vec::new();
    for mode in &MODES {
        lines.extend(score(&kit, mode, reference.as_deref())?);
    }
    kit::write_lines(Path::new(FIGURES), &lines)?;
    if only_cases {
        return Ok(());
    }
    changes(&kit)?;
    for name in ["ob_2022-08-22", "tt_2023-01-30"] {
        stream(&kit, name, reference.as_deref())?;
    }
    Ok(())
}

/// Ranks the cases of a part, and returns their figures.
fn score(kit: &Kit, mode: &Mode, reference: Option<&Path>) -> Result<Vec<Value>> {
    let known = kit.known(mode.part)?;
    let mut rankings = Vec::new();
    let (mut slowest, mut total) = (0.0_f64, 0.0);
    for one in &known {
        let case = folder::read(&one.folder, Reading { before_rows: mode.before_rows })?;
        let history = history(mode.history, one, &known);
        let begun = Instant::now();
        rankings.push(cause::rank(&one.case_id, &case, &history));
        let took_ms = begun.elapsed().as_secs_f64() * 1000.0;
        (slowest, total) = (slowest.max(took_ms), total + took_ms);
    }
    println!(
        "\n## {} {} ({} cases, {:.1} ms each, {slowest:.1} ms at most)\n",
        mode.part,
        mode.name,
        known.len(),
        total / known.len() as f64
    );
    println!("cases: AC@1 / AC@3, the research code's AC@1 / AC@3");
    let mut lines = Vec::new();
    for (prefix, theirs) in mode.reference {
        let some: Vec<&Ranking> = rankings.iter().filter(|one| one.case_id.starts_with(prefix)).collect();
        let ours = kit.judge(mode.part, prefix, &some)?;
        println!("{prefix}: {:.3} / {:.3}, {theirs}", ours.0, ours.1);
        lines.push(json!({ "cases": prefix, "mode": mode.name, "number": some.len(), "ac_1": ours.0,
            "ac_3": ours.1, "verdicts": calibration::verdicts(&some, &known)? }));
    }
    println!("{}", Calibration::of(&rankings, &known));
    if let Some(reference) = reference {
        reference::compare(&rankings, &reference.join(format!("{}.jsonl", mode.name)))?;
    }
    Ok(lines)
}

/// Seeds of invented changes.
const SEEDS: [&str; 5] = ["1", "2", "3", "4", "5"];

/// Ranks Nezha, earlier minutes known, beside changes that the kit invents: six of random services in the day before, and
/// in half of the cases one more of the culprit within 15 min.
fn changes(kit: &Kit) -> Result<()> {
    println!("\n## nezha causal with invented changes\n");
    let known = kit.known("nezha")?;
    for seed in SEEDS {
        let folders = kit.with_changes("nezha", seed)?;
        let mut rankings = Vec::new();
        for one in &known {
            let case = folder::read(&folders.join(&one.case_id), Reading { before_rows: 2 })?;
            rankings.push(cause::rank(&one.case_id, &case, &history(History::Causal, one, &known)));
        }
        for prefix in ["nezha-ob", "nezha-tt"] {
            let some: Vec<&Ranking> = rankings.iter().filter(|one| one.case_id.starts_with(prefix)).collect();
            let (first, third) = kit.judge("nezha", prefix, &some)?;
            println!("seed {seed}, {prefix}: {first:.3} / {third:.3}");
        }
    }
    Ok(())
}

/// Returns what is known before a case. The research code takes spans and logs of all minutes that began a minute before the
/// alert.
fn history(kind: History, one: &Known, all: &[Known]) -> Minutes {
    let mut minutes = Minutes::default();
    let limit = one.alert_ms - 60_000;
    if kind == History::Causal {
        let same = all.iter().filter(|other| other.system == one.system);
        minutes.extend(same.flat_map(|other| &other.evidence).filter(|row: &&Evidence| row.ts_ms() < limit));
    }
    if kind != History::Folder {
        minutes.extend(&one.normal);
    }
    minutes
}

fn stream(kit: &Kit, name: &str, reference: Option<&Path>) -> Result<()> {
    let path = kit.streams.join(format!("{name}.jsonl"));
    let sheet = std::fs::read_to_string(kit.streams.join(format!("{name}.json")))?;
    for (suffix, warm_up) in [("", kit.lab_warm_up(name, &sheet)?), ("_warm_up_100", WARM_UP_ROWS)] {
        let file = std::io::BufReader::with_capacity(1 << 16, std::fs::File::open(&path)?);
        let begun = Instant::now();
        let mut opened = Vec::new();
        let options = incidents::Options {
            topology: Some(topology(&sheet)?),
            warm_up_rows: warm_up,
            ..incidents::Options::default()
        };
        let take = |incident| {
            opened.push(incident);
            Ok(())
        };
        let summary = incidents::run(file, options, take, |_| {})?;
        let seconds = begun.elapsed().as_secs_f64();
        println!("\n## stream {name}, {warm_up} rows to learn from\n");
        println!(
            "{} rows, {} samples of {} series in {seconds:.1} s ({:.0} a second)",
            summary.rows,
            summary.used,
            summary.series,
            summary.used as f64 / seconds
        );
        println!("{}", kit.judge_stream(name, &opened).context("scoring the stream")?);
        if let Some(reference) = reference {
            reference::compare_incidents(&opened, &reference.join(format!("{name}{suffix}.jsonl")))?;
        }
    }
    Ok(())
}
