//! Version 2.0. Source: `io/prometheus/write/v2/types.proto`: `Request`, `TimeSeries`, `Metadata`.

use prost::Message as _;
use prost::bytes::Bytes;
use shared::events::raw::Instrument;

use super::histogram::Histogram;
use super::{Answer, Sample, Series, add, bounded, by_name, fields, malformed};
use crate::formats::{Context, Unreadable};
use crate::refusals::Reason;
use crate::telemetry::Batch;

/// `Request.symbols`: all texts of the request, the first of which is empty.
const SYMBOLS: usize = 4;
/// `Request.timeseries`.
const TIMESERIES: usize = 5;
/// Most symbols of a request.
const MAX_SYMBOLS: usize = 1_000_000;

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    /// Indices of symbols: name, value, name, value, ...
    #[prost(uint32, repeated, tag = "1")]
    labels_refs: Vec<u32>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    #[prost(message, repeated, tag = "3")]
    histograms: Vec<Histogram>,
    /// Messages of exemplars, which are only counted.
    #[prost(bytes = "bytes", repeated, tag = "4")]
    exemplars: Vec<Bytes>,
    #[prost(message, optional, tag = "5")]
    metadata: Option<Metadata>,
    /// When the series began to count; later drafts have it at each sample instead.
    #[prost(int64, tag = "6")]
    created_timestamp: i64,
}

#[derive(Clone, Copy, PartialEq, prost::Message)]
struct Metadata {
    #[prost(int32, tag = "1")]
    kind: i32,
    #[prost(uint32, tag = "3")]
    help_ref: u32,
    #[prost(uint32, tag = "4")]
    unit_ref: u32,
}

impl Metadata {
    /// Returns what the number of a metric of this type is. Source: `enum MetricType`.
    fn instrument(self, metric: &str) -> Option<Instrument> {
        match self.kind {
            // gauge, gauge histogram, info, state set
            2 | 4 | 6 | 7 => Some(Instrument::Gauge),
            // counter, classic histogram
            1 | 3 => Some(Instrument::Counter),
            // summary: a quantile is a level, the others are counters
            5 => Some(by_name(metric).unwrap_or(Instrument::Gauge)),
            _ => by_name(metric),
        }
    }
}

pub(super) fn read(
    body: Bytes,
    ctx: &Context<'_>,
    batch: &mut Batch,
    answer: &mut Answer,
) -> Result<(), Unreadable> {
    let mut symbols: Vec<Bytes> = Vec::new();
    fields(body.clone(), |number, field| {
        if number == SYMBOLS {
            str::from_utf8(&field).map_err(|_| malformed("a symbol is not UTF-8"))?;
            symbols.push(field);
        }
        if symbols.len() > MAX_SYMBOLS {
            return Err(malformed(format!("more than {MAX_SYMBOLS} symbols")));
        }
        Ok(())
    })?;
    if symbols.first().is_some_and(|first| !first.is_empty()) {
        return Err(malformed("the first symbol is not empty"));
    }
    let symbol = |at: u32| symbols.get(at as usize).and_then(|bytes| str::from_utf8(bytes).ok());
    fields(body, |number, field| {
        if number != TIMESERIES {
            return Ok(());
        }
        bounded(&field)?;
        let read = TimeSeries::decode(field).map_err(|error| malformed(error.to_string()))?;
        answer.exemplars += read.exemplars.len();
        let labels = labels(&read.labels_refs, symbol);
        let unit = symbol(read.metadata.map_or(0, |metadata| metadata.unit_ref));
        let series =
            labels.as_ref().map_err(Clone::clone).and_then(|labels| Series::of(labels, ctx.identity));
        let described = series.map(|mut series| {
            series.unit = unit.unwrap_or_default();
            if let Some(metadata) = read.metadata {
                series.instrument = metadata.instrument(series.metric);
            }
            series.start_ms = (read.created_timestamp != 0).then_some(read.created_timestamp);
            series
        });
        add(described, &read.samples, &read.histograms, batch, answer);
        Ok(())
    })
}

/// Returns the labels that indices stand for.
fn labels<'a>(
    refs: &[u32],
    symbol: impl Fn(u32) -> Option<&'a str>,
) -> Result<Vec<(&'a str, &'a str)>, (Reason, String)> {
    if !refs.len().is_multiple_of(2) {
        return Err((Reason::Labels, "a label of a series has no value".into()));
    }
    let pairs = refs.chunks_exact(2).map(|pair| {
        let missing = || {
            (Reason::Labels, format!("a label refers to a symbol {} that is missing", pair[0].max(pair[1])))
        };
        Ok((symbol(pair[0]).ok_or_else(missing)?, symbol(pair[1]).ok_or_else(missing)?))
    });
    pairs.collect()
}

#[cfg(test)]
pub(super) mod build {
    //! Requests for tests.

    use super::*;

    /// One series of a request.
    pub(in super::super) struct One<'a> {
        pub(in super::super) refs: &'a [u32],
        pub(in super::super) samples: &'a [(f64, i64)],
        pub(in super::super) histograms: &'a [Histogram],
        /// Type and unit.
        pub(in super::super) metadata: (i32, u32),
        pub(in super::super) created: i64,
    }

    /// Returns a request. The symbols follow the series, as protobuf allows.
    pub(in super::super) fn request(symbols: &[&str], series: &[One<'_>]) -> Vec<u8> {
        let mut body = Vec::new();
        for one in series {
            let message = TimeSeries {
                labels_refs: one.refs.to_vec(),
                samples: one
                    .samples
                    .iter()
                    .map(|(value, timestamp)| Sample {
                        value: *value,
                        timestamp: *timestamp,
                        start_timestamp: 0,
                    })
                    .collect(),
                histograms: one.histograms.to_vec(),
                exemplars: Vec::new(),
                metadata: Some(Metadata { kind: one.metadata.0, help_ref: 0, unit_ref: one.metadata.1 }),
                created_timestamp: one.created,
            };
            body.push(0x2a);
            message.encode_length_delimited(&mut body).unwrap();
        }
        for symbol in symbols {
            body.push(0x22);
            prost::encode_length_delimiter(symbol.len(), &mut body).unwrap();
            body.extend_from_slice(symbol.as_bytes());
        }
        body
    }
}
