//! Lines of InfluxDB: the line protocol, as Telegraf sends it.
//!
//! Source: InfluxDB 2, "Line protocol". The parser is our own: a line is split at characters that are not escaped, and
//! nothing else; what is written differently from the specification is refused.
//!
//! Each field that is a number becomes a point named `measurement_field`, or `measurement` where the field is `value`. A
//! boolean is 0 or 1. Texts are ignored and counted. Tags are labels. A line is refused alone and named by its number.
//!
//! A request is answered with 204 if all points were taken, and with 400 if one was refused, as InfluxDB answers a partial
//! write: Telegraf does not send it again.

mod line;

use std::borrow::Cow;

use shared::events::raw::{NoEventTime, Temporality, event_time};
use shared::text::sanitize::one_line;

use self::line::{Field, Line};
use super::owner::{HINT, Owner};
use super::{Context, Unreadable};
use crate::refusals::Reason;
use crate::telemetry::{Batch, Point, Value};

/// Name of the format in refusals.
const FORMAT: &str = "line protocol";
/// Field whose name is left out of that of the metric.
const VALUE: &str = "value";

/// Unit of the times of a request, by its parameter `precision`.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub enum Precision {
    /// Nanoseconds: what a request without the parameter has.
    #[default]
    Nanoseconds,
    /// Microseconds.
    Microseconds,
    /// Milliseconds.
    Milliseconds,
    /// Seconds.
    Seconds,
}

impl Precision {
    /// Returns the precision of a parameter, by the names of InfluxDB 1 and 2; none if there is no such one.
    pub fn of(parameter: &str) -> Option<Self> {
        match parameter {
            "ns" | "n" => Some(Self::Nanoseconds),
            "us" | "u" | "µ" => Some(Self::Microseconds),
            "ms" => Some(Self::Milliseconds),
            "s" => Some(Self::Seconds),
            _ => None,
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Nanoseconds => "ns",
            Self::Microseconds => "us",
            Self::Milliseconds => "ms",
            Self::Seconds => "s",
        }
    }

    fn to_ms(self, time: i64) -> i64 {
        match self {
            Self::Nanoseconds => time.div_euclid(1_000_000),
            Self::Microseconds => time.div_euclid(1_000),
            Self::Milliseconds => time,
            Self::Seconds => time.saturating_mul(1_000),
        }
    }
}

/// What the answer of a request needs besides what was refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Fields with texts, ignored.
    pub texts: usize,
}

/// Reads lines.
pub fn read(
    body: &[u8],
    precision: Precision,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    let text = str::from_utf8(body)
        .map_err(|error| Unreadable::Malformed { format: FORMAT, reason: error.to_string() })?;
    let mut answer = Answer::default();
    for (number, line) in line::split(text) {
        let added = Line::parse(line)
            .map_err(|fault| (Reason::Invalid, fault.to_string()))
            .and_then(|line| add(&line, precision, ctx, batch, &mut answer));
        if let Err((reason, detail)) = added {
            batch.refused.add(reason, &format!("line {number}: {detail}"));
        }
    }
    Ok(answer)
}

/// Adds the fields of a line.
fn add(
    line: &Line<'_>,
    precision: Precision,
    ctx: &Context<'_>,
    batch: &mut Batch,
    answer: &mut Answer,
) -> Result<(), (Reason, String)> {
    let label = |wanted: &str| line.tags.iter().find(|(name, _)| name == wanted).map(|(_, value)| &**value);
    let owner = Owner::of(ctx.identity, label).ok_or_else(|| {
        (Reason::NoService, format!("{}: {HINT} (a tag is a label)", one_line(&line.measurement, 80)))
    })?;
    let ts_ms = line.time.map_or(Ok(ctx.now_ms), |time| ms(time, precision))?;
    let kept = line.tags.iter().filter(|(name, value)| !owner.repeats(name, value));
    let labels: Vec<(Cow<'_, str>, Cow<'_, str>)> =
        kept.map(|(name, value)| (Cow::Borrowed(&**name), Cow::Borrowed(&**value))).collect();
    for (name, field) in &line.fields {
        let Field::Number(number) = field else {
            answer.texts += 1;
            continue;
        };
        let metric = if name == VALUE {
            Cow::Borrowed(&*line.measurement)
        } else {
            Cow::Owned(format!("{}_{name}", line.measurement))
        };
        batch.point(&Point {
            service: owner.service,
            environment: owner.environment,
            metric: &metric,
            unit: "",
            labels: &labels,
            ts_ms,
            instrument: None,
            temporality: Temporality::Cumulative,
            start_ms: None,
            value: Value::Number(*number),
        });
    }
    Ok(())
}

/// Returns a time in milliseconds. One in another unit than the request says is refused with the unit in words.
fn ms(time: i64, precision: Precision) -> Result<i64, (Reason, String)> {
    let ts_ms = precision.to_ms(time);
    if event_time(ts_ms).is_ok() {
        return Ok(ts_ms);
    }
    let unit = match event_time(time) {
        Ok(()) => "milliseconds",
        Err(NoEventTime::Unit(unit)) => unit.name(),
        Err(other @ NoEventTime::Other) => return Err((Reason::Clock, format!("{time}: {other}"))),
    };
    let detail = format!("its time is in {unit}, but the precision of the request is {}", precision.name());
    Err((Reason::Clock, format!("{detail}; set the parameter precision")))
}

#[cfg(test)]
mod tests;
