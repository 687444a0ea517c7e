//! `/healthz` (the process is alive), `/readyz` (its dependencies answer and it makes progress, with reasons) and
//! `/metrics`.

use std::collections::BTreeMap;
use std::fmt::Display;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex, PoisonError};

use axum::Router;
use axum::extract::State;
use axum::http::{StatusCode, header};
use axum::response::IntoResponse;
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_util::sync::CancellationToken;

use crate::bus::partitioned::Health;
use crate::metrics::runtime;

/// What is known of each dependency, and of the work of the stage itself: up, or why not.
#[derive(Debug, Clone, Default)]
pub struct Readiness(Arc<Mutex<BTreeMap<&'static str, Option<String>>>>);

impl Readiness {
    /// Records that a dependency answers.
    pub fn up(&self, dependency: &'static str) {
        self.set(dependency, None);
    }

    /// Records why a dependency does not answer.
    pub fn down(&self, dependency: &'static str, reason: &str) {
        self.set(dependency, Some(reason.chars().take(300).collect()));
    }

    /// Records whether a dependency answered, or a part of the stage works, and why not.
    pub fn record<T, E: Display>(&self, dependency: &'static str, outcome: &Result<T, E>) {
        match outcome {
            Ok(_) => self.up(dependency),
            Err(error) => self.down(dependency, &error.to_string()),
        }
    }

    fn set(&self, dependency: &'static str, reason: Option<String>) {
        let ready = if reason.is_none() { 1.0 } else { 0.0 };
        runtime::DEPENDENCY_UP.set([dependency], ready);
        self.0.lock().unwrap_or_else(PoisonError::into_inner).insert(dependency, reason);
    }

    /// Returns whether all dependencies answer, and one line for each.
    pub fn report(&self) -> (bool, String) {
        let known = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        let ready = !known.is_empty() && known.values().all(Option::is_none);
        let lines: Vec<String> = known
            .iter()
            .map(|(name, reason)| match reason {
                None => format!("{name}: ok"),
                Some(reason) => format!("{name}: down: {reason}"),
            })
            .collect();
        (ready, if lines.is_empty() { "starting".to_owned() } else { lines.join("\n") } + "\n")
    }
}

impl Health for Readiness {
    fn note(&self, what: &'static str, outcome: Result<(), String>) {
        self.record(what, &outcome);
    }
}

/// The HTTP side of a process.
pub struct Probes {
    listener: TcpListener,
    address: SocketAddr,
    router: Router,
}

impl Probes {
    /// Listens on `address:port`; port 0 takes a free one.
    pub async fn bind(
        listen: &str,
        readiness: Readiness,
        metrics: impl Fn() -> String + Clone + Send + Sync + 'static,
    ) -> std::io::Result<Self> {
        let listener = TcpListener::bind(listen).await?;
        let address = listener.local_addr()?;
        let router = Router::new()
            .route("/healthz", get(|| async { "ok\n" }))
            .route("/readyz", get(ready))
            .with_state(readiness)
            .route(
                "/metrics",
                get(move || async move {
                    ([(header::CONTENT_TYPE, "text/plain; version=0.0.4; charset=utf-8")], metrics())
                }),
            );
        Ok(Self { listener, address, router })
    }

    /// Serves further routes beside the probes.
    #[must_use]
    pub fn with(mut self, router: Router) -> Self {
        self.router = self.router.merge(router);
        self
    }

    /// Returns where it listens.
    pub fn address(&self) -> SocketAddr {
        self.address
    }

    /// Serves until `shutdown`.
    pub async fn serve(self, shutdown: CancellationToken) {
        let serving = axum::serve(self.listener, self.router)
            .with_graceful_shutdown(async move { shutdown.cancelled().await });
        if let Err(error) = serving.await {
            tracing::error!(%error, "probe server stopped");
        }
    }
}

async fn ready(State(readiness): State<Readiness>) -> impl IntoResponse {
    let (ready, report) = readiness.report();
    (if ready { StatusCode::OK } else { StatusCode::SERVICE_UNAVAILABLE }, report)
}
