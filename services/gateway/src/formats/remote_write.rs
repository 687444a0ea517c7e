//! Prometheus remote write 1.0 (`prometheus.WriteRequest`) and 2.0 (`io.prometheus.write.v2.Request`): protobuf in a
//! snappy block.
//!
//! Sources of the protocols and of all field numbers: "Prometheus Remote-Write 1.0" and "2.0" (prometheus.io, Specs),
//! with `prompb/types.proto` and `prompb/io/prometheus/write/v2/types.proto` of Prometheus.
//!
//! # What a request is answered with
//!
//! | status | when | what Prometheus does |
//! |---|---|---|
//! | 204 | everything was taken | goes on |
//! | 400 | the body cannot be read: nothing was taken | drops the request |
//! | 400 | some samples were refused, the text says which and why: the others were taken | counts the request as failed, does not send it again |
//! | 401, 403 | the token is missing or may not ingest | drops the request |
//! | 413 | the body is larger than allowed, or says that it will be once it is decompressed | drops the request |
//! | 415 | another message or compression than this ([`Version::of`]) | drops the request |
//! | 429 with `Retry-After` | the rate of the token is used up | sends it again if `retry_on_http_429` is set, drops it otherwise |
//! | 503 with `Retry-After` | Kafka does not acknowledge | sends it again |
//!
//! Each answer with a status of 204 or 400 carries the headers of [`Answer::headers`]: without them Prometheus counts what
//! it sent by 2.0 as lost.
//!
//! # What is skipped without a refusal
//!
//! Valid in Prometheus, but nothing that can be judged: stale markers, which end a series, and values that are not finite,
//! such as the quantiles of a summary without observations. They count as written. Exemplars are ignored and do not.

mod histogram;
mod v1;
mod v2;

use std::borrow::Cow;

use prost::bytes::{Buf as _, Bytes};
use shared::events::raw::{Instrument, Temporality};

use super::owner::{HINT, Owner};
use super::{Context, Unreadable};
use crate::identity::Rules;
use crate::refusals::{Reason, Refusals};
use crate::telemetry::{Batch, Point, Value};

/// Name of the format in refusals.
const FORMAT: &str = "Prometheus remote write";
/// Label with the name of the metric.
const NAME: &str = "__name__";
/// Bits of the value of a sample that says: the series has ended.
const STALE: u64 = 0x7ff0_0000_0000_0002;
/// Most bytes of one series of a request. It bounds what one series takes once it is decoded.
const MAX_SERIES_BYTES: usize = 256 * 1024;
/// A snappy block does not expand further: a copy of 64 bytes takes at least 2.
const MAX_EXPANSION: usize = 32;

/// Version of the protocol, by the protobuf message of the body.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Version {
    /// 1.0, `prometheus.WriteRequest`.
    V1,
    /// 2.0, `io.prometheus.write.v2.Request`.
    V2,
}

impl Version {
    /// Returns the version of a content type; none if it is of another format, which is answered with 415.
    ///
    /// The parameter `proto` names the message. Without it, the message is that of 1.0.
    pub fn of(content_type: &str) -> Option<Self> {
        let mut parts = content_type.split(';').map(str::trim);
        if !parts.next()?.eq_ignore_ascii_case("application/x-protobuf") {
            return None;
        }
        let message = parts.find_map(|part| {
            let (name, value) = part.split_once('=')?;
            name.trim().eq_ignore_ascii_case("proto").then(|| value.trim().trim_matches('"'))
        });
        match message {
            None | Some("prometheus.WriteRequest") => Some(Self::V1),
            Some("io.prometheus.write.v2.Request") => Some(Self::V2),
            Some(_) => None,
        }
    }
}

/// How many items were written, in the words of the protocol.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Written {
    /// Samples of numbers, those skipped included.
    pub samples: usize,
    /// Samples of native histograms, those skipped included.
    pub histograms: usize,
    /// Exemplars: always 0, for they are ignored.
    pub exemplars: usize,
}

/// What the answer of a request needs besides what was refused.
#[derive(Debug, Default, Clone, Copy, PartialEq, Eq)]
pub struct Answer {
    /// Items written.
    pub written: Written,
    /// Stale markers, skipped.
    pub stale: usize,
    /// Values that are not finite, skipped.
    pub not_finite: usize,
    /// Exemplars, ignored.
    pub exemplars: usize,
}

