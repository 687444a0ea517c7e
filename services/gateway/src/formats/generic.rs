//! Our own JSON: the payloads of the raw topics, as one object, an array or lines, and in CloudEvents 1.0.
//!
//! Sources: `docs/schemas` of this repository; CloudEvents 1.0.2, its JSON format, JSON batch format and HTTP binding.
//!
//! An item may leave out what the request says already: `environment` is the configured one, `service` is named by its
//! `labels`, and the time of a CloudEvent stands in for `ts_ms`. Times are milliseconds since the Unix epoch; another unit and
//! a text are refused. An item is refused alone, and named by its index from 0, or by its line from 1.
//!
//! Each request is answered with 200 if all items were taken, and with 400 if one was refused: the text says which and why.

pub mod cloudevents;

use std::borrow::Cow;
use std::fmt::Display;

use jiff::Timestamp;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use serde_json::Value;
use serde_json::value::RawValue;
use shared::events::raw::event_time;
use shared::events::{Alert, Deployment, Event, LogRecord, MetricSample, Span};

use super::detail::detail;
use super::owner::HINT;
use super::{Context, Unreadable};
use crate::refusals::Reason;
use crate::telemetry::{self, Batch, Point};

/// Name of the format in refusals.
const FORMAT: &str = "JSON";
/// Content types that are read: JSON, and after it those of lines of JSON.
pub const CONTENT_TYPES: [&str; 5] = [
    "application/json",
    "application/x-ndjson",
    "application/ndjson",
    "application/jsonl",
    "application/x-jsonlines",
];

/// What the items of a request are.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Samples of metrics.
    #[default]
    Metrics,
    /// Log lines.
    Logs,
    /// Deployments.
    Deployments,
    /// Spans; in settings `traces`, as OpenTelemetry calls them.
    #[serde(rename = "traces")]
    Spans,
    /// Alerts.
    Alerts,
}

impl Kind {
    /// All kinds.
    pub const ALL: [Self; 5] = [Self::Metrics, Self::Logs, Self::Deployments, Self::Spans, Self::Alerts];

    /// Returns the last part of its path, e.g. of `/v1/events/metrics`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Metrics => "metrics",
            Self::Logs => "logs",
            Self::Deployments => "deployments",
            Self::Spans => "spans",
            Self::Alerts => "alerts",
        }
    }

    /// Returns its type in CloudEvents.
    pub fn event_type(self) -> &'static str {
        match self {
            Self::Metrics => MetricSample::TYPE,
            Self::Logs => LogRecord::TYPE,
            Self::Deployments => Deployment::TYPE,
            Self::Spans => Span::TYPE,
            Self::Alerts => Alert::TYPE,
        }
    }
}

/// Why an item is refused.
type Fault = (Reason, String);

/// Reads a request of items of one kind.
pub fn read(body: &[u8], kind: Kind, ctx: &Context<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let text = str::from_utf8(body).map_err(|error| malformed(&error))?;
    let content_type = ctx.headers.get("content-type").map(String::as_str).unwrap_or_default();
    let content_type = content_type.split(';').next().unwrap_or_default().trim();
    if CONTENT_TYPES[1..].iter().any(|lines| content_type.eq_ignore_ascii_case(lines)) {
        lines(text, kind, ctx, batch);
        return Ok(());
    }
    if text.trim_start().starts_with('[') {
        let elements: Vec<&RawValue> = serde_json::from_str(text).map_err(|error| malformed(&error))?;
        for (index, element) in elements.iter().enumerate() {
            let added = item(element.get(), kind, None, ctx, batch);
            refuse(added, &format_args!("item {index}"), batch);
        }
        return Ok(());
    }
    match serde_json::from_str::<&RawValue>(text) {
        Ok(only) => refuse(item(only.get(), kind, None, ctx, batch), &"item 0", batch),
        // several objects: they are lines, if the first line is one of them
        Err(error) => {
            let first = text.lines().find(|line| !line.trim().is_empty()).unwrap_or_default();
            serde_json::from_str::<&RawValue>(first).map_err(|_| malformed(&error))?;
            lines(text, kind, ctx, batch);
        }
    }
    Ok(())
}

fn malformed(reason: &impl Display) -> Unreadable {
    Unreadable::Malformed { format: FORMAT, reason: detail(reason) }
}

