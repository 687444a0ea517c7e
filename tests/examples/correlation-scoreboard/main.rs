//! The scoreboard of correlation: `make score-correlation`. Plays faults of the simulator through detection and
//! correlation in one process, and writes `docs/scoreboard-correlation.md` and `target/score/correlation.jsonl`.
//! `--seeds 20`, `--only flapping` and `--noise skewed` run a part of it and write no document.

mod case;
mod page;
mod tally;

use std::io::{BufWriter, Write as _};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use tests::scoreboard::{Selection, plan};

use tally::Tally;

/// Where each case is written, one a line.
const CASES: &str = "target/score/correlation.jsonl";

/// Scores correlation over faults of the simulator.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

fn main() -> Result<()> {
    let Arguments { selection } = Arguments::parse();
    std::fs::create_dir_all("target/score")?;
    let file = std::fs::File::create(CASES).with_context(|| format!("writing {CASES}"))?;
    let mut lines = BufWriter::new(file);
    let begun = Instant::now();
    let (mut rows, mut samples) = (Vec::new(), 0);
    for noise in selection.noises() {
        for plan in selection.of(plan::all()) {
            let mut tally = Tally::default();
            for seed in selection.seeds() {
                let outcome = case::outcome(&plan, noise, seed)?;
                samples += outcome.samples;
                for line in outcome.lines() {
                    writeln!(lines, "{line}")?;
                }
                tally.add(&outcome);
            }
            let row = page::Row { scenario: plan.name.clone(), noise, tally };
            println!("{}", row.line());
            rows.push(row);
        }
    }
    lines.flush()?;
    let took = begun.elapsed().as_secs_f64();
    let page = page::render(&rows, selection.seeds);
    println!("\n{}", page::calibration(&rows));
    println!("{samples} samples in {took:.1} s ({:.0} a second), cases in {CASES}", samples as f64 / took);
    if selection.is_complete() {
        std::fs::write("docs/scoreboard-correlation.md", page)?;
    }
    Ok(())
}
