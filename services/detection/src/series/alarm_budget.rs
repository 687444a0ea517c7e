//! What a series has to show before it fires: the budget of false alarms, shared among all samples.
//!
//! A series is certain by what it has done before, however many others there are. Whether it may also fire depends on
//! how many chances of a false alarm a week has: a fleet that is a hundred times larger has to require more.

use serde::{Deserialize, Serialize};

use crate::series::history::HistoryScore;

/// Samples a week at which the bars of the local baseline stand as they are: those of 42 series at 10 s, whose healthy
/// weeks come to three false alarms under bursts and to one at most under other noises.
const BASE_SAMPLES_A_WEEK: f64 = 2.5e6;
/// Slope of the tail: under bursts, bars that are 1.1 times as high are reached a quarter as often.
const TAIL_EXPONENT: f64 = 14.0;
/// The same for records, whose own bars rise with the cadence: 42 series at 5 min are 85,000 samples, and their false
/// records go at most 1.07 times as far as the bar; the slope was measured there.
const RECORD_BASE_SAMPLES_A_WEEK: f64 = 4e4;
const RECORD_TAIL_EXPONENT: f64 = 12.0;
/// Most that the bars of the local baseline are raised: beyond it, little but outages would fire.
const MAX_FACTOR: f64 = 2.5;
const HOUR_MS: i64 = 3_600_000;
const HOURS_A_WEEK: f64 = 168.0;

/// How many samples a partition takes, by event time.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct SampleRate {
    /// Number of the hour.
    hour: i64,
    /// Samples in it, and in the one before.
    samples: u64,
    before: u64,
}

impl SampleRate {
    /// Counts a sample. Returns whether the number of samples a week may have changed.
    pub fn count(&mut self, ts_ms: i64) -> bool {
        let hour = ts_ms.div_euclid(HOUR_MS);
        // what comes late, or a file that goes on with another series, says nothing about the pace
        if hour < self.hour {
            return false;
        }
        let ends = hour > self.hour;
        if ends {
            (self.hour, self.before, self.samples) = (hour, self.samples, 0);
        }
        self.samples += 1;
        ends || self.samples.is_power_of_two()
    }

    /// Returns the number of samples a week at the pace of the last hour, or of this one if that is faster.
    pub fn a_week(&self) -> f64 {
        let begun = if self.samples == 0 { 0 } else { 1 << self.samples.ilog2() };
        self.before.max(begun) as f64 * HOURS_A_WEEK
    }
}

/// What is demanded of a series that is to fire, beyond what makes it certain.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct FiringThreshold {
    /// What the bars of the local baseline are multiplied by, 1 or more.
    pub strictness: f64,
    /// How many times as far as the bar for one sample in five minutes a record has to go, 1 or more.
    pub record: f64,
}

impl Default for FiringThreshold {
    /// Demands nothing more.
    fn default() -> Self {
        Self { strictness: 1.0, record: 1.0 }
    }
}

impl FiringThreshold {
    /// Returns what is demanded where `chances` samples a week may raise `budget` false alarms a week.
    pub fn of(chances: f64, budget: f64) -> Self {
        let chances = (chances / budget).max(1.0);
        Self {
            strictness: (chances / BASE_SAMPLES_A_WEEK).powf(1.0 / TAIL_EXPONENT).clamp(1.0, MAX_FACTOR),
            record: (chances / RECORD_BASE_SAMPLES_A_WEEK)
                .powf(1.0 / RECORD_TAIL_EXPONENT)
                .clamp(1.0, MAX_FACTOR),
        }
    }

    /// Returns what is demanded of a series whose bars are divided by a factor.
    #[must_use]
    pub fn for_sensitivity(self, sensitivity: f64) -> Self {
        Self { strictness: self.strictness / sensitivity, record: self.record / sensitivity }
    }

    /// Returns whether what the series' own past says is enough to fire: a record, for any healthy noise is rare once a
    /// week.
    pub fn is_met_by(&self, score: &HistoryScore) -> bool {
        score.record.is_some_and(|beyond| beyond >= self.record)
    }
}
