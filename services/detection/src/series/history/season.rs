//! What is usual at this time of day, for series that follow the day, and at this time of the week, for those that follow
//! the week.

use serde::{Deserialize, Serialize};

use super::array;
use super::usual::{self, TRIAL_RESIDUALS};
use super::week::Week;
use crate::stats::half_bytes;

/// Half hours of a day (local time), and bytes that count two of them each.
const SLOTS: usize = 48;
const PAIRS: usize = SLOTS / 2;
const SLOT_MS: i64 = 1_800_000;
/// Visits of a half hour after which its mean is used, and after which they are counted no more.
const KNOWN_VISITS: u8 = 2;
const MAX_VISITS: u8 = 9;
/// Farthest that a sample may pull the mean of its half hour: a fault must not echo at the same time tomorrow.
const VISIT_LIMIT_RESIDUALS: f64 = 8.0;

/// The mean of each half hour of the day, and how well it explains the series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Season {
    /// Mean of each half hour of the day (local time), in the unit of the series.
    #[serde(with = "array")]
    means: [f32; SLOTS],
    /// Visits of each half hour, at most 9, two in a byte: that of the even one in the low bits.
    visits: [u8; PAIRS],
    /// The half hour since the epoch that is being visited, with the sum and the number of its samples.
    half: u32,
    sum: f64,
    samples: u32,
    /// Residuals that were seen, and their mean absolute size, in the unit of the series.
    seen: u32,
    size: f64,
    week: Option<Box<Week>>,
}

impl Default for Season {
    fn default() -> Self {
        Self {
            means: [0.0; SLOTS],
            visits: [0; PAIRS],
            half: 0,
            sum: 0.0,
            samples: 0,
            seen: 0,
            size: 0.0,
            week: None,
        }
    }
}

/// How far a sample lies from what is usual at its time of day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
    /// Sample less the mean of its half hour, in the unit of the series.
    pub(super) value: f64,
    /// Usual size of such residuals.
    pub(super) size: f64,
    /// Residuals seen so far, with this one.
    pub(super) seen: u32,
}

/// How far samples usually lie from a level that does not know the day, and the mean of the last eight residuals: what
/// one user of the season needs besides it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Against {
    /// Usual size of the deviations from the level.
    size: f32,
    /// Mean of the last few residuals.
    mean: f32,
}

impl Season {
    /// Returns the residual of a sample, if its half hour is known, and learns from it.
    pub(super) fn residual(&mut self, ts_ms: i64, value: f64) -> Option<Residual> {
        let half = ts_ms.div_euclid(SLOT_MS).clamp(0, i64::from(u32::MAX)) as u32;
        let slot = slot(half);
        let mut learned = value;
        let residual = (self.visits(slot) >= KNOWN_VISITS).then(|| {
            let residual = value - f64::from(self.means[slot]);
            self.seen = self.seen.saturating_add(1);
            self.size += usual::step(residual, self.size, self.seen);
            if self.seen > TRIAL_RESIDUALS {
                let limit = VISIT_LIMIT_RESIDUALS * self.size;
                learned = value - residual + residual.clamp(-limit, limit);
            }
            let with_week = self.week.as_mut().and_then(|week| week.residual(half, residual, self.size));
            let (value, size) = with_week.unwrap_or((residual, self.size));
            Residual { value, size, seen: self.seen }
        });
        if self.half != half {
            self.fold();
            self.half = half;
        }
        self.sum += learned;
        self.samples += 1;
        residual
    }

    /// Returns how far the mean of the half hour of one time lies from that of another; nothing unless both are known.
    pub(super) fn moves(&self, from_ms: i64, to_ms: i64) -> Option<f64> {
        let mean = |ts_ms: i64| {
            let slot = slot(ts_ms.div_euclid(SLOT_MS).clamp(0, i64::from(u32::MAX)) as u32);
            (self.visits(slot) >= KNOWN_VISITS).then(|| f64::from(self.means[slot]))
        };
        Some(mean(to_ms)? - mean(from_ms)?)
    }

    /// Ends a visit: its mean goes into the mean of its half hour, and into what its hour of the week adds.
    fn fold(&mut self) {
        if self.samples > 0 {
            let slot = slot(self.half);
            let visits = self.visits(slot);
            let mean = f64::from(self.means[slot]);
            let above = self.sum / f64::from(self.samples) - mean;
            if visits >= KNOWN_VISITS && self.size > 0.0 {
                let week = self.week.get_or_insert_with(|| Box::new(Week::new(self.half, self.size)));
                week.learn(self.half, above);
            }
            self.means[slot] = (mean + above / (f64::from(visits) + 1.0)) as f32;
            half_bytes::add_one(&mut self.visits, slot, MAX_VISITS);
        }
        self.sum = 0.0;
        self.samples = 0;
    }

    fn visits(&self, slot: usize) -> u8 {
        half_bytes::count(&self.visits, slot)
    }
}

fn slot(half: u32) -> usize {
    half as usize % SLOTS
}

impl Against {
    /// Returns the mean of the last few residuals.
    pub(super) fn mean(self) -> f64 {
        f64::from(self.mean)
    }

    /// Forgets it.
    pub(super) fn settle(&mut self) {
        self.mean = 0.0;
    }

    /// Compares a residual with the deviation from the level. Returns whether the residual is the better measure: its
    /// usual size is below `gain` times that of the deviation.
    pub(super) fn compare(&mut self, residual: Residual, deviation: f64, gain: f64) -> bool {
        self.mean += ((residual.value - self.mean()) / 8.0) as f32;
        let size = f64::from(self.size);
        let size = size + usual::step(deviation, size, residual.seen);
        self.size = size as f32;
        residual.seen > TRIAL_RESIDUALS && residual.size < gain * size
    }
}
