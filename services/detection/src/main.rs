//! `detection`: the service, `detection replay` and `detection tune` for files, `detection catalogue` for names of metrics.

use std::process::ExitCode;

use clap::Parser;
use detection::{Command, Settings};
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
    match command.run(settings) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("detection: {error:#}");
            ExitCode::FAILURE
        }
    }
}
