//! `oracle`: runs seeds with injected faults and writes a summary.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use clap::Parser;
use serde::Serialize;
use tests::mutants;
use tests::oracle::plan::Plan;
use tests::oracle::{self, Outcome};
use tests::seeds::{Seeds, limited};

/// Injects faults into a pipeline and checks that each step had exactly one effect.
#[derive(Debug, Parser)]
#[command(version)]
struct Arguments {
    #[command(flatten)]
    seeds: Seeds,
    /// Folder for the summary, and for the reports of seeds with violations
    #[arg(long, default_value = "target/oracle")]
    out: PathBuf,
    /// Prints the plan of the first seed, and runs nothing
    #[arg(long, conflicts_with = "mutants")]
    plan: bool,
    /// Breaks one guarantee at a time, and fails unless the seeds find a violation for each
    #[arg(long)]
    mutants: bool,
    /// Only the mutant of this name
    #[arg(long, requires = "mutants")]
    only: Option<String>,
}

/// What is written to `summary.json`.
#[derive(Debug, Default, Serialize)]
struct Summary {
    /// Seeds that were run.
    seeds: Vec<u64>,
    /// Violations, over all seeds.
    violations: usize,
    /// Seeds with violations.
    failed: Vec<u64>,
    /// Injected faults, by kind.
    kills_by_kind: BTreeMap<String, usize>,
    kills: usize,
    redeliveries: usize,
    takeovers: usize,
    duplicates_suppressed: usize,
    incidents: usize,
    commands: usize,
    commands_accepted: usize,
    command_copies: usize,
    mails: usize,
    mail_copies: usize,
    deliveries: usize,
    delivery_copies: usize,
    disturbed: usize,
    held: usize,
    seconds: f64,
    outcomes: Vec<Outcome>,
}

impl std::fmt::Display for Summary {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(
            f,
            "{} seeds, {} violations; {} kills, {} redeliveries, {} takeovers, {} duplicates suppressed; \
             {} incidents, {} mails and {} copies, {} deliveries by HTTP and {} copies, {} requests disturbed, \
             {} notifications held; {} commands ({} accepted) and {} copies; {:.0} s",
            self.seeds.len(),
            self.violations,
            self.kills,
            self.redeliveries,
            self.takeovers,
            self.duplicates_suppressed,
            self.incidents,
            self.mails,
            self.mail_copies,
            self.deliveries,
            self.delivery_copies,
            self.disturbed,
            self.held,
            self.commands,
            self.commands_accepted,
            self.command_copies,
            self.seconds
        )
    }
}

impl Summary {
    fn add(&mut self, outcome: Outcome) {
        self.seeds.push(outcome.seed);
        self.violations += outcome.violations.len();
        if !outcome.violations.is_empty() {
            self.failed.push(outcome.seed);
        }
        for (kind, times) in &outcome.faults {
            *self.kills_by_kind.entry(kind.clone()).or_default() += times;
        }
        self.kills += outcome.kills;
        self.redeliveries += outcome.redeliveries;
        self.takeovers += outcome.takeovers;
        self.duplicates_suppressed += outcome.duplicates_suppressed;
        self.incidents += outcome.incidents;
        self.commands += outcome.commands;
        self.commands_accepted += outcome.commands_accepted;
        self.command_copies += outcome.command_copies;
        self.mails += outcome.mails;
        self.mail_copies += outcome.mail_copies;
        self.deliveries += outcome.deliveries;
        self.delivery_copies += outcome.delivery_copies;
        self.disturbed += outcome.disturbed;
        self.held += outcome.held;
        self.seconds += outcome.seconds;
        self.outcomes.push(outcome);
    }
}

#[tokio::main]
async fn main() -> Result<ExitCode> {
    let arguments = Arguments::parse();
    if arguments.plan {
        println!("{}", serde_json::to_string_pretty(&Plan::draw(arguments.seeds.first_seed))?);
        return Ok(ExitCode::SUCCESS);
    }
    let done = if arguments.mutants { hunt(&arguments).await? } else { prove(&arguments).await? };
    Ok(if done { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Runs all seeds. Returns whether no invariant is violated, and whether anything was redelivered and taken over.
async fn prove(arguments: &Arguments) -> Result<bool> {
    let summary = run(arguments, &arguments.seeds.binaries, &arguments.out, StopAt::LastSeed).await?;
    println!("{summary}");
    let is_disturbed = summary.redeliveries > 0 && summary.takeovers > 0;
    let proves = is_disturbed && summary.incidents > 0 && summary.deliveries > 0;
    if !proves {
        eprintln!("no redelivery, no takeover, no incident or no delivery: this run proves nothing");
    }
    Ok(proves && summary.violations == 0)
}

/// Builds each mutant and runs seeds until one finds a violation. Returns whether all mutants were caught.
async fn hunt(arguments: &Arguments) -> Result<bool> {
    let mut escaped = Vec::new();
    for mutant in mutants::all()? {
        if arguments.only.as_ref().is_some_and(|only| *only != mutant.name) {
            continue;
        }
        println!("{}: {}", mutant.name, mutant.breaks);
        let binaries = mutant.build()?;
        let summary =
            run(arguments, &binaries, &arguments.out.join(&mutant.name), StopAt::FirstViolation).await?;
        if summary.violations == 0 {
            escaped.push(mutant.name);
        }
    }
    if !escaped.is_empty() {
        eprintln!("not caught: {}", escaped.join(", "));
    }
    Ok(escaped.is_empty())
}

/// When seeds are not run any more.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum StopAt {
    LastSeed,
    FirstViolation,
}

/// Runs seeds and writes `summary.json` after each.
async fn run(arguments: &Arguments, binaries: &Path, out: &Path, stop_at: StopAt) -> Result<Summary> {
    std::fs::create_dir_all(out)?;
    let binaries = std::path::absolute(binaries)?;
    let mut summary = Summary::default();
    for seed in arguments.seeds.numbers() {
        let outcome = limited(seed, Box::pin(oracle::run(&Plan::draw(seed), &binaries, out))).await?;
        print(&outcome);
        summary.add(outcome);
        std::fs::write(out.join("summary.json"), serde_json::to_vec_pretty(&summary)?)?;
        if stop_at == StopAt::FirstViolation && summary.violations > 0 {
            break;
        }
    }
    Ok(summary)
}

fn print(outcome: &Outcome) {
    println!(
        "seed {}: {} in {:.0} s; {} incidents, {} mails and {} copies; {} deliveries and {} copies, \
         {} held; {} commands ({} accepted); {} kills, {} redeliveries, {} takeovers, {} duplicates",
        outcome.seed,
        if outcome.violations.is_empty() { "holds" } else { "VIOLATED" },
        outcome.seconds,
        outcome.incidents,
        outcome.mails,
        outcome.mail_copies,
        outcome.deliveries,
        outcome.delivery_copies,
        outcome.held,
        outcome.commands,
        outcome.commands_accepted,
        outcome.kills,
        outcome.redeliveries,
        outcome.takeovers,
        outcome.duplicates_suppressed,
    );
    for violation in &outcome.violations {
        println!("    {violation}");
    }
}
