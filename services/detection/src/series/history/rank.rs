//! How rare a score is among the series' own past scores.

use serde::{Deserialize, Serialize};

use super::{array, log10};

/// What one more score adds to a count. Counts keep fractions when they are halved: whole numbers would forget the
/// extremes, which are what matters.
const COUNT_UNIT: u16 = 8;
/// Scores that are remembered: then all counts are halved.
const MEMORY_SCORES: u32 = 8000;
/// Part of the past that the slope of the tail rests on.
const TAIL_SHARE: f64 = 0.05;
/// No score is rarer than 1 in ten to this.
const MAX_RARITY_LOG10: f64 = 6.0;

/// Number of past scores, with those that were halved away counting half.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Past(u32);

impl Past {
    /// Counts one score more. Returns whether all [`Ranks`] have to be halved.
    pub(super) fn grow(&mut self) -> bool {
        self.0 += 1;
        let full = self.0 >= MEMORY_SCORES;
        if full {
            self.0 /= 2;
        }
        full
    }

    /// Returns the number.
    pub(super) fn count(self) -> f64 {
        f64::from(self.0)
    }
}

/// Past scores by size, in bins of equal width on a logarithmic scale.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Ranks<const BINS: usize> {
    /// Number of scores in each bin and all bins above it, in parts of a [`COUNT_UNIT`]: to look up is far more frequent
    /// than to halve.
    #[serde(with = "array")]
    at_least: [u16; BINS],
}

/// Where the bins lie.
#[derive(Debug, Clone, Copy)]
pub(super) struct Scale {
    /// Bins for each doubling.
    pub(super) resolution: f64,
    /// The first bin begins at two to minus this.
    pub(super) offset: f64,
}

impl<const BINS: usize> Default for Ranks<BINS> {
    fn default() -> Self {
        Self { at_least: [0; BINS] }
    }
}

impl<const BINS: usize> Ranks<BINS> {
    /// Returns the negative decimal logarithm of the share of past scores that were at least `score`, and remembers it.
    ///
    /// Linear inside a bin; beyond the largest score so far the tail goes on as a power law, with the slope of its
    /// upper twentieth (Hill, Ann. Stat. 3 (1975), in bins).
    pub(super) fn rarity(&mut self, score: f64, scale: Scale, past: Past) -> f64 {
        let place =
            ((score.max(1e-9).log2() + scale.offset) * scale.resolution).clamp(0.0, BINS as f64 - 1.001);
        let bin = place as usize;
        let above = self.at_least.get(bin + 1).map_or(0.0, |&count| scores(count));
        let in_bin = scores(self.at_least[bin]) - above;
        let farther = above + in_bin * (1.0 - (place - bin as f64));
        let mut rarity = -log10((farther + 0.5) / (past.count() + 1.0));
        if farther < 0.5 {
            rarity = rarity.max(log10(past.count() + 1.0) + self.beyond(place, scale, past));
        }
        for count in &mut self.at_least[..=bin] {
            *count += COUNT_UNIT;
        }
        rarity.min(MAX_RARITY_LOG10)
    }

    /// Forgets half of the past.
    pub(super) fn halve(&mut self) {
        let (mut above, mut above_halved) = (0, 0);
        for at_least in self.at_least.iter_mut().rev() {
            above_halved += (*at_least - above) / 2;
            above = *at_least;
            *at_least = above_halved;
        }
    }

    /// Returns how much rarer a place is than the largest score so far.
    fn beyond(&self, place: f64, scale: Scale, past: Past) -> f64 {
        let count =
            |bin: usize| scores(self.at_least[bin] - self.at_least.get(bin + 1).copied().unwrap_or(0));
        let top = (1..BINS).rev().find(|&bin| count(bin) >= 0.5).unwrap_or(0);
        let (mut tail, mut lowest) = (0.0, top);
        while lowest > 0 && tail < TAIL_SHARE * past.count() {
            tail += count(lowest);
            lowest -= 1;
        }
        let width = ((top - lowest) as f64).max(0.5 * scale.resolution);
        let slope = (log10(tail.max(1.0)) / width).clamp(0.2 / scale.resolution, 4.0 / scale.resolution);
        slope * (place - top as f64 - 1.0).max(0.0)
    }
}

fn scores(count: u16) -> f64 {
    f64::from(count) / f64::from(COUNT_UNIT)
}
