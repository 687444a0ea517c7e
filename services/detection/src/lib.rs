#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! ```text
//! sections, stats < sample, metric_profile < config < alert < series < fold < service < partition < tools
//! ```
//!
//! A room imports only from rooms on its left (`tests/it/rooms.rs`). From left to right: the
//! container of snapshots, and statistics; how a record is read
//! and what a metric's name means; the settings; what a detector reports; what is judged of one series, how labelled samples of
//! replicas are folded into it, and what is judged of one service and of one input partition; and the commands over files.

pub mod alert;
pub mod config;
mod fold;
pub mod metric_profile;
pub mod partition;
pub mod sample;
pub mod sections;
pub mod series;
pub mod service;
mod stats;
pub mod tools;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use shared::agent::Agent;
use shared::bus::{PING, Producer, partitioned};
use shared::events::Topic;
use shared::service::{Config, Deps, Readiness, wait_for};
use shared::text::secrets::Redactor;
use tokio_util::sync::CancellationToken;

pub use config::Settings;
pub use partition::Partition;
pub use service::outcome::{At, Outcome};
pub use service::state::Offsets;
pub use tools::command::Command;

/// Runs the service until `shutdown`.
pub async fn run(config: Config<Settings>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    let kafka = config.common.kafka;
    let producer = Producer::connect(&kafka)?;
    if wait_for("kafka", &deps.readiness, &shutdown, || producer.answers(PING)).await.is_none() {
        return Ok(());
    }
    tokio::spawn(shared::service::watch_bus(producer.clone(), deps.readiness.clone(), shutdown.clone()));
    let settings = Settings { redactor: Redactor::new(&config.common.redaction), ..config.stage };
    detect(&kafka, settings, &deps.readiness, shutdown).await
}

/// Detects until `shutdown`, and reports to `readiness` whether it can.
pub async fn detect(
    kafka: &shared::bus::Options,
    settings: Settings,
    readiness: &Readiness,
    shutdown: CancellationToken,
) -> Result<()> {
    partition::metrics::register();
    let settings = Arc::new(settings);
    let stage = partitioned::Settings {
        stage: Agent::Detection,
        topics: Agent::Detection.inputs().to_vec(),
        state: Topic::DetectionState,
        snapshot_every: Duration::from_secs(u64::from(settings.snapshot_every_s)),
        snapshot_rate: settings.snapshot_mib_s * f64::from(1 << 20),
    };
    let make = move |number, parts: &mut dyn Iterator<Item = partitioned::Part>| {
        partition::task::Assigned::restore(number, Arc::clone(&settings), parts)
    };
    partitioned::run(kafka, stage, readiness, make, shutdown).await?;
    Ok(())
}
