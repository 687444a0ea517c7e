//! `detection`: the service, `detection replay` for files, `detection catalogue` for names of metrics.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use detection::meaning::show;
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
    /// Prints how names of metrics are understood.
    Catalogue(show::Args),
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let Some(command) = arguments.command else {
        return service::start("detection", &arguments.service, detection::run);
    };
    let settings = match Config::<Settings>::load("detection", &arguments.service) {
        Ok(config) => config.stage,
        Err(problems) => {
            eprintln!("detection: the configuration is invalid:\n{problems}");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Replay(file) => replay::run(&file, settings),
        Command::Catalogue(names) => {
            show::run(&names, &settings.metrics, std::io::stdout()).map_err(Into::into)
        }
    };
    match result {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detection: {error:#}");
            ExitCode::FAILURE
        }
    }
}
