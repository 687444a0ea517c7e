//! Deviations beyond anything the series has done before: each measure against its own record, which grows by a
//! bounded step an episode and is forgotten slowly.

use serde::{Deserialize, Serialize};

use super::floor;
use super::season::{Against, Residual};
use crate::stats::robust::TO_SPREAD;

/// Samples before records count; from this one on they are kept.
pub(super) const WARM_UP_SAMPLES: u32 = 200;
const SETTLED_SAMPLES: u32 = 20;
/// Memory of the level, and of the fast level that takes over when an episode lasts.
const MEMORY_SAMPLES: f64 = 1000.0;
const FAST_MEMORY_SAMPLES: f64 = 30.0;
/// Farthest that a sample may pull the level, and the mean of sixteen, in spreads.
const LEVEL_LIMIT_SPREADS: f64 = 2.0;
const MEAN_LIMIT_SPREADS: f64 = 4.0;
/// Least deviation that counts, for each measure, in its own spreads.
const MIN_DEVIATION_SPREADS: [f64; MEASURES] = [8.0, 8.0, 8.0, 7.0, 9.0];
const MEASURES: usize = 5;
/// Index of the mean of sixteen, which bursts hardly move.
const MEAN_OF_SIXTEEN: usize = 2;
/// Index from which on the measures know the season.
const SEASONAL: usize = 3;
/// Samples after a pause until the level is known again.
const PAUSE_SAMPLES: u8 = 16;
/// Part of the way that the mean of sixteen has gone by then, 1 - (15/16)^16.
const PAUSE_SHARE: f64 = 0.644;
/// Spread of a mean over that of one sample: of the exponentially weighted mean of 4, 16 and 8.
const MEAN_SPREADS: [f64; 3] = [0.378, 0.18, 0.36];
/// How far above its record a deviation has to be.
const RECORD_MARGIN_FACTOR: f64 = 1.3;
/// Most that a record grows by one episode.
const RECORD_GROWTH_FACTOR: f64 = 2.0;
/// Samples after which half of a record is forgotten, at five minutes a sample or slower; as much time at a faster
/// cadence, for what every Monday brings should be a record but once.
const HALF_LIFE_SAMPLES: f64 = 10_000.0;
/// Samples of a block: what is seen becomes a record one to two blocks later, so that a ramp cannot raise the bar that
/// it has to pass.
const BLOCK_SAMPLES: u32 = 64;
/// Share of the usual deviation below which the seasonal residual is used.
const MAX_SEASON_RESIDUAL_RATIO: f64 = 0.6;
/// Distance below which a sample is calm, in spreads; so many calm samples end an episode, so many samples end it in
/// any case.
const CALM_SPREADS: f64 = 3.5;
const CALM_SAMPLES: u8 = 3;
const MAX_EPISODE_SAMPLES: u8 = 180;
/// How much slower the level learns inside an episode.
const EPISODE_RATE_FACTOR: f64 = 0.1;
/// Records that may be reported at once, and samples after which one more may.
const MAX_TOKENS: f32 = 3.0;
const TOKEN_EVERY_SAMPLES: f32 = 400.0;

/// One measure's record, as a multiple of the bar of its cadence.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Record {
    /// The largest so far, half forgotten after 10,000 samples at five minutes.
    far: f32,
    /// Largest of the open block of 64 samples, and of the one before it.
    block: f32,
    before: f32,
}

/// The records of one series.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Records {
    /// Exponential mean of the last 1,000 samples, in the unit of the series.
    level: f64,
    /// Mean absolute deviation from it.
    size: f64,
    /// The same over the last 30 samples.
    fast_level: f64,
    fast_size: f64,
    /// Mean absolute step from sample to sample.
    step: f64,
    /// Exponential means of the last samples; no sample pulls that of 16 by more than 4 spreads, except the plain one.
    mean_of_4: f64,
    mean_of_16: f64,
    plain_mean_of_16: f64,
    season: Against,
    /// Of the sample, the means of 4 and 16, the seasonal mean and the seasonal residual, in this order.
    marks: [Record; MEASURES],
    /// Records that may be reported now.
    tokens: f32,
    /// Whether an episode is open, its calm samples in a row, and all its samples.
    inside: bool,
    calm: u8,
    inside_for: u8,
    /// Samples until the level is known again after a pause.
    paused: u8,
}

