#![doc = include_str!("../README.md")]

pub mod actions;
pub mod document;
pub mod impact;
pub mod metrics;
pub mod options;
pub mod record;
pub mod review;
pub mod stage;
pub mod timeline;
pub mod tracking;

use std::sync::Arc;

use anyhow::Result;
use shared::clock::SystemClock;
use shared::service::{Config, Deps};
use shared::stage::run::{self, StageDeps};
use shared::text::secrets::Redactor;
use tokio_util::sync::CancellationToken;

pub use options::Options;
pub use stage::Postmortems;

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<Options>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    metrics::register();
    match StageDeps::connect(&config.common, &deps, Arc::new(SystemClock), &shutdown).await? {
        Some(base) => {
            let redactor = Redactor::new(&config.common.redaction);
            run::run(Postmortems::new(config.stage).redacting(redactor), base).await
        }
        None => Ok(()),
    }
}
