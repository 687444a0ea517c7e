//! The long memory of a series: how rare its recent scores are among its own past ones, and
//! whether it breaks its own records. Raises no alarm before it has seen two days.
//!
//! Three scores (roughness, distance from what is usual now, surprise at this time of day) are ranked among their own
//! past; the sum of the three rarities is ranked again, so that the alarms come at a rate that was chosen whatever the
//! distribution is. Beside it stand its records. Where the formulae come from, and what else was tried, is in
//! `docs/detection.md`.

pub(in crate::series) mod array;
mod budget;
mod hours;
mod rank;
mod records;
mod season;
mod usual;
mod week;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::Direction;

use crate::alert::certainty::{MAX_EVIDENCE_NATS, nats};
use crate::stats::robust::TO_SPREAD;
use budget::{Budget, Claim};
use hours::Hours;
use rank::{Past, Ranks, Scale};
use records::{Records, Seen};
use season::{Against, Season};

/// Scores of one sample.
const SCORES: usize = 3;
/// Bins of a score, and of the sum of the rarities.
const SCORE_BINS: usize = 28;
const SUM_BINS: usize = 40;
const SCORE_SCALE: Scale = Scale { resolution: 2.0, offset: 4.0 };
const SUM_SCALE: Scale = Scale { resolution: 4.0, offset: 3.0 };
/// Samples from which on distances, rarities and sums mean something.
const SETTLED_SAMPLES: u32 = 20;
const RANKED_SAMPLES: u32 = 100;
const SUMMED_SAMPLES: u32 = 150;
/// Age of a series from which on its past counts, milliseconds: each time of day has been seen twice by then.
const GROWN_MS: i64 = 2 * 86_400_000;
/// Age until which a record may be the first weekend, milliseconds, and how much farther it has to go to fire.
const FIRST_WEEK_MS: i64 = 8 * 86_400_000;
const FIRST_WEEK_FACTOR: f64 = 1.2;
/// Memory of the level, in samples.
const MEMORY_SAMPLES: f64 = 3000.0;
/// Least spread, as a part of the level.
const FLOOR_SHARE: f64 = 1e-3;
/// Farthest that a sample may pull the level, the mean of sixteen and the roughness, in their spreads.
const LEVEL_LIMIT_SPREADS: f64 = 2.0;
const MEAN_LIMIT_SPREADS: f64 = 4.0;
const STEP_LIMIT_SPREADS: f64 = 6.0;
/// Share of the usual deviation below which the seasonal residual is used.
const MAX_SEASON_RESIDUAL_RATIO: f64 = 0.75;
/// Distance of one sample that a person would call large, in spreads.
const LARGE_SPREADS: f64 = 12.0;
/// Usual distance of the mean of sixteen from the level where neighbours do not resemble each other, in spreads.
const INDEPENDENT_WANDER_SPREADS: f64 = 0.144;
/// Farthest that it may pull that, in multiples of it.
const WANDER_LIMIT_FACTOR: f64 = 3.0;
/// Samples for which an effect counts.
const EFFECT_SAMPLES: u8 = 8;
/// Interval at which the thresholds stand as they are written, milliseconds.
const FIVE_MINUTES_MS: f64 = 300_000.0;

/// The past of one series.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct HistoryModel {
    /// Samples so far.
    seen: u32,
    /// Local time of the first sample, milliseconds.
    first_ms: i64,
    /// Exponential mean of the samples, in the unit of the series; its weight is max(1/n, 1/3000).
    level: f64,
    /// Mean absolute deviation from the level, in the unit of the series; 1.2533 times that is one spread.
    size: f64,
    /// Mean absolute step from sample to sample over the memory of the level, and over the last sixteen samples.
    step: f64,
    step_of_16: f64,
    /// The sample before.
    before: f64,
    /// Exponential means of the last 4 and 16 samples, in the unit of the series.
    mean_of_4: f64,
    mean_of_16: f64,
    season: Season,
    against_level: Against,
    hours: Hours,
    past: Past,
    /// Past values of roughness, distance and surprise, in this order.
    scores: [Ranks<SCORE_BINS>; SCORES],
    /// Past values of the sum of the rarities to the power 1.5, and of its mean over the last eight samples.
    sums: [Ranks<SUM_BINS>; 2],
    mean_sum: f32,
    /// Largest effect of the last eight samples, as in [`HistoryScore::effect`], and the samples since.
    effect: f32,
    effect_age: u8,
    /// The same of the sum of the rarities.
    largest_sum: f32,
    largest_sum_age: u8,
    /// Usual distance of the mean of sixteen from the level, in spreads.
    wander: f32,
    records: Records,
    budget: Budget,
}

