//! Metrics of the gateway, besides those every process has.

use std::sync::LazyLock;

use shared::metrics::{Counter, CounterFamily, Gauge, GaugeFamily, Histogram, HistogramFamily};

use crate::refusals::Refusals;
use crate::telemetry::Taken;

/// Upper bounds for the acknowledgement of one request: 1 ms from a broker beside us, 10 s is the default deadline.
const PUBLISH_BUCKETS: [f64; 11] = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1.0, 2.5, 10.0];

/// Requests that were answered.
pub(crate) static REQUESTS: Counter<2> = LazyLock::new(|| {
    let help = "Requests, by format and outcome: ok, partial (some items were refused), or why the whole was refused.";
    CounterFamily::new("firewatch_gateway_requests_total", help, ["format", "outcome"])
});
/// Items that Kafka has acknowledged.
static ITEMS: Counter<1> = LazyLock::new(|| {
    let help = "Items that were taken, by kind: sample, histogram, line, span, deployment, alert.";
    CounterFamily::new("firewatch_gateway_items_total", help, ["kind"])
});
/// Items that were refused.
static REFUSED: Counter<2> = LazyLock::new(|| {
    let help = "Items that were refused, by format and reason.";
    CounterFamily::new("firewatch_gateway_refused_total", help, ["format", "reason"])
});
/// Bytes that are held.
pub(crate) static IN_FLIGHT_BYTES: Gauge<0> = LazyLock::new(|| {
    let help = "Bytes of bodies and records that are held for requests in flight.";
    GaugeFamily::new("firewatch_gateway_in_flight_bytes", help, [])
});
/// Time until Kafka has acknowledged a request.
pub(crate) static PUBLISH_SECONDS: Histogram<1> = LazyLock::new(|| {
    let help = "Time until Kafka has acknowledged every record of a request, seconds.";
    HistogramFamily::new("firewatch_gateway_publish_seconds", help, ["outcome"], &PUBLISH_BUCKETS)
});

/// Creates the families, so that they are shown before anything is counted.
pub(crate) fn register() {
    LazyLock::force(&REQUESTS);
    LazyLock::force(&ITEMS);
    LazyLock::force(&REFUSED);
    LazyLock::force(&PUBLISH_SECONDS);
    IN_FLIGHT_BYTES.set([], 0.0);
}

/// Counts items that were taken.
pub(crate) fn count_taken(taken: &Taken) {
    let kinds = [
        ("sample", taken.samples),
        ("histogram", taken.histograms),
        ("line", taken.lines),
        ("span", taken.spans),
        ("deployment", taken.deployments),
        ("alert", taken.alerts),
    ];
    for (kind, count) in kinds.into_iter().filter(|(_, count)| *count > 0) {
        ITEMS.add([kind], count as u64);
    }
}

/// Counts items that were refused.
pub(crate) fn count_refused(format: &str, refused: &Refusals) {
    for (reason, count) in refused.counts() {
        REFUSED.add([format, reason.as_str()], count as u64);
    }
}
