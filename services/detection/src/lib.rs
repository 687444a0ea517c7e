#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! ```text
//! sections, stats < sample, metric_profile < config < alert < series < service < partition < tools
//! ```
//!
//! A room imports only from rooms on its left (`tests/it/rooms.rs`). From left to right: the
//! container of snapshots, and statistics; how a record is read
//! and what a metric's name means; the settings; what a detector reports; what is judged of one series, of one service and
//! of one input partition; and the commands over files.

pub mod alert;
pub mod config;
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
use shared::service::{Config, Deps, wait_for};
use tokio_util::sync::CancellationToken;

pub use config::Settings;
pub use partition::Partition;
pub use service::outcome::{At, Outcome};
pub use service::state::Offsets;
pub use tools::command::Command;

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<Settings>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    partition::metrics::register();
    let kafka = config.common.kafka;
    let producer = Producer::connect(&kafka)?;
    if wait_for("kafka", &deps.readiness, &shutdown, || producer.answers(PING)).await.is_none() {
        return Ok(());
    }
    tokio::spawn(shared::service::watch_bus(producer.clone(), deps.readiness.clone(), shutdown.clone()));
    let settings = Arc::new(config.stage);
    let stage = partitioned::Settings {
        stage: Agent::Detection,
        topics: Agent::Detection.inputs().to_vec(),
        state: Topic::DetectionState,
        snapshot_every: Duration::from_secs(u64::from(settings.snapshot_every_s)),
        snapshot_rate: settings.snapshot_mib_s * f64::from(1 << 20),
    };
    loop {
        let settings = Arc::clone(&settings);
        let make = move |number, parts: &mut dyn Iterator<Item = partitioned::Part>| {
            partition::task::Assigned::restore(number, Arc::clone(&settings), parts)
        };
        let Err(error) = partitioned::run(&kafka, stage.clone(), make, shutdown.clone()).await else {
            return Ok(());
        };
        // what was not acknowledged is not in any snapshot either: it is read and scored again
        tracing::warn!(%error, "beginning again from the last snapshot");
        if wait_for("kafka", &deps.readiness, &shutdown, || producer.answers(PING)).await.is_none() {
            return Ok(());
        }
    }
}
