//! What is normal for one series: a robust level, a spread on each side of it, and how far its noise has reached.
//!
//! Everything is streaming and costs the same for each sample. Formulae and constants are in the README.

use serde::{Deserialize, Serialize};
use shared::events::Kind;
use shared::events::anomaly::{Band, Direction};

use crate::metric_profile::{Bounded, MetricProfile};
use crate::series::ramp::Ramp;
use crate::stats::noise_envelope::{BLOCK_SAMPLES, NoiseEnvelope};
use crate::stats::robust::{TO_SPREAD, median};

/// Half width of the expected band, in spreads. A series is back when it stays inside.
pub const BAND_SPREADS: f64 = 3.5;
/// Distance at which a sample is noticed, in spreads, unless the series' own noise has reached further.
pub const NOTICED_SPREADS: f64 = 6.0;

/// Median absolute deviation to standard deviation of a normal distribution.
const MAD_TO_SPREAD: f64 = 1.4826;
/// Farthest a sample may pull the level, in spreads.
const LEVEL_LIMIT_SPREADS: f64 = 2.0;
/// Farthest a sample may pull a spread, in spreads.
const SPREAD_LIMIT_SPREADS: f64 = 3.0;
/// Farthest that a sample may pull the short mean, in spreads.
const MEAN_LIMIT_SPREADS: f64 = 6.0;
/// Weight of a new sample in the short mean, "the last four".
const MEAN_RATE: f64 = 0.25;
/// Spread of that mean over the spread of independent samples, sqrt(w / (2 - w)).
const MEAN_SPREAD: f64 = 0.378;
/// How many times its usual size one mean may count for in that size: what leaks must not teach it to wander.
const MEAN_GROWTH_FACTOR: f64 = 2.0;
/// Largest correlation of neighbouring samples.
const MAX_CORRELATION: f64 = 0.9;
/// How far above the reach of the noise a sample has to be.
const NOISE_MARGIN_FACTOR: f64 = 1.3;
/// Farthest that noise is taken to reach, in spreads.
const NOISE_LIMIT_SPREADS: f64 = 11.5;
/// Samples after which half of a reach is forgotten.
const NOISE_HALF_LIFE_SAMPLES: f64 = 2000.0;
/// Part of the level that is lost where something is gone, and part below which it has never been gone before.
const OUTAGE_SHARE: f64 = 0.95;
const NEVER_OUTAGE_SHARE: f64 = 0.9;
/// Samples after which half of what was ever lost is forgotten.
const LOST_HALF_LIFE_SAMPLES: f64 = 100_000.0;
/// Samples that a sample waits before it is learned, so that the onset of a ramp is not learned as normal.
pub const LEARN_DELAY_SAMPLES: usize = 8;
/// How many times longer the spread is remembered than the level where a slow rise is a fault: what leaks must not
/// widen its own band.
const STIFFNESS_FACTOR: f64 = 4.0;
/// Allowance for few samples: a spread learned from n samples counts as (1 + this / n) times as large.
const INEXPERIENCE_SAMPLES: f64 = 8.0;
/// How many times as far a sample of a series that is zero most of the time counts: five of eight that are not zero are
/// lasting.
const SPARSE_FACTOR: f64 = 4.0 / 3.0;
/// Part of the doubt that a sample leaves, and the spreads below which it is over.
const DOUBT_KEPT_SHARE: f64 = 0.8;
const LEAST_DOUBT_SPREADS: f64 = 0.25;

/// What one sample says about its series.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Reading {
    /// The sample.
    pub value: f64,
    /// Level of the series before it.
    pub level: f64,
    /// Side of the level on which it lies.
    pub direction: Direction,
    /// One spread of that side, in the unit of the series.
    pub spread: f64,
    /// Distance from the level, in spreads of that side; only what is beyond the doubt after a pause.
    pub distance: f64,
    /// The same, measured by how far the series' own noise reaches: [`NOTICED_SPREADS`] is where noise ends.
    pub novelty: f64,
    /// How steeply the last samples leave the level: 1 is where a ramp stands out of noise; negative below.
    pub steepness: f64,
    /// What that rests on, in its own spreads.
    ramp: f64,
    /// Distance of the short mean from the level, in its own spreads; negative below.
    pub shift: f64,
    /// Part of the level that is missing; negative above.
    lost: f64,
    /// Whether next to nothing is left, which has never been so before.
    pub is_gone: bool,
}

