//! The raw topics, written by anyone: no envelope needed, the record's place in the log is its id.

use std::collections::BTreeMap;
use std::fmt;

use schemars::JsonSchema;
use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, Serialize};

use super::{Event, Refusal, default_environment, finite, named};

/// Event times that are accepted, milliseconds: the years 2000 to 2099. The same years in another unit of time lie far
/// outside.
const TIMES_MS: std::ops::Range<i64> = 946_684_800_000..4_102_444_800_000;
/// Largest whole number up to which a double holds all.
const MAX_WHOLE: f64 = 9_007_199_254_740_992.0;

/// A unit of time that is mistaken for milliseconds.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum TimeUnit {
    /// Seconds.
    Seconds,
    /// Microseconds.
    Microseconds,
    /// Nanoseconds.
    Nanoseconds,
}

impl TimeUnit {
    /// Returns its name in the plural, as it stands in sentences and in metrics.
    pub fn name(self) -> &'static str {
        match self {
            Self::Seconds => "seconds",
            Self::Microseconds => "microseconds",
            Self::Nanoseconds => "nanoseconds",
        }
    }

    /// Returns the unit in which a number is a time of this century, if it is not milliseconds.
    fn of(number: i64) -> Option<Self> {
        let is_in = |count: i64, per_second: i64| {
            (TIMES_MS.start / 1000..TIMES_MS.end / 1000).contains(&count.div_euclid(per_second))
        };
        [(Self::Seconds, 1), (Self::Microseconds, 1_000_000), (Self::Nanoseconds, 1_000_000_000)]
            .into_iter()
            .find_map(|(unit, per_second)| is_in(number, per_second).then_some(unit))
    }
}

/// Why a number is no event time.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub enum NoEventTime {
    /// It is one in another unit.
    #[error("ts_ms is in {}; it must be in milliseconds since 1970", .0.name())]
    Unit(TimeUnit),
    /// It is none in any unit.
    #[error("ts_ms is not between the years 2000 and 2100; it must be in milliseconds since 1970")]
    Other,
}

/// Checks that an event time is one: a clock that was never set and another unit of time are refused, for the first
/// sample of a series would be taken for its normal.
pub fn event_time(ts_ms: i64) -> Result<(), NoEventTime> {
    if TIMES_MS.contains(&ts_ms) {
        return Ok(());
    }
    Err(TimeUnit::of(ts_ms).map_or(NoEventTime::Other, NoEventTime::Unit))
}

/// Reads a whole number, also one that is written as `1748822400000.0` or `1.7488224e12`: for JSON Schema both are
/// integers. A fraction passes where the number is a time in another unit, so that [`event_time`] can name the unit.
pub fn whole<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    struct Whole;

    impl Visitor<'_> for Whole {
        type Value = i64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a whole number")
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<i64, E> {
            Ok(number)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<i64, E> {
            i64::try_from(number).map_err(|_| E::custom(format!("{number} is too large")))
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<i64, E> {
            let whole = number.trunc() as i64;
            let is_whole = number.total_cmp(&number.trunc()).is_eq() && number.abs() <= MAX_WHOLE;
            if is_whole || TimeUnit::of(whole).is_some() {
                Ok(whole)
            } else {
                Err(E::custom(format!("{number} is not a whole number")))
            }
        }
    }

    deserializer.deserialize_i64(Whole)
}

/// What the number of a sample is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Instrument {
    /// A level, which rises and falls.
    Gauge,
    /// A count that only grows, and begins anew at 0.
    Counter,
}

/// Since when a counter or a histogram counts.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Temporality {
    /// Since its start.
    #[default]
    Cumulative,
    /// Since the sample before it.
    Delta,
}

impl Temporality {
    /// Returns whether it is the usual one, which is not written.
    pub fn is_cumulative(&self) -> bool {
        *self == Self::Cumulative
    }
}

/// One side of an exponential histogram: bucket `i` counts values in `(base^(offset+i), base^(offset+i+1)]`, where
/// `base = 2^(2^-scale)`. Source: OpenTelemetry metrics data model, ExponentialHistogram.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ExponentialBuckets {
    /// Index of the first bucket.
    pub offset: i32,
    /// Values in each bucket. Fractions are allowed: Prometheus has native histograms of floats.
    pub counts: Vec<f64>,
}

/// Values that were measured, counted in buckets: explicit ones by `bounds`, or exponential ones by `scale`. How many they are is
/// the value of the sample.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Histogram {
    /// Their sum, in the unit of the metric; absent where it is not known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub sum: Option<f64>,
    /// Upper bounds of all explicit buckets but the last, which has none; ascending.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub bounds: Vec<f64>,
    /// Values in each explicit bucket: not those in the buckets below it. One more than bounds.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub counts: Vec<f64>,
    /// Resolution of exponential buckets, -4 to 20; absent where they are explicit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub scale: Option<i32>,
    /// Values too small for any exponential bucket.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zero_count: f64,
    /// Magnitude up to which a value counts as zero.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub zero_threshold: f64,
    /// Exponential buckets of positive values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub positive: Option<ExponentialBuckets>,
    /// Exponential buckets of negative values.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub negative: Option<ExponentialBuckets>,
}

