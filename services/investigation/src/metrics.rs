//! Metrics of the stage, besides those every stage has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily};

/// Claims, by whether the evidence holds them: verified, dropped.
pub static CLAIMS: Counter<1> = LazyLock::new(|| {
    let help = "Claims, by whether the evidence holds them: verified, dropped.";
    CounterFamily::new("firewatch_investigation_claims_total", help, ["outcome"])
});

/// Investigations made while the knowledge index did not answer.
pub static SEARCH_FAILURES: Counter<0> = LazyLock::new(|| {
    let help = "Investigations made while the knowledge index did not answer.";
    CounterFamily::new("firewatch_investigation_search_failures_total", help, [])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    LazyLock::force(&CLAIMS);
    LazyLock::force(&SEARCH_FAILURES);
}
