//! The scoreboard of correlation: `make score-correlation`. Plays faults of the simulator through detection and
//! correlation in one process, and writes `docs/scoreboard-correlation.md` and `target/score/correlation.jsonl`.
//! `--seeds 20`, `--only flapping` and `--noise skewed` run a part of it and write no document.

mod case;
mod naive;
mod page;
mod plan;
mod tally;

use std::io::{BufWriter, Write as _};
use std::time::Instant;

use anyhow::{Context, Result};
use clap::Parser;
use clap::ValueEnum as _;
use simulator::Noise;

use tally::Tally;

/// Where each case is written, one a line.
const CASES: &str = "target/score/correlation.jsonl";

/// Scores correlation over faults of the simulator.
#[derive(Debug, Parser)]
struct Arguments {
    /// Seeds of each scenario and noise.
    #[arg(long, default_value_t = 200, value_parser = clap::value_parser!(u64).range(1..=10_000))]
    seeds: u64,
    /// First seed.
    #[arg(long, default_value_t = 1)]
    first_seed: u64,
    /// Only scenarios with this in their name.
    #[arg(long, value_name = "TEXT")]
    only: Option<String>,
    /// Only this noise.
    #[arg(long, value_enum)]
    noise: Option<Noise>,
}

impl Arguments {
    fn is_complete(&self) -> bool {
        self.only.is_none() && self.noise.is_none() && self.first_seed == 1
    }
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    std::fs::create_dir_all("target/score")?;
    let file = std::fs::File::create(CASES).with_context(|| format!("writing {CASES}"))?;
    let mut lines = BufWriter::new(file);
    let begun = Instant::now();
    let (mut rows, mut samples) = (Vec::new(), 0);
    let wanted = |name: &str| arguments.only.as_ref().is_none_or(|text| name.contains(text.as_str()));
    let noises = Noise::value_variants().iter().copied().filter(|noise| *noise != Noise::Off);
    for noise in noises.filter(|noise| arguments.noise.is_none_or(|only| only == *noise)) {
        for plan in plan::all().into_iter().filter(|plan| wanted(&plan.name)) {
            let mut tally = Tally::default();
            for seed in arguments.first_seed..arguments.first_seed + arguments.seeds {
                let outcome = case::play(&plan, noise, seed)?;
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
    let page = page::render(&rows, arguments.seeds);
    println!("\n{}", page::calibration(&rows));
    println!("{samples} samples in {took:.1} s ({:.0} a second), cases in {CASES}", samples as f64 / took);
    if arguments.is_complete() {
        std::fs::write("docs/scoreboard-correlation.md", page)?;
    }
    Ok(())
}
