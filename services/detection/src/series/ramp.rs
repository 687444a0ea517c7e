//! Slow onsets: a few samples, each no farther out than noise goes, that together point one way ever more strongly.
//!
//! The sum of the last five limited deviations, the newest counting most, is the matched filter for a ramp that began
//! five samples ago (G. Turin, An Introduction to Matched Filters, IRE Trans. Inf. Theory 6 (1960)), made robust: no
//! single sample can carry it.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::Direction;

use crate::stats::noise_envelope::NoiseEnvelope;
use crate::stats::robust::TO_SPREAD;

/// Samples of a ramp.
const RAMP_SAMPLES: usize = 5;
/// Farthest that one of them counts, in spreads.
const LIMIT_SPREADS: f64 = 4.0;
/// Root of the sum of the squared weights 1 to 5: what the sum of independent deviations of one spread amounts to.
const WEIGHTS_NORM: f64 = 7.416_198_487;
/// Where noise ends that is independent from sample to sample and has no tails, in spreads of the sum.
const STEEP_SPREADS: f64 = 5.0;
/// Least distance of the last four: bursts go to and fro, a ramp does not.
const STEADY_SPREADS: f64 = 0.5;
/// How far above the reach of its own noise a ramp has to be.
const NOISE_MARGIN_FACTOR: f64 = 2.2;
/// Samples after which half of that reach is forgotten. Bursts are rare, and a ramp is seldom the only sign: better to
/// ignore it for long than to report each burst.
const HALF_LIFE_SAMPLES: f64 = 100_000.0;
/// What the usual size of a few sums is multiplied by, for they may have been small by chance.
const CAUTION_FACTOR: f64 = 1.15;
/// Usual size of the sum where samples are independent, the mean of the absolute value of a normal deviate.
const INDEPENDENT_SIZE: f64 = 1.0 / TO_SPREAD;

/// The last few deviations of a series, and what they usually add up to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Ramp {
    /// Limited deviations in spreads, newest last.
    last: [f32; RAMP_SAMPLES],
    /// Usual size of their weighted sum, never below [`INDEPENDENT_SIZE`]: neighbours that resemble each other add up to more.
    usual: f32,
    up: NoiseEnvelope,
    down: NoiseEnvelope,
}

impl Default for Ramp {
    fn default() -> Self {
        Self {
            last: [0.0; RAMP_SAMPLES],
            usual: INDEPENDENT_SIZE as f32,
            up: NoiseEnvelope::default(),
            down: NoiseEnvelope::default(),
        }
    }
}

impl Ramp {
    /// Begins with some recent deviations, in spreads and in the order in which they came.
    pub(crate) fn found(distances: impl Iterator<Item = f64>) -> Self {
        let mut ramp = Self::default();
        let (mut sum, mut count) = (0.0, 0.0);
        for distance in distances {
            sum += ramp.push(distance).abs();
            count += 1.0;
        }
        let usual = (CAUTION_FACTOR * sum / f64::max(count, 1.0)).max(INDEPENDENT_SIZE) as f32;
        Self { last: [0.0; RAMP_SAMPLES], usual, ..ramp }
    }

    /// Takes the next signed deviation. Returns the sum in its own spreads, negative below.
    pub(crate) fn push(&mut self, distance: f64) -> f64 {
        self.last.rotate_left(1);
        self.last[RAMP_SAMPLES - 1] = distance.clamp(-LIMIT_SPREADS, LIMIT_SPREADS) as f32;
        let weighted =
            self.last.iter().zip(1_u8..).map(|(&distance, weight)| f64::from(distance) * f64::from(weight));
        weighted.sum::<f64>() / WEIGHTS_NORM / (TO_SPREAD * f64::from(self.usual))
    }

    /// Returns how steep a sum is: 1 is where the series' own noise ends.
    pub(crate) fn steepness(&self, sum: f64) -> f64 {
        let reach = if sum >= 0.0 { &self.up } else { &self.down };
        let goes_on =
            self.last[1..].iter().all(|&distance| f64::from(distance) * sum.signum() >= STEADY_SPREADS);
        if goes_on { sum / STEEP_SPREADS.max(NOISE_MARGIN_FACTOR * reach.far()) } else { 0.0 }
    }

    /// Learns a sum that was found normal, at rate `rate`, once it is certain that it was.
    pub(crate) fn learn(&mut self, sum: f64, rate: f64) {
        let usual = f64::from(self.usual);
        let size = (sum.abs() * TO_SPREAD * usual).min(LIMIT_SPREADS * usual);
        self.usual = (usual + rate * (size - usual)).max(INDEPENDENT_SIZE) as f32;
    }

    /// Remembers how far a sum of noise went.
    pub(crate) fn remember(&mut self, sum: f64) {
        self.up.take(sum.max(0.0));
        self.down.take((-sum).max(0.0));
    }

    /// Ends a block of samples.
    pub(crate) fn end_block(&mut self) {
        self.up.end_block(HALF_LIFE_SAMPLES);
        self.down.end_block(HALF_LIFE_SAMPLES);
    }

    /// Remembers that a ramp to that side came to nothing.
    pub(crate) fn record_false_alarm(&mut self, direction: Direction) {
        match direction {
            Direction::Up => self.up.raise(STEEP_SPREADS),
            Direction::Down => self.down.raise(STEEP_SPREADS),
        }
    }

    /// Forgets the last deviations.
    pub(crate) fn settle(&mut self) {
        self.last = [0.0; RAMP_SAMPLES];
    }
}