/// A sample as the records see it.
#[derive(Debug, Clone, Copy)]
pub(super) struct Seen {
    pub(super) value: f64,
    /// The sample before it, or itself.
    pub(super) before: f64,
    /// Its seasonal residual, if the season is known.
    pub(super) residual: Option<Residual>,
    /// Samples before it.
    pub(super) index: u32,
    /// How many times shorter than five minutes the interval is, and its decimal logarithm.
    pub(super) cadence: f64,
    pub(super) cadence_log10: f64,
    /// Most that a deviation counts, in spreads.
    pub(super) limit: f64,
}

/// A record that is broken.
#[derive(Debug, Clone, Copy)]
pub(super) struct Broken {
    /// How many times as far as the bar for one sample in five minutes it goes.
    pub(super) beyond: f64,
    /// Whether it is one of the residuals from the season.
    pub(super) is_seasonal: bool,
}

impl Records {
    /// Returns the record that a sample breaks at the beginning of an episode; nothing if it breaks none.
    pub(super) fn broken(&mut self, seen: Seen) -> Option<Broken> {
        let Seen { value, index, .. } = seen;
        if index == 0 {
            *self = Self {
                level: value,
                fast_level: value,
                mean_of_4: value,
                mean_of_16: value,
                plain_mean_of_16: value,
                tokens: MAX_TOKENS,
                ..Self::default()
            };
        }
        let floor = floor(self.level);
        let spread = (self.size * TO_SPREAD).max(floor);
        let deviation = value - self.level;
        let measures = self.measure(seen, deviation, spread, floor).map(|measure| measure.min(seen.limit));
        let measures = self.doubted(measures);
        // people accept a number of false alarms a day, not a sample: what is judged more often has to be rarer
        let strictness = (1.0 + 0.35 * seen.cadence_log10).clamp(0.7, 1.6);
        let bars: [f64; MEASURES] = std::array::from_fn(|measure| {
            let strictness = if measure == MEAN_OF_SIXTEEN && strictness > 1.0 {
                0.5 * (1.0 + strictness)
            } else {
                strictness
            };
            strictness
                * MIN_DEVIATION_SPREADS[measure]
                    .max(RECORD_MARGIN_FACTOR * f64::from(self.marks[measure].far))
        });
        self.tokens = (self.tokens + 1.0 / TOKEN_EVERY_SAMPLES).min(MAX_TOKENS);
        let mut beyond = None;
        if index < WARM_UP_SAMPLES {
            if index > SETTLED_SAMPLES {
                for (record, measure) in self.marks.iter_mut().zip(measures) {
                    record.far = record.far.max(measure as f32);
                }
            }
        } else {
            let broken = measures.iter().zip(bars).any(|(measure, bar)| *measure >= bar);
            if broken && !self.inside {
                beyond = self.enter(measures, bars, strictness).then(|| {
                    let beyond: [f64; MEASURES] =
                        std::array::from_fn(|measure| strictness * measures[measure] / bars[measure]);
                    Broken {
                        beyond: beyond.into_iter().fold(0.0, f64::max),
                        is_seasonal: (SEASONAL..MEASURES).any(|measure| measures[measure] >= bars[measure]),
                    }
                });
            }
            self.go_on(deviation, spread);
            if !self.inside {
                self.remember(measures, bars, index);
            }
            // the first term of 0.5^(1 / half life), whose rest is below what a record can tell
            let decay = 1.0 - std::f64::consts::LN_2 / (HALF_LIFE_SAMPLES * seen.cadence.max(1.0));
            self.marks.iter_mut().for_each(|record| record.far *= decay as f32);
        }
        self.learn(seen, deviation, spread, floor);
        beyond
    }

    /// Returns how far the sample, the means of 4 and 16 and the seasonal residual lie, in their own spreads.
    fn measure(&mut self, seen: Seen, deviation: f64, spread: f64, floor: f64) -> [f64; MEASURES] {
        let Seen { value, index, .. } = seen;
        let count = f64::from(index) + 1.0;
        self.mean_of_4 += (value - self.mean_of_4) / count.min(4.0);
        let limited = if index >= SETTLED_SAMPLES {
            self.level + deviation.clamp(-MEAN_LIMIT_SPREADS * spread, MEAN_LIMIT_SPREADS * spread)
        } else {
            value
        };
        self.mean_of_16 += (limited - self.mean_of_16) / count.min(16.0);
        self.plain_mean_of_16 += (value - self.plain_mean_of_16) / count.min(16.0);
        let (season, sample) = seen.residual.map_or((0.0, 0.0), |residual| {
            if self.season.compare(residual, deviation, MAX_SEASON_RESIDUAL_RATIO) {
                let spread = (residual.size * 1.25).max(floor);
                (self.season.mean().abs() / spread / MEAN_SPREADS[2], residual.value.abs() / spread)
            } else {
                (0.0, 0.0)
            }
        });
        [
            deviation.abs() / spread,
            (self.mean_of_4 - self.level).abs() / spread / MEAN_SPREADS[0],
            (self.mean_of_16 - self.level).abs() / spread / MEAN_SPREADS[1],
            season,
            sample,
        ]
    }

