//! Metrics: gauges, sums, histograms, exponential histograms and summaries.

use std::borrow::Cow;

use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::common::v1::KeyValue;
use opentelemetry_proto::tonic::metrics::v1::exponential_histogram_data_point::Buckets;
use opentelemetry_proto::tonic::metrics::v1::metric::Data;
use opentelemetry_proto::tonic::metrics::v1::number_data_point::Value as Number;
use opentelemetry_proto::tonic::metrics::v1::{
    AggregationTemporality, ExponentialHistogramDataPoint, HistogramDataPoint, Metric, NumberDataPoint, Sum,
    SummaryDataPoint,
};
use shared::events::raw::{ExponentialBuckets, Histogram, Instrument, MAX_BUCKETS, Temporality};

use super::attributes::{NO_SERVICE, Origin, labels};
use super::time::{start_ms, to_ms};
use crate::formats::Context;
use crate::refusals::Reason;
use crate::telemetry::{Batch, Point, Value};

/// Bit of the flags of a point: nothing was recorded.
const NO_RECORDED_VALUE: u32 = 1;
/// Finest scale of exponential buckets that is passed on.
const MAX_SCALE: i32 = 20;

type Refused = (Reason, String);

/// Adds all points of an export.
pub(super) fn add(export: &ExportMetricsServiceRequest, ctx: &Context<'_>, batch: &mut Batch) {
    for resource in &export.resource_metrics {
        let origin = Origin::of(resource.resource.as_ref(), ctx.identity);
        for metric in resource.scope_metrics.iter().flat_map(|scope| &scope.metrics) {
            match origin.service {
                Some(service) => Series { service, origin: &origin, metric, batch }.add(),
                None => (0..points(metric)).for_each(|_| batch.refused.add(Reason::NoService, NO_SERVICE)),
            }
        }
    }
}

fn points(metric: &Metric) -> usize {
    match &metric.data {
        None => 0,
        Some(Data::Gauge(data)) => data.data_points.len(),
        Some(Data::Sum(data)) => data.data_points.len(),
        Some(Data::Histogram(data)) => data.data_points.len(),
        Some(Data::ExponentialHistogram(data)) => data.data_points.len(),
        Some(Data::Summary(data)) => data.data_points.len(),
    }
}

/// A metric of a resource, whose points are added.
struct Series<'a> {
    service: &'a str,
    origin: &'a Origin<'a>,
    metric: &'a Metric,
    batch: &'a mut Batch,
}

/// What points of one metric have in common.
#[derive(Clone, Copy)]
struct Meaning {
    instrument: Option<Instrument>,
    temporality: Temporality,
}

/// What each point has besides its number.
struct Place<'p> {
    attributes: &'p [KeyValue],
    start: u64,
    time: u64,
    flags: u32,
}

