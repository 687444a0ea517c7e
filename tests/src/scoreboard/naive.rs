//! What one would do without a graph and hypotheses: the service with the largest z-score is the suspect, and all that
//! is abnormal within some minutes is one incident.

use std::collections::BTreeMap;

use shared::events::MetricSample;
use shared::events::anomaly::{Anomaly, Status};

/// Anomalies that are no further apart are one incident, milliseconds.
const APART_MS: i64 = 300_000;

/// Mean and deviation of each series before the fault, and the largest z-score since.
#[derive(Debug, Default)]
pub struct Scores {
    series: BTreeMap<(String, String), Series>,
}

#[derive(Debug, Default)]
struct Series {
    number: f64,
    mean: f64,
    squares: f64,
    largest: f64,
}

impl Scores {
    /// Learns a sample from before the fault.
    pub fn learn(&mut self, sample: &MetricSample) {
        let series = self.of(sample);
        series.number += 1.0;
        let step = sample.value - series.mean;
        series.mean += step / series.number;
        series.squares += step * (sample.value - series.mean);
    }

    /// Scores a sample.
    pub fn score(&mut self, sample: &MetricSample) {
        let series = self.of(sample);
        let deviation = (series.squares / (series.number - 1.0).max(1.0)).sqrt().max(1e-9);
        series.largest = series.largest.max((sample.value - series.mean).abs() / deviation);
    }

    fn of(&mut self, sample: &MetricSample) -> &mut Series {
        self.series.entry((sample.service.clone(), sample.metric.clone())).or_default()
    }

    /// Returns the service with the largest z-score.
    pub fn suspect(&self) -> Option<&str> {
        let largest = self.series.iter().max_by(|(_, a), (_, b)| a.largest.total_cmp(&b.largest));
        largest.filter(|(_, series)| series.largest > 3.0).map(|((service, _), _)| service.as_str())
    }
}

/// Returns how many incidents grouping by time alone makes of what fires.
pub fn incidents(anomalies: &[Anomaly]) -> usize {
    let firing = anomalies.iter().filter(|anomaly| anomaly.status == Status::Firing);
    let mut times: Vec<i64> = firing.map(|anomaly| anomaly.observed_at.as_millisecond()).collect();
    times.sort_unstable();
    let gaps = times.windows(2).filter(|pair| pair[1] - pair[0] > APART_MS).count();
    gaps + usize::from(!times.is_empty())
}
