//! What is usual at this time of day, for series that follow the day.

use serde::{Deserialize, Serialize};

use super::array;

/// Half hours of a day (UTC).
const SLOTS: usize = 48;
const SLOT_MS: i64 = 1_800_000;
/// Visits of a half hour after which its mean is used.
const KNOWN: u8 = 2;
/// Least weight of a visit in the mean of its half hour.
const VISIT: f64 = 0.1;
/// Residuals that are compared before the season is believed, and memory of that comparison.
const TRIAL: u32 = 100;
const MEMORY: f64 = 1000.0;
/// Farthest a residual may pull its usual size, in multiples of it.
const LIMIT: f64 = 4.0;

/// The mean of each half hour of the day, and how well it explains the series.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Season {
    #[serde(with = "array")]
    means: [f32; SLOTS],
    #[serde(with = "array")]
    visits: [u8; SLOTS],
    /// The half hour that is being visited, with the sum and the number of its samples.
    slot: Option<u8>,
    sum: f64,
    samples: u32,
    /// Residuals that were seen, and their usual size.
    seen: u32,
    size: f64,
}

impl Default for Season {
    fn default() -> Self {
        Self { means: [0.0; SLOTS], visits: [0; SLOTS], slot: None, sum: 0.0, samples: 0, seen: 0, size: 0.0 }
    }
}

/// How far a sample lies from what is usual at its time of day.
#[derive(Debug, Clone, Copy)]
pub(super) struct Residual {
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
    size: f64,
    /// Mean of the last few residuals.
    pub(super) mean: f64,
}

impl Season {
    /// Returns the residual of a sample, if its half hour is known, and learns from it.
    pub(super) fn residual(&mut self, ts_ms: i64, value: f64) -> Option<Residual> {
        let slot = (ts_ms.rem_euclid(86_400_000) / SLOT_MS) as usize;
        let residual = (self.visits[slot] >= KNOWN).then(|| {
            let residual = value - f64::from(self.means[slot]);
            self.seen = self.seen.saturating_add(1);
            self.size += usual(residual, self.size, self.seen);
            Residual { value: residual, size: self.size, seen: self.seen }
        });
        if self.slot != Some(slot as u8) {
            self.fold();
            self.slot = Some(slot as u8);
        }
        self.sum += value;
        self.samples += 1;
        residual
    }

    /// Ends a visit: its mean goes into the mean of its half hour.
    fn fold(&mut self) {
        if let Some(slot) = self.slot.map(usize::from).filter(|_| self.samples > 0) {
            let weight = (1.0 / (f64::from(self.visits[slot]) + 1.0)).max(VISIT);
            let mean = f64::from(self.means[slot]);
            self.means[slot] = (mean + weight * (self.sum / f64::from(self.samples) - mean)) as f32;
            self.visits[slot] = self.visits[slot].saturating_add(1);
        }
        self.sum = 0.0;
        self.samples = 0;
    }
}

impl Against {
    /// Compares a residual with the deviation from the level. Tells whether the residual is the better measure: its
    /// usual size is below `gain` times that of the deviation.
    pub(super) fn compare(&mut self, residual: Residual, deviation: f64, gain: f64) -> bool {
        self.mean += (residual.value - self.mean) / 8.0;
        self.size += usual(deviation, self.size, residual.seen);
        residual.seen > TRIAL && residual.size < gain * self.size
    }
}

/// Returns the step of a running mean of absolute values towards `value`.
fn usual(value: f64, size: f64, seen: u32) -> f64 {
    let limited = if seen > TRIAL { value.abs().min(LIMIT * size) } else { value.abs() };
    (limited - size) / f64::from(seen).min(MEMORY)
}
