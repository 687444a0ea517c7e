//! What a request holds, in the terms of the raw topics, whatever format it came in: each item is checked as it is added, and what
//! passes is gathered into records.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize, Serializer};
use shared::events::raw::{Histogram, Instrument, Temporality, event_time};
use shared::events::{Alert, Deployment, Event, LogRecord, Span, Topic, encode};
use shared::text::secrets::Redactor;

use crate::refusals::{Reason, Refusals};
use crate::series::Series;

/// Largest payload of a record, bytes; a larger batch becomes several records. Below Kafka's limit of a message.
const MAX_RECORD_BYTES: usize = 256 * 1024;
/// Largest sample, bytes: a record has one beyond its full size at most, and stays readable.
const MAX_SAMPLE_BYTES: usize = 192 * 1024;

/// What items are checked against, under `[gateway.limits]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Limits {
    /// Items in one request: points, lines, spans and events together.
    pub items: usize,
    /// Labels of a point. Of a log line or a deployment, those beyond are left out.
    pub labels: usize,
    /// Longest name and value of a label, bytes. A longer value is cut.
    pub label_bytes: usize,
    /// Longest log line, bytes. A longer one is cut.
    pub line_bytes: usize,
    /// Series of a service in an hour. A point of one beyond is refused.
    pub series_per_service: usize,
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
            series_per_service: 100_000,
            past_ms: 48 * 3_600_000,
            future_ms: 10 * 60_000,
        }
    }
}

