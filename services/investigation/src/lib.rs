#![doc = include_str!("../README.md")]

pub mod check;
pub mod claims;
pub mod decision;
pub mod documents;
pub mod edge_times;
pub mod investigator;
pub mod ledger;
pub mod metrics;
pub mod news;
pub mod options;
pub mod phrase;
pub mod query;
pub mod records;
pub mod similar;
pub mod sources;
pub mod stage;
pub mod verdict;

use std::sync::Arc;

use anyhow::Result;
use shared::clock::SystemClock;
use shared::service::{Config, Deps, wait_for};
use shared::stage::run::{self, StageDeps};
use shared::text::secrets::Redactor;
use tokio_util::sync::CancellationToken;

pub use options::Options;
pub use stage::Investigation;

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<Options>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    metrics::register();
    for warning in config.stage.queries.warnings() {
        tracing::warn!(warning, "risky setting");
    }
    let redactor = Redactor::new(&config.common.redaction);
    let looker = config.stage.looker(&redactor)?;
    let Some(base) = StageDeps::connect(&config.common, &deps, Arc::new(SystemClock), &shutdown).await?
    else {
        return Ok(());
    };
    let knowledge = &config.common.knowledge;
    let load = || knowledge.retrieval(base.store.clone());
    match wait_for("embedding model", &deps.readiness, &shutdown, load).await {
        Some(retrieval) => run::run(Investigation::new(config.stage, retrieval, looker), base).await,
        None => Ok(()),
    }
}
