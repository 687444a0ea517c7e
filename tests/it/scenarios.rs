//! One fault, one incident, five mails: every scenario, with one copy of each agent and with two.

use std::time::Duration;

use anyhow::Result;
use shared::events::fault::Scenario;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;

/// Time after completion in which a sixth mail or a second incident would still be found.
const SETTLED: Duration = Duration::from_secs(5);
/// Longest time from the first sample to the postmortem.
const DEADLINE: Duration = Duration::from_mins(3);

async fn one_incident_five_mails(scenario: Scenario, copies: u32) -> Result<()> {
    let mut pipeline = Pipeline::start(copies).await?;
    pipeline.simulate_fault(scenario, &[])?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    pipeline.stack.stop().await
}

macro_rules! scenarios {
    ($($name:ident: $scenario:ident),*) => {
        mod one_copy_of_each_agent {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::one_incident_five_mails(super::Scenario::$scenario, 1).await
            })*
        }

        mod two_copies_of_each_agent {
            $(#[tokio::test]
            async fn $name() -> anyhow::Result<()> {
                super::one_incident_five_mails(super::Scenario::$scenario, 2).await
            })*
        }
    };
}

scenarios!(
    latency_spike: LatencySpike,
    error_spike: ErrorSpike,
    cpu_saturation: CpuSaturation,
    memory_leak: MemoryLeak,
    db_connections: DbConnections,
    consumer_lag: ConsumerLag,
    bad_deployment: BadDeployment
);