impl Series<'_> {
    fn add(&mut self) {
        match &self.metric.data {
            None => {}
            Some(Data::Gauge(gauge)) => {
                let meaning =
                    Meaning { instrument: Some(Instrument::Gauge), temporality: Temporality::Cumulative };
                self.numbers(&gauge.data_points, &Ok(meaning));
            }
            Some(Data::Sum(sum)) => {
                let meaning = self.meaning_of_sum(sum);
                self.numbers(&sum.data_points, &meaning);
            }
            Some(Data::Histogram(data)) => {
                let meaning = self.meaning_of_histogram(data.aggregation_temporality);
                for point in &data.data_points {
                    let added = meaning.clone().and_then(|meaning| self.histogram(point, meaning));
                    self.refuse(added);
                }
            }
            Some(Data::ExponentialHistogram(data)) => {
                let meaning = self.meaning_of_histogram(data.aggregation_temporality);
                for point in &data.data_points {
                    let added = meaning.clone().and_then(|meaning| self.exponential(point, meaning));
                    self.refuse(added);
                }
            }
            Some(Data::Summary(data)) => {
                for point in &data.data_points {
                    let added = self.summary(point);
                    self.refuse(added);
                }
            }
        }
    }

    fn refuse(&mut self, outcome: Result<(), Refused>) {
        if let Err((reason, detail)) = outcome {
            self.batch.refused.add(reason, &detail);
        }
    }

    fn temporality(&self, number: i32) -> Result<Temporality, Refused> {
        match AggregationTemporality::try_from(number) {
            Ok(AggregationTemporality::Delta) => Ok(Temporality::Delta),
            Ok(AggregationTemporality::Cumulative) => Ok(Temporality::Cumulative),
            _ => {
                let detail =
                    format!("{} has no aggregation temporality; set delta or cumulative", self.metric.name);
                Err((Reason::Invalid, detail))
            }
        }
    }

    fn meaning_of_sum(&self, sum: &Sum) -> Result<Meaning, Refused> {
        let temporality = self.temporality(sum.aggregation_temporality)?;
        match (sum.is_monotonic, temporality) {
            (true, temporality) => Ok(Meaning { instrument: Some(Instrument::Counter), temporality }),
            (false, Temporality::Cumulative) => {
                Ok(Meaning { instrument: Some(Instrument::Gauge), temporality })
            }
            (false, Temporality::Delta) => {
                let name = &self.metric.name;
                let detail = format!("{name} is a delta of a sum that can fall; export it as cumulative");
                Err((Reason::Unsupported, detail))
            }
        }
    }

    fn meaning_of_histogram(&self, temporality: i32) -> Result<Meaning, Refused> {
        Ok(Meaning { instrument: None, temporality: self.temporality(temporality)? })
    }

    fn numbers(&mut self, points: &[NumberDataPoint], meaning: &Result<Meaning, Refused>) {
        for point in points {
            let place = Place {
                attributes: &point.attributes,
                start: point.start_time_unix_nano,
                time: point.time_unix_nano,
                flags: point.flags,
            };
            let added = meaning.clone().and_then(|meaning| {
                let value = match point.value {
                    Some(Number::AsDouble(number)) => number,
                    Some(Number::AsInt(number)) => number as f64,
                    None if point.flags & NO_RECORDED_VALUE != 0 => return Ok(()),
                    None => return Err((Reason::Value, format!("{} has no value", self.metric.name))),
                };
                self.point(&place, meaning, Value::Number(value))
            });
            self.refuse(added);
        }
    }

    fn histogram(&mut self, point: &HistogramDataPoint, meaning: Meaning) -> Result<(), Refused> {
        let (bounds, counts) = explicit(&point.explicit_bounds, &point.bucket_counts);
        if bounds.iter().any(|bound| !bound.is_finite()) {
            let detail = format!("a bound of {} is not finite", self.metric.name);
            return Err((Reason::Value, detail));
        }
        let histogram = Histogram { sum: point.sum, bounds, counts, ..Histogram::default() };
        let place = Place {
            attributes: &point.attributes,
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
        };
        self.point(&place, meaning, Value::Histogram(point.count as f64, &histogram))
    }

    fn exponential(
        &mut self,
        point: &ExponentialHistogramDataPoint,
        meaning: Meaning,
    ) -> Result<(), Refused> {
        let (scale, positive, negative) =
            coarse(point.scale, point.positive.as_ref(), point.negative.as_ref());
        let histogram = Histogram {
            sum: point.sum,
            scale: Some(scale),
            zero_count: point.zero_count as f64,
            zero_threshold: point.zero_threshold,
            positive,
            negative,
            ..Histogram::default()
        };
        let place = Place {
            attributes: &point.attributes,
            start: point.start_time_unix_nano,
            time: point.time_unix_nano,
            flags: point.flags,
        };
        self.point(&place, meaning, Value::Histogram(point.count as f64, &histogram))
    }

    /// A summary: a gauge for each quantile, and counters of its values and their sum. Quantiles without a value are left out.
    fn summary(&mut self, point: &SummaryDataPoint) -> Result<(), Refused> {
        if point.flags & NO_RECORDED_VALUE != 0 {
            return Ok(());
        }
        let metric = self.metric;
        let ts_ms = to_ms("time_unix_nano", point.time_unix_nano)?;
        let mut labels = labels(&self.origin.labels, &point.attributes);
        let (count, sum) = (format!("{}_count", metric.name), format!("{}_sum", metric.name));
        let base = Point {
            service: self.service,
            environment: self.origin.environment,
            metric: &count,
            unit: "",
            labels: &labels,
            ts_ms,
            instrument: Some(Instrument::Counter),
            temporality: Temporality::Cumulative,
            start_ms: start_ms(point.start_time_unix_nano),
            value: Value::Number(point.count as f64),
        };
        self.batch.point(&base);
        // of values that can be negative there is no sum that only grows
        if point.sum.is_finite() && point.sum >= 0.0 {
            let value = Value::Number(point.sum);
            self.batch.derived_point(&Point { metric: &sum, unit: &metric.unit, value, ..base });
        }
        for quantile in point.quantile_values.iter().filter(|one| one.value.is_finite()) {
            labels.push((Cow::Borrowed("quantile"), Cow::Owned(quantile.quantile.to_string())));
            self.batch.derived_point(&Point {
                service: self.service,
                environment: self.origin.environment,
                metric: &metric.name,
                unit: &metric.unit,
                labels: &labels,
                ts_ms,
                instrument: Some(Instrument::Gauge),
                temporality: Temporality::Cumulative,
                start_ms: None,
                value: Value::Number(quantile.value),
            });
            labels.pop();
        }
        Ok(())
    }

    fn point(&mut self, place: &Place<'_>, meaning: Meaning, value: Value<'_>) -> Result<(), Refused> {
        if place.flags & NO_RECORDED_VALUE != 0 {
            return Ok(());
        }
        let ts_ms = to_ms("time_unix_nano", place.time)?;
        let is_gauge = meaning.instrument == Some(Instrument::Gauge);
        self.batch.point(&Point {
            service: self.service,
            environment: self.origin.environment,
            metric: &self.metric.name,
            unit: &self.metric.unit,
            labels: &labels(&self.origin.labels, place.attributes),
            ts_ms,
            instrument: meaning.instrument,
            temporality: meaning.temporality,
            start_ms: if is_gauge { None } else { start_ms(place.start) },
            value,
        });
        Ok(())
    }
}

