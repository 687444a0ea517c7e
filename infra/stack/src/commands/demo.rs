//! `stack demo`.

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::{Result, ensure};
use shared::clock::{Clock, SystemClock};
use shared::events::fault::Scenario;
use stack::progress::{Progress, say};
use stack::{Options, Program, Stack, layout, news};

use super::follow::Ending;
use super::narration::Narration;

/// Ticks of a second before the first fault: detection knows what is normal after thirty.
const HEALTHY: u32 = 45;

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Copies of each agent
    #[arg(long, env = "DEMO_REPLICAS", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=6))]
    replicas: u32,
    /// Always this scenario, e.g. `memory-leak`; otherwise all seven in an order of chance
    #[arg(long, env = "DEMO_SCENARIO")]
    scenario: Option<String>,
    /// Seed of that order and of all noise; otherwise taken from the time
    #[arg(long, env = "DEMO_SEED")]
    seed: Option<u64>,
    #[command(flatten)]
    ending: Ending,
}

/// Starts everything afresh, sets the shop on fire and tells what comes of it.
pub(crate) async fn demo(arguments: &Arguments) -> Result<ExitCode> {
    let seed = arguments.seed.unwrap_or_else(|| SystemClock.now().as_second().unsigned_abs());
    let simulator = simulator(arguments, seed)?;
    println!("Firewatch, natively: Kafka, PostgreSQL, a mail sink, six agents and a shop to set on fire\n");
    let started = tokio::select! {
        stack = super::start::agents(Options { fresh: true, ..Options::lasting()? }, arguments.replicas) => Some(stack?),
        interrupted = super::interrupted() => interrupted.map(|()| None)?,
    };
    let Some(stack) = started else { return Ok(ExitCode::FAILURE) };
    let outcome = tokio::select! {
        told = tell(&stack, &simulator, seed, &arguments.ending) => told,
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
        "--first-fault-after",
        &HEALTHY.to_string(),
        "--seed",
        &seed.to_string(),
    ]);
    if let Some(scenario) = arguments.scenario.as_deref().filter(|scenario| !scenario.is_empty()) {
        let known = Scenario::ALL.map(|scenario| scenario.to_string());
        ensure!(
            known.iter().any(|known| known == scenario),
            "no scenario {scenario:?}; there are {}",
            known.join(", ")
        );
        simulator = simulator.with(["--scenario", scenario]);
    }
    Ok(if arguments.ending.once { simulator.with(["--once"]) } else { simulator })
}

async fn tell(stack: &Stack, simulator: &Program, seed: u64, ending: &Ending) -> Result<ExitCode> {
    let mut narration = Narration::new(news::follow(stack.brokers(), stack.mail().mailbox())?);
    stack.spawn(simulator)?;
    stack.ready()?;
    println!("\nWhere to look\n{}", places(stack));
    println!(
        "The shop is open (seed {seed}). Its first fault breaks out in {HEALTHY} s; until then the agents learn what is normal.\n"
    );
    let interrupted = tokio::select! {
        () = narration.one_fault(ending.deadline()) => false,
        interrupted = super::interrupted() => interrupted.map(|()| true)?,
    };
    println!("\nWhat happened\n{}", narration.summary());
    narration.write(&stack.layout().dir().join("summary.json"))?;
    if ending.once {
        println!("The same facts are in .run/summary.json, the logs in .run/logs.");
        return Ok(ExitCode::from(u8::from(!narration.story.missing().is_empty())));
    }
    if !interrupted {
        println!("Where to look\n{}", places(stack));
        say("it goes on, with a fault every few minutes, until you press Ctrl-C");
        println!();
        tokio::select! {
            () = narration.go_on() => {}
            interrupted = super::interrupted() => interrupted?,
        }
    }
    Ok(ExitCode::SUCCESS)
}

fn places(stack: &Stack) -> String {
    let root = layout::root();
    let here = |path: PathBuf| path.strip_prefix(&root).unwrap_or(&path).display().to_string();
    let firewatch = here(stack.binary("firewatch"));
    let logs = here(stack.layout().logs());
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
