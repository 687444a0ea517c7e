//! What a request holds, in the terms of the raw topics, whatever format it came in: each item is checked as it is added, and what
//! passes is gathered into records.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::Serialize;
use shared::events::raw::{Histogram, Instrument, Temporality, event_time};
use shared::events::{Alert, Deployment, Event, LogRecord, Span, Topic, encode};

use crate::refusals::{Reason, Refusals};

/// Largest payload of a record, bytes; a larger batch becomes several records. Below Kafka's limit of a message.
const MAX_RECORD_BYTES: usize = 256 * 1024;

/// What items are checked against.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Items in one request: points, lines, spans and events together.
    pub items: usize,
    /// Labels of a point.
    pub labels: usize,
    /// Longest name and value of a label, bytes. A longer value is cut.
    pub label_bytes: usize,
    /// Longest log line, bytes. A longer one is cut.
    pub line_bytes: usize,
    /// How far behind the gateway's clock a time may be, milliseconds.
    pub past_ms: i64,
    /// How far ahead of it, milliseconds.
    pub future_ms: i64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            items: 100_000,
            labels: 64,
            label_bytes: 1_024,
            line_bytes: 32_768,
            past_ms: 48 * 3_600_000,
            future_ms: 10 * 60_000,
        }
    }
}

/// The number of a point.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Value<'a> {
    /// A number.
    Number(f64),
    /// Values in buckets, and how many they are.
    Histogram(f64, &'a Histogram),
}

/// One point of a metric.
#[derive(Debug, Clone)]
pub struct Point<'a> {
    /// Service that was measured.
    pub service: &'a str,
    /// Environment.
    pub environment: &'a str,
    /// Name of the metric.
    pub metric: &'a str,
    /// Unit, empty if unknown.
    pub unit: &'a str,
    /// Labels; those with empty values are left out.
    pub labels: &'a [(Cow<'a, str>, Cow<'a, str>)],
    /// Event time, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    /// What the number is, if the format says so.
    pub instrument: Option<Instrument>,
    /// Since when it counts.
    pub temporality: Temporality,
    /// When it began to count, milliseconds since the Unix epoch.
    pub start_ms: Option<i64>,
    /// The number.
    pub value: Value<'a>,
}

/// A record for Kafka.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// Topic.
    pub topic: Topic,
    /// Key.
    pub key: String,
    /// Payload.
    pub payload: Vec<u8>,
}

/// What was taken and what was refused of a request.
#[derive(Debug, Default)]
pub struct Batch {
    records: Vec<Record>,
    /// Open record of samples of each service.
    open: BTreeMap<String, Vec<u8>>,
    /// Items taken.
    pub taken: Taken,
    /// Items refused.
    pub refused: Refusals,
    limits: Limits,
    now_ms: i64,
    items: usize,
}

/// How many items were taken.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Taken {
    /// Points of metrics that are numbers.
    pub samples: usize,
    /// Points of metrics that are histograms.
    pub histograms: usize,
    /// Log lines.
    pub lines: usize,
    /// Spans.
    pub spans: usize,
    /// Deployments.
    pub deployments: usize,
    /// Alerts.
    pub alerts: usize,
}

impl Batch {
    /// Begins a request that came at `now_ms`.
    pub fn new(limits: &Limits, now_ms: i64) -> Self {
        Self { limits: limits.clone(), now_ms, ..Self::default() }
    }

    /// Adds a point, or refuses it.
    pub fn point(&mut self, point: &Point<'_>) {
        if let Err((reason, detail)) = self.check_point(point) {
            self.refused.add(reason, &detail);
            return;
        }
        match point.value {
            Value::Number(_) => self.taken.samples += 1,
            Value::Histogram(..) => self.taken.histograms += 1,
        }
        self.write_point(point);
    }

    /// Adds a log line, or refuses it. A line that is too long is cut.
    pub fn line(&mut self, mut line: LogRecord) {
        line.message.truncate(line.message.floor_char_boundary(self.limits.line_bytes));
        self.event(Topic::RawLogs, line.service.clone(), line.ts_ms, &line, |taken| &mut taken.lines);
    }

