//! How much time has passed for a partition, by its records alone.
//!
//! Silence is the absence of records, so something else has to say that time goes on: samples of other services, or a
//! **tick**, a record without samples that the runtime writes while nothing else comes. Neither is trusted far: a source
//! whose clock is ahead and the end of an outage must not make everybody else look silent, so the clock leaps by no more
//! than a few of its usual steps, and what lies beyond counts as time in which no service could report.

use serde::{Deserialize, Serialize};

/// A leap that is always allowed, milliseconds.
const LEAP_MS: i64 = 30_000;
/// Usual steps that one step may be long.
const LEAP_STEPS: f64 = 4.0;
/// Memory of the usual step, in steps.
const MEMORY_STEPS: f64 = 100.0;

/// A moment of a partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Moment {
    /// Time that has passed since the first record, milliseconds.
    pub passed_ms: i64,
    /// The part of it that only ticks have moved.
    pub ticked_ms: i64,
    /// Samples of any service.
    pub samples: u64,
}

/// The clock of one partition.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub struct PartitionClock {
    now: Moment,
    /// Newest event time; ticks move it on as well.
    event_ms: Option<i64>,
    /// Time of the last record.
    record_ms: i64,
    /// Usual step, milliseconds.
    step_ms: f64,
    steps: u32,
}

impl PartitionClock {
    /// Takes a sample.
    pub fn sample(&mut self, ts_ms: i64, record_ms: i64) {
        self.now.samples += 1;
        self.record_ms = record_ms;
        let step = ts_ms.saturating_sub(*self.event_ms.get_or_insert(ts_ms));
        if step > 0 {
            self.event_ms = Some(ts_ms);
            let passed = self.pass(step);
            self.steps = self.steps.saturating_add(1);
            self.step_ms += (passed as f64 - self.step_ms) / f64::from(self.steps).min(MEMORY_STEPS);
        }
    }

    /// Takes a tick: as much event time has passed as lies between it and the record before it.
    pub fn tick(&mut self, record_ms: i64) {
        let step = record_ms.saturating_sub(self.record_ms);
        self.record_ms = record_ms;
        let Some(event_ms) = self.event_ms.filter(|_| step > 0) else { return };
        let passed = self.pass(step);
        self.event_ms = Some(event_ms.saturating_add(passed));
        self.now.ticked_ms += passed;
    }

    /// Returns the present moment.
    pub fn now(&self) -> Moment {
        self.now
    }

    /// Returns the longest time that passes at once, milliseconds.
    pub fn leap_ms(&self) -> i64 {
        LEAP_MS.max((LEAP_STEPS * self.step_ms) as i64)
    }

    fn pass(&mut self, step: i64) -> i64 {
        let passed = step.min(self.leap_ms());
        self.now.passed_ms += passed;
        passed
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn time_passes_with_the_newest_sample_and_leaps_only_a_little() {
        let mut clock = PartitionClock::default();
        for i in 0..50 {
            clock.sample(i * 10_000, i * 10_000);
            // a source that lags, and one more at the same time
            clock.sample(i * 10_000 - 7_000, i * 10_000);
            clock.sample(i * 10_000, i * 10_000);
        }
        assert_eq!((clock.now.passed_ms, clock.now.samples), (490_000, 150));
        clock.sample(490_000 + 3_600_000, 0);
        assert_eq!(clock.now.passed_ms, 490_000 + 40_000);
        // the others are there again as well: no more time has passed for that
        clock.sample(490_000 + 3_600_000, 0);
        assert_eq!(clock.now.passed_ms, 490_000 + 40_000);
    }

    #[test]
    fn a_tick_counts_from_the_record_before_it_and_samples_do_not_count_the_same_time_again() {
        let mut clock = PartitionClock::default();
        clock.tick(5);
        assert_eq!(
            clock,
            PartitionClock { record_ms: 5, ..PartitionClock::default() },
            "no time without a sample"
        );
        clock.sample(1_000, 100_000);
        clock.tick(105_000);
        clock.tick(104_000);
        assert_eq!((clock.now.passed_ms, clock.now.ticked_ms), (5_000, 5_000));
        clock.sample(4_000, 105_000);
        assert_eq!(clock.now.passed_ms, 5_000);
        clock.sample(7_000, 106_000);
        assert_eq!((clock.now.passed_ms, clock.now.ticked_ms), (6_000, 5_000));
    }
}