/// Most buckets of a histogram, both sides together.
pub const MAX_BUCKETS: usize = 400;

impl Histogram {
    /// Refuses what is no histogram.
    pub fn validate(&self) -> Result<(), Refusal> {
        let sides = [&self.positive, &self.negative];
        let exponential = || sides.into_iter().flatten().flat_map(|side| &side.counts);
        let counts =
            || self.counts.iter().chain(exponential()).chain([&self.zero_count, &self.zero_threshold]);
        if counts().any(|count| !count.is_finite() || *count < 0.0) {
            return Err(Refusal::Invalid("a count of the histogram is negative or not finite".into()));
        }
        finite("sum", self.sum.unwrap_or_default())?;
        if self.counts.len() + exponential().count() > MAX_BUCKETS {
            return Err(Refusal::Invalid(format!("the histogram has more than {MAX_BUCKETS} buckets")));
        }
        match self.scale {
            Some(scale) if !(-4..=20).contains(&scale) => {
                Err(Refusal::Invalid(format!("the scale {scale} of the histogram is not between -4 and 20")))
            }
            // no bucket at all: only their number and sum are known
            _ if self.counts.is_empty() && self.bounds.is_empty() => Ok(()),
            Some(_) => Err(Refusal::Invalid("the histogram has explicit and exponential buckets".into())),
            None if self.counts.len() != self.bounds.len() + 1 => {
                Err(Refusal::Invalid("the histogram needs one more count than bounds".into()))
            }
            None if self
                .bounds
                .windows(2)
                .any(|pair| pair[0] >= pair[1] || pair.iter().any(|it| it.is_nan())) =>
            {
                Err(Refusal::Invalid("the bounds of the histogram do not ascend".into()))
            }
            None => Ok(()),
        }
    }
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes a reference")]
fn is_zero(number: &f64) -> bool {
    *number == 0.0
}

/// One sample of one series (`raw.metrics`). A record holds one object or an array of them.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct MetricSample {
    /// Service that was measured.
    pub service: String,
    /// Metric name.
    pub metric: String,
    /// Value, finite, in `unit`; with a histogram, how many values it holds.
    pub value: f64,
    /// Event time, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Unit, UCUM where there is one; guessed from the metric name if absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unit: Option<String>,
    /// What the number is; guessed from name and values where it is absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub instrument: Option<Instrument>,
    /// Since when a counter or a histogram counts.
    #[serde(default, skip_serializing_if = "Temporality::is_cumulative")]
    pub temporality: Temporality,
    /// When a counter or a histogram began to count, or a delta began, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_ms: Option<i64>,
    /// Values that were counted in buckets.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub histogram: Option<Histogram>,
    /// Further labels. Those that split what is judged are dimensions of the series; those of replicas are folded.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl MetricSample {
    /// Returns a sample of a number, in production, without unit and labels.
    pub fn of(service: impl Into<String>, metric: impl Into<String>, value: f64, ts_ms: i64) -> Self {
        Self {
            service: service.into(),
            metric: metric.into(),
            value,
            ts_ms,
            environment: default_environment(),
            unit: None,
            instrument: None,
            temporality: Temporality::Cumulative,
            start_ms: None,
            histogram: None,
            labels: BTreeMap::new(),
        }
    }
}

impl Event for MetricSample {
    const TYPE: &'static str = "firewatch.metric.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("metric", &self.metric)?;
        named("environment", &self.environment)?;
        finite("value", self.value)?;
        self.histogram.as_ref().map_or(Ok(()), Histogram::validate)
    }
}

/// Level of a log line.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Level {
    /// Finest.
    #[serde(alias = "TRACE")]
    Trace,
    /// For developers.
    #[serde(alias = "DEBUG")]
    Debug,
    /// Normal.
    #[serde(alias = "INFO")]
    Info,
    /// Unusual.
    #[serde(alias = "WARN", alias = "warning", alias = "WARNING")]
    Warn,
    /// Something failed.
    #[serde(alias = "ERROR")]
    Error,
    /// The process cannot go on.
    #[serde(alias = "FATAL", alias = "critical", alias = "CRITICAL")]
    Fatal,
}

/// One log line (`raw.logs`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct LogRecord {
    /// Service that wrote it.
    pub service: String,
    /// Level of the line.
    pub level: Level,
    /// The line.
    pub message: String,
    /// Event time, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// W3C trace id, if there is one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub trace_id: Option<String>,
    /// Further labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
}

impl Event for LogRecord {
    const TYPE: &'static str = "firewatch.log.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("environment", &self.environment)
    }
}

/// One change of one service (`raw.deployments`).
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Deployment {
    /// Service that was changed.
    pub service: String,
    /// Version that was rolled out.
    pub version: String,
    /// Event time, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Kind of change: `deploy`, `rollback`, `config`, `migration`, ...; `retire` if the service is taken
    /// out of operation, so that its silence raises no alert.
    #[serde(default = "deploy")]
    pub change_type: String,
    /// Commit.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub git_sha: Option<String>,
    /// Person or system that rolled it out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub deployed_by: Option<String>,
    /// Description of the change.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub description: Option<String>,
    /// Risks named by its author.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub known_risks: Vec<String>,
}

