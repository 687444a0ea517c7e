//! `gateway-oracle`: runs seeds in which the gateway and Kafka fail, and writes a summary.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde::Serialize;
use tests::gateway_oracle::plan::Plan;
use tests::gateway_oracle::{self, Outcome};
use tests::seeds::{Seeds, limited};

/// Kills the gateway and Kafka while producers send, and checks that no acknowledged point is lost.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    seeds: Seeds,
    /// Folder for the summary, and for the logs of seeds with violations
    #[arg(long, default_value = "target/oracle-gateway")]
    out: PathBuf,
    /// Prints the plan of the first seed, and runs nothing
    #[arg(long)]
    plan: bool,
}

/// What is written to `summary.json`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    seeds: usize,
    violations: usize,
    requests: usize,
    points: u64,
    copies: u64,
    repeats: BTreeMap<String, usize>,
    harms: BTreeMap<String, usize>,
    seconds: f64,
    outcomes: Vec<Outcome>,
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds += 1;
        self.violations += outcome.violations.len();
        self.requests += outcome.requests;
        self.points += outcome.points;
        self.copies += outcome.copies;
        for (all, own) in [(&mut self.repeats, &outcome.repeats), (&mut self.harms, &outcome.harms)] {
            for (what, times) in own {
                *all.entry(what.clone()).or_default() += times;
            }
        }
        self.seconds += outcome.seconds;
        self.outcomes.push(outcome);
    }

    /// Returns whether anything was put to the test.
    fn is_telling(&self) -> bool {
        !self.repeats.is_empty() && self.harms.keys().any(|what| what.starts_with("failpoint"))
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.plan {
        println!("{}", serde_json::to_string_pretty(&Plan::draw(arguments.seeds.first_seed))?);
        return Ok(ExitCode::SUCCESS);
    }
    std::fs::create_dir_all(&arguments.out)?;
    let binaries = std::path::absolute(&arguments.seeds.binaries)?;
    let mut summary = Summary::default();
    for seed in arguments.seeds.numbers() {
        let plan = Plan::draw(seed);
        let outcome = limited(seed, Box::pin(gateway_oracle::run(&plan, &binaries, &arguments.out))).await?;
        print(&outcome);
        summary.add(outcome);
        std::fs::write(arguments.out.join("summary.json"), serde_json::to_vec_pretty(&summary)?)?;
    }
    println!(
        "{} seeds, {} violations; {} points of {} requests acknowledged, {} copies; repeated: {}; done: {}; {:.0} s",
        summary.seeds,
        summary.violations,
        summary.points,
        summary.requests,
        summary.copies,
        counts(&summary.repeats),
        counts(&summary.harms),
        summary.seconds
    );
    if !summary.is_telling() {
        eprintln!("no failpoint was hit, or no request was repeated: this run proves nothing");
    }
    let holds = summary.is_telling() && summary.violations == 0;
    Ok(if holds { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

fn print(outcome: &Outcome) {
    println!(
        "seed {}: {} in {:.0} s; {} points of {} requests, {} copies; repeated: {}; done: {}",
        outcome.seed,
        if outcome.violations.is_empty() { "holds" } else { "VIOLATED" },
        outcome.seconds,
        outcome.points,
        outcome.requests,
        outcome.copies,
        counts(&outcome.repeats),
        counts(&outcome.harms)
    );
    for violation in &outcome.violations {
        println!("    {violation:?}");
    }
}

fn counts(counts: &BTreeMap<String, usize>) -> String {
    let each: Vec<String> = counts.iter().map(|(what, times)| format!("{what} {times}")).collect();
    each.join(", ")
}
