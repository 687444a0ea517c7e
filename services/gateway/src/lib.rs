#![doc = include_str!("../README.md")]

pub mod bridge;
pub mod config;
pub mod door;
pub mod formats;
pub mod identity;
pub mod metrics;
pub mod publish;
pub mod refusals;
pub mod series;
pub mod telemetry;

use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use anyhow::Result;
use shared::bus::{self, PING, Producer};
use shared::clock::SystemClock;
use shared::service::{Config, Deps, wait_for};
use shared::store::Store;
use shared::text::secrets::Redactor;
use tokio_util::sync::CancellationToken;

use bridge::Bridge;
pub use config::Settings;
use door::auth::Guard;
use door::limits::Gate;
use door::listen::Listening;
use door::{Door, grpc, http};
use publish::Publisher;

/// Where the doors are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Addresses {
    /// HTTP.
    pub http: SocketAddr,
    /// gRPC, if it is served.
    pub grpc: Option<SocketAddr>,
}

/// Runs the gateway until `shutdown`.
pub async fn run(config: Config<Settings>, deps: Deps, shutdown: CancellationToken) -> Result<()> {
    serve(config, deps, shutdown, |_| {}).await
}

/// As [`run`]; `listening` is called once the doors are open, for callers that let the system choose ports.
pub async fn serve(
    config: Config<Settings>,
    deps: Deps,
    shutdown: CancellationToken,
    listening: impl FnOnce(Addresses),
) -> Result<()> {
    metrics::register();
    for warning in config.stage.warnings() {
        tracing::warn!("{warning}");
    }
    let settings = config.stage.clone();
    let timeout = Duration::from_millis(settings.requests.publish_timeout_ms);
    let producer = Producer::connect(&within(&config.common.kafka, timeout))?;
    if wait_for("kafka", &deps.readiness, &shutdown, || producer.answers(PING)).await.is_none() {
        return Ok(());
    }
    let publisher = Publisher::new(producer, timeout);
    tokio::spawn(publisher.clone().watch(deps.readiness.clone(), shutdown.clone()));
    let door = Arc::new(Door {
        gate: Gate::new(settings.requests.in_flight, settings.requests.in_flight_bytes),
        guard: guard(&config, &deps, &shutdown)?,
        publisher: publisher.clone(),
        redactor: Arc::new(Redactor::new(&config.common.redaction)),
        series: Arc::default(),
        clock: Arc::new(SystemClock),
        settings,
    });
    let (tls, requests) = (&door.settings.tls, &door.settings.requests);
    let http = Listening::bind(&door.settings.listen, http::router(Arc::clone(&door)), tls, requests).await?;
    let grpc = match &*door.settings.grpc_listen {
        "" => None,
        listen => Some(Listening::bind(listen, grpc::router(&door), tls, requests).await?),
    };
    let addresses = Addresses { http: http.address, grpc: grpc.as_ref().map(|grpc| grpc.address) };
    tracing::info!(http = %addresses.http, grpc = ?addresses.grpc, tokens = door.guard.is_some(), "doors are open");
    listening(addresses);
    let bridge = Bridge::join(&door, &config.common.kafka)?;
    let bridge = bridge.map(|bridge| tokio::spawn(bridge.run(shutdown.clone())));
    let drain = Duration::from_millis(requests.drain_timeout_ms);
    let stoppers: Vec<_> = std::iter::once(&http).chain(&grpc).map(|door| door.stopper(drain)).collect();
    let served = async {
        match grpc {
            Some(grpc) => tokio::try_join!(http.serve(), grpc.serve()).map(|_| ()),
            None => http.serve().await,
        }
    };
    let stopping = async {
        shutdown.cancelled().await;
        for stop in stoppers {
            stop();
        }
        std::future::pending::<()>().await;
    };
    tokio::select! {
        outcome = served => outcome?,
        () = stopping => {}
    }
    if let Some(bridge) = bridge {
        bridge.await?;
    }
    publisher.flush(timeout).await;
    Ok(())
}

/// Returns options of Kafka by which a record is given up no later than its request.
fn within(kafka: &bus::Options, timeout: Duration) -> bus::Options {
    let timeout_ms = u32::try_from(timeout.as_millis()).unwrap_or(u32::MAX);
    bus::Options { delivery_timeout_ms: kafka.delivery_timeout_ms.min(timeout_ms), ..kafka.clone() }
}

fn guard(config: &Config<Settings>, deps: &Deps, shutdown: &CancellationToken) -> Result<Option<Guard>> {
    if !config.stage.tokens {
        return Ok(None);
    }
    let store = Store::new(&config.common.postgres, &deps.process)?;
    let guard = Guard::new(config.stage.requests.per_token_per_s, Arc::new(SystemClock));
    tokio::spawn(guard.clone().follow(store, deps.readiness.clone(), shutdown.clone()));
    Ok(Some(guard))
}