impl Answer {
    /// Returns the headers that say how much was written.
    pub fn headers(&self) -> [(&'static str, String); 3] {
        [
            ("x-prometheus-remote-write-samples-written", self.written.samples.to_string()),
            ("x-prometheus-remote-write-histograms-written", self.written.histograms.to_string()),
            ("x-prometheus-remote-write-exemplars-written", self.written.exemplars.to_string()),
        ]
    }

    /// Returns the status of the answer, once Kafka has acknowledged what was taken.
    pub fn status(refused: &Refusals) -> u16 {
        if refused.total() == 0 { 204 } else { 400 }
    }
}

/// Reads a request, of at most `max_bytes` once it is decompressed.
pub fn read(
    body: &[u8],
    version: Version,
    max_bytes: usize,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    read_plain(decompress(body, max_bytes)?, version, ctx, batch)
}

/// Reads a request that is not compressed.
pub fn read_plain(
    body: Vec<u8>,
    version: Version,
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<Answer, Unreadable> {
    let before = batch.taken;
    let mut answer = Answer::default();
    match version {
        Version::V1 => v1::read(body.into(), ctx, batch, &mut answer)?,
        Version::V2 => v2::read(body.into(), ctx, batch, &mut answer)?,
    }
    answer.written.samples += batch.taken.samples - before.samples;
    answer.written.histograms += batch.taken.histograms - before.histograms;
    Ok(answer)
}

/// Decompresses a snappy block. Its size is checked before anything is decompressed.
fn decompress(body: &[u8], max_bytes: usize) -> Result<Vec<u8>, Unreadable> {
    let malformed = |error: snap::Error| malformed(format!("no snappy block: {error}"));
    let size = snap::raw::decompress_len(body).map_err(malformed)?;
    if size > max_bytes {
        return Err(Unreadable::TooLarge(max_bytes));
    }
    if size > body.len().saturating_mul(MAX_EXPANSION) {
        return Err(self::malformed(format!(
            "no snappy block: {} bytes cannot become the {size} of its header",
            body.len()
        )));
    }
    snap::raw::Decoder::new().decompress_vec(body).map_err(malformed)
}

fn malformed(reason: impl Into<String>) -> Unreadable {
    Unreadable::Malformed { format: FORMAT, reason: reason.into() }
}

/// Hands over the fields of a message that have a length, with their numbers; skips the others.
///
/// The messages inside are decoded one at a time by their owner, so that a request never stands decoded in memory as a whole.
fn fields(
    mut message: Bytes,
    mut take: impl FnMut(usize, Bytes) -> Result<(), Unreadable>,
) -> Result<(), Unreadable> {
    let number = |from: &mut Bytes| {
        prost::decode_length_delimiter(from).map_err(|error| malformed(format!("truncated: {error}")))
    };
    while message.has_remaining() {
        let key = number(&mut message)?;
        let skipped = match key & 7 {
            0 => number(&mut message).map(|_| 0)?,
            1 => 8,
            2 => {
                let length = number(&mut message)?;
                if length > message.len() {
                    return Err(malformed(format!(
                        "truncated: a field of {length} bytes goes on behind the end"
                    )));
                }
                take(key >> 3, message.split_to(length))?;
                0
            }
            5 => 4,
            other => return Err(malformed(format!("no protobuf: wire type {other}"))),
        };
        if skipped > message.len() {
            return Err(malformed("truncated within a field"));
        }
        message.advance(skipped);
    }
    Ok(())
}

/// Refuses a series that is larger than any is.
fn bounded(series: &Bytes) -> Result<(), Unreadable> {
    if series.len() <= MAX_SERIES_BYTES {
        return Ok(());
    }
    Err(malformed(format!("a series of {} bytes is larger than {MAX_SERIES_BYTES}", series.len())))
}

/// One sample of a number. Source: `message Sample`, the same in both versions; `start_timestamp` is of 2.0 alone.
#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Sample {
    #[prost(double, tag = "1")]
    value: f64,
    #[prost(int64, tag = "2")]
    timestamp: i64,
    #[prost(int64, tag = "3")]
    start_timestamp: i64,
}

/// A series without its samples.
struct Series<'a> {
    owner: Owner<'a>,
    metric: &'a str,
    unit: &'a str,
    labels: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    instrument: Option<Instrument>,
    start_ms: Option<i64>,
}