impl Reading {
    /// Returns the reading of a sample that something else than a baseline has scored.
    pub(crate) fn scored(value: f64, level: f64, direction: Direction, distance: f64, novelty: f64) -> Self {
        Self {
            value,
            level,
            direction,
            spread: 0.0,
            distance,
            novelty,
            steepness: 0.0,
            ramp: 0.0,
            shift: 0.0,
            lost: 0.0,
            is_gone: false,
        }
    }
}

/// The normal of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Baseline {
    /// Samples it rests on; 0 until it has been founded.
    seen: u32,
    level: f64,
    /// Mean deviation of the samples above the level, and of those below.
    above: f64,
    below: f64,
    ramp: Ramp,
    /// Mean of the last few deviations, in spreads, and the usual size of that mean.
    mean: f32,
    usual_mean: f32,
    reach_up: NoiseEnvelope,
    reach_down: NoiseEnvelope,
    /// How much of the level was ever lost.
    lost: NoiseEnvelope,
    /// Samples in the block of the reaches.
    in_block: u32,
    /// How far the level may have moved in a pause, in the unit of the series, and the samples since.
    doubt: f64,
    since_pause: u32,
    /// Samples that wait to be learned, as deviations from the level of their time, each with the ramp that it made.
    pending: [(f32, f32); LEARN_DELAY_SAMPLES],
    waiting: u8,
}

impl Baseline {
    /// Returns whether enough was seen to judge samples.
    pub fn is_founded(&self) -> bool {
        self.seen > 0
    }

    /// Starts anew from some recent samples: their median, and on each side the mean deviation, limited to what the
    /// median absolute deviation suggests. Up to half of the samples may be wild.
    pub fn found(&mut self, samples: &[f64]) {
        if samples.is_empty() {
            return;
        }
        let level = median(&mut samples.to_vec());
        let mut deviations: Vec<f64> = samples.iter().map(|value| (value - level).abs()).collect();
        let limit = SPREAD_LIMIT_SPREADS * MAD_TO_SPREAD * median(&mut deviations);
        let mean = |side: &dyn Fn(f64) -> f64| {
            let (mut sum, mut count) = (0.0, 0.0);
            for deviation in samples.iter().map(|value| side(value - level)).filter(|d| *d > 0.0) {
                sum += deviation.min(limit);
                count += 1.0;
            }
            if count > 0.0 { sum / count } else { 0.0 }
        };
        let (above, below) = (mean(&|d| d), mean(&|d| -d));
        let (up, down) = ((TO_SPREAD * above).max(limit / 6.0), (TO_SPREAD * below).max(limit / 6.0));
        let distances =
            samples.iter().map(|value| value - level).map(|d| d / if d >= 0.0 { up } else { down });
        let (mut ramp, mut usual_mean) = (Ramp::default(), 0.0);
        if limit > 0.0 {
            // neighbours that resemble each other make the short mean wander more than independent ones would
            let (mut short, mut wandered) = (0.0, 0.0);
            for distance in distances.clone() {
                short += MEAN_RATE * (distance.clamp(-SPREAD_LIMIT_SPREADS, SPREAD_LIMIT_SPREADS) - short);
                wandered += f64::abs(short);
            }
            usual_mean = wandered / samples.len() as f64;
            ramp = Ramp::found(distances);
        }
        *self = Self {
            seen: samples.len() as u32,
            level,
            above,
            below,
            ramp,
            mean: 0.0,
            usual_mean: usual_mean as f32,
            reach_up: NoiseEnvelope::default(),
            reach_down: NoiseEnvelope::default(),
            lost: NoiseEnvelope::default(),
            in_block: 0,
            doubt: 0.0,
            since_pause: 0,
            pending: [(0.0, 0.0); LEARN_DELAY_SAMPLES],
            waiting: 0,
        };
        for sample in samples {
            self.has_been(*sample);
        }
    }

    /// Judges a sample, and takes it into the ramp and the short mean (only there). `sparse` is how far it lies beyond
    /// what a series usually is that is zero most of the time, in spreads; nothing for other series.
    pub fn read(&mut self, value: f64, sparse: Option<f64>, profile: &MetricProfile) -> Reading {
        let (down, up) = self.spreads(profile);
        let deviation = value - self.level;
        let (direction, spread, reach) = if deviation >= 0.0 {
            (Direction::Up, up, self.reach_up)
        } else {
            (Direction::Down, down, self.reach_down)
        };
        let distance = ((deviation.abs() - self.doubt).max(0.0) / spread)
            .min(sparse.map_or(f64::INFINITY, |sparse| SPARSE_FACTOR * sparse));
        let signed = distance.copysign(deviation);
        let ramp = self.ramp.push(signed);
        let lost = self.lost(value);
        self.mean += (MEAN_RATE
            * (signed.clamp(-MEAN_LIMIT_SPREADS, MEAN_LIMIT_SPREADS) - f64::from(self.mean)))
            as f32;
        Reading {
            value,
            level: self.level,
            direction,
            spread,
            distance,
            novelty: distance * NOTICED_SPREADS / bar(reach),
            steepness: self.ramp.steepness(ramp),
            shift: self.shift(),
            lost,
            is_gone: lost >= OUTAGE_SHARE
                && self.lost.far() < NEVER_OUTAGE_SHARE
                && self.level >= BAND_SPREADS * profile.absolute_floor,
            ramp,
        }
    }

