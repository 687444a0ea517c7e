//! A slow series, less than a sample in fifteen minutes: judged by how far it lies from the nearest of what is usual, in
//! root mean squares.
//!
//! Some hundred samples are all there is for weeks, so nothing is counted in samples that can be counted in time, and no
//! rank or record is asked for. Formulae and constants are in the README; where they come from is in
//! `docs/detection.md`.

mod profile;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::{Band, Direction};

use super::rest;
use crate::stats::robust::TO_SPREAD;
use crate::stats::sparse::Sparse;
use profile::Profile;

/// Memory of the level and the scales: ten days, within these numbers of samples.
const MEMORY_S: f64 = 10.0 * 86_400.0;
const MEMORY_SAMPLES: std::ops::RangeInclusive<f64> = 250.0..=3000.0;
/// Least scale, as a part of the level.
const FLOOR_SHARE: f64 = 3e-3;
/// Farthest that a sample may pull the level, in spreads, once so many samples are known.
const LEVEL_LIMIT_SPREADS: f64 = 2.0;
const SETTLED_SAMPLES: u32 = 20;
/// Farthest that a residual counts in its scale, in scales: outliers raise the bar, and none of them by much.
const SCALE_LIMIT_SCALES: f64 = 10.0;
/// Samples before any distance is measured, and the allowance for few of them: a scale learned from n samples counts as
/// (1 + this / n) times as large.
const UNMEASURED_SAMPLES: u32 = 10;
const INEXPERIENCE_SAMPLES: f64 = 25.0;
/// Where the mean of the distances from the level and from what is near ends to be usual, and the distance of the mean
/// of the last four.
const BAR_SCALES: f64 = 4.3;
const MEAN_BAR_SCALES: f64 = 5.0;
/// How much farther the bars are for each tenth of an hour's interval.
const BAR_PER_CADENCE: f64 = 0.2;
const HOUR_S: f64 = 3600.0;
/// Age and samples before the first alarm.
const YOUNG_MS: i64 = 86_400_000;
const YOUNG_SAMPLES: u32 = 24;
/// Half width of the expected band, in scales.
const BAND_SCALES: f64 = 3.5;

/// What is usual for one slow series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Bars {
    /// Samples so far, and the local times of the first and the last one, milliseconds.
    seen: u32,
    first_ms: i64,
    last_ms: i64,
    /// Exponential mean of the samples, and their mean absolute deviation from it, in the unit of the series.
    level: f64,
    size: f64,
    profile: Profile,
    /// Mean of the last four residuals.
    mean_of_4: f64,
    /// Mean squares of the deviation from the level, of the residual, and of its mean over four samples.
    squares: [f64; 3],
    sparse: Sparse,
    /// Event time of the last sample beyond the bars, and the samples since.
    hot_ms: Option<i64>,
    since_hot: u32,
}

/// What one sample of a slow series amounts to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct BarScore {
    /// How many times as far as the bar it lies.
    pub score: f64,
    /// Side on which it lies.
    pub direction: Direction,
    /// Distance from what is usual now, in scales.
    pub distance: f64,
    /// Whether it lies beyond the bars.
    pub is_hot: bool,
    /// Whether the series is old enough to say so.
    pub is_old: bool,
    /// Whether an alarm begins with it.
    pub is_alarm: bool,
    /// Whether the last sample beyond the bars is long enough ago.
    pub is_rested: bool,
    /// Where it was expected.
    pub expected: Band,
}

/// The distances of a sample in scales: from the level, from the nearest of what is usual, and of the mean of four.
type Distances = [f64; 3];

