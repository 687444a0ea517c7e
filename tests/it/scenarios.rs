//! One fault, one incident, five mails: every scenario with one copy of each agent; with two copies one, and the others at length.

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
    ($module:ident, $copies:literal, $($(#[$attribute:meta])? $name:ident: $scenario:ident),*) => {
        mod $module {
            $(#[tokio::test]
            $(#[$attribute])?
            async fn $name() -> anyhow::Result<()> {
                super::one_incident_five_mails(super::Scenario::$scenario, $copies).await
            })*
        }
    };
}

scenarios!(
    one_copy_of_each_agent,
    1,
    latency_spike: LatencySpike,
    error_spike: ErrorSpike,
    cpu_saturation: CpuSaturation,
    memory_leak: MemoryLeak,
    db_connections: DbConnections,
    consumer_lag: ConsumerLag,
    bad_deployment: BadDeployment
);
scenarios!(
    two_copies_of_each_agent,
    2,
    bad_deployment: BadDeployment
);
scenarios!(
    two_copies_of_each_agent_at_length,
    2,
    #[ignore = "make test-long"]
    latency_spike: LatencySpike,
    #[ignore = "make test-long"]
    memory_leak: MemoryLeak,
    #[ignore = "make test-long"]
    error_spike: ErrorSpike,
    #[ignore = "make test-long"]
    cpu_saturation: CpuSaturation,
    #[ignore = "make test-long"]
    db_connections: DbConnections,
    #[ignore = "make test-long"]
    consumer_lag: ConsumerLag
);
