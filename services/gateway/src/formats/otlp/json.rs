//! Exports in JSON, as the protobuf messages that they stand for.
//!
//! The mapping is protobuf's with the exceptions of OTLP: ids are hexadecimal, enums are numbers. What writers in the field send is
//! read as well: names of enums, names of fields in snake case, numbers as texts and `null` for what is not set. Unknown fields are
//! ignored, and what is of the wrong type is an error: nothing is left out in silence.

mod scalar;
mod value;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::metrics::v1::{
    self as metrics, AggregationTemporality, exponential_histogram_data_point, metric, number_data_point,
    summary_data_point,
};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::{logs::v1 as logs, trace::v1 as trace};
use serde::Deserialize;

use scalar::{Double, Int, Text, Word};
use value::{Any, Attribute, Resource, attributes, resource};

/// What can be read from JSON.
pub trait FromJson: Sized {
    /// Reads an export.
    fn from_json(body: &[u8]) -> Result<Self, serde_json::Error>;
}

/// Reads an object. An array, which stands for the fields of one in other formats, is refused.
fn object<'b, T: Deserialize<'b>>(body: &'b [u8]) -> Result<T, serde_json::Error> {
    match body.iter().find(|byte| !byte.is_ascii_whitespace()) {
        Some(b'{') | None => serde_json::from_slice(body),
        Some(_) => Err(serde::de::Error::custom("an export is a JSON object")),
    }
}

/// A list; `null` is an empty one.
type List<T> = Option<Vec<T>>;

fn all<T: Into<U>, U>(list: List<T>) -> Vec<U> {
    list.unwrap_or_default().into_iter().map(Into::into).collect()
}

fn int<T: Default>(number: Option<Int<T>>) -> T {
    number.map(|number| number.0).unwrap_or_default()
}

fn double(number: Option<Double>) -> f64 {
    number.map(|number| number.0).unwrap_or_default()
}

fn text(text: Option<Text>) -> String {
    text.map(|text| text.0).unwrap_or_default()
}

/// Returns the bytes of a hexadecimal id; none of one that is not.
fn id(text: Option<Text>) -> Vec<u8> {
    text.and_then(|text| hex::decode(text.0).ok()).unwrap_or_default()
}

