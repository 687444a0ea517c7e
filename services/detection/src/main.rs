//! `detection`: the service, `detection replay` and `detection tune` for files, `detection catalogue` for names of metrics.

use std::process::ExitCode;

use clap::{Parser, Subcommand};
use detection::meaning::show;
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
    /// Prints how names of metrics are understood.
    Catalogue(show::Args),
}

fn main() -> ExitCode {
    let Arguments { service, command } = Arguments::parse();
    let Some(command) = command else {
        return service::start("detection", &service, detection::run);
    };
    let settings = match Config::<Settings>::load("detection", &service) {
        Ok(config) => config.stage,
        Err(problems) => {
            eprintln!("detection: the configuration is invalid:\n{problems}");
            return ExitCode::from(2);
        }
    };
    let result = match command {
        Command::Replay(args) => replay::run(&args, settings),
        Command::Tune(args) => tune::run(&args, &settings),
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
