#![doc = include_str!("../README.md")]

pub mod channel;
pub mod chart;
pub mod content;
pub mod digest;
pub mod escalation;
pub mod heartbeat;
pub mod holding;
pub mod mail;
pub mod markdown;
pub mod message;
pub mod metrics;
pub mod notifications;
pub mod options;
pub mod receivers;
pub mod recipients;
pub mod render;
pub mod reports;
pub mod silences;
pub mod stage;
pub mod table;
pub mod templates;
pub mod text;
pub mod updates;

use std::sync::Arc;

use anyhow::{Context as _, Result};
use shared::clock::SystemClock;
use shared::service::{Config, Deps};
use shared::stage::run::{self, StageDeps};
use shared::text::secrets::Redactor;
use tokio_util::sync::CancellationToken;

pub use channel::Email;
pub use options::Options;
pub use stage::Communication;

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<Options>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    metrics::register();
    for warning in config.stage.warnings() {
        tracing::warn!(warning, "risky setting");
    }
    let channels = channel::open(&config.stage).context("opening the channels")?;
    match StageDeps::connect(&config.common, &deps, Arc::new(SystemClock), &shutdown).await? {
        Some(base) => {
            heartbeat::start(
                &config.stage.heartbeat,
                &config.common.kafka,
                &deps.readiness,
                &base,
                &shutdown,
            )
            .context("preparing the heartbeat")?;
            let redactor = Redactor::new(&config.common.redaction);
            run::run(Communication::new(config.stage, channels).redacting(redactor), base).await
        }
        None => Ok(()),
    }
}
