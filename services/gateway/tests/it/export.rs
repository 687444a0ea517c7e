//! Exports, as SDKs and Collectors send them.

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::logs::v1::{LogRecord, ResourceLogs, ScopeLogs};
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::summary_data_point::ValueAtQuantile;
use opentelemetry_proto::tonic::metrics::v1::{
    ExponentialHistogram, ExponentialHistogramDataPoint, Gauge, Histogram, HistogramDataPoint, Metric,
    NumberDataPoint, ResourceMetrics, ScopeMetrics, Sum, Summary, SummaryDataPoint,
};
use opentelemetry_proto::tonic::resource::v1::Resource;
use opentelemetry_proto::tonic::trace::v1::{ResourceSpans, ScopeSpans, Span, Status};

const DELTA: i32 = 1;
const CUMULATIVE: i32 = 2;

pub(crate) fn attribute(key: &str, value: &str) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::StringValue(value.to_owned())) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

fn resource(service: &str) -> Resource {
    let attributes = vec![
        attribute("service.name", service),
        attribute("deployment.environment.name", "staging"),
        attribute("k8s.pod.name", "pod-1"),
        attribute("telemetry.sdk.language", "rust"),
    ];
    Resource { attributes, ..Resource::default() }
}

fn nanos(ms: i64) -> u64 {
    ms as u64 * 1_000_000
}

/// A number at a time.
pub(crate) fn number(value: f64, ms: i64) -> NumberDataPoint {
    NumberDataPoint {
        attributes: vec![attribute("http.route", "/pay")],
        start_time_unix_nano: nanos(ms - 1_000),
        time_unix_nano: nanos(ms),
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

fn metric(name: &str, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: "s".to_owned(), data: Some(data), ..Metric::default() }
}

/// Metrics of a service.
pub(crate) fn metrics(service: &str, metrics: Vec<Metric>) -> ExportMetricsServiceRequest {
    let scope_metrics = vec![ScopeMetrics { metrics, ..ScopeMetrics::default() }];
    let one =
        ResourceMetrics { resource: Some(resource(service)), scope_metrics, ..ResourceMetrics::default() };
    ExportMetricsServiceRequest { resource_metrics: vec![one] }
}

/// A gauge with these points.
pub(crate) fn gauge(name: &str, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(name, Data::Gauge(Gauge { data_points }))
}

/// A sum of one point.
pub(crate) fn sum(name: &str, is_monotonic: bool, is_delta: bool, ms: i64) -> Metric {
    let aggregation_temporality = if is_delta { DELTA } else { CUMULATIVE };
    metric(name, Data::Sum(Sum { data_points: vec![number(5.0, ms)], aggregation_temporality, is_monotonic }))
}

/// One metric of each kind.
pub(crate) fn all_kinds(ms: i64) -> Vec<Metric> {
    let histogram = HistogramDataPoint {
        start_time_unix_nano: nanos(ms - 1_000),
        time_unix_nano: nanos(ms),
        count: 3,
        sum: Some(1.5),
        bucket_counts: vec![1, 2],
        explicit_bounds: vec![0.5],
        ..HistogramDataPoint::default()
    };
    let exponential = ExponentialHistogramDataPoint {
        time_unix_nano: nanos(ms),
        count: 4,
        sum: Some(9.0),
        scale: 2,
        zero_count: 1,
        positive: Some(Buckets { offset: -1, bucket_counts: vec![1, 0, 2] }),
        ..ExponentialHistogramDataPoint::default()
    };
    let summary = SummaryDataPoint {
        time_unix_nano: nanos(ms),
        count: 7,
        sum: 3.5,
        quantile_values: vec![
            ValueAtQuantile { quantile: 0.99, value: 0.9 },
            ValueAtQuantile { quantile: 0.5, value: f64::NAN },
        ],
        ..SummaryDataPoint::default()
    };
    let unrecorded = NumberDataPoint { value: None, flags: 1, ..number(0.0, ms) };
    vec![
        gauge("a.gauge", vec![number(0.25, ms), unrecorded]),
        sum("b.counter", true, true, ms),
        sum("c.updown", false, false, ms),
        metric(
            "d.histogram",
            Data::Histogram(Histogram { data_points: vec![histogram], aggregation_temporality: DELTA }),
        ),
        metric(
            "e.native",
            Data::ExponentialHistogram(ExponentialHistogram {
                data_points: vec![exponential],
                aggregation_temporality: CUMULATIVE,
            }),
        ),
        metric("f.summary", Data::Summary(Summary { data_points: vec![summary] })),
    ]
}

/// Log records of a service.
pub(crate) fn logs(service: &str, log_records: Vec<LogRecord>) -> ExportLogsServiceRequest {
    let scope_logs = vec![ScopeLogs { log_records, ..ScopeLogs::default() }];
    let one = ResourceLogs { resource: Some(resource(service)), scope_logs, ..ResourceLogs::default() };
    ExportLogsServiceRequest { resource_logs: vec![one] }
}

/// An error with a text.
pub(crate) fn line(text: &str, ms: i64) -> LogRecord {
    LogRecord {
        observed_time_unix_nano: nanos(ms),
        severity_number: 17,
        body: Some(AnyValue { value: Some(Value::StringValue(text.to_owned())) }),
        attributes: vec![attribute("thread", "main")],
        trace_id: vec![7; 16],
        ..LogRecord::default()
    }
}

/// Spans of a service.
pub(crate) fn spans(service: &str, spans: Vec<Span>) -> ExportTraceServiceRequest {
    let scope_spans = vec![ScopeSpans { spans, ..ScopeSpans::default() }];
    let one = ResourceSpans { resource: Some(resource(service)), scope_spans, ..ResourceSpans::default() };
    ExportTraceServiceRequest { resource_spans: vec![one] }
}

/// A span of a trace that took a time and ends at another.
pub(crate) fn span(trace: u8, id: u8, kind: i32, took_ms: i64, end_ms: i64) -> Span {
    Span {
        trace_id: vec![trace; 16],
        span_id: vec![id; 8],
        parent_span_id: if id == 1 { Vec::new() } else { vec![1; 8] },
        name: "GET /pay".to_owned(),
        kind,
        start_time_unix_nano: nanos(end_ms - took_ms),
        end_time_unix_nano: nanos(end_ms),
        status: Some(Status { code: if id == 3 { 2 } else { 0 }, ..Status::default() }),
        ..Span::default()
    }
}