    /// Returns how far the short mean lies from the level, in its own spreads; negative below.
    pub fn shift(&self) -> f64 {
        let usual = TO_SPREAD * f64::from(self.usual_mean) * self.caution();
        f64::from(self.mean) / MEAN_SPREAD.max(usual)
    }

    /// Returns the mean spread of both sides, and by how much the variance of a mean of many samples is larger than if
    /// neighbours did not resemble each other. The latter takes the noise to be autoregressive of first order, for
    /// which the variance of the short mean gives the correlation (Zhang, Technometrics 40 (1998)).
    pub fn scatter(&self, profile: &MetricProfile) -> (f64, f64) {
        let spread = (TO_SPREAD * 0.5 * (self.above + self.below)).max(profile.floor(self.level));
        let inflation = (TO_SPREAD * f64::from(self.usual_mean) / MEAN_SPREAD).powi(2).max(1.0);
        let alike = ((inflation - 1.0) / (inflation + 1.0) / (1.0 - MEAN_RATE)).min(MAX_CORRELATION);
        (spread, (1.0 + alike) / (1.0 - alike))
    }

    /// Learns from a sample that was found normal, once [`LEARN_DELAY_SAMPLES`] more have been. `memory` is how many samples the level
    /// remembers.
    pub fn learn(&mut self, reading: &Reading, profile: &MetricProfile, memory: f64) {
        self.remember(reading.direction, reading.distance, reading.ramp, reading.lost);
        if self.doubt > 0.0 {
            return self.relearn(reading.value, profile);
        }
        let Some((deviation, ramp)) = self.wait((reading.value - reading.level) as f32, reading.ramp as f32)
        else {
            return;
        };
        let deviation = f64::from(deviation);
        let (down, up) = self.spreads(profile);
        let rate = (1.0 / (f64::from(self.seen) + 1.0)).max(1.0 / memory);
        self.level += rate * deviation.clamp(-LEVEL_LIMIT_SPREADS * down, LEVEL_LIMIT_SPREADS * up);
        let memory = if profile.accumulates() { STIFFNESS_FACTOR * memory } else { memory };
        let rate = (1.0 / (f64::from(self.seen) + 1.0)).max(1.0 / memory);
        // each side sees every other sample
        let side_rate = (2.0 * rate).min(1.0);
        if deviation > 0.0 {
            self.above += side_rate * (deviation.min(SPREAD_LIMIT_SPREADS * up) - self.above);
        } else if deviation < 0.0 {
            self.below += side_rate * (-deviation.max(-SPREAD_LIMIT_SPREADS * down) - self.below);
        } else {
            self.above -= rate * self.above;
            self.below -= rate * self.below;
        }
        self.ramp.learn(f64::from(ramp), rate);
        let usual = f64::from(self.usual_mean);
        let size = f64::from(self.mean).abs().min(MEAN_GROWTH_FACTOR * usual.max(MEAN_SPREAD));
        self.usual_mean = (usual + rate * (size - usual)) as f32;
        self.seen = self.seen.saturating_add(1);
    }

    /// Notes a pause in which the level may have moved by so much, in the unit of the series.
    pub fn doubt(&mut self, moved: f64) {
        self.doubt = self.doubt.max(moved);
        self.since_pause = 0;
        self.waiting = 0;
    }

    /// Learns the level anew from a sample after a pause. The spreads and how far noise reaches stay as they were.
    fn relearn(&mut self, value: f64, profile: &MetricProfile) {
        self.since_pause = self.since_pause.saturating_add(1);
        let (down, up) = self.spreads(profile);
        let limit = |spread: f64| self.doubt + LEVEL_LIMIT_SPREADS * spread;
        let deviation = (value - self.level).clamp(-limit(down), limit(up));
        let (doubt, spread) = (self.doubt.powi(2), up.min(down).powi(2));
        // what is hardly in doubt hardly moves
        let rate = (doubt / (doubt + spread)).min(1.0 / (f64::from(self.since_pause) + 1.0));
        self.level += rate * deviation;
        self.doubt *= DOUBT_KEPT_SHARE;
        if self.doubt < LEAST_DOUBT_SPREADS * up.min(down) {
            self.doubt = 0.0;
        }
    }

