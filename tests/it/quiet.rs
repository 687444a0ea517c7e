//! An hour without a fault, simulated as fast as possible.

use std::time::Duration;

use anyhow::{Result, ensure};
use shared::clock::{Clock, SystemClock};
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;

/// Simulates an hour of samples every 10 s, then a fault. The incident of the fault shows that the hour was read. That it
/// is the only incident shows that the hour opened none.
async fn a_quiet_hour_opens_nothing(noise: &str) -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    // so long ago that it never passes the present, which would be clocks that are ahead
    let start = (SystemClock.now() - Duration::from_hours(48)).to_string();
    pipeline.simulate(&[
        "--interval=10s",
        "--as-fast-as-possible",
        "--start",
        &start,
        "--noise",
        noise,
        "--first-fault-after=1h",
        "--once",
        "--scenario=latency-spike",
    ])?;
    pipeline.wait_for(Duration::from_mins(3), Duration::from_secs(3), unresolved).await?;
    let facts = pipeline.observation.facts();
    ensure!(facts.incidents == 1, "{} incidents instead of the one of the fault", facts.incidents);
    ensure!(facts.opened_at >= facts.fault_started, "an incident was opened in the quiet hour: {facts:#?}");
    pipeline.stack.stop().await
}

fn unresolved(observation: &RunObservation) -> Vec<&'static str> {
    let resolved = observation.incident().is_some_and(|incident| incident.resolved_at.is_some());
    if resolved { Vec::new() } else { vec!["no incident was resolved"] }
}

#[tokio::test]
async fn under_gaussian_noise() -> Result<()> {
    a_quiet_hour_opens_nothing("gaussian").await
}

#[tokio::test]
async fn under_skewed_noise() -> Result<()> {
    a_quiet_hour_opens_nothing("skewed").await
}