/// What one sample amounts to.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct HistoryScore {
    /// Negative decimal logarithm of how rare the last samples are among the past.
    pub rarity: f64,
    /// Size of the largest effect of the last samples, in multiples of what a person would call large.
    pub effect: f64,
    /// Side on which the last samples lie.
    pub direction: Direction,
    /// How many times as far as the bar for one sample in five minutes it goes, if it breaks a record.
    pub record: Option<f64>,
    /// Whether that is a record of what is usual at this time of the day and the week.
    pub is_seasonal: bool,
    /// Whether all this is worth an alarm now.
    pub is_alarm: bool,
}

impl HistoryScore {
    /// Returns the evidence in nats: of the rarity as far as it is beyond one in ten, or of the effect as if it were a
    /// distance of one sample.
    pub fn nats(&self) -> f64 {
        let rare = (self.rarity - 1.0) * std::f64::consts::LN_10;
        rare.min(MAX_EVIDENCE_NATS).max(nats(LARGE_SPREADS * self.effect))
    }
}

/// What was measured on one sample.
struct Measured {
    /// Distance from the level, and one spread, in the unit of the series.
    deviation: f64,
    spread: f64,
    /// Step from the sample before, and its usual size, in the unit of the series.
    step: f64,
    step_size: f64,
    /// Roughness and distance as ratios, surprise in bits.
    scores: [f64; SCORES],
    /// As in [`HistoryScore::effect`].
    effect: f64,
    /// Whether the last samples lie below what is usual now.
    lies_below: bool,
}

/// Returns the least spread of a series that lies at `level`.
fn floor(level: f64) -> f64 {
    FLOOR_SHARE * level.abs() + 1e-9
}

/// Keeps the largest of the last samples, which is `age` samples old.
fn latch(largest: &mut f32, age: &mut u8, newest: f64) {
    let newest = newest as f32;
    if newest >= *largest || *age >= EFFECT_SAMPLES {
        (*largest, *age) = (newest, 0);
    } else {
        *age += 1;
    }
}

/// Returns the decimal logarithm by way of the binary one, which takes a third of the time: a sample needs seven.
fn log10(value: f64) -> f64 {
    value.log2() * std::f64::consts::LOG10_2
}

/// Returns the weight of the sample that is the `count`th.
fn rate(count: f64) -> f64 {
    (1.0 / count).max(1.0 / MEMORY_SAMPLES)
}

impl HistoryModel {
    /// Judges the next sample and learns it. `interval_ms` is the usual distance between samples, or 0; the day is that of
    /// `ts_ms`.
    pub fn observe(&mut self, ts_ms: i64, value: f64, interval_ms: f64) -> HistoryScore {
        self.observe_within(ts_ms, value, interval_ms, f64::INFINITY)
    }

    /// Notes a pause: where the level of the last hours lies says little about what comes next.
    pub fn pause(&mut self) {
        self.records.pause();
    }

    /// Returns how far the mean of the half hour of one time lies from that of another; nothing unless both are known.
    pub fn moves(&self, from_ms: i64, to_ms: i64) -> Option<f64> {
        self.season.moves(from_ms, to_ms)
    }

    /// The same where no deviation counts for more than `limit` spreads.
    pub fn observe_within(&mut self, ts_ms: i64, value: f64, interval_ms: f64, limit: f64) -> HistoryScore {
        let index = self.seen;
        if index == 0 {
            (self.level, self.before, self.mean_of_4, self.mean_of_16) = (value, value, value, value);
            self.first_ms = ts_ms;
        }
        let cadence = if index > 0 { FIVE_MINUTES_MS / interval_ms.max(1000.0) } else { 1.0 };
        let cadence_log10 = log10(cadence);
        let residual = self.season.residual(ts_ms, value);
        let record = self.records.broken(Seen {
            value,
            before: self.before,
            residual,
            index,
            cadence,
            cadence_log10,
            limit,
        });
        let is_new = ts_ms.saturating_sub(self.first_ms) < FIRST_WEEK_MS;
        let is_seasonal = record.is_some_and(|record| record.is_seasonal);
        let record =
            record.map(|record| if is_new { record.beyond / FIRST_WEEK_FACTOR } else { record.beyond });
        let measured = self.measure(ts_ms, value, residual);
        let rarity = self.rank(measured.scores);
        latch(&mut self.effect, &mut self.effect_age, measured.effect);
        let is_alarm = self.has_grown(ts_ms)
            && self.budget.spend(Claim {
                rarity,
                effect: f64::from(self.effect),
                autocorrelation_inflation: f64::from(self.wander) / INDEPENDENT_WANDER_SPREADS,
                is_record: record.is_some(),
                sum: f64::from(self.largest_sum),
                seen: index,
                ts_ms,
                cadence_log10,
                max_score: log10(self.past.count()),
            });
        self.learn(value, &measured);
        self.seen = self.seen.saturating_add(1);
        let direction = if measured.lies_below { Direction::Down } else { Direction::Up };
        HistoryScore { rarity, effect: f64::from(self.effect), direction, record, is_seasonal, is_alarm }
    }