impl<'a> Series<'a> {
    /// Returns the series that labels name, or why they name none.
    fn of(labels: &'a [(&'a str, &'a str)], rules: &'a Rules) -> Result<Self, (Reason, String)> {
        let labelled = |wanted: &str| {
            labels.binary_search_by(|(name, _)| (*name).cmp(wanted)).ok().map(|at| labels[at].1)
        };
        if labels.iter().any(|(name, _)| name.is_empty()) {
            return Err((Reason::Labels, "a label has no name".into()));
        }
        if let Some(pair) = labels.windows(2).find(|pair| pair[0].0 >= pair[1].0) {
            let fault = if pair[0].0 == pair[1].0 { "twice" } else { "out of order" };
            return Err((Reason::Labels, format!("the label {:?} is {fault}", cut(pair[1].0))));
        }
        let metric = labelled(NAME).filter(|metric| !metric.is_empty());
        let metric = metric.ok_or_else(|| (Reason::Name, format!("a series has no {NAME}")))?;
        let owner = Owner::of(rules, labelled)
            .ok_or_else(|| (Reason::NoService, format!("{}: {HINT}", cut(metric))))?;
        let is_kept = |(name, value): &&(&str, &str)| *name != NAME && !owner.repeats(name, value);
        let kept = labels.iter().filter(is_kept);
        let labels = kept.map(|(name, value)| (Cow::Borrowed(*name), Cow::Borrowed(*value))).collect();
        Ok(Self { owner, metric, unit: "", labels, instrument: by_name(metric), start_ms: None })
    }

    fn add(
        &self,
        samples: &[Sample],
        histograms: &[histogram::Histogram],
        batch: &mut Batch,
        answer: &mut Answer,
    ) {
        for sample in samples {
            if sample.value.is_finite() {
                let value = Value::Number(sample.value);
                batch.point(&self.point(sample.timestamp, sample.start_timestamp, self.instrument, value));
            } else {
                answer.skip(sample.value);
                answer.written.samples += 1;
            }
        }
        for histogram in histograms {
            if histogram.sum.to_bits() == STALE {
                answer.skip(histogram.sum);
                answer.written.histograms += 1;
                continue;
            }
            match histogram.convert() {
                Ok((count, converted)) => {
                    let value = Value::Histogram(count, &converted);
                    let instrument = histogram.is_gauge().then_some(Instrument::Gauge);
                    batch.point(&self.point(
                        histogram.timestamp,
                        histogram.start_timestamp,
                        instrument,
                        value,
                    ));
                }
                Err((reason, detail)) => {
                    batch.refused.add(reason, &format!("{}: {detail}", cut(self.metric)));
                }
            }
        }
    }

    fn point<'b>(
        &'b self,
        ts_ms: i64,
        start_ms: i64,
        instrument: Option<Instrument>,
        value: Value<'b>,
    ) -> Point<'b> {
        Point {
            service: self.owner.service,
            environment: self.owner.environment,
            metric: self.metric,
            unit: self.unit,
            labels: &self.labels,
            ts_ms,
            instrument,
            temporality: Temporality::Cumulative,
            start_ms: if start_ms == 0 { self.start_ms } else { Some(start_ms) },
            value,
        }
    }
}

impl Answer {
    fn skip(&mut self, value: f64) {
        if value.to_bits() == STALE {
            self.stale += 1;
        } else {
            self.not_finite += 1;
        }
    }
}

/// Adds the samples of a series, or counts each as refused for the reason that the series has none.
fn add(
    series: Result<Series<'_>, (Reason, String)>,
    samples: &[Sample],
    histograms: &[histogram::Histogram],
    batch: &mut Batch,
    answer: &mut Answer,
) {
    match series {
        Ok(series) => series.add(samples, histograms, batch, answer),
        Err((reason, detail)) => {
            for _ in 0..samples.len() + histograms.len() {
                batch.refused.add(reason, &detail);
            }
        }
    }
}

/// Returns what the name of a metric says of its number, by the conventions of Prometheus; for 1.0 has no types.
fn by_name(metric: &str) -> Option<Instrument> {
    let endings = ["_total", "_count", "_bucket", "_sum"];
    endings.iter().any(|ending| metric.ends_with(ending)).then_some(Instrument::Counter)
}

/// Shortens a name for a sentence.
fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(80)]
}

#[cfg(test)]
mod tests;
