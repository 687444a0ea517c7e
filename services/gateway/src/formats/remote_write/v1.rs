//! Version 1.0. Source: `message WriteRequest` (`remote.proto`), `TimeSeries` and `Label` (`types.proto`).

use prost::Message as _;
use prost::bytes::Bytes;

use super::histogram::Histogram;
use super::{Answer, Sample, Series, add, bounded, fields, malformed};
use crate::formats::{Context, Unreadable};
use crate::refusals::Reason;
use crate::telemetry::Batch;

/// `WriteRequest.timeseries`. Its `metadata` (3) is ignored: it comes apart from the series that it describes.
const TIMESERIES: usize = 1;

#[derive(Clone, PartialEq, prost::Message)]
struct TimeSeries {
    #[prost(message, repeated, tag = "1")]
    labels: Vec<Label>,
    #[prost(message, repeated, tag = "2")]
    samples: Vec<Sample>,
    /// Messages of exemplars, which are only counted.
    #[prost(bytes = "bytes", repeated, tag = "3")]
    exemplars: Vec<Bytes>,
    #[prost(message, repeated, tag = "4")]
    histograms: Vec<Histogram>,
}

/// Texts, taken as bytes so that they are not copied.
#[derive(Clone, PartialEq, prost::Message)]
struct Label {
    #[prost(bytes = "bytes", tag = "1")]
    name: Bytes,
    #[prost(bytes = "bytes", tag = "2")]
    value: Bytes,
}

pub(super) fn read(
    body: Bytes,
    ctx: &Context<'_>,
    batch: &mut Batch,
    answer: &mut Answer,
) -> Result<(), Unreadable> {
    fields(body, |number, field| {
        if number != TIMESERIES {
            return Ok(());
        }
        bounded(&field)?;
        let read = TimeSeries::decode(field).map_err(|error| malformed(error.to_string()))?;
        answer.exemplars += read.exemplars.len();
        let texts: Result<Vec<_>, _> = read
            .labels
            .iter()
            .map(|label| Ok((str::from_utf8(&label.name)?, str::from_utf8(&label.value)?)))
            .collect();
        let labels =
            texts.map_err(|_: std::str::Utf8Error| (Reason::Invalid, "a label is not UTF-8".to_owned()));
        let series =
            labels.as_ref().map_err(Clone::clone).and_then(|labels| Series::of(labels, ctx.identity));
        add(series, &read.samples, &read.histograms, batch, answer);
        Ok(())
    })
}

#[cfg(test)]
pub(super) mod build {
    //! Requests for tests.

    use super::*;

    /// Labels, samples and histograms of a series.
    type One<'a> = (&'a [(&'a str, &'a str)], &'a [(f64, i64)], &'a [Histogram]);

    /// Returns a request of series.
    pub(in super::super) fn request(series: &[One<'_>]) -> Vec<u8> {
        let mut body = Vec::new();
        for (labels, samples, histograms) in series {
            let text = |text: &str| Bytes::copy_from_slice(text.as_bytes());
            let message = TimeSeries {
                labels: labels
                    .iter()
                    .map(|(name, value)| Label { name: text(name), value: text(value) })
                    .collect(),
                samples: samples
                    .iter()
                    .map(|(value, timestamp)| Sample {
                        value: *value,
                        timestamp: *timestamp,
                        start_timestamp: 0,
                    })
                    .collect(),
                exemplars: vec![text("e")],
                histograms: histograms.to_vec(),
            };
            body.push(0x0a);
            message.encode_length_delimited(&mut body).unwrap();
        }
        body
    }
}