    /// Notes a pause.
    pub(super) fn pause(&mut self) {
        self.paused = PAUSE_SAMPLES;
        self.inside = false;
        (self.mean_of_4, self.mean_of_16, self.plain_mean_of_16) = (self.level, self.level, self.level);
        self.season.settle();
    }

    /// Leaves out what is measured from the level while that is not known after a pause.
    fn doubted(&mut self, mut measures: [f64; MEASURES]) -> [f64; MEASURES] {
        if self.paused > 0 {
            measures[..SEASONAL].fill(0.0);
            self.paused -= 1;
            if self.paused == 0 {
                // the mean of sixteen has come as far as the level is away
                self.level += (self.plain_mean_of_16 - self.level) / PAUSE_SHARE;
                self.fast_level = self.level;
                (self.mean_of_4, self.mean_of_16) = (self.level, self.level);
            }
        }
        measures
    }

    /// Begins an episode: the broken records grow. Returns whether it may be reported.
    fn enter(&mut self, measures: [f64; MEASURES], bars: [f64; MEASURES], strictness: f64) -> bool {
        self.inside = true;
        self.inside_for = 0;
        self.calm = 0;
        for ((record, measure), bar) in self.marks.iter_mut().zip(measures).zip(bars) {
            if measure >= bar {
                let grown =
                    RECORD_GROWTH_FACTOR * f64::from(record.far).max(bar / RECORD_MARGIN_FACTOR / strictness);
                record.far = (measure / strictness).min(grown) as f32;
            }
        }
        let may_report = self.tokens >= 1.0;
        if may_report {
            self.tokens -= 1.0;
        }
        may_report
    }

    /// Goes on with an episode, if there is one, and ends it where the series is back or has stayed for long.
    fn go_on(&mut self, deviation: f64, spread: f64) {
        if !self.inside {
            return;
        }
        self.calm = if deviation.abs() < CALM_SPREADS * spread { self.calm + 1 } else { 0 };
        if self.calm >= CALM_SAMPLES {
            self.inside = false;
            self.mean_of_4 = self.level;
            self.mean_of_16 = self.level;
            self.plain_mean_of_16 = self.level;
            self.season.settle();
            return;
        }
        self.inside_for += 1;
        if self.inside_for > MAX_EPISODE_SAMPLES {
            self.inside = false;
            self.level = self.plain_mean_of_16;
            self.fast_level = self.plain_mean_of_16;
            self.size = self.fast_size.max(0.7 * self.step);
            self.mean_of_4 = self.level;
            self.mean_of_16 = self.level;
        }
    }

    fn remember(&mut self, measures: [f64; MEASURES], bars: [f64; MEASURES], index: u32) {
        for ((record, measure), bar) in self.marks.iter_mut().zip(measures).zip(bars) {
            record.block = record.block.max(measure.min(bar) as f32);
            if index.is_multiple_of(BLOCK_SAMPLES) {
                record.far = record.far.max(record.before);
                record.before = record.block;
                record.block = 0.0;
            }
        }
    }

    fn learn(&mut self, seen: Seen, deviation: f64, spread: f64, floor: f64) {
        let Seen { value, index, .. } = seen;
        let count = f64::from(index) + 1.0;
        let rate =
            (1.0 / count).max(1.0 / MEMORY_SAMPLES) * if self.inside { EPISODE_RATE_FACTOR } else { 1.0 };
        let fast_rate = (1.0 / count).max(1.0 / FAST_MEMORY_SAMPLES);
        let fast_spread = (self.fast_size * TO_SPREAD).max(0.25 * spread).max(floor);
        let limit =
            |spread: f64| if index >= SETTLED_SAMPLES { LEVEL_LIMIT_SPREADS * spread } else { f64::INFINITY };
        self.level += rate * deviation.clamp(-limit(spread), limit(spread));
        self.size += rate * (deviation.abs().min(limit(spread)) - self.size);
        let fast_deviation = value - self.fast_level;
        self.fast_level += fast_rate * fast_deviation.clamp(-limit(fast_spread), limit(fast_spread));
        self.fast_size += fast_rate * (fast_deviation.abs().min(limit(fast_spread)) - self.fast_size);
        let step_limit = self.step.max(0.3 * self.size).max(floor);
        self.step += rate * ((value - seen.before).abs().min(limit(step_limit)) - self.step);
    }
}