    /// Adds a span, or refuses it.
    pub fn span(&mut self, span: &Span) {
        self.event(Topic::RawSpans, span.trace_id.clone(), span.ts_ms, span, |taken| &mut taken.spans);
    }

    /// Adds a deployment, or refuses it.
    pub fn deployment(&mut self, one: &Deployment) {
        self.event(Topic::RawDeployments, one.service.clone(), one.ts_ms, one, |taken| {
            &mut taken.deployments
        });
    }

    /// Adds an alert, or refuses it.
    pub fn alert(&mut self, alert: &Alert) {
        self.event(Topic::RawAlerts, alert.service.clone(), alert.ts_ms, alert, |taken| &mut taken.alerts);
    }

    /// Returns the records, in the order in which they are to be written.
    pub fn into_records(self) -> Vec<Record> {
        let mut records = self.records;
        records.extend(self.open.into_iter().map(|(key, payload)| closed(key, payload)));
        records
    }

    fn event<E: Event>(
        &mut self,
        topic: Topic,
        key: String,
        ts_ms: i64,
        event: &E,
        counter: fn(&mut Taken) -> &mut usize,
    ) {
        let checked = self.check_count().and_then(|()| self.check_time(ts_ms));
        let encoded =
            checked.and_then(|()| encode(event).map_err(|refusal| (Reason::Invalid, refusal.to_string())));
        match encoded {
            Err((reason, detail)) => self.refused.add(reason, &detail),
            Ok(payload) => {
                *counter(&mut self.taken) += 1;
                self.records.push(Record { topic, key, payload });
            }
        }
    }

    fn check_count(&mut self) -> Result<(), (Reason, String)> {
        self.items += 1;
        if self.items > self.limits.items {
            return Err((Reason::TooMany, format!("more than {} items in one request", self.limits.items)));
        }
        Ok(())
    }

    fn check_time(&self, ts_ms: i64) -> Result<(), (Reason, String)> {
        event_time(ts_ms).map_err(|error| (Reason::Clock, error.to_string()))?;
        if ts_ms < self.now_ms - self.limits.past_ms {
            return Err((Reason::TooOld, format!("its time is {} s ago", (self.now_ms - ts_ms) / 1000)));
        }
        if ts_ms > self.now_ms + self.limits.future_ms {
            return Err((Reason::InFuture, format!("its time is {} s ahead", (ts_ms - self.now_ms) / 1000)));
        }
        Ok(())
    }

    fn check_point(&mut self, point: &Point<'_>) -> Result<(), (Reason, String)> {
        self.check_count()?;
        self.check_time(point.ts_ms)?;
        for (field, name) in
            [("service", point.service), ("metric", point.metric), ("environment", point.environment)]
        {
            if name.is_empty() || name.len() > 256 || name.chars().any(char::is_control) {
                return Err((
                    Reason::Name,
                    format!("{field} is empty, longer than 256 bytes or has control characters"),
                ));
            }
        }
        if point.labels.len() > self.limits.labels {
            return Err((Reason::Labels, format!("{} has {} labels", point.metric, point.labels.len())));
        }
        let number = match point.value {
            Value::Number(number) => number,
            Value::Histogram(count, histogram) => {
                histogram.validate().map_err(|refusal| (Reason::Value, refusal.to_string()))?;
                count
            }
        };
        if !number.is_finite() {
            return Err((Reason::Value, format!("the value of {} is not finite", point.metric)));
        }
        Ok(())
    }

