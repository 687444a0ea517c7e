//! When evidence is worth an alarm: how rare it has to be, how large the effect, and how soon after the last alarm.

use serde::{Deserialize, Serialize};

use crate::series::rest;

/// Rarity (decimal logarithm) that an alarm needs, and how much more of it for each tenth of five minutes' interval: what
/// is judged more often has to be rarer, for people accept a number of false alarms a day.
const RARITY_LOG10: f64 = 2.1;
const RARITY_PER_CADENCE: f64 = 0.8;
/// Rarity that few samples can reach at all is enough: this much less than the largest.
const RARITY_BELOW_MAX: f64 = 0.6;
/// Allowance for few samples: a rarity among n samples has to be (1 + this / n) times as large.
const INEXPERIENCE_SAMPLES: f64 = 120.0;
/// Effect that an alarm needs, and how much more of it for each tenth of five minutes' interval, times how much farther the
/// means of a series wander whose neighbours resemble each other.
const MIN_EFFECT: f64 = 0.4;
const EFFECT_PER_CADENCE: f64 = 2.2;
/// Sum of rarities that an alarm needs, and the part more of it for each tenth of five minutes' interval: a rare sum of
/// ordinary scores is none.
const MIN_SUM: f64 = 7.5;
const SUM_PER_CADENCE: f64 = 0.6;
/// Rarity that an alarm adds to what the next one needs, and samples after which half of that is forgotten.
const PENALTY_LOG10: f32 = 0.5;
const PENALTY_HALF_LIFE_SAMPLES: f32 = 300.0;
/// Samples for which a broken record counts.
const RECORD_COUNTS_SAMPLES: u32 = 10;
/// How much shorter than five minutes (decimal logarithm) the interval is from which on a broken record is reported
/// though the series should rest: a new fault may follow within minutes.
const RESTLESS_CADENCE_LOG10: f64 = 0.5;

/// The alarms so far, and what the next one needs.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    /// Rarity (decimal logarithm) that is added to what an alarm needs.
    penalty: f32,
    /// Samples since the last broken record.
    since_record: u32,
    /// Event time of the last sample that was worth an alarm, milliseconds, and the samples since.
    hot_ms: i64,
    since_hot: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { penalty: 0.0, since_record: u32::MAX, hot_ms: i64::MIN, since_hot: u32::MAX }
    }
}

/// What is claimed for an alarm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    /// Event time, milliseconds, and the samples before this one.
    pub(super) ts_ms: i64,
    pub(super) seen: u32,
    /// Negative decimal logarithm of how rare the last samples are.
    pub(super) rarity: f64,
    /// Size of the effect, 1 where a person would call it large.
    pub(super) effect: f64,
    /// Largest sum of the rarities of the scores among the last samples.
    pub(super) sum: f64,
    /// Usual size of a mean over that of independent samples.
    pub(super) autocorrelation_inflation: f64,
    pub(super) is_record: bool,
    /// Decimal logarithm of how much shorter than five minutes the interval is.
    pub(super) cadence_log10: f64,
    /// Largest rarity that the past can show, decimal logarithm.
    pub(super) max_score: f64,
}

impl Budget {
    /// Returns whether an alarm is due.
    pub(super) fn spend(&mut self, claim: Claim) -> bool {
        let Claim { ts_ms, is_record, .. } = claim;
        self.since_record = if is_record { 0 } else { self.since_record.saturating_add(1) };
        self.since_hot = self.since_hot.saturating_add(1);
        self.penalty *= 0.5_f32.powf(1.0 / PENALTY_HALF_LIFE_SAMPLES);
        let is_hot = self.rarity_part(claim) >= 1.0 || self.since_record < RECORD_COUNTS_SAMPLES;
        let is_rested = rest::is_over(ts_ms.saturating_sub(self.hot_ms), self.since_hot);
        if is_hot {
            (self.hot_ms, self.since_hot) = (ts_ms, 0);
        }
        let is_restless = is_record && claim.cadence_log10 > RESTLESS_CADENCE_LOG10;
        if is_hot && is_rested {
            self.penalty += PENALTY_LOG10;
        }
        is_hot && is_rested || is_restless
    }

    /// Returns the rarity as a part of what an alarm needs, less where effect or sum are too small.
    fn rarity_part(&self, claim: Claim) -> f64 {
        let Claim { rarity, effect, sum, .. } = claim;
        let cadence_log10 = claim.cadence_log10.clamp(0.0, 2.0);
        let mut rare = RARITY_LOG10 + RARITY_PER_CADENCE * cadence_log10;
        if cadence_log10 > 0.0 {
            rare = rare.min(claim.max_score - RARITY_BELOW_MAX).max(RARITY_LOG10);
        }
        rare *= 1.0 + INEXPERIENCE_SAMPLES / (f64::from(claim.seen) + 1.0);
        let wander = claim.autocorrelation_inflation.max(1.0);
        let least_effect = MIN_EFFECT * (1.0 + EFFECT_PER_CADENCE * cadence_log10 * wander);
        let least_sum = MIN_SUM * (1.0 + SUM_PER_CADENCE * cadence_log10);
        rarity.max(0.0) / (rare + f64::from(self.penalty))
            * (effect / least_effect).min(1.0)
            * (sum / least_sum).min(1.0)
    }
}
