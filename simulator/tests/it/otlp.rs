//! A tick as exports of replicas: what they add up to, how a rollout looks, how they are posted.

#![allow(clippy::unwrap_used, reason = "helpers of tests may fail the test")]

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use axum::Router;
use axum::http::{StatusCode, Uri};
use axum::response::IntoResponse as _;
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsPartialSuccess, ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use prost::Message as _;
use shared::events::Topic;
use shared::events::fault::Scenario;
use simulator::delivery::{Error, Sink};
use simulator::otlp::{Exporter, Gateway};
use simulator::record::Record;
use simulator::service::{Metric, Service};
use simulator::{Decoys, Faults, Options, Tick};

use crate::run;

const REPLICAS: u32 = 3;
const INTERVAL_S: f64 = 10.0;
/// Bytes that a container may use.
const MEMORY: f64 = 2_147_483_648.0;

/// One point: of a number, or the buckets of a histogram with their bounds.
#[derive(Debug, Clone, Default)]
struct Point {
    start: u64,
    time: u64,
    value: f64,
    buckets: Vec<u64>,
    bounds: Vec<f64>,
}

/// What the replicas of a service have exported: by pod, metric and attributes.
type Exported = BTreeMap<(String, String, String), Point>;

fn text(value: Option<&AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Value::StringValue(text)) => text.clone(),
        Some(Value::IntValue(number)) => number.to_string(),
        other => format!("{other:?}"),
    }
}

fn find(attributes: &[KeyValue], name: &str) -> String {
    text(attributes.iter().find(|one| one.key == name).and_then(|one| one.value.as_ref()))
}

fn labels(attributes: &[KeyValue]) -> String {
    let all: Vec<String> =
        attributes.iter().map(|one| format!("{}={}", one.key, text(one.value.as_ref()))).collect();
    all.join(",")
}

fn numbers(points: Vec<opentelemetry_proto::tonic::metrics::v1::NumberDataPoint>) -> Vec<(String, Point)> {
    let read = |point: opentelemetry_proto::tonic::metrics::v1::NumberDataPoint| {
        let Some(Number::AsDouble(value)) = point.value else { panic!("{point:?}") };
        let (start, time) = (point.start_time_unix_nano, point.time_unix_nano);
        (labels(&point.attributes), Point { start, time, value, ..Point::default() })
    };
    points.into_iter().map(read).collect()
}

/// Reads what the replicas of a service export in a tick.
fn read(records: &[Record], service: Service) -> Exported {
    let mut found = Exported::new();
    let of_it = |record: &&Record| record.topic == Topic::RawMetrics && record.key == service.name();
    for record in records.iter().filter(of_it) {
        let request = ExportMetricsServiceRequest::decode(&*record.payload).unwrap();
        for resource in request.resource_metrics {
            let attributes = resource.resource.unwrap().attributes;
            assert_eq!(find(&attributes, "service.name"), service.name());
            assert_eq!(find(&attributes, "deployment.environment.name"), "production");
            assert_eq!(find(&attributes, "service.instance.id").len(), 32);
            let pod = find(&attributes, "k8s.pod.name");
            for metric in resource.scope_metrics.into_iter().flat_map(|scope| scope.metrics) {
                let points = match metric.data.unwrap() {
                    Data::Gauge(gauge) => numbers(gauge.data_points),
                    Data::Sum(sum) => numbers(sum.data_points),
                    Data::Histogram(data) => data
                        .data_points
                        .into_iter()
                        .map(|point| {
                            assert_eq!(point.bucket_counts.iter().sum::<u64>(), point.count);
                            let read = Point {
                                start: point.start_time_unix_nano,
                                time: point.time_unix_nano,
                                value: point.sum.unwrap(),
                                buckets: point.bucket_counts,
                                bounds: point.explicit_bounds,
                            };
                            (labels(&point.attributes), read)
                        })
                        .collect(),
                    other => panic!("{other:?}"),
                };
                for (labels, point) in points {
                    found.insert((pod.clone(), metric.name.clone(), labels), point);
                }
            }
        }
    }
    found
}

/// Returns the points of a metric, each with its attributes.
fn of<'a>(exported: &'a Exported, metric: &str) -> Vec<(&'a str, &'a Point)> {
    exported.iter().filter(|((_, name, _), _)| name == metric).map(|(key, point)| (&*key.2, point)).collect()
}

fn value(tick: &Tick, service: Service, metric: Metric) -> f64 {
    let of_it = |sample: &&shared::events::MetricSample| {
        sample.service == service.name() && sample.metric == metric.name()
    };
    tick.metrics.iter().find(of_it).unwrap().value
}

/// Requests of an interval: by bucket, and those that failed.
#[derive(Debug, Default)]
struct Served {
    buckets: Vec<f64>,
    bounds: Vec<f64>,
    failed: f64,
}