    fn write_point(&mut self, point: &Point<'_>) {
        let (value, histogram) = match point.value {
            Value::Number(value) => (value, None),
            Value::Histogram(count, histogram) => (count, Some(histogram)),
        };
        let limit = self.limits.label_bytes;
        let labels: BTreeMap<&str, &str> = point
            .labels
            .iter()
            .filter(|(_, value)| !value.is_empty())
            .map(|(name, value)| {
                (&name[..name.floor_char_boundary(limit)], &value[..value.floor_char_boundary(limit)])
            })
            .collect();
        let sample = Sample {
            service: point.service,
            metric: point.metric,
            value,
            ts_ms: point.ts_ms,
            environment: point.environment,
            unit: (!point.unit.is_empty()).then_some(point.unit),
            instrument: point.instrument,
            temporality: point.temporality,
            start_ms: point.start_ms,
            histogram,
            labels,
        };
        let open = self.open.entry(point.service.to_owned()).or_default();
        open.push(if open.is_empty() { b'[' } else { b',' });
        // into memory, of numbers that are finite: it cannot fail
        let written = serde_json::to_writer(&mut *open, &sample);
        debug_assert!(written.is_ok());
        if open.len() >= MAX_RECORD_BYTES {
            let payload = std::mem::take(open);
            self.records.push(closed(point.service.to_owned(), payload));
        }
    }
}

fn closed(key: String, mut payload: Vec<u8>) -> Record {
    if payload.is_empty() {
        payload.push(b'[');
    }
    payload.push(b']');
    Record { topic: Topic::RawMetrics, key, payload }
}

/// [`MetricSample`](shared::events::MetricSample), borrowed.
#[derive(Serialize)]
struct Sample<'a> {
    service: &'a str,
    metric: &'a str,
    value: f64,
    ts_ms: i64,
    environment: &'a str,
    #[serde(skip_serializing_if = "Option::is_none")]
    unit: Option<&'a str>,
    #[serde(skip_serializing_if = "Option::is_none")]
    instrument: Option<Instrument>,
    #[serde(skip_serializing_if = "Temporality::is_cumulative")]
    temporality: Temporality,
    #[serde(skip_serializing_if = "Option::is_none")]
    start_ms: Option<i64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    histogram: Option<&'a Histogram>,
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    labels: BTreeMap<&'a str, &'a str>,
}

#[cfg(test)]
mod tests {
    use shared::events::MetricSample;

    use super::*;

    const NOW_MS: i64 = 1_772_359_210_000;

    fn point(value: Value<'_>, ts_ms: i64) -> Point<'_> {
        Point {
            service: "payment",
            environment: "production",
            metric: "m",
            unit: "s",
            labels: &[],
            ts_ms,
            instrument: None,
            temporality: Temporality::Cumulative,
            start_ms: None,
            value,
        }
    }

    #[test]
    fn what_is_written_is_what_the_shared_type_reads() {
        let mut batch = Batch::new(&Limits::default(), NOW_MS);
        let histogram =
            Histogram { sum: Some(1.0), bounds: vec![0.5], counts: vec![1.0, 2.0], ..Histogram::default() };
        batch.point(&point(Value::Number(1.5), NOW_MS));
        batch.point(&point(Value::Histogram(3.0, &histogram), NOW_MS));
        assert_eq!(batch.taken, Taken { samples: 1, histograms: 1, ..Taken::default() });
        let records = batch.into_records();
        assert_eq!((records.len(), &*records[0].key), (1, "payment"));
        let read: Vec<MetricSample> = serde_json::from_slice(&records[0].payload).unwrap();
        assert_eq!((read[0].value, read[1].histogram.as_ref()), (1.5, Some(&histogram)));
        assert!(read.iter().all(|sample| sample.validate().is_ok()));
    }

    #[test]
    fn what_breaks_a_rule_is_refused_and_counted_by_reason() {
        let mut batch = Batch::new(&Limits { items: 5, ..Limits::default() }, NOW_MS);
        for (value, ts_ms) in [
            (f64::NAN, NOW_MS),
            (1.0, NOW_MS / 1000),
            (1.0, NOW_MS + 3_600_000),
            (1.0, NOW_MS - 90 * 3_600_000),
            (1.0, NOW_MS),
            (1.0, NOW_MS),
        ] {
            batch.point(&point(Value::Number(value), ts_ms));
        }
        let reasons = [Reason::Value, Reason::Clock, Reason::InFuture, Reason::TooOld, Reason::TooMany];
        assert_eq!(reasons.map(|reason| batch.refused.count(reason)), [1; 5]);
        assert_eq!(batch.taken.samples, 1);
    }
}
