//! The same over real parts: the simulator exports to a gateway, and every agent runs.

use std::time::Duration;

use anyhow::{Context as _, Result};
use shared::events::fault::Scenario;
use stack::Program;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;

/// Time after completion in which a sixth mail or a second incident would still be found.
const SETTLED: Duration = Duration::from_secs(5);
/// Longest time from the first sample to the postmortem.
const DEADLINE: Duration = Duration::from_mins(5);
/// Longest time for the gateway to be ready.
const READY: Duration = Duration::from_mins(2);

async fn one_incident_five_mails(scenario: Scenario) -> Result<()> {
    let mut pipeline = Pipeline::start(1).await?;
    let address = free_address()?;
    let listen = ("FIREWATCH_GATEWAY__LISTEN".to_owned(), address.clone());
    let only_http = ("FIREWATCH_GATEWAY__GRPC_LISTEN".to_owned(), String::new());
    let gateway = Program { environment: [listen, only_http].into(), ..Program::new("gateway") };
    pipeline.stack.spawn(&gateway)?.ready(READY).await?;
    pipeline.simulate(&[
        "--interval=1s",
        "--history=60",
        "--first-fault-after=80",
        "--once",
        &format!("--scenario={scenario}"),
        &format!("--otlp=http://{address}"),
        "--replicas=3",
    ])?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    pipeline.stack.stop().await
}

/// Returns an address that nobody listens on.
fn free_address() -> Result<String> {
    let listener = std::net::TcpListener::bind("127.0.0.1:0").context("no port is free")?;
    Ok(listener.local_addr()?.to_string())
}

macro_rules! scenarios {
    ($($(#[$attribute:meta])? $name:ident: $scenario:ident),*) => {
        $(#[tokio::test]
        $(#[$attribute])?
        async fn $name() -> Result<()> {
            one_incident_five_mails(Scenario::$scenario).await
        })*
    };
}

scenarios!(
    db_connections: DbConnections,
    #[ignore = "make test-long"]
    latency_spike: LatencySpike,
    #[ignore = "make test-long"]
    error_spike: ErrorSpike,
    #[ignore = "make test-long"]
    cpu_saturation: CpuSaturation,
    #[ignore = "make test-long"]
    memory_leak: MemoryLeak,
    #[ignore = "make test-long"]
    consumer_lag: ConsumerLag,
    #[ignore = "make test-long"]
    bad_deployment: BadDeployment
);