impl Limits {
    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let bounds = [
            ("items", self.items, 1, 10_000_000),
            ("labels", self.labels, 1, 256),
            ("label_bytes", self.label_bytes, 16, 8_192),
            ("line_bytes", self.line_bytes, 64, 64 * 1024),
            ("series_per_service", self.series_per_service, 1, 1_000_000),
        ];
        for (name, value, least, most) in bounds {
            if !(least..=most).contains(&value) {
                problems.push(format!("limits.{name} is {value}, not between {least} and {most}"));
            }
        }
        for (name, value) in [("past_ms", self.past_ms), ("future_ms", self.future_ms)] {
            if value < 0 {
                problems.push(format!("limits.{name} is negative"));
            }
        }
        problems
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
    /// What was passed over, in words.
    pub passed_over: Vec<String>,
    /// Headers of the answer that the format prescribes.
    pub headers: Vec<(&'static str, String)>,
    limits: Limits,
    redactor: Arc<Redactor>,
    series: Arc<Series>,
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

impl Taken {
    /// Returns how many items there are of all kinds.
    pub fn total(&self) -> usize {
        let Self { samples, histograms, lines, spans, deployments, alerts } = self;
        samples + histograms + lines + spans + deployments + alerts
    }
}

impl Batch {
    /// Begins a request that came at `now_ms`.
    pub fn new(limits: &Limits, now_ms: i64) -> Self {
        Self { limits: limits.clone(), now_ms, ..Self::default() }
    }

    /// Replaces in log lines what a redactor finds.
    #[must_use]
    pub fn redacting(self, redactor: Arc<Redactor>) -> Self {
        Self { redactor, ..self }
    }

    /// Counts series together with other requests.
    #[must_use]
    pub fn counting(self, series: Arc<Series>) -> Self {
        Self { series, ..self }
    }

    /// Notes that so many things were passed over; nothing if there were none.
    pub fn pass_over(&mut self, what: &str, count: usize) {
        if count > 0 {
            self.passed_over.push(format!("{count} {what}"));
        }
    }

    /// Returns what items are checked against.
    pub fn limits(&self) -> &Limits {
        &self.limits
    }

    /// Adds a point, or refuses it.
    pub fn point(&mut self, point: &Point<'_>) {
        let written =
            self.check_count().and_then(|()| self.check_point(point)).and_then(|()| self.write_point(point));
        match (written, point.value) {
            (Err((reason, detail)), _) => self.refused.add(reason, &detail),
            (Ok(()), Value::Number(_)) => self.taken.samples += 1,
            (Ok(()), Value::Histogram(..)) => self.taken.histograms += 1,
        }
    }

    /// Adds a point that the gateway derives from items that were taken. It is no item of the request: it is neither counted nor
    /// refused, and left out where it breaks a rule.
    pub fn derived_point(&mut self, point: &Point<'_>) {
        let _ = self.check_point(point).and_then(|()| self.write_point(point));
    }

    /// Adds a log line, or refuses it. Secrets are replaced, a line that is too long is cut, and labels beyond the limit are left
    /// out.
    pub fn line(&mut self, mut line: LogRecord) {
        line.message.truncate(line.message.floor_char_boundary(self.limits.line_bytes));
        self.redactor.apply(&mut line.message);
        line.labels = std::mem::take(&mut line.labels)
            .into_iter()
            .filter(|(name, value)| !value.is_empty() && name.len() <= self.limits.label_bytes)
            .take(self.limits.labels)
            .map(|(name, mut value)| {
                value.truncate(value.floor_char_boundary(self.limits.label_bytes));
                self.redactor.apply(&mut value);
                (name, value)
            })
            .collect();
        self.event(Topic::RawLogs, line.service.clone(), line.ts_ms, &line, |taken| &mut taken.lines);
    }

    /// Adds a span, or refuses it. Returns whether it was taken.
    pub fn span(&mut self, span: &Span) -> bool {
        self.event(Topic::RawSpans, span.trace_id.clone(), span.ts_ms, span, |taken| &mut taken.spans)
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
        let open = self.open.into_iter().filter(|(_, payload)| !payload.is_empty());
        records.extend(open.map(|(key, payload)| closed(key, payload)));
        records
    }

    fn event<E: Event>(
        &mut self,
        topic: Topic,
        key: String,
        ts_ms: i64,
        event: &E,
        counter: fn(&mut Taken) -> &mut usize,
    ) -> bool {
        let checked = self.check_count().and_then(|()| self.check_time(ts_ms));
        let encoded =
            checked.and_then(|()| encode(event).map_err(|refusal| (Reason::Invalid, refusal.to_string())));
        match encoded {
            Err((reason, detail)) => {
                self.refused.add(reason, &detail);
                false
            }
            Ok(payload) => {
                *counter(&mut self.taken) += 1;
                self.records.push(Record { topic, key, payload });
                true
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

    fn check_point(&self, point: &Point<'_>) -> Result<(), (Reason, String)> {
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
        let limit = self.limits.series_per_service;
        if !self.series.admit(point, limit, self.now_ms) {
            let Point { service, metric, .. } = point;
            let problem = format!(
                "{service} has {limit} series already; does a label of {metric} have ever new values?"
            );
            return Err((Reason::Series, problem));
        }
        Ok(())
    }

    fn write_point(&mut self, point: &Point<'_>) -> Result<(), (Reason, String)> {
        let (value, histogram) = match point.value {
            Value::Number(value) => (value, None),
            Value::Histogram(count, histogram) => (count, Some(histogram)),
        };
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
            labels: Labels::of(point.labels, self.limits.label_bytes),
        };
        if !self.open.contains_key(point.service) {
            self.open.insert(point.service.to_owned(), Vec::new());
        }
        let Some(open) = self.open.get_mut(point.service) else { return Ok(()) };
        let before = open.len();
        open.push(if before == 0 { b'[' } else { b',' });
        let written = serde_json::to_writer(&mut *open, &sample);
        if written.is_err() || open.len() - before > MAX_SAMPLE_BYTES {
            open.truncate(before);
            let problem =
                format!("a point of {} is larger than {} KiB", point.metric, MAX_SAMPLE_BYTES / 1024);
            return Err((Reason::Invalid, problem));
        }
        if open.len() >= MAX_RECORD_BYTES {
            let payload = std::mem::take(open);
            self.records.push(closed(point.service.to_owned(), payload));
        }
        Ok(())
    }
}

fn closed(key: String, mut payload: Vec<u8>) -> Record {
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
    #[serde(skip_serializing_if = "Labels::is_empty")]
    labels: Labels<'a>,
}

/// Labels by name, each once: the last of several wins.
struct Labels<'a>(Vec<(&'a str, &'a str)>);

impl<'a> Labels<'a> {
    fn of(labels: &'a [(Cow<'a, str>, Cow<'a, str>)], limit: usize) -> Self {
        let cut = |text: &'a str| &text[..text.floor_char_boundary(limit)];
        let mut found: Vec<_> = labels.iter().map(|(name, value)| (cut(name), cut(value))).collect();
        found.sort_by_key(|(name, _)| *name);
        found.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                *kept = *later;
            }
            is_same
        });
        found.retain(|(name, value)| !name.is_empty() && !value.is_empty());
        Self(found)
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

impl Serialize for Labels<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_map(self.0.iter().copied())
    }
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
