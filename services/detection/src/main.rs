//! `detection`: the service, and `detection replay` for files.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use detection::{Settings, replay};
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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    match arguments.command {
        None => service::start("detection", &arguments.service, detection::run),
        Some(Command::Replay(file)) => {
            let config = match Config::<Settings>::load("detection", &arguments.service) {
                Ok(config) => config,
                Err(problems) => {
                    eprintln!("detection: the configuration is invalid:\n{problems}");
                    return ExitCode::from(2);
                }
            };
            match replay::run(&file, config.stage) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => {
                    eprintln!("detection replay: {error:#}");
                    ExitCode::FAILURE
                }
            }
        }
    }
}