impl Bars {
    /// Judges the next sample and learns it. `interval_ms` is the usual distance between samples; the day is that of
    /// `ts_ms`.
    pub fn observe(&mut self, ts_ms: i64, value: f64, interval_ms: f64) -> BarScore {
        self.last_ms = ts_ms;
        if self.seen == 0 {
            (self.level, self.first_ms) = (value, ts_ms);
            self.sparse = Sparse::begin(value);
        }
        let interval_s = (interval_ms / 1000.0).max(1.0);
        let memory = (MEMORY_S / interval_s).clamp(*MEMORY_SAMPLES.start(), *MEMORY_SAMPLES.end());
        let rate = (1.0 / (f64::from(self.seen) + 1.0)).max(1.0 / memory);
        let floor = FLOOR_SHARE * self.level.abs() + 1e-9;
        let spread = (TO_SPREAD * self.size).max(floor);
        let deviation = value - self.level;
        let usual = self.profile.nearest(ts_ms, value, self.level);
        let near = value - usual;
        self.mean_of_4 += (near - self.mean_of_4) / (f64::from(self.seen) + 1.0).min(4.0);
        let own = self.profile.own_scale(ts_ms, self.squares[1]);
        let residuals = [deviation, near, self.mean_of_4];
        let (mut distances, near_square) = self.measure(residuals, own, floor, rate);
        let is_sparse = self.sparse.is_sparse(self.seen);
        let expected = self.band(usual, is_sparse, own, floor);
        if is_sparse {
            distances = [self.sparse.distance(value); 3];
        }
        let [from_level, from_near, mean] = distances;
        let strictness = 1.0 + BAR_PER_CADENCE * (HOUR_S / interval_s).log10().clamp(0.0, 1.0);
        let score = (0.5 * (from_level + from_near) / BAR_SCALES).max(mean / MEAN_BAR_SCALES) / strictness;
        let lasting = if mean / MEAN_BAR_SCALES > from_near / BAR_SCALES { self.mean_of_4 } else { near };
        self.sparse.learn(value, rate, memory);
        self.profile.learn(ts_ms, value, near_square, spread);
        let limit = if self.seen >= SETTLED_SAMPLES { LEVEL_LIMIT_SPREADS * spread } else { f64::INFINITY };
        self.level += rate * deviation.clamp(-limit, limit);
        self.size += rate * (deviation.abs().min(limit) - self.size);
        let is_old = self.seen >= YOUNG_SAMPLES && ts_ms.saturating_sub(self.first_ms) >= YOUNG_MS;
        let is_hot = is_old && score >= 1.0;
        let is_rested = self.rest(ts_ms, is_hot);
        self.seen = self.seen.saturating_add(1);
        BarScore {
            score,
            direction: if lasting < 0.0 { Direction::Down } else { Direction::Up },
            distance: from_near,
            is_hot,
            is_old,
            is_alarm: is_hot && is_rested,
            is_rested: is_rested && !is_hot,
            expected,
        }
    }

    /// Returns the distance of each residual in its scale, and learns the scales. Returns also the square that counted of
    /// the residual.
    fn measure(&mut self, residuals: [f64; 3], own: f64, floor: f64, rate: f64) -> (Distances, f64) {
        let inexperience = 1.0 + INEXPERIENCE_SAMPLES / (f64::from(self.seen) + 1.0);
        let mut distances = [0.0; 3];
        let mut near_square = 0.0;
        for (place, residual) in residuals.into_iter().enumerate() {
            let square = &mut self.squares[place];
            let scale = (square.sqrt() * if place > 0 { own } else { 1.0 }).max(floor);
            if self.seen > UNMEASURED_SAMPLES {
                distances[place] = residual.abs() / scale / inexperience;
            }
            let counts = if self.seen > SETTLED_SAMPLES && *square > 0.0 {
                residual.abs().min(SCALE_LIMIT_SCALES * scale)
            } else {
                residual.abs()
            };
            *square += rate * (counts * counts - *square);
            if place == 1 {
                near_square = counts * counts;
            }
        }
        (distances, near_square)
    }

    /// Returns whether the last sample beyond the bars was long enough ago, before this one.
    fn rest(&mut self, ts_ms: i64, is_hot: bool) -> bool {
        self.since_hot = self.since_hot.saturating_add(1);
        let is_rested =
            self.hot_ms.is_none_or(|hot_ms| rest::is_over(ts_ms.saturating_sub(hot_ms), self.since_hot));
        if is_hot {
            (self.hot_ms, self.since_hot) = (Some(ts_ms), 0);
        }
        is_rested
    }

    /// Returns where a sample is expected that has just been taken.
    pub(crate) fn expected(&self, value: f64) -> Band {
        let usual = self.profile.nearest(self.last_ms, value, self.level);
        let own = self.profile.own_scale(self.last_ms, self.squares[1]);
        self.band(usual, self.sparse.is_sparse(self.seen), own, FLOOR_SHARE * self.level.abs() + 1e-9)
    }

    /// Returns the band around what is usual, before the sample is learned.
    fn band(&self, usual: f64, is_sparse: bool, own: f64, floor: f64) -> Band {
        if is_sparse {
            return Band { lower: 0.0, center: 0.0, upper: self.sparse.size_within(BAND_SCALES) };
        }
        let half = BAND_SCALES * (self.squares[1].sqrt() * own).max(floor);
        Band { lower: usual - half, center: usual, upper: usual + half }
    }
}
