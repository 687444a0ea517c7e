//! Requests that replicas serve, counted in histograms as OpenTelemetry's SDKs do.

use opentelemetry_proto::tonic::metrics::v1::{HistogramDataPoint, Metric as Exported};
use rand::Rng;
use rand::distr::Distribution;
use rand::distr::weighted::WeightedIndex;
use rand_chacha::ChaCha8Rng;
use rand_distr::StandardNormal;

use super::Report;
use super::fleet::{Fleet, Replica};
use super::wire::{attribute, histogram, nanos, whole};
use crate::service::{Metric, Service};

/// Upper bounds of the buckets that the conventions advise for durations, seconds.
pub(super) const BOUNDS_S: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
/// Spread of the logarithm of a duration, as in spans.
const SPREAD: f64 = 0.6;
const PERCENTILE: f64 = 0.99;
/// Part of the failures that are 503, the others are 500.
const UNAVAILABLE: f64 = 0.4;

/// A way into a service.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Route {
    method: &'static str,
    path: &'static str,
    success: u16,
}

/// Requests that are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Served {
    route: Route,
    status: u16,
}

/// Requests of one kind since the start of a process.
#[derive(Debug, Clone, Default)]
pub(super) struct Counted {
    buckets: [u64; BOUNDS_S.len() + 1],
    sum_s: f64,
}

const fn get(path: &'static str) -> Route {
    Route { method: "GET", path, success: 200 }
}

const fn post(path: &'static str) -> Route {
    Route { method: "POST", path, success: 201 }
}

/// Returns the routes of a service with their shares of its requests.
fn routes(service: Service) -> &'static [(Route, f64)] {
    match service {
        Service::ApiGateway => {
            const { &[(post("/checkout"), 0.4), (post("/payments"), 0.2), (get("/profile"), 0.4)] }
        }
        Service::Payment => const { &[(post("/charges"), 0.8), (get("/charges/{id}"), 0.2)] },
        Service::Order => const { &[(post("/orders"), 0.7), (get("/orders/{id}"), 0.3)] },
        Service::User => const { &[(get("/users/{id}"), 0.8), (post("/sessions"), 0.2)] },
        Service::Inventory => const { &[(post("/reservations"), 0.6), (get("/stock/{sku}"), 0.4)] },
        Service::Notification => const { &[(post("/messages"), 1.0)] },
    }
}

/// Draws the durations of some requests, seconds, whose 99th percentile is given.
fn durations(count: usize, p99_s: f64, rng: &mut ChaCha8Rng) -> Vec<f64> {
    let normals: Vec<f64> = (0..count).map(|_| rng.sample(StandardNormal)).collect();
    let mut ordered = normals.clone();
    let rank = (PERCENTILE * count as f64).ceil() as usize;
    let Some(place) = rank.checked_sub(1) else { return Vec::new() };
    let (_, high, _) = ordered.select_nth_unstable_by(place, f64::total_cmp);
    normals.iter().map(|normal| p99_s * (SPREAD * (normal - *high)).exp()).collect()
}

/// Lets the replicas serve the requests of an interval.
pub(super) fn serve(fleet: &mut Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) {
    let value = |metric| report.value(metric).unwrap_or_default();
    let due = value(Metric::RequestRate) * report.interval_ms as f64 / 1000.0 + fleet.left_over;
    let count = due.floor();
    fleet.left_over = due - count;
    let expected_failures = count * (value(Metric::ErrorRate) / 100.0).clamp(0.0, 1.0);
    let failures =
        expected_failures.floor() as usize + usize::from(rng.random_bool(expected_failures.fract()));
    let routes = routes(report.service);
    let shares = fleet.shares(rng);
    let (Ok(replicas), Ok(ways)) =
        (WeightedIndex::new(&shares), WeightedIndex::new(routes.iter().map(|(_, share)| share)))
    else {
        return;
    };
    let durations = durations(count as usize, value(Metric::LatencyP99) / 1000.0, rng);
    for (number, duration_s) in durations.into_iter().enumerate() {
        let (route, _) = routes[ways.sample(rng)];
        let status = if number >= failures {
            route.success
        } else if rng.random_bool(UNAVAILABLE) {
            503
        } else {
            500
        };
        let replica = &mut fleet.replicas[replicas.sample(rng)];
        let counted = replica.served.entry(Served { route, status }).or_default();
        counted.buckets[BOUNDS_S.partition_point(|bound| *bound < duration_s)] += 1;
        counted.sum_s += duration_s;
    }
}

/// Returns the histogram of what a replica has served since its start.
pub(super) fn exported(replica: &Replica, ts_ms: i64) -> Option<Exported> {
    let point = |(served, counted): (&Served, &Counted)| {
        let Served { route, status } = served;
        let mut attributes = vec![
            attribute("http.request.method", route.method),
            attribute("http.route", route.path),
            whole("http.response.status_code", i64::from(*status)),
            attribute("url.scheme", "http"),
        ];
        if *status >= 500 {
            attributes.push(attribute("error.type", &status.to_string()));
        }
        HistogramDataPoint {
            attributes,
            start_time_unix_nano: nanos(replica.started_ms),
            time_unix_nano: nanos(replica.exports_at(ts_ms)),
            count: counted.buckets.iter().sum(),
            sum: Some(counted.sum_s),
            bucket_counts: counted.buckets.to_vec(),
            explicit_bounds: BOUNDS_S.to_vec(),
            ..HistogramDataPoint::default()
        }
    };
    let points: Vec<HistogramDataPoint> = replica.served.iter().map(point).collect();
    (!points.is_empty()).then(|| histogram(("http.server.request.duration", "s"), points))
}