impl Served {
    /// Returns what all replicas have served since the export before.
    fn between(before: &Exported, now: &Exported) -> Self {
        let mut served = Self::default();
        for (key, point) in now.iter().filter(|(key, _)| key.1 == "http.server.request.duration") {
            let known = before.get(key).filter(|known| known.start == point.start);
            served.buckets.resize(point.buckets.len(), 0.0);
            served.bounds.clone_from(&point.bounds);
            for (place, count) in point.buckets.iter().enumerate() {
                let new = count - known.map_or(0, |known| known.buckets[place]);
                served.buckets[place] += new as f64;
                if key.2.contains("status_code=5") {
                    served.failed += new as f64;
                }
            }
        }
        served
    }

    fn count(&self) -> f64 {
        self.buckets.iter().sum()
    }

    /// Returns the bounds of the bucket that holds the 99th percentile, seconds.
    fn p99(&self) -> (f64, f64) {
        let (rank, mut seen) = ((0.99 * self.count()).ceil(), 0.0);
        for (place, count) in self.buckets.iter().enumerate() {
            seen += count;
            if seen >= rank {
                let low = place.checked_sub(1).map_or(0.0, |below| self.bounds[below]);
                return (low, self.bounds.get(place).copied().unwrap_or(f64::INFINITY));
            }
        }
        panic!("no requests: {self:?}");
    }
}

fn compare(tick: &Tick, service: Service, before: &Exported, now: &Exported) {
    let of_tick = |metric| value(tick, service, metric);
    let served = Served::between(before, now);
    let count = of_tick(Metric::RequestRate) * INTERVAL_S;
    assert!((served.count() - count).abs() <= 1.0, "{service:?}: {} of {count} requests", served.count());
    let failed = served.count() * of_tick(Metric::ErrorRate) / 100.0;
    assert!((served.failed - failed).abs() <= 1.0, "{service:?}: {} of {failed} failures", served.failed);
    let (p99, (low, high)) = (of_tick(Metric::LatencyP99) / 1000.0, served.p99());
    assert!(
        low - 1e-9 <= p99 && p99 <= high + 1e-9,
        "{service:?}: {p99} s is not in the bucket from {low} to {high} s"
    );
    let mean = |metric: &str| {
        let points = of(now, metric);
        assert_eq!(points.len(), REPLICAS as usize, "{metric}");
        points.iter().map(|(_, point)| point.value).sum::<f64>() / points.len() as f64
    };
    let (cpu, memory) = (of_tick(Metric::Cpu), of_tick(Metric::Memory));
    // a replica that is full takes less than its share
    if cpu < 70.0 {
        assert!((mean("process.cpu.utilization") * 100.0 - cpu).abs() < 1e-6);
    }
    if memory < 85.0 {
        assert!((mean("container.memory.working_set") / MEMORY * 100.0 - memory).abs() < 1e-6);
    }
    let used: f64 = of(now, "db.client.connection.count")
        .iter()
        .filter(|(labels, _)| labels.contains("state=used"))
        .map(|(_, point)| point.value)
        .sum();
    assert_eq!(used, of_tick(Metric::DbConnections));
    let lags = of(now, "kafka.consumer.records_lag");
    assert_eq!(lags.is_empty(), !matches!(service, Service::Order | Service::Notification));
    if !lags.is_empty() {
        let lag: f64 = lags.iter().map(|(_, point)| point.value).sum();
        assert!((lag - of_tick(Metric::ConsumerLag)).abs() <= lags.len() as f64 / 2.0, "{lag}");
    }
}

#[test]
fn replicas_add_up_to_the_tick() {
    for scenario in
        [Scenario::LatencySpike, Scenario::ErrorSpike, Scenario::DbConnections, Scenario::MemoryLeak]
    {
        let faults = Faults::Once(Some(scenario));
        let options = Options { faults, first_fault_after: 5, decoys: Decoys::Any, ..Options::default() };
        let mut exporter = Exporter::new(3, REPLICAS, options.interval_ms, "production");
        let mut before: BTreeMap<&str, Exported> = BTreeMap::new();
        for tick in run(options, 60) {
            let records = exporter.records(&tick).unwrap();
            for service in Service::ALL {
                let now = read(&records, service);
                let pods: std::collections::BTreeSet<&String> = now.keys().map(|(pod, ..)| pod).collect();
                assert_eq!(pods.len(), REPLICAS as usize);
                compare(&tick, service, before.get(service.name()).unwrap_or(&Exported::new()), &now);
                before.insert(service.name(), now);
            }
        }
    }
}

#[test]
fn a_rollout_replaces_one_replica_after_the_other_and_each_counts_from_its_start() {
    let faults = Faults::Once(Some(Scenario::BadDeployment));
    let options = Options { faults, first_fault_after: 5, decoys: Decoys::None, ..Options::default() };
    let mut exporter = Exporter::new(3, REPLICAS, options.interval_ms, "production");
    let ticks = run(options, 10);
    let (mut replaced, mut before) = (Vec::new(), Exported::new());
    for tick in &ticks {
        let now = read(&exporter.records(tick).unwrap(), Service::User);
        let known: Vec<&String> = before.keys().map(|(pod, ..)| pod).collect();
        let new: BTreeMap<&String, &Point> = now
            .iter()
            .filter(|((pod, metric, _), _)| metric == "http.server.request.duration" && !known.contains(&pod))
            .map(|((pod, ..), point)| (pod, point))
            .collect();
        replaced.push(new.len());
        for point in new.values() {
            let nanos = |ms: i64| ms as u64 * 1_000_000;
            assert!(point.start >= nanos(tick.ts_ms - 10_000) && point.start < point.time);
            assert!(point.time <= nanos(tick.ts_ms));
        }
        before = now;
    }
    // the version is rolled out with the fifth tick
    assert_eq!(ticks[4].deployments.len(), 1);
    assert_eq!(replaced, [3, 0, 0, 0, 0, 1, 1, 1, 0, 0]);
}