fn lines(text: &str, kind: Kind, ctx: &Context<'_>, batch: &mut Batch) {
    for (index, line) in text.lines().enumerate().filter(|(_, line)| !line.trim().is_empty()) {
        refuse(item(line, kind, None, ctx, batch), &format_args!("line {}", index + 1), batch);
    }
}

fn refuse(added: Result<(), Fault>, place: &dyn Display, batch: &mut Batch) {
    if let Err((reason, fault)) = added {
        batch.refused.add(reason, &detail(&format_args!("{place}: {fault}")));
    }
}

/// Adds an item. `time` stands in for its time.
fn item(
    text: &str,
    kind: Kind,
    time: Option<Timestamp>,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<(), Fault> {
    let mut value: Value =
        serde_json::from_str(text).map_err(|error| (Reason::Invalid, error.to_string()))?;
    complete(&mut value, kind, time, ctx)?;
    match kind {
        Kind::Metrics => point(&typed(value)?, batch),
        Kind::Logs => batch.line(valid(value)?),
        Kind::Deployments => batch.deployment(&valid(value)?),
        Kind::Spans => {
            batch.span(&valid(value)?);
        }
        Kind::Alerts => batch.alert(&valid(value)?),
    }
    Ok(())
}

fn typed<T: DeserializeOwned>(value: Value) -> Result<T, Fault> {
    serde_json::from_value(value).map_err(|error| (Reason::Invalid, error.to_string()))
}

/// Reads an event, and checks it here already, where the refusal names its place.
fn valid<E: Event>(value: Value) -> Result<E, Fault> {
    let event: E = typed(value)?;
    event.validate().map_err(|refusal| (Reason::Invalid, refusal.to_string()))?;
    Ok(event)
}

/// Adds what the request says already, and refuses with a hint what the types would refuse without one.
fn complete(value: &mut Value, kind: Kind, time: Option<Timestamp>, ctx: &Context<'_>) -> Result<(), Fault> {
    let fields = value.as_object_mut().ok_or_else(|| (Reason::Invalid, "it is no JSON object".to_owned()))?;
    let labels = fields.get("labels").cloned();
    let label = |name: &str| labels.as_ref()?.get(name)?.as_str();
    if !fields.contains_key("service") {
        let named = ctx.identity.service(label);
        let named = named.ok_or_else(|| (Reason::NoService, format!("it has no service, and {HINT}")))?;
        fields.insert("service".into(), named.into());
    } else if let Some(renamed) =
        fields["service"].as_str().and_then(|service| ctx.identity.renames.get(service))
    {
        fields.insert("service".into(), renamed.as_str().into());
    }
    if !fields.contains_key("environment") {
        fields.insert("environment".into(), ctx.identity.environment(label).into());
    }
    if let (false, Some(time)) = (fields.contains_key("ts_ms"), time) {
        fields.insert("ts_ms".into(), time.as_millisecond().into());
    }
    for field in ["ts_ms", "starts_ms", "ends_ms"] {
        if fields.get(field).is_some_and(Value::is_string) && (kind == Kind::Alerts || field == "ts_ms") {
            return Err((
                Reason::Clock,
                format!("{field} is a text; it must be a number of milliseconds since 1970"),
            ));
        }
    }
    let time = fields.get("ts_ms").and_then(Value::as_i64);
    time.map_or(Ok(()), event_time).map_err(|error| (Reason::Clock, error.to_string()))
}

fn point(sample: &MetricSample, batch: &mut Batch) {
    let pairs = sample.labels.iter();
    let labels: Vec<_> =
        pairs.map(|(name, value)| (Cow::from(name.as_str()), Cow::from(value.as_str()))).collect();
    let value = match &sample.histogram {
        None => telemetry::Value::Number(sample.value),
        Some(histogram) => telemetry::Value::Histogram(sample.value, histogram),
    };
    batch.point(&Point {
        service: &sample.service,
        environment: &sample.environment,
        metric: &sample.metric,
        unit: sample.unit.as_deref().unwrap_or_default(),
        labels: &labels,
        ts_ms: sample.ts_ms,
        instrument: sample.instrument,
        temporality: sample.temporality,
        start_ms: sample.start_ms,
        value,
    });
}

#[cfg(test)]
mod tests;
