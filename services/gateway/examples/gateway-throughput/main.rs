//! Points through the gateway into a real Kafka, beside the OpenTelemetry Collector with its Kafka exporter: `make bench`.
//!
//! Both take the same requests of 1,000 points from the same client and write to the same topic, compressed by zstd and acknowledged
//! by all replicas. Figures "a core" are points per second of processor time of the measured process, all its threads, so that they
//! depend little on what else the machine does. Acknowledgements are timed from the moment at which a request was due, at half of the
//! rate that saturates.

mod collector;
mod gateway;
mod load;
mod requests;
mod table;

use anyhow::{Context, Result};
use shared::bus::{self, admin::Admin};
use shared::events::Topic;
use stack::parts::process::Process;
use stack::testing::usage::{cpu_s, peak_bytes};

use load::{Client, Latency};
use requests::{Format, Requests};
use table::Row;

/// A running process that takes points.
pub(crate) trait Target {
    /// Returns the process.
    fn process(&self) -> &Process;

    /// Returns how many points it has written to Kafka since it started.
    async fn written(&self) -> Result<f64>;
}

#[tokio::main]
async fn main() -> Result<()> {
    let Ok(brokers) = std::env::var(stack::testing::KAFKA) else {
        println!("gateway              not measured: {} names no broker", stack::testing::KAFKA);
        return Ok(());
    };
    Admin::new(&bus::Options { brokers: brokers.clone(), ..bus::Options::default() })?
        .provision(&Topic::all())
        .await?;
    let (layout, guard) = stack::testing::scratch()?;
    let place = Place { brokers, layout, guard };
    let mut rows = Vec::new();
    for format in Format::ALL {
        let target = gateway::Gateway::start(&place).await?;
        let client = Client::new(&target.url(format))?;
        rows.push(measure(gateway::NAME, &target, &client, &Requests::new(format)?).await?);
    }
    if let Some(binary) = stack::testing::collector::collector("the Collector beside the gateway") {
        for setup in collector::SETUPS {
            let target = collector::Collector::start(&binary, &place, &setup).await?;
            let client = Client::new(&target.url())?;
            rows.push(measure(setup.name, &target, &client, &Requests::new(setup.takes)?).await?);
        }
    }
    table::print(&rows);
    table::write(&rows)
}

/// What every measured process needs.
pub(crate) struct Place {
    pub(crate) brokers: String,
    pub(crate) layout: stack::run::layout::Layout,
    pub(crate) guard: std::sync::Arc<stack::parts::guard::Guard>,
}

/// Measures one process, and stops it.
async fn measure(
    name: &'static str,
    target: &impl Target,
    client: &Client,
    requests: &Requests,
) -> Result<Row> {
    eprintln!("measuring {name}, {}", requests.format.name());
    client.saturate(requests, load::WARM_UP).await?;
    drained(target).await?;
    let pid = target.process().pid().context("it has ended")?;
    let (cpu, written) = (cpu_s(pid)?, target.written().await?);
    let seconds = client.saturate(requests, load::SATURATED).await?;
    drained(target).await?;
    let points = target.written().await? - written;
    let (cpu, per_s) = (cpu_s(pid)? - cpu, points / seconds);
    let Latency { p50_ms, p99_ms, unanswered } = client.paced(requests, per_s / 2.0).await?;
    target.process().check()?;
    let row = Row {
        name,
        takes: requests.format.name(),
        per_core_s: points / cpu,
        per_s,
        peak_mib: peak_bytes(pid)? as f64 / f64::from(1 << 20),
        p50_ms,
        p99_ms,
        unanswered,
    };
    target.process().stop().await?;
    Ok(row)
}

/// Waits until nothing more is written: what was acknowledged early is then written too.
async fn drained(target: &impl Target) -> Result<()> {
    let mut before = target.written().await?;
    loop {
        tokio::time::sleep(load::QUIET).await;
        let now = target.written().await?;
        if now <= before {
            return Ok(());
        }
        before = now;
    }
}