macro_rules! document {
    ($($(#[$doc:meta])* $name:ident { $($field:ident $(or $alias:literal)?: $kind:ty,)* })*) => {$(
        $(#[$doc])*
        #[derive(Debug, Default, Deserialize)]
        #[serde(rename_all = "camelCase", default)]
        struct $name { $($(#[serde(alias = $alias)])? $field: Option<$kind>,)* }
    )*};
}

document! {
    MetricsExport { resource_metrics or "resource_metrics": Vec<ResourceMetrics>, }
    ResourceMetrics { resource: Resource, scope_metrics or "scope_metrics": Vec<ScopeMetrics>, }
    ScopeMetrics { metrics: Vec<Metric>, }
    Metric {
        name: Text,
        unit: Text,
        gauge: Gauge,
        sum: Sum,
        histogram: Histogram,
        exponential_histogram or "exponential_histogram": Exponential,
        summary: Summary,
    }
    Gauge { data_points or "data_points": Vec<NumberPoint>, }
    Sum {
        data_points or "data_points": Vec<NumberPoint>,
        aggregation_temporality or "aggregation_temporality": Word,
        is_monotonic or "is_monotonic": bool,
    }
    Histogram {
        data_points or "data_points": Vec<HistogramPoint>,
        aggregation_temporality or "aggregation_temporality": Word,
    }
    Exponential {
        data_points or "data_points": Vec<ExponentialPoint>,
        aggregation_temporality or "aggregation_temporality": Word,
    }
    Summary { data_points or "data_points": Vec<SummaryPoint>, }
    NumberPoint {
        attributes: Vec<Attribute>,
        start_time_unix_nano or "start_time_unix_nano": Int<u64>,
        time_unix_nano or "time_unix_nano": Int<u64>,
        flags: Int<u32>,
        as_double or "as_double": Double,
        as_int or "as_int": Int<i64>,
    }
    HistogramPoint {
        attributes: Vec<Attribute>,
        start_time_unix_nano or "start_time_unix_nano": Int<u64>,
        time_unix_nano or "time_unix_nano": Int<u64>,
        flags: Int<u32>,
        count: Int<u64>,
        sum: Double,
        bucket_counts or "bucket_counts": Vec<Int<u64>>,
        explicit_bounds or "explicit_bounds": Vec<Double>,
    }
    ExponentialPoint {
        attributes: Vec<Attribute>,
        start_time_unix_nano or "start_time_unix_nano": Int<u64>,
        time_unix_nano or "time_unix_nano": Int<u64>,
        flags: Int<u32>,
        count: Int<u64>,
        sum: Double,
        scale: Int<i32>,
        zero_count or "zero_count": Int<u64>,
        zero_threshold or "zero_threshold": Double,
        positive: Buckets,
        negative: Buckets,
    }
    Buckets { offset: Int<i32>, bucket_counts or "bucket_counts": Vec<Int<u64>>, }
    SummaryPoint {
        attributes: Vec<Attribute>,
        start_time_unix_nano or "start_time_unix_nano": Int<u64>,
        time_unix_nano or "time_unix_nano": Int<u64>,
        flags: Int<u32>,
        count: Int<u64>,
        sum: Double,
        quantile_values or "quantile_values": Vec<Quantile>,
    }
    Quantile { quantile: Double, value: Double, }
    LogsExport { resource_logs or "resource_logs": Vec<ResourceLogs>, }
    ResourceLogs { resource: Resource, scope_logs or "scope_logs": Vec<ScopeLogs>, }
    ScopeLogs { log_records or "log_records": Vec<LogRecord>, }
    LogRecord {
        time_unix_nano or "time_unix_nano": Int<u64>,
        observed_time_unix_nano or "observed_time_unix_nano": Int<u64>,
        severity_number or "severity_number": Word,
        severity_text or "severity_text": Text,
        body: Any,
        attributes: Vec<Attribute>,
        trace_id or "trace_id": Text,
        span_id or "span_id": Text,
        event_name or "event_name": Text,
    }
    TracesExport { resource_spans or "resource_spans": Vec<ResourceSpans>, }
    ResourceSpans { resource: Resource, scope_spans or "scope_spans": Vec<ScopeSpans>, }
    ScopeSpans { spans: Vec<SpanRecord>, }
    SpanRecord {
        trace_id or "trace_id": Text,
        span_id or "span_id": Text,
        parent_span_id or "parent_span_id": Text,
        name: Text,
        kind: Word,
        start_time_unix_nano or "start_time_unix_nano": Int<u64>,
        end_time_unix_nano or "end_time_unix_nano": Int<u64>,
        attributes: Vec<Attribute>,
        status: Status,
    }
    Status { message: Text, code: Word, }
}

impl FromJson for ExportMetricsServiceRequest {
    fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let read: MetricsExport = object(body)?;
        Ok(Self { resource_metrics: all(read.resource_metrics) })
    }
}

impl FromJson for ExportLogsServiceRequest {
    fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let read: LogsExport = object(body)?;
        Ok(Self { resource_logs: all(read.resource_logs) })
    }
}

impl FromJson for ExportTraceServiceRequest {
    fn from_json(body: &[u8]) -> Result<Self, serde_json::Error> {
        let read: TracesExport = object(body)?;
        Ok(Self { resource_spans: all(read.resource_spans) })
    }
}

impl From<ResourceMetrics> for metrics::ResourceMetrics {
    fn from(read: ResourceMetrics) -> Self {
        Self { resource: resource(read.resource), scope_metrics: all(read.scope_metrics), ..Self::default() }
    }
}

impl From<ScopeMetrics> for metrics::ScopeMetrics {
    fn from(read: ScopeMetrics) -> Self {
        Self { metrics: all(read.metrics), ..Self::default() }
    }
}

fn temporality(word: Option<Word>) -> i32 {
    word.map_or(0, |word| word.number(|name| AggregationTemporality::from_str_name(name).map(Into::into)))
}

impl From<Metric> for metrics::Metric {
    fn from(read: Metric) -> Self {
        let gauge =
            read.gauge.map(|one| metric::Data::Gauge(metrics::Gauge { data_points: all(one.data_points) }));
        let sum = read.sum.map(|one| {
            metric::Data::Sum(metrics::Sum {
                data_points: all(one.data_points),
                aggregation_temporality: temporality(one.aggregation_temporality),
                is_monotonic: one.is_monotonic.unwrap_or_default(),
            })
        });
        let histogram = read.histogram.map(|one| {
            metric::Data::Histogram(metrics::Histogram {
                data_points: all(one.data_points),
                aggregation_temporality: temporality(one.aggregation_temporality),
            })
        });
        let exponential = read.exponential_histogram.map(|one| {
            metric::Data::ExponentialHistogram(metrics::ExponentialHistogram {
                data_points: all(one.data_points),
                aggregation_temporality: temporality(one.aggregation_temporality),
            })
        });
        let summary = read
            .summary
            .map(|one| metric::Data::Summary(metrics::Summary { data_points: all(one.data_points) }));
        Self {
            name: text(read.name),
            unit: text(read.unit),
            data: gauge.or(sum).or(histogram).or(exponential).or(summary),
            ..Self::default()
        }
    }
}

impl From<NumberPoint> for metrics::NumberDataPoint {
    fn from(read: NumberPoint) -> Self {
        let real = read.as_double.map(|number| number_data_point::Value::AsDouble(number.0));
        let whole = read.as_int.map(|number| number_data_point::Value::AsInt(number.0));
        Self {
            attributes: attributes(read.attributes),
            start_time_unix_nano: int(read.start_time_unix_nano),
            time_unix_nano: int(read.time_unix_nano),
            flags: int(read.flags),
            value: real.or(whole),
            ..Self::default()
        }
    }
}

impl From<HistogramPoint> for metrics::HistogramDataPoint {
    fn from(read: HistogramPoint) -> Self {
        Self {
            attributes: attributes(read.attributes),
            start_time_unix_nano: int(read.start_time_unix_nano),
            time_unix_nano: int(read.time_unix_nano),
            flags: int(read.flags),
            count: int(read.count),
            sum: read.sum.map(|sum| sum.0),
            bucket_counts: all(read.bucket_counts),
            explicit_bounds: all(read.explicit_bounds),
            ..Self::default()
        }
    }
}

impl From<ExponentialPoint> for metrics::ExponentialHistogramDataPoint {
    fn from(read: ExponentialPoint) -> Self {
        let buckets = |side: Option<Buckets>| {
            side.map(|side| exponential_histogram_data_point::Buckets {
                offset: int(side.offset),
                bucket_counts: all(side.bucket_counts),
            })
        };
        Self {
            attributes: attributes(read.attributes),
            start_time_unix_nano: int(read.start_time_unix_nano),
            time_unix_nano: int(read.time_unix_nano),
            flags: int(read.flags),
            count: int(read.count),
            sum: read.sum.map(|sum| sum.0),
            scale: int(read.scale),
            zero_count: int(read.zero_count),
            zero_threshold: double(read.zero_threshold),
            positive: buckets(read.positive),
            negative: buckets(read.negative),
            ..Self::default()
        }
    }
}

impl From<SummaryPoint> for metrics::SummaryDataPoint {
    fn from(read: SummaryPoint) -> Self {
        Self {
            attributes: attributes(read.attributes),
            start_time_unix_nano: int(read.start_time_unix_nano),
            time_unix_nano: int(read.time_unix_nano),
            flags: int(read.flags),
            count: int(read.count),
            sum: double(read.sum),
            quantile_values: all(read.quantile_values),
        }
    }
}

impl From<Quantile> for summary_data_point::ValueAtQuantile {
    fn from(read: Quantile) -> Self {
        Self { quantile: double(read.quantile), value: double(read.value) }
    }
}

impl From<ResourceLogs> for logs::ResourceLogs {
    fn from(read: ResourceLogs) -> Self {
        Self { resource: resource(read.resource), scope_logs: all(read.scope_logs), ..Self::default() }
    }
}

impl From<ScopeLogs> for logs::ScopeLogs {
    fn from(read: ScopeLogs) -> Self {
        Self { log_records: all(read.log_records), ..Self::default() }
    }
}

impl From<LogRecord> for logs::LogRecord {
    fn from(read: LogRecord) -> Self {
        let severity =
            |word: Word| word.number(|name| logs::SeverityNumber::from_str_name(name).map(Into::into));
        Self {
            time_unix_nano: int(read.time_unix_nano),
            observed_time_unix_nano: int(read.observed_time_unix_nano),
            severity_number: read.severity_number.map_or(0, severity),
            severity_text: text(read.severity_text),
            body: read.body.map(Into::into),
            attributes: attributes(read.attributes),
            trace_id: id(read.trace_id),
            span_id: id(read.span_id),
            event_name: text(read.event_name),
            ..Self::default()
        }
    }
}

impl From<ResourceSpans> for trace::ResourceSpans {
    fn from(read: ResourceSpans) -> Self {
        Self { resource: resource(read.resource), scope_spans: all(read.scope_spans), ..Self::default() }
    }
}

impl From<ScopeSpans> for trace::ScopeSpans {
    fn from(read: ScopeSpans) -> Self {
        Self { spans: all(read.spans), ..Self::default() }
    }
}

impl From<SpanRecord> for trace::Span {
    fn from(read: SpanRecord) -> Self {
        let kind = |word: Word| word.number(|name| SpanKind::from_str_name(name).map(Into::into));
        Self {
            trace_id: id(read.trace_id),
            span_id: id(read.span_id),
            parent_span_id: id(read.parent_span_id),
            name: text(read.name),
            kind: read.kind.map_or(0, kind),
            start_time_unix_nano: int(read.start_time_unix_nano),
            end_time_unix_nano: int(read.end_time_unix_nano),
            attributes: attributes(read.attributes),
            status: read.status.map(Into::into),
            ..Self::default()
        }
    }
}

impl From<Status> for trace::Status {
    fn from(read: Status) -> Self {
        let code = |word: Word| word.number(|name| StatusCode::from_str_name(name).map(Into::into));
        Self { message: text(read.message), code: read.code.map_or(0, code) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_are_read_as_texts_too_enums_by_name_and_unknown_fields_are_ignored() {
        let body = br#"{"resourceMetrics":[{"resource":{"attributes":[{"key":"service.name","value":{"stringValue":"pay","new":[1]}}]},
            "scopeMetrics":[{"scope":{"name":"x"},"metrics":[
            {"name":"a","sum":{"aggregationTemporality":"AGGREGATION_TEMPORALITY_DELTA","isMonotonic":true,"dataPoints":[
                {"asInt":"12","timeUnixNano":"1772359210000000000","startTimeUnixNano":1772359200000000000,"attributes":null}]}},
            {"name":"b","gauge":{"dataPoints":[{"asDouble":"NaN","timeUnixNano":5}]},"future":{"x":1}},
            {"name":"c","histogram":{"aggregationTemporality":2,"dataPoints":[
                {"count":"3","sum":1,"bucketCounts":["1",2],"explicitBounds":[0.5],"timeUnixNano":"5"}]}},
            {"name":"d","exponential_histogram":{"aggregation_temporality":2,"data_points":[
                {"count":3,"scale":-1,"zeroCount":1,"positive":{"offset":-2,"bucketCounts":["2"]},"time_unix_nano":"5"}]}}
            ]}]}]}"#;
        let read = ExportMetricsServiceRequest::from_json(body).unwrap();
        let metrics = &read.resource_metrics[0].scope_metrics[0].metrics;
        let Some(metric::Data::Sum(sum)) = &metrics[0].data else { panic!("{metrics:?}") };
        assert_eq!((sum.aggregation_temporality, sum.is_monotonic), (1, true));
        assert_eq!(sum.data_points[0].value, Some(number_data_point::Value::AsInt(12)));
        assert_eq!(sum.data_points[0].start_time_unix_nano, 1_772_359_200_000_000_000);
        let Some(metric::Data::Histogram(histogram)) = &metrics[2].data else { panic!("{metrics:?}") };
        assert_eq!(histogram.data_points[0].bucket_counts, [1, 2]);
        let Some(metric::Data::ExponentialHistogram(native)) = &metrics[3].data else {
            panic!("{metrics:?}")
        };
        assert_eq!((native.data_points[0].scale, native.aggregation_temporality), (-1, 2));
    }

    #[test]
    fn what_is_of_the_wrong_type_is_an_error() {
        for body in [
            "",
            "[]",
            "7",
            r#"{"resourceMetrics":{}}"#,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":7}}]}]}]}"#,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"asInt":1.5}]}}]}]}]}"#,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"gauge":{"dataPoints":[{"timeUnixNano":-1}]}}]}]}]}"#,
            r#"{"resourceMetrics":[{"scopeMetrics":[{"metrics":[{"name":7}]}]}]}"#,
        ] {
            assert!(ExportMetricsServiceRequest::from_json(body.as_bytes()).is_err(), "{body}");
        }
    }

    #[test]
    fn ids_are_hexadecimal() {
        let body = br#"{"resourceSpans":[{"scopeSpans":[{"spans":[{"traceId":"5B8EFFF798038103D269B633813FC60C",
            "spanId":"eee19b7ec3c1b174","parentSpanId":"","name":"GET /","kind":"SPAN_KIND_SERVER","status":{"code":2}},
            {"traceId":"not hexadecimal","kind":3}]}]}]}"#;
        let read = ExportTraceServiceRequest::from_json(body).unwrap();
        let spans = &read.resource_spans[0].scope_spans[0].spans;
        assert_eq!((spans[0].trace_id.len(), spans[0].span_id.len(), spans[0].kind), (16, 8, 2));
        assert_eq!((spans[1].trace_id.len(), spans[1].kind), (0, 3));
    }
}
