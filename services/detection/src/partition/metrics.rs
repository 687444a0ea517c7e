//! What detection says about itself: the names of its metrics, all in one place.

use metrics::{Counter, counter, gauge};
use shared::events::{Anomaly, Topic};

use super::task::INPUTS;
use crate::partition::{Outcome, Partition};

/// A metric of detection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Name {
    /// Samples and lines that were used, by `topic`.
    Used,
    /// Samples and lines that were dropped, by `topic` and `reason`; and anomalies that were invalid, by their own topic.
    Dropped,
    /// Records that went to the dead-letter topic, by `topic` and `reason`.
    Refused,
    /// Revisions that were published, by `status`.
    Anomalies,
    /// Series, by `partition`.
    Series,
    /// Distance between a record's time and the newest sample's, by `partition`, seconds.
    EventLag,
}

impl Name {
    /// All metrics.
    pub const ALL: [Self; 6] =
        [Self::Used, Self::Dropped, Self::Refused, Self::Anomalies, Self::Series, Self::EventLag];

    /// Returns the name in the Prometheus format.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Used => "firewatch_detection_samples_total",
            Self::Dropped => "firewatch_detection_dropped_total",
            Self::Refused => "firewatch_detection_refused_total",
            Self::Anomalies => "firewatch_detection_anomalies_total",
            Self::Series => "firewatch_detection_series",
            Self::EventLag => "firewatch_detection_event_lag_seconds",
        }
    }
}

/// Counts what was used: the one metric that every record changes, so it is looked up once.
pub struct Used([(Topic, Counter); 3]);

impl Default for Used {
    fn default() -> Self {
        Self(INPUTS.map(|topic| (topic, counter!(Name::Used.as_str(), "topic" => topic.name()))))
    }
}

impl Used {
    /// Counts what was used of one record of `topic`.
    pub fn count(&self, topic: Topic, used: u32) {
        if let Some((_, counter)) = self.0.iter().find(|(of, _)| *of == topic) {
            counter.increment(u64::from(used));
        }
    }
}

/// Counts what else came of one record of `topic`: most often nothing.
pub fn count(topic: &'static str, outcome: &Outcome) {
    for (reason, count) in outcome.dropped.iter() {
        counter!(Name::Dropped.as_str(), "topic" => topic, "reason" => reason.as_str())
            .increment(u64::from(count));
    }
    if let Some(refusal) = &outcome.refused {
        counter!(Name::Refused.as_str(), "topic" => topic, "reason" => refusal.reason()).increment(1);
    }
}

/// Counts a revision that is published.
pub fn count_published(anomaly: &Anomaly) {
    counter!(Name::Anomalies.as_str(), "status" => anomaly.status.to_string()).increment(1);
}

/// Counts a revision that is dropped because it breaks the contract.
pub fn count_invalid() {
    counter!(Name::Dropped.as_str(), "topic" => Topic::Anomalies.name(), "reason" => "invalid").increment(1);
}

/// Shows how a partition stands. `now_ms` is the time of its last record, if that is known.
pub fn show(number: i32, partition: &Partition, now_ms: Option<i64>) {
    let number = number.to_string();
    gauge!(Name::Series.as_str(), "partition" => number.clone()).set(partition.series() as f64);
    if let (Some(now_ms), Some(newest_ms)) = (now_ms, partition.newest_ms()) {
        let lag = now_ms.saturating_sub(newest_ms).max(0) as f64 / 1000.0;
        gauge!(Name::EventLag.as_str(), "partition" => number).set(lag);
    }
}
