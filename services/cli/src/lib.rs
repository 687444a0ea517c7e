#![doc = include_str!("../README.md")]

pub mod actions;
pub mod arguments;
pub mod backtest;
pub mod command;
pub mod diagnose;
pub mod dlq;
pub mod evidence;
pub mod failure;
pub mod feedback;
pub mod figures;
pub mod graph;
pub mod incidents;
pub mod kb;
pub mod manual;
pub mod oncall;
pub mod output;
pub mod postmortem;
pub mod privacy;
pub mod replay;
pub mod retention;
pub mod routes;
pub mod settings;
pub mod silence;
pub mod terminal;
pub mod token;
pub mod topics;

use std::process::ExitCode;
use std::time::Duration;

use clap::Parser as _;
use shared::clock::SystemClock;

use arguments::{Arguments, Command};
use failure::CliError;
use settings::Settings;
use terminal::Screen;

/// Runs the command that was typed and returns its exit code.
pub fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let outcome = tokio::runtime::Builder::new_multi_thread()
        .worker_threads(1)
        .enable_all()
        .build()
        .map_err(|error| CliError::Failed(format!("no runtime: {error}")))
        .and_then(|runtime| {
            let outcome = runtime.block_on(run(arguments));
            // nobody waits for a client that is slow to close
            runtime.shutdown_timeout(Duration::from_millis(200));
            outcome
        });
    match outcome {
        Ok(()) | Err(CliError::Closed) => ExitCode::SUCCESS,
        Err(failure) => {
            eprintln!("firewatch: {}", terminal::clean(&failure.to_string(), 2_000));
            ExitCode::from(failure.code())
        }
    }
}

async fn run(arguments: Arguments) -> Result<(), CliError> {
    let file = arguments.config.as_deref();
    // what reads content and files of the past reads no settings: it works wherever there are files
    let settings = || Settings::load(file);
    let screen = Screen::of_stdout(&SystemClock);
    match arguments.command {
        Command::Incidents { command } => incidents::run(command, &settings()?, &screen).await,
        Command::Actions { command } => actions::run(command, &settings()?, &screen).await,
        Command::Request(request) => command::run(request, &settings()?, &screen).await,
        Command::Completions { shell } => manual::completions(shell),
        Command::Man { command } => manual::page(&command),
        Command::Diagnose(request) => diagnose::run(request, file, &settings()?, &screen).await,
        Command::Evidence { command } => evidence::run(command, &settings()?, &screen).await,
        Command::Postmortem { command } => postmortem::run(command, &settings()?, &screen).await,
        Command::Feedback(request) => feedback::give(request, &settings()?, &screen).await,
        Command::Accuracy(request) => feedback::accuracy(request, &settings()?, &screen).await,
        Command::Graph(request) => graph::run(request, file, &settings()?, &screen).await,
        Command::Kb { command } => kb::run(command, settings, &screen).await,
        Command::Oncall(request) => oncall::run(&request, &screen),
        Command::Routes { command } => routes::run(&command, &screen),
        Command::Silence { command } => silence::run(command, false, &settings()?, &screen).await,
        Command::Maintenance { command } => silence::run(command, true, &settings()?, &screen).await,
        Command::Privacy { command } => privacy::run(command, &settings()?, &screen).await,
        Command::Retention { command } => retention::run(command, &settings()?, &screen).await,
        Command::Token { command } => token::run(command, &settings()?, &screen).await,
        Command::Topics { command } => topics::run(command, settings()?, screen).await,
        Command::Replay(request) => replay::run(request, file, &settings()?, &screen).await,
        Command::Dlq { command } => dlq::run(command, settings()?, screen).await,
        Command::Backtest { command } => backtest::run(&command, &screen),
    }
}
