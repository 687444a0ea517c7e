//! The simulator's binary: parses, configures, connects, runs.

use std::process::ExitCode;

use clap::Parser;
use shared::bus::Producer;
use shared::clock::SystemClock;
use shared::service::{cancel_on_signal, telemetry};
use simulator::cli::Args;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> ExitCode {
    let args = Args::parse();
    let config = match args.config() {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("simulator: the configuration is invalid:\n{problems}");
            return ExitCode::from(2);
        }
    };
    if args.shared.print_config {
        println!("{}", config.to_toml());
        return ExitCode::SUCCESS;
    }
    telemetry::logs(&config.common.log);
    config.warn();
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let settings = args.settings(&config.common.http.listen);
    let outcome = match Producer::connect(&config.common.kafka) {
        Ok(producer) => simulator::run(settings, producer, SystemClock, shutdown).await,
        Err(error) => Err(error.into()),
    };
    if let Err(error) = outcome {
        tracing::error!(error = format!("{error:#}"), "stopped after a failure");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}
