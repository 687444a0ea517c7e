#![doc = include_str!("../README.md")]

pub mod context;
pub mod lookup;
pub mod metrics;
pub mod plan;
pub mod runbook;
pub mod stage;
pub mod target;
pub mod triage;

use std::sync::Arc;

use anyhow::Result;
use shared::clock::SystemClock;
use shared::service::config::NoOptions;
use shared::service::{Config, Deps};
use shared::stage::run::{self, StageDeps};
use tokio_util::sync::CancellationToken;

pub use stage::Remediation;

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<NoOptions>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    metrics::register();
    match StageDeps::connect(&config.common, &deps, Arc::new(SystemClock), &shutdown).await? {
        Some(base) => {
            let index = config.common.knowledge.open_index(base.store.clone())?;
            run::run(Remediation::new(index), base).await
        }
        None => Ok(()),
    }
}