    /// Leaves out the samples that wait to be learned: they were the onset of something that is not normal.
    pub fn unlearn(&mut self) {
        self.waiting = 0;
    }

    /// Lets a sample wait, and returns the one that has waited long enough.
    fn wait(&mut self, deviation: f32, ramp: f32) -> Option<(f32, f32)> {
        let waiting = usize::from(self.waiting);
        if waiting < LEARN_DELAY_SAMPLES {
            self.pending[waiting] = (deviation, ramp);
            self.waiting += 1;
            return None;
        }
        let oldest = self.pending[0];
        self.pending.rotate_left(1);
        self.pending[LEARN_DELAY_SAMPLES - 1] = (deviation, ramp);
        Some(oldest)
    }

    /// Remembers how far a sample of noise lay, and what ramp it made: a normal one, or a spike that did not last.
    fn remember(&mut self, direction: Direction, distance: f64, ramp: f64, lost: f64) {
        let (up, down) = match direction {
            Direction::Up => (distance, 0.0),
            Direction::Down => (0.0, distance),
        };
        self.reach_up.take(up.min(NOISE_LIMIT_SPREADS));
        self.reach_down.take(down.min(NOISE_LIMIT_SPREADS));
        self.lost.take(lost);
        self.ramp.remember(ramp);
        self.in_block += 1;
        if self.in_block == BLOCK_SAMPLES {
            self.in_block = 0;
            self.reach_up.end_block(NOISE_HALF_LIFE_SAMPLES);
            self.reach_down.end_block(NOISE_HALF_LIFE_SAMPLES);
            self.lost.end_block(LOST_HALF_LIFE_SAMPLES);
            self.ramp.end_block();
        }
    }

    /// Remembers how far a deviation went that came to nothing, in spreads.
    pub fn record_false_alarm(&mut self, direction: Direction, distance: f64) {
        self.remember(direction, distance, 0.0, 0.0);
    }

    /// Remembers that what came to nothing has fired, as a ramp.
    pub fn record_false_ramp(&mut self, direction: Direction) {
        self.ramp.record_false_alarm(direction);
    }

    /// Notes that the series has been at a value, in an episode that is over.
    pub fn has_been(&mut self, value: f64) {
        self.lost.raise(self.lost(value));
    }

    /// Forgets what an episode or a gap has left of a ramp and in the short mean.
    pub fn settle(&mut self) {
        self.ramp.settle();
        self.mean = 0.0;
    }

    /// Returns the level.
    pub fn level(&self) -> f64 {
        self.level
    }

    /// Returns the band in which samples are expected.
    pub fn band(&self, metric: Bounded<'_>) -> Band {
        let (down, up) = self.spreads(metric.profile);
        let mut lower = self.level - self.doubt - BAND_SPREADS * down;
        if self.level >= 0.0 && metric.profile.kind != Kind::Other {
            lower = lower.max(0.0);
        }
        let mut upper = self.level + self.doubt + BAND_SPREADS * up;
        if let Some(ceiling) = metric.ceiling.filter(|ceiling| *ceiling >= self.level) {
            upper = upper.min(ceiling);
        }
        Band { lower, center: self.level, upper }
    }

    /// Returns which part of the level is missing; nothing of one that is not positive.
    fn lost(&self, value: f64) -> f64 {
        if self.level > 0.0 { 1.0 - value / self.level } else { 0.0 }
    }

    /// Returns the spread below and above the level. Neither is less than half of the other.
    fn spreads(&self, profile: &MetricProfile) -> (f64, f64) {
        let floor = profile.floor(self.level);
        let scale = TO_SPREAD * self.caution();
        let (below, above) = (scale * self.below, scale * self.above);
        (below.max(0.5 * above).max(floor), above.max(0.5 * below).max(floor))
    }

    fn caution(&self) -> f64 {
        1.0 + INEXPERIENCE_SAMPLES / f64::from(self.seen.max(1))
    }
}

/// Returns the distance from which on a sample is novel where noise has reached so far.
fn bar(reach: NoiseEnvelope) -> f64 {
    (NOISE_MARGIN_FACTOR * reach.far()).max(NOTICED_SPREADS)
}
