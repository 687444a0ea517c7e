//! `detection`: the service, and `detection replay` for files.

use clap::{Parser, Subcommand};
use detection::{Settings, replay};

/// Turns raw telemetry into anomalies.
#[derive(Parser)]
#[command(version)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Runs detection over a file of samples and prints each decision.
    Replay(replay::Args),
}

fn main() -> anyhow::Result<()> {
    match Arguments::parse().command {
        Command::Replay(arguments) => replay::run(&arguments, Settings::default()),
    }
}
