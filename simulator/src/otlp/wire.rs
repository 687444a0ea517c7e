//! Messages of OTLP, short.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, InstrumentationScope, KeyValue};
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, Gauge, Histogram, HistogramDataPoint, Metric, NumberDataPoint, Sum,
};

/// Temporality of all sums and histograms.
const CUMULATIVE: i32 = AggregationTemporality::Cumulative as i32;

pub(super) fn nanos(ms: i64) -> u64 {
    u64::try_from(ms).unwrap_or_default().saturating_mul(1_000_000)
}

pub(super) fn scope() -> InstrumentationScope {
    InstrumentationScope { name: "shop".to_owned(), ..InstrumentationScope::default() }
}

pub(super) fn value(text: &str) -> AnyValue {
    AnyValue { value: Some(Value::StringValue(text.to_owned())) }
}

pub(super) fn attribute(key: &str, text: &str) -> KeyValue {
    KeyValue { key: key.to_owned(), value: Some(value(text)), ..KeyValue::default() }
}

pub(super) fn whole(key: &str, number: i64) -> KeyValue {
    let value = Some(AnyValue { value: Some(Value::IntValue(number)) });
    KeyValue { key: key.to_owned(), value, ..KeyValue::default() }
}

/// Name and unit of a metric.
pub(super) type Named = (&'static str, &'static str);

fn metric((name, unit): Named, data: Data) -> Metric {
    Metric { name: name.to_owned(), unit: unit.to_owned(), data: Some(data), ..Metric::default() }
}

pub(super) fn number(at_ms: i64, value: f64, attributes: Vec<KeyValue>) -> NumberDataPoint {
    NumberDataPoint {
        attributes,
        time_unix_nano: nanos(at_ms),
        value: Some(Number::AsDouble(value)),
        ..NumberDataPoint::default()
    }
}

pub(super) fn gauge(named: Named, data_points: Vec<NumberDataPoint>) -> Metric {
    metric(named, Data::Gauge(Gauge { data_points }))
}

/// A sum that can fall, as of connections.
pub(super) fn up_down(named: Named, start_ms: i64, mut data_points: Vec<NumberDataPoint>) -> Metric {
    for point in &mut data_points {
        point.start_time_unix_nano = nanos(start_ms);
    }
    let sum = Sum { data_points, aggregation_temporality: CUMULATIVE, is_monotonic: false };
    metric(named, Data::Sum(sum))
}

pub(super) fn histogram(named: Named, data_points: Vec<HistogramDataPoint>) -> Metric {
    metric(named, Data::Histogram(Histogram { data_points, aggregation_temporality: CUMULATIVE }))
}
