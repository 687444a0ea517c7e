//! Requests of 1,000 points, with the attributes and labels that pods have.

use anyhow::Result;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use prost::Message as _;
use prost::bytes::Bytes;
use shared::clock::{Clock as _, SystemClock};

/// Points of a request.
pub(crate) const POINTS: usize = 1_000;
/// Requests that differ.
const BODIES: usize = 8;
/// Pods of a request.
const PODS: usize = 5;
const SERVICES: [&str; 10] = [
    "cart",
    "catalogue",
    "checkout",
    "email",
    "frontend",
    "order",
    "payment",
    "recommendation",
    "search",
    "user",
];
/// Bounds of histograms of durations, those of the semantic conventions, seconds.
const BOUNDS: [f64; 14] = [0.005, 0.01, 0.025, 0.05, 0.075, 0.1, 0.25, 0.5, 0.75, 1.0, 2.5, 5.0, 7.5, 10.0];
const CUMULATIVE: i32 = 2;

/// Format of requests.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Format {
    Protobuf,
    Json,
    RemoteWrite,
}

impl Format {
    pub(crate) const ALL: [Self; 3] = [Self::Protobuf, Self::Json, Self::RemoteWrite];

    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Protobuf => "OTLP protobuf",
            Self::Json => "OTLP JSON",
            Self::RemoteWrite => "remote write",
        }
    }

    pub(crate) fn path(self) -> &'static str {
        match self {
            Self::Protobuf | Self::Json => "/v1/metrics",
            Self::RemoteWrite => "/api/v1/write",
        }
    }

    pub(crate) fn content_type(self) -> &'static str {
        match self {
            Self::Protobuf | Self::RemoteWrite => "application/x-protobuf",
            Self::Json => "application/json",
        }
    }

    pub(crate) fn encoding(self) -> Option<&'static str> {
        (self == Self::RemoteWrite).then_some("snappy")
    }
}

/// Requests of one format.
pub(crate) struct Requests {
    pub(crate) format: Format,
    pub(crate) bodies: Vec<Bytes>,
}

impl Requests {
    pub(crate) fn new(format: Format) -> Result<Self> {
        let now_ms = SystemClock.now().as_millisecond();
        let mut random = Random(1);
        let bodies: Result<Vec<Bytes>> = (0..BODIES)
            .map(|body| {
                let pods = (0..PODS).map(|pod| Pod::new(body * PODS + pod));
                Ok(Bytes::from(match format {
                    Format::Protobuf => export(pods, now_ms, &mut random).encode_to_vec(),
                    Format::Json => serde_json::to_vec(&export(pods, now_ms, &mut random))?,
                    Format::RemoteWrite => {
                        let timeseries = pods.flat_map(|pod| pod.series(now_ms, &mut random)).collect();
                        snap::raw::Encoder::new().compress_vec(&Write { timeseries }.encode_to_vec())?
                    }
                }))
            })
            .collect();
        let bodies = bodies?;
        eprintln!("{}: {} bytes a request", format.name(), bodies[0].len());
        Ok(Self { format, bodies })
    }
}

/// Numbers that differ, the same in each run (a linear congruential generator by Knuth, MMIX).
struct Random(u64);

impl Random {
    fn below(&mut self, limit: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % limit
    }
}

/// A replica of a service.
struct Pod {
    service: &'static str,
    name: String,
    node: String,
    address: String,
    uid: String,
}

impl Pod {
    fn new(number: usize) -> Self {
        let service = SERVICES[number % SERVICES.len()];
        Self {
            service,
            name: format!("{service}-7d9c5b6f4d-x{number:04}"),
            node: format!("ip-10-0-{}-17.eu-central-1.compute.internal", number % 7),
            address: format!("10.0.{}.{}:9464", number % 7, 10 + number),
            uid: format!("5f0c{number:04x}-93a1-4bd0-9a6c-0f4f1e6d{number:04x}"),
        }
    }

