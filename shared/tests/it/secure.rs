//! TLS and logins, against the real Kafka and PostgreSQL and the double of Qdrant, with certificates made here.
//!
//! Each failure must be logged with its cause within ten seconds, and no log line of ours or of a library may hold a
//! secret.

mod authority;
mod kafka;
mod log;
mod postgres;
mod qdrant;
mod settings;

use std::time::Duration;

use shared::service::Readiness;

/// Longest time until a failure is logged and reported.
const CLEAR: Duration = Duration::from_secs(10);

/// Waits until a dependency is reported down for a reason that contains `words`.
async fn down(readiness: &Readiness, words: &str) {
    stack::parts::probe::until(words, CLEAR, async || {
        let (ready, report) = readiness.report();
        anyhow::ensure!(!ready && report.contains(words), "{report}");
        Ok(())
    })
    .await
    .unwrap();
}
