//! `stack`: starts, supervises and stops everything Firewatch needs, without containers.

mod commands;

use std::process::ExitCode;

use clap::{Parser, Subcommand};

/// Starts, supervises and stops everything Firewatch needs, without containers. All state is under `.run/`.
#[derive(Parser)]
#[command(name = "stack", version, max_term_width = 100)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Fetches the parts that are not on this machine (Kafka, the embedding model, the mail sink)
    Fetch,
    /// Starts everything and prints what happens: a fault, an incident, five mails, a postmortem
    Demo(commands::demo::Arguments),
    /// Runs the demo once for each scenario and seed, and prints a summary
    DemoMatrix(commands::matrix::Arguments),
    /// Prints what happens in a pipeline that was started otherwise, e.g. by compose
    Follow(commands::follow::Arguments),
    /// Creates the topics that are missing
    Topics(commands::Topics),
    /// Starts everything in the background and returns when it is ready
    Start(commands::start::Arguments),
    /// Stops what runs, and what a crash has left
    Stop,
    /// Prints what runs and whether it is ready
    Status,
    /// Shows the end of the logs and follows them
    Logs(commands::logs::Arguments),
    /// Indexes the knowledge base again
    Seed,
    /// Stops what runs and removes all state
    Clean,
    /// Starts temporary parts, runs a command that uses them, and exits with its code
    Run(commands::run::Arguments),
}

#[tokio::main]
async fn main() -> ExitCode {
    let outcome = match Arguments::parse().command {
        Command::Fetch => commands::fetch().await,
        Command::Demo(arguments) => commands::demo::demo(&arguments).await,
        Command::DemoMatrix(arguments) => commands::matrix::matrix(&arguments).await,
        Command::Follow(arguments) => commands::follow::follow(&arguments).await,
        Command::Topics(arguments) => commands::topics(&arguments).await,
        Command::Start(arguments) => commands::start::start(arguments).await,
        Command::Stop => commands::stop::stop().await,
        Command::Status => commands::status::status().await,
        Command::Logs(arguments) => commands::logs::logs(&arguments),
        Command::Seed => commands::seed(),
        Command::Clean => commands::stop::clean().await,
        Command::Run(arguments) => commands::run::run(&arguments).await,
    };
    outcome.unwrap_or_else(|error| {
        eprintln!("error: {error:#}");
        ExitCode::FAILURE
    })
}
