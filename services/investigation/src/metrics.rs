//! Metrics of the stage, besides those every stage has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily, Histogram, HistogramFamily};

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

/// Queries, by source and outcome: answered, timeout, unreachable, status, too_large, malformed, partial, unknown, broken.
pub static QUERIES: Counter<2> = LazyLock::new(|| {
    let help = "Queries, by source and outcome: answered, timeout, unreachable, status, too_large, malformed, partial, unknown, broken.";
    CounterFamily::new("firewatch_investigation_queries_total", help, ["source", "outcome"])
});

/// Upper bounds of the durations of queries, seconds.
const QUERY_BUCKETS: [f64; 8] = [0.01, 0.05, 0.1, 0.25, 0.5, 1.0, 2.0, 5.0];

/// Time of a query.
pub static QUERY_SECONDS: Histogram<1> = LazyLock::new(|| {
    let help = "Time of a query.";
    HistogramFamily::new("firewatch_investigation_query_seconds", help, ["source"], &QUERY_BUCKETS)
});

/// Second looks, by outcome: corrected, unchanged, superseded.
pub static LOOKS: Counter<1> = LazyLock::new(|| {
    let help = "Second looks, by outcome: corrected, unchanged, superseded.";
    CounterFamily::new("firewatch_investigation_second_looks_total", help, ["outcome"])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    LazyLock::force(&CLAIMS);
    LazyLock::force(&SEARCH_FAILURES);
    LazyLock::force(&QUERIES);
    LazyLock::force(&QUERY_SECONDS);
    LazyLock::force(&LOOKS);
}
