//! Metrics of OTLP in JSON, as far as they say what is judged: names, units, instruments and labels.
//!
//! The gateway reads values and checks them; here nothing is refused.

use std::borrow::Cow;

use serde_json::Value;
use shared::events::raw::{Histogram, Instrument};

use crate::sample::Detail;

/// One series of a dump.
pub(super) struct Series<'a> {
    pub(super) metric: Cow<'a, str>,
    pub(super) unit: &'a str,
    pub(super) detail: Detail<'a>,
}

/// Returns whether a document is an export of metrics.
pub(super) fn is_export(document: &Value) -> bool {
    field(document, "resourceMetrics", "resource_metrics").is_some()
}

/// Gives each series of an export to `take`.
pub(super) fn each(document: &Value, mut take: impl FnMut(&Series<'_>)) {
    for resource in list(field(document, "resourceMetrics", "resource_metrics")) {
        let shared = labels(resource.get("resource"), true);
        for scope in list(field(resource, "scopeMetrics", "scope_metrics")) {
            for metric in list(scope.get("metrics")) {
                each_of(metric, &shared, &mut take);
            }
        }
    }
}

type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

fn each_of<'a>(metric: &'a Value, shared: &Labels<'a>, take: &mut impl FnMut(&Series<'_>)) {
    let text = |name: &str| metric.get(name).and_then(Value::as_str).unwrap_or_default();
    let (name, unit) = (text("name"), text("unit"));
    let is_monotonic =
        |sum: &Value| field(sum, "isMonotonic", "is_monotonic").and_then(Value::as_bool).unwrap_or_default();
    let exponential = field(metric, "exponentialHistogram", "exponential_histogram");
    let (data, instrument) = match (metric.get("gauge"), metric.get("sum"), metric.get("summary")) {
        (Some(gauge), _, _) => (gauge, Some(Instrument::Gauge)),
        (_, Some(sum), _) if is_monotonic(sum) => (sum, Some(Instrument::Counter)),
        (_, Some(sum), _) => (sum, Some(Instrument::Gauge)),
        (_, _, Some(summary)) => return summaries((name, unit), summary, shared, take),
        _ => match metric.get("histogram").or(exponential) {
            Some(histogram) => (histogram, None),
            None => return,
        },
    };
    let histogram = instrument.is_none().then(Histogram::default);
    for point in list(field(data, "dataPoints", "data_points")) {
        let detail = Detail {
            labels: joined(shared, point),
            instrument,
            histogram: histogram.clone(),
            ..Detail::default()
        };
        take(&Series { metric: name.into(), unit, detail });
    }
}

/// A summary is a count, a sum and a level for each quantile.
fn summaries<'a>(
    (name, unit): (&'a str, &'a str),
    summary: &'a Value,
    shared: &Labels<'a>,
    take: &mut impl FnMut(&Series<'_>),
) {
    for point in list(field(summary, "dataPoints", "data_points")) {
        let labels = joined(shared, point);
        for (part, unit) in [("count", ""), ("sum", unit)] {
            let instrument = Some(Instrument::Counter);
            let detail = Detail { labels: labels.clone(), instrument, ..Detail::default() };
            take(&Series { metric: format!("{name}_{part}").into(), unit, detail });
        }
        for one in list(field(point, "quantileValues", "quantile_values")) {
            let mut labels = labels.clone();
            labels.push(("quantile".into(), one.get("quantile").map(value).unwrap_or_default()));
            labels.sort_unstable();
            let detail = Detail { labels, instrument: Some(Instrument::Gauge), ..Detail::default() };
            take(&Series { metric: name.into(), unit, detail });
        }
    }
}

fn field<'a>(object: &'a Value, name: &str, snake: &str) -> Option<&'a Value> {
    object.get(name).or_else(|| object.get(snake)).filter(|value| !value.is_null())
}

fn list(value: Option<&Value>) -> &[Value] {
    value.and_then(Value::as_array).map_or(&[], Vec::as_slice)
}

/// Returns the labels of a point with those of its resource, sorted.
fn joined<'a>(shared: &Labels<'a>, point: &'a Value) -> Labels<'a> {
    let mut all = labels(Some(point), false);
    all.extend(shared.iter().cloned());
    all.sort_unstable();
    all.dedup_by(|(later, _), (first, _)| later == first);
    all
}

/// Returns attributes as labels. Of a resource, those that say which replica or which part of it is measured.
fn labels(of: Option<&Value>, is_resource: bool) -> Labels<'_> {
    let passes = |key: &str| {
        let is_version =
            ["telemetry.", "service.version", "process.", "os."].iter().any(|one| key.starts_with(one));
        !(is_resource && is_version)
    };
    list(of.and_then(|of| of.get("attributes")))
        .iter()
        .filter_map(|attribute| {
            let key = attribute.get("key")?.as_str()?;
            Some((key.into(), attribute.get("value").map(value)?))
        })
        .filter(|(key, value): &(Cow<'_, str>, Cow<'_, str>)| passes(key) && !value.is_empty())
        .collect()
}

/// Returns a value as text, whatever its type.
fn value(value: &Value) -> Cow<'_, str> {
    match value {
        Value::String(text) => text.as_str().into(),
        Value::Object(typed) => typed.values().next().map(self::value).unwrap_or_default(),
        Value::Null => Cow::default(),
        other => other.to_string().into(),
    }
}