    fn resource(&self) -> Resource {
        let attributes = [
            ("service.name", self.service),
            ("service.namespace", "shop"),
            ("service.version", "1.42.0"),
            ("service.instance.id", &self.uid),
            ("deployment.environment.name", "production"),
            ("k8s.namespace.name", "shop"),
            ("k8s.deployment.name", self.service),
            ("k8s.pod.name", &self.name),
            ("k8s.pod.uid", &self.uid),
            ("k8s.container.name", self.service),
            ("k8s.node.name", &self.node),
            ("host.name", &self.name),
            ("telemetry.sdk.language", "java"),
            ("telemetry.sdk.name", "opentelemetry"),
            ("telemetry.sdk.version", "1.55.0"),
        ];
        let attributes = attributes.into_iter().map(|(key, value)| attribute(key, value)).collect();
        Resource { attributes, ..Resource::default() }
    }

    /// Returns 200 points, 40 of them histograms.
    fn metrics(&self, now_ms: i64, random: &mut Random) -> ResourceMetrics {
        let time = now_ms as u64 * 1_000_000;
        let metrics = vec![
            histogram("http.server.request.duration", requests(30), time, random),
            histogram("rpc.client.duration", calls(10), time, random),
            counter("http.server.requests", requests(60), time, random),
            counter("messaging.client.consumed.messages", queues(40), time, random),
            gauge("db.client.connection.count", pools(20), time, random),
            gauge("jvm.memory.used", pools(40), time, random),
        ];
        let scope = Some(InstrumentationScope {
            name: "io.opentelemetry.runtime".to_owned(),
            version: "2.20.0".to_owned(),
            ..InstrumentationScope::default()
        });
        ResourceMetrics {
            resource: Some(self.resource()),
            scope_metrics: vec![ScopeMetrics { scope, metrics, ..ScopeMetrics::default() }],
            ..ResourceMetrics::default()
        }
    }

    /// Returns 200 series with a sample each, 68 of them those of classic histograms.
    fn series(&self, now_ms: i64, random: &mut Random) -> Vec<Series> {
        let mut series = Vec::new();
        let mut add = |name: &str, labels: &[(&str, String)], value: f64| {
            let own = [
                ("__name__", name),
                ("container", self.service),
                ("instance", &self.address),
                ("job", self.service),
                ("namespace", "shop"),
                ("node", &self.node),
                ("pod", &self.name),
            ];
            let labels = labels.iter().map(|(key, value)| (*key, value.as_str()));
            let mut labels: Vec<Label> = own
                .into_iter()
                .chain(labels)
                .map(|(key, value)| Label { name: key.replace('.', "_"), value: value.to_owned() })
                .collect();
            labels.sort_by(|a, b| a.name.cmp(&b.name));
            series.push(Series { labels, samples: vec![Sample { value, timestamp_ms: now_ms }] });
        };
        for labels in requests(4) {
            let mut count = 0;
            for bound in BOUNDS.iter().map(f64::to_string).chain(["+Inf".to_owned()]) {
                count += random.below(1_000);
                let labels = [&labels[..], &[("le", bound)]].concat();
                add("http_server_request_duration_seconds_bucket", &labels, count as f64);
            }
            add("http_server_request_duration_seconds_count", &labels, count as f64);
            add("http_server_request_duration_seconds_sum", &labels, count as f64 * 0.0731);
        }
        for labels in requests(60) {
            add("http_server_requests_total", &labels, random.below(1_000_000) as f64);
        }
        for labels in pools(72) {
            add("jvm_memory_used_bytes", &labels, random.below(1 << 30) as f64);
        }
        series
    }
}

