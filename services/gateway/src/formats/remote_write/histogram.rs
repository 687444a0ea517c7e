//! Native histograms of Prometheus in the terms of the raw topics.

use shared::events::Histogram as Converted;
use shared::events::raw::{ExponentialBuckets, MAX_BUCKETS};

use crate::refusals::Reason;

/// Schema of buckets with bounds of their own, which `custom_values` has.
const CUSTOM: i32 = -53;
/// Schemas of exponential buckets.
const EXPONENTIAL: std::ops::RangeInclusive<i32> = -4..=20;
/// `ResetHint.GAUGE`: a histogram whose counts also fall.
const GAUGE: i32 = 3;

/// A native histogram. Source: `message Histogram`, the same in 1.0 (`types.proto`) and 2.0 but for `start_timestamp`.
#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct Histogram {
    #[prost(oneof = "Count", tags = "1, 2")]
    pub(super) count: Option<Count>,
    #[prost(double, tag = "3")]
    pub(super) sum: f64,
    #[prost(sint32, tag = "4")]
    pub(super) schema: i32,
    #[prost(double, tag = "5")]
    pub(super) zero_threshold: f64,
    #[prost(oneof = "ZeroCount", tags = "6, 7")]
    pub(super) zero_count: Option<ZeroCount>,
    #[prost(message, repeated, tag = "8")]
    pub(super) negative_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "9")]
    pub(super) negative_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "10")]
    pub(super) negative_counts: Vec<f64>,
    #[prost(message, repeated, tag = "11")]
    pub(super) positive_spans: Vec<Span>,
    #[prost(sint64, repeated, tag = "12")]
    pub(super) positive_deltas: Vec<i64>,
    #[prost(double, repeated, tag = "13")]
    pub(super) positive_counts: Vec<f64>,
    #[prost(int32, tag = "14")]
    pub(super) reset_hint: i32,
    #[prost(int64, tag = "15")]
    pub(super) timestamp: i64,
    #[prost(double, repeated, tag = "16")]
    pub(super) custom_values: Vec<f64>,
    #[prost(int64, tag = "17")]
    pub(super) start_timestamp: i64,
}

/// How many values it holds.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub(super) enum Count {
    #[prost(uint64, tag = "1")]
    Integer(u64),
    #[prost(double, tag = "2")]
    Float(f64),
}

/// How many values are about 0.
#[derive(Clone, Copy, PartialEq, prost::Oneof)]
pub(super) enum ZeroCount {
    #[prost(uint64, tag = "6")]
    Integer(u64),
    #[prost(double, tag = "7")]
    Float(f64),
}

/// Buckets that follow each other.
#[derive(Clone, Copy, PartialEq, prost::Message)]
pub(super) struct Span {
    /// Buckets between the end of the span before it and its first; of the first span, the index of its first bucket.
    #[prost(sint32, tag = "1")]
    pub(super) offset: i32,
    #[prost(uint32, tag = "2")]
    pub(super) length: u32,
}

/// Buckets that hold values: index and count, ascending.
type Sparse = Vec<(i64, f64)>;
type Fault = (Reason, String);

impl Histogram {
    /// Returns whether its counts also fall.
    pub(super) fn is_gauge(&self) -> bool {
        self.reset_hint == GAUGE
    }

    /// Returns how many values it holds, and its buckets, or why it is no histogram.
    pub(super) fn convert(&self) -> Result<(f64, Converted), Fault> {
        let positive = sparse(&self.positive_spans, &self.positive_deltas, &self.positive_counts)?;
        let negative = sparse(&self.negative_spans, &self.negative_deltas, &self.negative_counts)?;
        let count = match self.count {
            Some(Count::Integer(count)) => count as f64,
            Some(Count::Float(count)) => count,
            None => 0.0,
        };
        let sum = Some(self.sum).filter(|sum| sum.is_finite());
        if self.schema == CUSTOM {
            if !negative.is_empty() {
                return Err(invalid("a histogram with custom bounds has negative buckets"));
            }
            let (bounds, counts) = explicit(&self.custom_values, &positive)?;
            return Ok((count, Converted { sum, bounds, counts, ..Converted::default() }));
        }
        if !EXPONENTIAL.contains(&self.schema) {
            return Err((Reason::Unsupported, format!("a histogram has the unknown schema {}", self.schema)));
        }
        let zero_count = match self.zero_count {
            Some(ZeroCount::Integer(count)) => count as f64,
            Some(ZeroCount::Float(count)) => count,
            None => 0.0,
        };
        let (scale, [positive, negative]) = exponential(self.schema, &[positive, negative])?;
        let zero_threshold = self.zero_threshold;
        let converted = Converted {
            sum,
            scale: Some(scale),
            zero_count,
            zero_threshold,
            positive,
            negative,
            ..Converted::default()
        };
        Ok((count, converted))
    }
}

