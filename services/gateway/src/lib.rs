#![doc = include_str!("../README.md")]

pub mod config;
pub mod formats;
pub mod identity;
pub mod refusals;
pub mod telemetry;

use anyhow::Result;
use shared::service::{Config, Deps};
use tokio_util::sync::CancellationToken;

pub use config::Settings;

/// Runs the gateway until `shutdown`.
pub async fn run(_config: Config<Settings>, _deps: Deps, shutdown: CancellationToken) -> Result<()> {
    shutdown.cancelled().await;
    Ok(())
}
