//! The simulator's binary: parses, configures, connects, runs.

use std::process::ExitCode;

use clap::Parser;
use shared::bus::Producer;
use shared::clock::SystemClock;
use shared::service::config::Nothing;
use shared::service::{Config, cancel_on_signal, telemetry};
use simulator::cli::Args;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> anyhow::Result<ExitCode> {
    let args = Args::parse();
    let mut config = match Config::<Nothing>::load("simulator", &args.shared) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("simulator: the configuration is invalid:\n{problems}");
            return Ok(ExitCode::from(2));
        }
    };
    config.common.kafka.brokers = args.brokers.clone().unwrap_or(config.common.kafka.brokers);
    config.common.http.listen = args.listen.clone().unwrap_or(config.common.http.listen);
    if args.shared.print_config {
        println!("{}", config.to_toml());
        return Ok(ExitCode::SUCCESS);
    }
    telemetry::init(&config.common.log);
    let shutdown = CancellationToken::new();
    tokio::spawn(cancel_on_signal(shutdown.clone()));
    let producer = Producer::connect(&config.common.kafka)?;
    simulator::run(args.settings(&config.common.http.listen), producer, SystemClock, shutdown).await?;
    Ok(ExitCode::SUCCESS)
}