fn invalid(detail: impl Into<String>) -> Fault {
    (Reason::Value, detail.into())
}

/// Returns the buckets that hold values. Counts of integers come as differences, each from the bucket before it.
fn sparse(spans: &[Span], deltas: &[i64], floats: &[f64]) -> Result<Sparse, Fault> {
    if !deltas.is_empty() && !floats.is_empty() {
        return Err(invalid("a histogram has counts of integers and of floats"));
    }
    let mut counts = floats.to_vec();
    let mut count = 0_i64;
    for delta in deltas {
        count = count.checked_add(*delta).ok_or_else(|| invalid("a count of a histogram is too large"))?;
        counts.push(count as f64);
    }
    let length: u64 = spans.iter().map(|span| u64::from(span.length)).sum();
    if length != counts.len() as u64 {
        let found = counts.len();
        return Err(invalid(format!(
            "the spans of a histogram have {length} buckets, but there are {found} counts"
        )));
    }
    let mut buckets = Sparse::new();
    let mut counts = counts.into_iter();
    let mut index = 0_i64;
    for (number, span) in spans.iter().enumerate() {
        if number > 0 && span.offset < 0 {
            return Err(invalid("the spans of a histogram overlap"));
        }
        index += i64::from(span.offset);
        for count in counts.by_ref().take(span.length as usize) {
            if count < 0.0 || count.is_nan() {
                return Err(invalid("a count of a histogram is negative or not a number"));
            }
            if count > 0.0 {
                buckets.push((index, count));
            }
            index += 1;
        }
    }
    Ok(buckets)
}

/// Returns bounds and counts of buckets with bounds of their own. The last has none.
fn explicit(bounds: &[f64], buckets: &Sparse) -> Result<(Vec<f64>, Vec<f64>), Fault> {
    if bounds.len() >= MAX_BUCKETS {
        return Err(invalid(format!("a histogram has more than {MAX_BUCKETS} buckets")));
    }
    if bounds.iter().any(|bound| !bound.is_finite()) {
        return Err(invalid("a bound of a histogram is not finite"));
    }
    let mut counts = vec![0.0; bounds.len() + 1];
    for (index, count) in buckets {
        let bucket = usize::try_from(*index).ok().and_then(|index| counts.get_mut(index));
        *bucket.ok_or_else(|| invalid(format!("a histogram has no bound for bucket {index}")))? += count;
    }
    Ok((bounds.to_vec(), counts))
}

/// Returns scale and buckets of both sides.
///
/// Bucket `i` of Prometheus holds values in `(base^(i-1), base^i]`, bucket `i - 1` of the raw topics the same. Where there
/// are more than a histogram may have, each two neighbours become one, which is the next smaller scale.
fn exponential(schema: i32, sides: &[Sparse; 2]) -> Result<(i32, [Option<ExponentialBuckets>; 2]), Fault> {
    let width = |side: &Sparse, shift: u32| match (side.first(), side.last()) {
        (Some((first, _)), Some((last, _))) => ((last - 1) >> shift) - ((first - 1) >> shift) + 1,
        _ => 0,
    };
    let largest_shift = schema.abs_diff(*EXPONENTIAL.start());
    let fits = |shift: &u32| sides.iter().map(|side| width(side, *shift)).sum::<i64>() <= MAX_BUCKETS as i64;
    let shift = (0..=largest_shift).find(fits);
    let shift = shift.ok_or_else(|| invalid(format!("a histogram has more than {MAX_BUCKETS} buckets")))?;
    let dense = |side: &Sparse| {
        let Some((first, _)) = side.first() else { return Ok(None) };
        let first = (first - 1) >> shift;
        let offset = i32::try_from(first).map_err(|_| invalid("an offset of a histogram is too large"))?;
        let mut counts = vec![0.0; width(side, shift) as usize];
        for (index, count) in side {
            counts[(((index - 1) >> shift) - first) as usize] += count;
        }
        Ok(Some(ExponentialBuckets { offset, counts }))
    };
    Ok((schema - shift as i32, [dense(&sides[0])?, dense(&sides[1])?]))
}
