//! What every process has: configuration, tracing, probes, metrics and an orderly end.

pub mod config;
mod files;
pub mod probes;
pub mod telemetry;

use std::future::Future;
use std::process::ExitCode;
use std::time::{Duration, Instant};

use anyhow::Context as _;
use backon::{BackoffBuilder as _, ExponentialBuilder};
use tokio_util::sync::CancellationToken;

use crate::bus::{PING, Producer};
use crate::clock::{Clock as _, SystemClock};
use crate::metrics;
pub use crate::secret::Secret;
pub use config::{Cli, Common, Config, StageOptions};
pub use probes::{Probes, Readiness};

/// Time between two questions.
const LOOK: Duration = Duration::from_secs(2);

/// What `run` of a service is handed besides its configuration.
#[derive(Clone)]
pub struct Deps {
    /// Name of this process, unique among its replicas: stage, host and process id.
    pub process: String,
    /// Where it reports its dependencies.
    pub readiness: Readiness,
}

/// Reads the command line and [starts](start) the service.
pub fn main<S, F, Fut>(name: &'static str, run: F) -> ExitCode
where
    S: StageOptions,
    F: FnOnce(Config<S>, Deps, CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    start(name, &Cli::parse_for(name), run)
}

/// Loads the configuration, starts telemetry and probes, and runs the service until SIGTERM, SIGINT or its own end.
///
/// Exits with 0 after an orderly end, 1 after a failure, 2 where the configuration is invalid.
pub fn start<S, F, Fut>(name: &'static str, cli: &Cli, run: F) -> ExitCode
where
    S: StageOptions,
    F: FnOnce(Config<S>, Deps, CancellationToken) -> Fut,
    Fut: Future<Output = anyhow::Result<()>>,
{
    let config = match Config::<S>::load(name, cli) {
        Ok(config) => config,
        Err(problems) => {
            eprintln!("{name}: the configuration is invalid:\n{problems}");
            return ExitCode::from(2);
        }
    };
    if cli.print_config {
        println!("{}", config.to_toml());
        return ExitCode::SUCCESS;
    }
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .worker_threads(config.common.worker_threads.max(1))
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => {
            eprintln!("{name}: no runtime: {error}");
            return ExitCode::FAILURE;
        }
    };
    let process = process_name(name);
    let inside = runtime.enter();
    if let Err(error) = telemetry::init(name, &process, &config.common.log, &config.common.tracing) {
        eprintln!("{name}: spans cannot be exported: {error:#}");
        return ExitCode::FAILURE;
    }
    drop(inside);
    config.warn();
    #[cfg(feature = "failpoints")]
    crate::failpoint::arm();
    let outcome = runtime.block_on(async {
        let shutdown = CancellationToken::new();
        metrics::init(name);
        metrics::runtime::register();
        metrics::runtime::BUILD_INFO.set([env!("CARGO_PKG_VERSION")], 1.0);
        metrics::runtime::START_TIME_SECONDS.set([], SystemClock.now().as_second() as f64);
        let readiness = Readiness::default();
        let probes = Probes::bind(&config.common.http.listen, readiness.clone(), metrics::render)
            .await
            .with_context(|| format!("listening on {}", config.common.http.listen))?;
        tracing::info!(process, address = %probes.address(), version = env!("CARGO_PKG_VERSION"), "started");
        let serving = tokio::spawn(probes.serve(shutdown.clone()));
        let signals = tokio::spawn(cancel_on_signal(shutdown.clone()));
        let outcome = run(config, Deps { process, readiness }, shutdown.clone()).await;
        shutdown.cancel();
        signals.abort();
        let _ = tokio::time::timeout(Duration::from_secs(1), serving).await;
        outcome
    });
    telemetry::flush();
    // blocking client calls may outlive the service; nobody waits for them
    runtime.shutdown_timeout(Duration::from_millis(500));
    match outcome {
        Ok(()) => {
            tracing::info!("stopped");
            ExitCode::SUCCESS
        }
        Err(error) => {
            tracing::error!(error = format!("{error:#}"), "stopped after a failure");
            ExitCode::FAILURE
        }
    }
}

/// Returns the name of this process. In a container every process has the id 1, so the host belongs to the name.
fn process_name(name: &str) -> String {
    let host = std::fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
    format!("{name}-{}-{}", host.trim(), std::process::id())
}

/// Cancels `shutdown` on SIGTERM or SIGINT.
pub async fn cancel_on_signal(shutdown: CancellationToken) {
    use tokio::signal::unix::{SignalKind, signal};
    let (Ok(mut terminate), Ok(mut interrupt)) =
        (signal(SignalKind::terminate()), signal(SignalKind::interrupt()))
    else {
        tracing::error!("signal handlers could not be installed; stop the process with SIGKILL");
        return;
    };
    tokio::select! {
        _ = terminate.recv() => tracing::info!("SIGTERM: draining"),
        _ = interrupt.recv() => tracing::info!("SIGINT: draining"),
    }
    shutdown.cancel();
}

/// Reports whether Kafka answers to `/readyz`, until `shutdown`.
pub async fn watch_bus(producer: Producer, readiness: Readiness, shutdown: CancellationToken) {
    loop {
        readiness.record("kafka", &producer.answers(PING).await);
        tokio::select! {
            () = shutdown.cancelled() => return,
            () = tokio::time::sleep(LOOK) => {}
        }
    }
}

/// Time after which it is logged again that a dependency is waited for, where the reason is the same.
const REPEAT: Duration = Duration::from_secs(30);
/// Pauses between looks at a dependency that is waited for; without an end.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(100))
    .with_max_delay(Duration::from_secs(3))
    .without_max_times();

/// Tries `attempt` until it succeeds or `shutdown`. Logs what is waited for and why: at first, whenever the reason
/// changes, and every half a minute.
pub async fn wait_for<T, E, F, Fut>(
    what: &'static str,
    readiness: &Readiness,
    shutdown: &CancellationToken,
    mut attempt: F,
) -> Option<T>
where
    E: std::fmt::Display,
    F: FnMut() -> Fut,
    Fut: Future<Output = Result<T, E>>,
{
    let mut said: Option<(String, Instant)> = None;
    for delay in BACKOFF.build() {
        let outcome = tokio::select! {
            () = shutdown.cancelled() => return None,
            outcome = attempt() => outcome,
        };
        match outcome {
            Ok(value) => {
                readiness.up(what);
                return Some(value);
            }
            Err(error) => {
                let error = error.to_string();
                readiness.down(what, &error);
                if said.as_ref().is_none_or(|(before, at)| *before != error || at.elapsed() > REPEAT) {
                    tracing::warn!(dependency = what, error, "waiting for a dependency");
                    said = Some((error, Instant::now()));
                }
            }
        }
        tokio::select! {
            () = shutdown.cancelled() => return None,
            () = tokio::time::sleep(delay) => {}
        }
    }
    None
}