/// Returns explicit buckets. A bound of plus infinity, which some exporters write, is none: its bucket and the last one are one.
fn explicit(bounds: &[f64], counts: &[u64]) -> (Vec<f64>, Vec<f64>) {
    let mut bounds = bounds.to_vec();
    let mut counts: Vec<f64> = counts.iter().map(|count| *count as f64).collect();
    if bounds.last() == Some(&f64::INFINITY) {
        bounds.pop();
        if counts.len() == bounds.len() + 2 {
            let last = counts.pop().unwrap_or_default();
            counts.iter_mut().last().into_iter().for_each(|count| *count += last);
        }
    }
    (bounds, counts)
}

/// Returns exponential buckets, at a coarser scale where they are finer or more than a histogram may have: two neighbours become one.
fn coarse(
    scale: i32,
    positive: Option<&Buckets>,
    negative: Option<&Buckets>,
) -> (i32, Option<ExponentialBuckets>, Option<ExponentialBuckets>) {
    let side = |buckets: Option<&Buckets>| {
        buckets.filter(|buckets| !buckets.bucket_counts.is_empty()).map(|buckets| ExponentialBuckets {
            offset: buckets.offset,
            counts: buckets.bucket_counts.iter().map(|count| *count as f64).collect(),
        })
    };
    let (mut scale, mut sides) = (scale, [side(positive), side(negative)]);
    let number = |sides: &[Option<ExponentialBuckets>]| -> usize {
        sides.iter().flatten().map(|one| one.counts.len()).sum()
    };
    // 32 times halve any number of buckets to two
    for _ in 0..64 {
        if scale <= MAX_SCALE && number(&sides) <= MAX_BUCKETS {
            break;
        }
        scale = scale.saturating_sub(1);
        sides.iter_mut().flatten().for_each(halve);
    }
    let [positive, negative] = sides;
    (scale, positive, negative)
}

fn halve(buckets: &mut ExponentialBuckets) {
    let offset = i64::from(buckets.offset);
    let first = offset >> 1;
    let last = (offset + buckets.counts.len() as i64 - 1) >> 1;
    let mut counts = vec![0.0; (last - first + 1).max(0) as usize];
    for (place, count) in buckets.counts.iter().enumerate() {
        counts[(((offset + place as i64) >> 1) - first) as usize] += count;
    }
    *buckets = ExponentialBuckets { offset: first as i32, counts };
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn too_many_exponential_buckets_become_coarser_and_keep_their_counts() {
        let buckets = Buckets { offset: -3, bucket_counts: vec![1; 700] };
        let (scale, positive, negative) = coarse(5, Some(&buckets), Some(&Buckets::default()));
        let positive = positive.unwrap();
        assert_eq!((scale, positive.offset, negative), (4, -2, None));
        assert_eq!((positive.counts.len(), positive.counts.iter().sum::<f64>()), (351, 700.0));
        // -3 is in the bucket -2, and -2 and -1 are in -1
        assert_eq!(positive.counts[..2], [1.0, 2.0]);
        let (scale, positive, _) = coarse(MAX_SCALE + 2, Some(&buckets), None);
        assert_eq!((scale, positive.unwrap().counts.len()), (MAX_SCALE, 176));
    }

    #[test]
    fn a_bound_of_infinity_is_no_bound() {
        assert_eq!(explicit(&[1.0, f64::INFINITY], &[2, 3, 4]), (vec![1.0], vec![2.0, 7.0]));
        assert_eq!(explicit(&[1.0, f64::INFINITY], &[2, 3]), (vec![1.0], vec![2.0, 3.0]));
        assert_eq!(explicit(&[], &[]), (vec![], vec![]));
    }
}
