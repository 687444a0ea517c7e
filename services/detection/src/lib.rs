#![doc = include_str!("../README.md")]

pub mod alert;
pub mod baseline;
pub mod certainty;
mod command;
pub mod config;
pub mod demand;
pub mod episode;
pub mod evidence;
pub mod expiry;
pub mod explain;
pub mod forecast;
mod index;
mod input;
pub mod joint;
pub mod kept;
pub mod logs;
pub mod meaning;
pub mod metrics;
pub mod outcome;
pub mod pace;
pub mod partition;
mod ramp;
mod reach;
pub mod regression;
pub mod replay;
pub mod restarts;
mod robust;
pub mod rules;
pub mod sample;
pub mod series;
pub mod silence;
pub mod snapshot;
pub mod task;
pub mod tune;
mod words;

use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use shared::bus::{Producer, partitioned};
use shared::events::Topic;
use shared::service::{Config, Deps, wait_for};
use tokio_util::sync::CancellationToken;

pub use command::Command;
pub use config::Settings;
pub use outcome::{At, Outcome};
pub use partition::{Offsets, Partition};

/// Longest wait for a broker's answer before the next try.
const PING: Duration = Duration::from_secs(5);

/// Runs the stage until `shutdown`.
pub async fn run(config: Config<Settings>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    let kafka = config.common.kafka;
    let producer = Producer::connect(&kafka)?;
    if wait_for("kafka", &deps.readiness, &shutdown, || producer.answers(PING)).await.is_none() {
        return Ok(());
    }
    tokio::spawn(partitioned::watch(producer.clone(), deps.readiness.clone(), shutdown.clone()));
    let settings = Arc::new(config.stage);
    let stage = partitioned::Settings {
        stage: "detection",
        topics: vec![Topic::RawMetrics, Topic::RawLogs, Topic::RawDeployments],
        state: Topic::DetectionState,
        snapshot_every: Duration::from_secs(u64::from(settings.snapshot_every_s)),
        snapshot_rate: settings.snapshot_mib_s * f64::from(1 << 20),
    };
    loop {
        let settings = Arc::clone(&settings);
        let make = move |number, parts: &mut dyn Iterator<Item = partitioned::Part>| {
            task::Assigned::restore(number, Arc::clone(&settings), parts)
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
