#![doc = include_str!("../README.md")]

pub mod assessment;
pub mod backtest;
pub mod cause;
pub mod edges;
pub mod endings;
pub mod environment;
pub mod explanation;
pub mod grouping;
pub mod hypotheses;
pub mod impact;
pub mod input;
pub mod links;
pub mod log_terms;
pub mod metrics;
pub mod options;
pub mod sampling;
pub mod severity;
pub mod shared_complaints;
pub mod shared_requests;
pub mod split;
pub mod stage;
pub mod standing;
pub mod statements;
pub mod steal;
pub mod storm;

use std::sync::Arc;

use anyhow::Result;
use shared::clock::SystemClock;
use shared::service::{Config, Deps};
use shared::stage::run::{self, StageDeps};
use shared::text::secrets::Redactor;
use tokio_util::sync::CancellationToken;

pub use options::Options;
pub use stage::Correlation;

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<Options>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    metrics::register();
    match StageDeps::connect(&config.common, &deps, Arc::new(SystemClock), &shutdown).await? {
        Some(base) => {
            let redactor = Redactor::new(&config.common.redaction);
            run::run(Correlation::new(Options { redactor, ..config.stage }), base).await
        }
        None => Ok(()),
    }
}