type Labels = Vec<(&'static str, String)>;

fn requests(count: usize) -> Vec<Labels> {
    let label = |number: usize| {
        vec![
            ("http.request.method", ["GET", "POST", "PUT"][number % 3].to_owned()),
            ("http.route", format!("/api/v1/orders/{{id}}/items-{}", number / 6)),
            ("http.response.status_code", ["200", "500"][number % 2].to_owned()),
            ("url.scheme", "http".to_owned()),
        ]
    };
    (0..count).map(label).collect()
}

fn calls(count: usize) -> Vec<Labels> {
    let label = |number: usize| {
        vec![
            ("rpc.system", "grpc".to_owned()),
            ("rpc.service", format!("shop.v1.{}", SERVICES[number % SERVICES.len()])),
            ("rpc.method", "Get".to_owned()),
        ]
    };
    (0..count).map(label).collect()
}

fn queues(count: usize) -> Vec<Labels> {
    let label = |number: usize| {
        vec![
            ("messaging.system", "kafka".to_owned()),
            ("messaging.destination.name", format!("orders-{number}")),
            ("messaging.consumer.group.name", "shop".to_owned()),
        ]
    };
    (0..count).map(label).collect()
}

fn pools(count: usize) -> Vec<Labels> {
    let label = |number: usize| {
        let state = ["idle", "used"][number % 2].to_owned();
        vec![("pool.name", format!("pool-{}", number / 2)), ("state", state)]
    };
    (0..count).map(label).collect()
}

fn export(pods: impl Iterator<Item = Pod>, now_ms: i64, random: &mut Random) -> ExportMetricsServiceRequest {
    ExportMetricsServiceRequest { resource_metrics: pods.map(|pod| pod.metrics(now_ms, random)).collect() }
}

fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn attributes(labels: &[(&str, String)]) -> Vec<KeyValue> {
    labels.iter().map(|(key, value)| attribute(key, value)).collect()
}

fn metric(name: &str, unit: &str, data: Data) -> Metric {
    let description = "As the semantic conventions describe it.".to_owned();
    Metric {
        name: name.to_owned(),
        unit: unit.to_owned(),
        description,
        data: Some(data),
        ..Metric::default()
    }
}

fn numbers(points: Vec<Labels>, time: u64, random: &mut Random) -> Vec<NumberDataPoint> {
    let point = |labels: Labels| NumberDataPoint {
        attributes: attributes(&labels),
        start_time_unix_nano: time - 3_600_000_000_000,
        time_unix_nano: time,
        value: Some(Number::AsInt(random.below(1 << 30) as i64)),
        ..NumberDataPoint::default()
    };
    points.into_iter().map(point).collect()
}

fn gauge(name: &str, points: Vec<Labels>, time: u64, random: &mut Random) -> Metric {
    metric(name, "By", Data::Gauge(Gauge { data_points: numbers(points, time, random) }))
}

fn counter(name: &str, points: Vec<Labels>, time: u64, random: &mut Random) -> Metric {
    let data_points = numbers(points, time, random);
    let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: true };
    metric(name, "1", Data::Sum(sum))
}

fn histogram(name: &str, points: Vec<Labels>, time: u64, random: &mut Random) -> Metric {
    let point = |labels: Labels| {
        let bucket_counts: Vec<u64> = (0..=BOUNDS.len()).map(|_| random.below(1_000)).collect();
        let count = bucket_counts.iter().sum();
        HistogramDataPoint {
            attributes: attributes(&labels),
            start_time_unix_nano: time - 3_600_000_000_000,
            time_unix_nano: time,
            count,
            sum: Some(count as f64 * 0.0731),
            bucket_counts,
            explicit_bounds: BOUNDS.to_vec(),
            min: Some(0.0017),
            max: Some(7.3),
            ..HistogramDataPoint::default()
        }
    };
    let data_points = points.into_iter().map(point).collect();
    metric(name, "s", Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE }))
}

/// `WriteRequest` of remote write 1.0 (`remote.proto`, `types.proto`).
#[derive(Clone, PartialEq, prost::Message)]
struct Write {
    #[prost(message, repeated, tag = "1")]
    timeseries: Vec<Series>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Series {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(string, tag = "1")]
    name: String,
    #[prost(string, tag = "2")]
    value: String,
}

#[derive(Clone, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp_ms: i64,
}
