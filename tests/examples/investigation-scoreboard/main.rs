//! The scoreboard of investigation: `make score-investigation`. Plays faults of the simulator through detection, correlation and
//! investigation in one process, and writes `docs/scoreboard-investigation.md` and `target/score/investigation.jsonl`. The
//! document also has what `causes`, `retrieval-scoreboard` and `latency` have left in `target/score`.
//! `--seeds 20`, `--only flapping` and `--noise skewed` run a part of it; with the latter two no document is written.

use std::fs::File;
use std::io::{BufWriter, Write as _};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use simulator::Noise;
use tests::scoreboard::investigation::page::{self, Group, Row, Unfounded};
use tests::scoreboard::investigation::{Tally, outcome};
use tests::scoreboard::{Plan, Selection, plan};

/// Where each case is written, one a line.
const CASES: &str = "target/score/investigation.jsonl";

/// Scores investigation over faults of the simulator.
#[derive(Debug, Parser)]
struct Arguments {
    #[command(flatten)]
    selection: Selection,
}

/// What was played so far.
struct Scores {
    lines: BufWriter<File>,
    rows: Vec<Row>,
    /// Incidents about no fault beside faults.
    unfounded: Unfounded,
    samples: u64,
}

impl Scores {
    fn score(&mut self, group: Group, plan: &Plan, noise: Noise, selection: &Selection) -> Result<()> {
        let mut tally = Tally::default();
        for seed in selection.seeds() {
            let outcome = outcome(plan, noise, seed)?;
            self.samples += outcome.samples;
            for line in outcome.lines() {
                writeln!(self.lines, "{line}")?;
            }
            tally.add(&outcome);
            if group == Group::Visible {
                self.unfounded.add(&outcome);
            }
        }
        let row = Row { group, scenario: plan.name.clone(), noise, tally };
        println!("{}", row.line());
        self.rows.push(row);
        Ok(())
    }
}

fn main() -> Result<()> {
    let Arguments { selection } = Arguments::parse();
    std::fs::create_dir_all("target/score")?;
    let file = File::create(CASES).with_context(|| format!("writing {CASES}"))?;
    let mut scores =
        Scores { lines: BufWriter::new(file), rows: Vec::new(), unfounded: Unfounded::default(), samples: 0 };
    let begun = Instant::now();
    for noise in selection.noises() {
        for (group, plans) in [
            (Group::Visible, plan::all()),
            (Group::Quiet, vec![plan::quiet()]),
            (Group::Invisible, plan::invisible()),
        ] {
            for plan in selection.of(plans) {
                scores.score(group, &plan, noise, &selection)?;
            }
        }
    }
    scores.lines.flush()?;
    let Scores { rows, unfounded, samples, .. } = scores;
    let took = begun.elapsed().as_secs_f64();
    println!("\n{}", page::summary(&rows, &unfounded));
    println!("{samples} samples in {took:.1} s ({:.0} a second), cases in {CASES}", samples as f64 / took);
    if selection.is_complete() {
        std::fs::write("docs/scoreboard-investigation.md", page::render(&rows, &unfounded, selection.seeds))?;
    }
    Ok(())
}
