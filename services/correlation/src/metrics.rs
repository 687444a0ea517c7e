//! Metrics of the stage, besides those every stage has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily};

/// Spans forgotten before their parent was seen, because memory for them is bounded.
pub static SPANS_FORGOTTEN: Counter<0> = LazyLock::new(|| {
    let help = "Spans forgotten before their parent was seen, because memory for them is bounded.";
    CounterFamily::new("firewatch_correlation_spans_forgotten_total", help, [])
});

/// Edges with calls that were dropped before they were written, because memory for them is bounded.
pub static EDGES_FORGOTTEN: Counter<0> = LazyLock::new(|| {
    let help =
        "Edges with calls that were dropped before they were written, because memory for them is bounded.";
    CounterFamily::new("firewatch_correlation_edges_forgotten_total", help, [])
});

/// Spans that had been read before and were not counted again.
pub static SPANS_REPEATED: Counter<0> = LazyLock::new(|| {
    let help = "Spans that had been read before and were not counted again.";
    CounterFamily::new("firewatch_correlation_spans_repeated_total", help, [])
});

/// Calls that were not subtracted from the self time of a span, because memory for them is bounded.
pub static INTERVALS_FORGOTTEN: Counter<0> = LazyLock::new(|| {
    let help =
        "Calls that were not subtracted from the self time of a span, because memory for them is bounded.";
    CounterFamily::new("firewatch_correlation_intervals_forgotten_total", help, [])
});

/// Registers all of them, so that they are known before they are first counted.
pub fn register() {
    LazyLock::force(&SPANS_FORGOTTEN);
    LazyLock::force(&EDGES_FORGOTTEN);
    LazyLock::force(&SPANS_REPEATED);
    LazyLock::force(&INTERVALS_FORGOTTEN);
}
