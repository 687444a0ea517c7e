//! `stack demo`.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::Result;
use shared::clock::{Clock, SystemClock};
use stack::observe::event_feed;
use stack::run::layout;
use stack::run::progress::{Progress, say};
use stack::{Options, Program, Stack};

use super::follow::Ending;
use stack::demo::narration::Narration;

/// Seconds of healthy telemetry before the start, from which detection learns what is normal.
const HISTORY_S: u32 = 60;
/// Seconds from the start of the simulator to the first fault.
const FIRST_FAULT_S: u32 = 20;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Copies of each agent
    #[arg(long, env = "DEMO_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=6))]
    replicas: u32,
    /// Always this scenario, e.g. `memory-leak`; otherwise all seven in random order
    #[arg(long, env = "DEMO_SCENARIO")]
    scenario: Option<String>,
    /// Seed of that order and of all noise; otherwise taken from the time
    #[arg(long, env = "DEMO_SEED")]
    seed: Option<u64>,
    /// Folder for all state of the run, instead of `.run`
    #[arg(long, value_name = "DIR")]
    dir: Option<PathBuf>,
    #[command(flatten)]
    ending: Ending,
}

/// Starts everything without earlier data, simulates a fault and prints what happens.
pub(crate) async fn demo(arguments: &Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(|| SystemClock.now().as_second().unsigned_abs());
    let simulator = simulator(arguments, seed)?;
    let options = Options::fresh_in(arguments.dir.clone().unwrap_or_else(layout::run))?;
    let started = tokio::select! {
        stack = super::start::agents(options, arguments.replicas) => Some(stack?),
        interrupted = super::interrupted() => interrupted.map(|()| None)?,
    };
    let Some(stack) = started else { return Ok(ExitCode::FAILURE) };
    let outcome = tokio::select! {
        outcome = show(&stack, &simulator, seed, &arguments.ending) => outcome,
        watched = stack.watch() => watched.map(|()| ExitCode::FAILURE),
    };
    println!();
    Progress::Every.step("stopping", stack.stop()).await?;
    outcome
}

fn simulator(arguments: &Arguments, seed: u64) -> Result<Program> {
    let mut simulator = Program::new("simulator").with([
        "--interval",
        "1s",
        "--history",
        &format!("{HISTORY_S}s"),
        "--first-fault-after",
        &format!("{}s", HISTORY_S + FIRST_FAULT_S),
        "--seed",
        &seed.to_string(),
    ]);
    if let Some(scenario) = arguments.scenario.as_deref().filter(|scenario| !scenario.is_empty()) {
        super::fault(scenario).map_err(anyhow::Error::msg)?;
        simulator = simulator.with(["--scenario", scenario]);
    }
    Ok(if arguments.ending.once { simulator.with(["--once"]) } else { simulator })
}

async fn show(stack: &Stack, simulator: &Program, seed: u64, ending: &Ending) -> Result<ExitCode> {
    let mut narration = Narration::new(event_feed::follow(stack.brokers(), stack.mail().mailbox())?);
    stack.spawn(simulator)?;
    stack.ready()?;
    println!("\nWhere to look\n{}", places(stack));
    println!(
        "The simulated shop runs (seed {seed}), with {HISTORY_S} s of healthy telemetry. The first fault starts in {FIRST_FAULT_S} s.\n"
    );
    let interrupted = tokio::select! {
        () = narration.one_fault(ending.deadline()) => false,
        interrupted = super::interrupted() => interrupted.map(|()| true)?,
    };
    println!("\nWhat happened\n{}", narration.summary());
    narration.write(&stack.layout().dir().join("summary.json"))?;
    if ending.once {
        let dir = relative(stack.layout().dir());
        println!("The same facts are in {dir}/summary.json, the logs in {dir}/logs.");
        return Ok(ExitCode::from(u8::from(!narration.observation.missing().is_empty())));
    }
    if !interrupted {
        println!("Where to look\n{}", places(stack));
        say("the demo continues with a fault every few minutes; Ctrl-C ends it");
        println!();
        tokio::select! {
            () = narration.follow() => {}
            interrupted = super::interrupted() => interrupted?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

/// Returns a path relative to the top of the checkout.
fn relative(path: &Path) -> String {
    path.strip_prefix(layout::root()).unwrap_or(path).display().to_string()
}

fn places(stack: &Stack) -> String {
    let firewatch = relative(&stack.binary("firewatch"));
    let logs = relative(&stack.layout().logs());
    let rows = [
        ("mails", stack.mail().web_url()),
        ("incidents", format!("{firewatch} incidents list; {firewatch} incidents show 1")),
        ("topics", format!("{firewatch} topics list")),
        ("database", format!("psql {}", stack.postgres_url())),
        ("logs", logs),
        ("processes", "make status".to_owned()),
    ];
    rows.iter().fold(String::new(), |text, (what, place)| text + &format!("  {what:<11} {place}\n"))
}
