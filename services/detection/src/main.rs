//! `detection`: the service, and `detection replay` and `detection tune` for files.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use detection::{Settings, replay, tune};
use shared::service::{self, Cli, Config};

/// Turns raw telemetry into anomalies. Without a command it runs as a service.
#[derive(Parser)]
#[command(name = "detection", version)]
struct Arguments {
    #[command(flatten)]
    service: Cli,
    #[command(subcommand)]
    command: Option<Command>,
}

#[derive(Subcommand)]
enum Command {
    /// Runs detection over a file of samples and prints each decision.
    Replay(replay::Args),
    /// Compares what other budgets of false alarms would have made of a file.
    Tune(tune::Args),
}

fn main() -> ExitCode {
    let Arguments { service, command } = Arguments::parse();
    let Some(command) = command else {
        return service::start("detection", &service, detection::run);
    };
    let config = match Config::<Settings>::load("detection", &service) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("detection: the configuration is invalid:\n{problems}");
            return ExitCode::from(2);
        }
    };
    let result = match &command {
        Command::Replay(args) => replay::run(args, config.stage),
        Command::Tune(args) => tune::run(args, &config.stage),
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detection: {error:#}");
            ExitCode::FAILURE
        }
    }
}