impl Deployment {
    /// The change type of a service that is taken out of operation.
    pub const RETIRE: &'static str = "retire";

    /// Returns whether the service was taken out of operation on purpose. It is in operation again from its first
    /// sample after `ts_ms` on.
    pub fn is_retirement(&self) -> bool {
        self.change_type.eq_ignore_ascii_case(Self::RETIRE)
    }
}

fn deploy() -> String {
    "deploy".to_owned()
}

impl Event for Deployment {
    const TYPE: &'static str = "firewatch.deployment.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("version", &self.version)?;
        named("environment", &self.environment)
    }
}

/// Outcome of a span.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum SpanStatus {
    /// Completed.
    Ok,
    /// Failed.
    Error,
    /// Not set.
    Unset,
}

/// One span of one trace (`raw.spans`). Keyed by trace, so that a parent and its child are read by the same replica.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Span {
    /// W3C trace id.
    pub trace_id: String,
    /// W3C span id.
    pub span_id: String,
    /// Span that called this one, if any.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub parent_span_id: Option<String>,
    /// Service that did the work.
    pub service: String,
    /// Name of the operation.
    pub operation: String,
    /// Start, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub ts_ms: i64,
    /// Duration, milliseconds.
    pub duration_ms: f64,
    /// Outcome of the span.
    pub status: SpanStatus,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Far end of the call that the span makes, as the caller's instrumentation names it: OpenTelemetry `peer.service`, the
    /// name of a database with its `db.system`, or `server.address`. Absent where the span makes no call.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub peer: Option<String>,
}

impl Event for Span {
    const TYPE: &'static str = "firewatch.span.v1";

    fn subject(&self) -> String {
        self.trace_id.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("service", &self.service)?;
        named("trace_id", &self.trace_id)?;
        named("span_id", &self.span_id)?;
        named("environment", &self.environment)?;
        if let Some(peer) = &self.peer {
            named("peer", peer)?;
        }
        finite("duration_ms", self.duration_ms)
    }
}

/// One alert of another rule engine (`raw.alerts`), by its own fingerprint and never by the status of a group.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Alert {
    /// Identity of the alert at its source: hash of its labels.
    pub fingerprint: String,
    /// Service that it is about.
    pub service: String,
    /// Name of the rule.
    pub name: String,
    /// Whether it fires; false once it is resolved.
    pub firing: bool,
    /// When it began to fire, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub starts_ms: i64,
    /// When it ended, or when it is over unless it is sent again, milliseconds since the Unix epoch.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ends_ms: Option<i64>,
    /// When its source said so, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub ts_ms: i64,
    /// Environment; `production` where it is absent.
    #[serde(default = "default_environment")]
    pub environment: String,
    /// Its severity in the words of the source, e.g. `critical`; empty if it has none.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub severity: String,
    /// One sentence about it, e.g. the annotation `summary`; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub summary: String,
    /// Address of the rule or its graph; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub generator_url: String,
    /// Its labels.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub labels: BTreeMap<String, String>,
    /// Its annotations.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub annotations: BTreeMap<String, String>,
}

impl Event for Alert {
    const TYPE: &'static str = "firewatch.alert.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("fingerprint", &self.fingerprint)?;
        named("service", &self.service)?;
        named("name", &self.name)?;
        named("environment", &self.environment)?;
        if self.ends_ms.is_some_and(|ends_ms| ends_ms < self.starts_ms) {
            return Err(Refusal::Invalid("ends_ms is before starts_ms".into()));
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::events::decode;

    #[test]
    fn a_whole_number_is_taken_however_it_is_written() {
        let read = |time: &str| {
            let payload = format!(r#"{{"service":"user","version":"1","ts_ms":{time}}}"#);
            decode::<Deployment>(payload.as_bytes()).map(|record| record.ts_ms).ok()
        };
        for time in ["1748822400000", "1748822400000.0", "1748822400000.000", "1.7488224e12", "17488224E5"] {
            assert_eq!(read(time), Some(1_748_822_400_000), "{time}");
        }
        for time in ["1748822400000.5", "\"1748822400000\"", "null", "1e300", "99999999999999999999"] {
            assert_eq!(read(time), None, "{time}");
        }
    }

    #[test]
    fn a_time_in_another_unit_is_named() {
        let now_ms = 1_748_822_400_000;
        assert_eq!(event_time(now_ms), Ok(()));
        for (time, unit) in [
            (now_ms / 1000, TimeUnit::Seconds),
            (now_ms * 1000, TimeUnit::Microseconds),
            (now_ms * 1_000_000, TimeUnit::Nanoseconds),
        ] {
            assert_eq!(event_time(time), Err(NoEventTime::Unit(unit)));
        }
        for time in [i64::MIN, -1, 0, 1, i64::MAX] {
            assert_eq!(event_time(time), Err(NoEventTime::Other), "{time}");
        }
    }
}