    /// Returns whether enough of the past is known at a time to raise alarms.
    fn has_grown(&self, ts_ms: i64) -> bool {
        ts_ms.saturating_sub(self.first_ms) >= GROWN_MS
    }

    /// Returns whether at that time it would also see a record broken: whether it is to be relied on alone.
    pub fn is_complete(&self, ts_ms: i64) -> bool {
        self.has_grown(ts_ms) && self.seen >= records::WARM_UP_SAMPLES
    }

    fn measure(&mut self, ts_ms: i64, value: f64, residual: Option<season::Residual>) -> Measured {
        let count = f64::from(self.seen) + 1.0;
        let floor = floor(self.level);
        let spread = (self.size * TO_SPREAD).max(floor);
        let step_size = self.step.max(floor);
        let deviation = value - self.level;
        let step = (value - self.before).abs();
        let limited = if self.seen >= SETTLED_SAMPLES {
            deviation.clamp(-MEAN_LIMIT_SPREADS * spread, MEAN_LIMIT_SPREADS * spread)
        } else {
            deviation
        };
        self.mean_of_4 += (value - self.mean_of_4) / count.min(4.0);
        self.mean_of_16 += (self.level + limited - self.mean_of_16) / count.min(16.0);
        self.step_of_16 += (step.min(STEP_LIMIT_SPREADS * step_size) - self.step_of_16) / count.min(16.0);
        let distance = deviation / spread;
        let shift = (self.mean_of_4 - self.level).abs() / spread;
        let (seasonal, seasonal_mean, lies_below) = residual
            .filter(|&residual| self.against_level.compare(residual, deviation, MAX_SEASON_RESIDUAL_RATIO))
            .map_or((distance.abs(), shift, self.mean_of_4 < self.level), |residual| {
                let spread = (1.25 * residual.size).max(floor);
                (
                    residual.value.abs() / spread,
                    self.against_level.mean().abs() / spread,
                    self.against_level.mean() < 0.0,
                )
            });
        let surprise = if self.seen > SETTLED_SAMPLES { self.hours.surprise(ts_ms, distance) } else { 0.0 };
        let lasting = (self.mean_of_16 - self.level).abs() / spread;
        let wander = f64::from(self.wander).max(INDEPENDENT_WANDER_SPREADS);
        self.wander +=
            (rate(count) * (lasting.min(WANDER_LIMIT_FACTOR * wander) - f64::from(self.wander))) as f32;
        let effect = [
            distance.abs() / LARGE_SPREADS,
            shift / 3.0,
            lasting / 2.0,
            seasonal_mean / 3.0,
            seasonal / LARGE_SPREADS,
        ];
        Measured {
            deviation,
            spread,
            step,
            step_size,
            scores: [self.step_of_16 / step_size, seasonal_mean, surprise],
            effect: effect.into_iter().fold(0.0, f64::max),
            lies_below,
        }
    }

    /// Returns how rare the sum of the rarities of the scores is, and remembers them.
    fn rank(&mut self, scores: [f64; SCORES]) -> f64 {
        let past = self.past;
        let mut sum = 0.0;
        for (ranks, score) in self.scores.iter_mut().zip(scores) {
            let rarity = ranks.rarity(score, SCORE_SCALE, past);
            if self.seen >= RANKED_SAMPLES {
                sum += rarity * rarity.sqrt();
            }
        }
        latch(&mut self.largest_sum, &mut self.largest_sum_age, sum);
        let mean_sum = f64::from(self.mean_sum);
        self.mean_sum = (mean_sum + (sum - mean_sum) / (f64::from(self.seen) + 1.0).min(8.0)) as f32;
        let [newest, mean] = &mut self.sums;
        let rarity = 0.5
            * (newest.rarity(sum, SUM_SCALE, past) + mean.rarity(f64::from(self.mean_sum), SUM_SCALE, past));
        if self.past.grow() {
            self.scores.iter_mut().for_each(Ranks::halve);
            self.sums.iter_mut().for_each(Ranks::halve);
        }
        if self.seen >= SUMMED_SAMPLES { rarity } else { 0.0 }
    }

    fn learn(&mut self, value: f64, measured: &Measured) {
        let &Measured { deviation, spread, step, step_size, .. } = measured;
        let rate = rate(f64::from(self.seen) + 1.0);
        let limit = |spread: f64| {
            if self.seen >= SETTLED_SAMPLES { LEVEL_LIMIT_SPREADS * spread } else { f64::INFINITY }
        };
        self.level += rate * deviation.clamp(-limit(spread), limit(spread));
        self.size += rate * (deviation.abs().min(limit(spread)) - self.size);
        self.step += rate * (step.min(limit(step_size)) - self.step);
        self.before = value;
    }
}
