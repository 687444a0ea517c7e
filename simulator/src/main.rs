//! The simulator's binary: parses, configures, connects, runs.

use std::process::ExitCode;

use clap::Parser;
use shared::bus::Producer;
use shared::clock::SystemClock;
use shared::service::config::NoOptions;
use shared::service::{Config, cancel_on_signal, telemetry};
use simulator::cli::Args;
use simulator::otlp::Gateway;
use simulator::run::Settings;
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
    if let Err(error) = run(&args, &config, settings, shutdown).await {
        tracing::error!(error = format!("{error:#}"), "stopped after a failure");
        return ExitCode::FAILURE;
    }
    ExitCode::SUCCESS
}

async fn run(
    args: &Args,
    config: &Config<NoOptions>,
    settings: Settings,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let producer = Producer::connect(&config.common.kafka)?;
    match args.gateway() {
        None => simulator::run(settings, producer, SystemClock, shutdown).await,
        Some((url, token)) => {
            let gateway = Gateway::new(url, token, producer)?;
            simulator::run(settings, gateway, SystemClock, shutdown).await
        }
    }
}
