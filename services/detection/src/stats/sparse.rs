//! Series that are zero most of the time: judged by how often they are not, and by how large they then are.
//!
//! A band around a level says nothing about them: the level is zero, and whatever is not is infinitely far away.

use serde::{Deserialize, Serialize};

/// Share of zeros above which a series counts as mostly zero, and the samples that have to be known.
const SPARSE_SHARE: f64 = 0.9;
const SPARSE_SAMPLES: u32 = 20;
/// Samples among which those that are not zero are counted.
const COUNTED_SAMPLES: f64 = 8.0;
/// Sizes that are needed before one of them is judged, and the allowance for few of them: a spread learned from n sizes
/// counts as (1 + this / n) times as large.
const KNOWN_SIZES: u32 = 5;
const INEXPERIENCE_SIZES: f64 = 25.0;
/// Least spread of the logarithm of a size, and the farthest that one size may pull it, in such spreads.
const LEAST_LOG_SPREAD: f64 = 0.35;
const SIZE_LIMIT_SPREADS: f64 = 5.0;

/// How often a series is not zero, and how large it then is.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Sparse {
    /// Share of zeros, over the memory of the series.
    zeros: f32,
    /// Share of samples that are not zero, over the last eight.
    often: f32,
    /// Samples that were not zero, with the mean and the variance of the logarithm of their size.
    sizes: u32,
    log_mean: f32,
    log_variance: f32,
}

impl Sparse {
    /// Begins with the first sample.
    pub(crate) fn begin(value: f64) -> Self {
        Self { zeros: if is_zero(value) { 1.0 } else { 0.0 }, ..Self::default() }
    }

    /// Returns whether a series of so many samples is zero most of the time.
    pub(crate) fn is_sparse(self, seen: u32) -> bool {
        f64::from(self.zeros) > SPARSE_SHARE && seen >= SPARSE_SAMPLES
    }

    /// Returns whether it was ever anything but zero, often enough to know what that looks like.
    pub(crate) fn is_known(self) -> bool {
        self.sizes >= KNOWN_SIZES
    }

    /// Returns how far a sample lies beyond what such a series usually is, in spreads: how large it is among those that are
    /// not zero, or how many there are of those among the last eight, whichever is more.
    pub(crate) fn distance(self, value: f64) -> f64 {
        if is_zero(value) {
            return 0.0;
        }
        let size = if self.is_known() {
            let inexperience = 1.0 + INEXPERIENCE_SIZES / f64::from(self.sizes);
            (value.abs().ln() - f64::from(self.log_mean)).max(0.0) / self.log_spread() / inexperience
        } else {
            0.0
        };
        let usual = 1.0 - f64::from(self.zeros);
        let count = (COUNTED_SAMPLES - 1.0) * f64::from(self.often) + 1.0;
        // the half keeps a first count from being infinitely rare
        let spread = (COUNTED_SAMPLES * usual * (1.0 - usual) + 0.5).sqrt();
        size.max((count - COUNTED_SAMPLES * usual) / spread)
    }

    /// Learns a sample at rate `rate`, where the memory of the series is `memory` samples.
    pub(crate) fn learn(&mut self, value: f64, rate: f64, memory: f64) {
        let zero = if is_zero(value) { 1.0 } else { 0.0 };
        self.zeros += (rate * (zero - f64::from(self.zeros))) as f32;
        self.often += ((1.0 - zero - f64::from(self.often)) / COUNTED_SAMPLES) as f32;
        if zero > 0.0 {
            return;
        }
        self.sizes = self.sizes.saturating_add(1);
        let rate = (1.0 / f64::from(self.sizes)).max(1.0 / memory);
        let limit =
            if self.sizes > KNOWN_SIZES { SIZE_LIMIT_SPREADS * self.log_spread() } else { f64::INFINITY };
        let above = (value.abs().ln() - f64::from(self.log_mean)).clamp(-limit, limit);
        self.log_mean += (rate * above) as f32;
        self.log_variance = ((1.0 - rate) * (f64::from(self.log_variance) + rate * above * above)) as f32;
    }

    /// Returns the size that is not exceeded by more than some spreads.
    pub(crate) fn size_within(self, spreads: f64) -> f64 {
        if self.sizes == 0 { 0.0 } else { (f64::from(self.log_mean) + spreads * self.log_spread()).exp() }
    }

    fn log_spread(self) -> f64 {
        f64::from(self.log_variance).sqrt().max(LEAST_LOG_SPREAD)
    }
}

fn is_zero(value: f64) -> bool {
    value.abs() < f64::MIN_POSITIVE
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_size_among_its_like_is_near_and_a_burst_of_counts_is_far() {
        let mut sparse = Sparse::begin(0.0);
        for i in 1..2000_u32 {
            let value = if i % 40 == 0 { 3.0 } else { 0.0 };
            sparse.learn(value, 1.0 / f64::from(i + 1).min(1000.0), 1000.0);
        }
        assert!(sparse.is_sparse(2000) && sparse.is_known());
        assert!(sparse.distance(3.0) < 2.0 && sparse.distance(0.0) < f64::EPSILON);
        assert!(sparse.distance(300.0) > 6.0, "{}", sparse.distance(300.0));
        for _ in 0..6 {
            sparse.learn(3.0, 1e-3, 1000.0);
        }
        assert!(sparse.distance(3.0) > 4.0, "{}", sparse.distance(3.0));
    }
}