#[test]
fn the_same_seed_exports_the_same() {
    let exported = |seed| -> Vec<Record> {
        let mut exporter = Exporter::new(seed, REPLICAS, 10_000, "production");
        run(Options::default(), 20).iter().flat_map(|tick| exporter.records(tick).unwrap()).collect()
    };
    assert_eq!(exported(1), exported(1));
    assert_ne!(exported(1), exported(2));
}

/// What the other sink was given.
#[derive(Clone, Default)]
struct Others(Arc<Mutex<Vec<Topic>>>);

impl Sink for Others {
    const NAME: &'static str = "others";

    async fn send(&self, record: &Record) -> Result<(), Error> {
        self.0.lock().unwrap().push(record.topic);
        Ok(())
    }
}

type Answer = (StatusCode, Vec<u8>);

/// Answers of a gateway, the last one first, and the paths that were asked for.
#[derive(Clone, Default)]
struct Answers {
    next: Arc<Mutex<Vec<Answer>>>,
    asked: Arc<Mutex<Vec<String>>>,
}

impl Answers {
    async fn serve(&self) -> String {
        let this = self.clone();
        let answer = move |uri: Uri| {
            let this = this.clone();
            async move {
                this.asked.lock().unwrap().push(uri.path().to_owned());
                let (status, body) = this.next.lock().unwrap().pop().unwrap_or((StatusCode::OK, Vec::new()));
                (status, [("retry-after", "1")], body).into_response()
            }
        };
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let serving = axum::serve(listener, Router::new().fallback(answer));
        tokio::spawn(async move { serving.await });
        format!("http://{address}/")
    }
}

fn record(topic: Topic) -> Record {
    Record { topic, key: "payment".to_owned(), headers: Vec::new(), payload: Vec::new() }
}

#[tokio::test]
async fn each_signal_has_its_path_and_faults_go_elsewhere() {
    let (answers, others) = (Answers::default(), Others::default());
    let gateway = Gateway::new(&answers.serve().await, None, others.clone()).unwrap();
    for topic in [Topic::RawMetrics, Topic::RawLogs, Topic::RawSpans, Topic::RawDeployments, Topic::SimFaults]
    {
        gateway.send(&record(topic)).await.unwrap();
    }
    let paths = ["/v1/metrics", "/v1/logs", "/v1/traces", "/v1/events/deployments"];
    assert_eq!(*answers.asked.lock().unwrap(), paths);
    assert_eq!(*others.0.lock().unwrap(), [Topic::SimFaults]);
}

#[tokio::test]
async fn a_busy_gateway_is_asked_again_after_the_time_it_names_and_not_for_ever() {
    let answers = Answers::default();
    let gateway = Gateway::new(&answers.serve().await, None, Others::default()).unwrap();
    let busy = || (StatusCode::TOO_MANY_REQUESTS, Vec::new());
    answers.next.lock().unwrap().push(busy());
    let began = tokio::time::Instant::now();
    gateway.send(&record(Topic::RawMetrics)).await.unwrap();
    assert!(began.elapsed() >= Duration::from_secs(1), "{:?}", began.elapsed());
    assert_eq!(answers.asked.lock().unwrap().len(), 2);

    answers.next.lock().unwrap().extend([busy(), busy(), busy(), busy()]);
    let outcome = gateway.send(&record(Topic::RawMetrics)).await;
    assert!(matches!(outcome, Err(Error::Unavailable(_))), "{outcome:?}");
    assert_eq!(answers.asked.lock().unwrap().len(), 5);
}

#[tokio::test]
async fn what_is_refused_for_good_is_not_sent_again() {
    let answers = Answers::default();
    let gateway = Gateway::new(&answers.serve().await, None, Others::default()).unwrap();
    let partial_success =
        Some(ExportMetricsPartialSuccess { rejected_data_points: 2, error_message: "too old".to_owned() });
    let in_part = ExportMetricsServiceResponse { partial_success }.encode_to_vec();
    for answer in [(StatusCode::BAD_REQUEST, b"no service".to_vec()), (StatusCode::OK, in_part)] {
        answers.next.lock().unwrap().push(answer);
        let outcome = gateway.send(&record(Topic::RawMetrics)).await;
        assert!(matches!(outcome, Err(Error::Refused(_))), "{outcome:?}");
    }
    assert_eq!(answers.asked.lock().unwrap().len(), 2);
}
