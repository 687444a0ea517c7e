//! When evidence is worth an alarm: how rare it has to be, how large the effect, and how soon after the last alarm.

use serde::{Deserialize, Serialize};

/// Rarity that is asked for, and how much more of it for each tenth of five minutes' interval: what is judged more
/// often has to be rarer, for people bear so many false alarms a day.
const RARE: f64 = 2.1;
const RARE_FOR_HASTE: f64 = 0.8;
/// Rarity that few samples can reach at all is enough: this much less than the largest.
const RARE_BELOW_MOST: f64 = 0.6;
/// Effect that is asked for, and how much more of it for each tenth of five minutes' interval, times how much farther the
/// means of a series wander whose neighbours resemble each other.
const EFFECT: f64 = 0.4;
const EFFECT_FOR_HASTE: f64 = 2.2;
/// Rarity that an alarm adds to what is asked for, and samples after which half of that is forgotten.
const PENALTY: f32 = 0.5;
const PENALTY_HALF_LIFE: f32 = 300.0;
/// Samples after an alarm without another one.
const REST: u32 = 60;
/// Samples for which a broken record counts.
const RECORD_COUNTS: u32 = 10;
/// How much shorter than five minutes (decimal logarithm) the interval is from which on a broken record is told though
/// the series should rest: a new fault may follow within minutes.
const RESTLESS: f64 = 0.5;

/// What has been told, and what it asks of the next alarm.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Budget {
    penalty: f32,
    since_alarm: u32,
    since_record: u32,
}

impl Default for Budget {
    fn default() -> Self {
        Self { penalty: 0.0, since_alarm: u32::MAX, since_record: u32::MAX }
    }
}

/// What is claimed for an alarm.
#[derive(Debug, Clone, Copy)]
pub(super) struct Claim {
    pub(super) rarity: f64,
    pub(super) effect: f64,
    /// Usual size of a mean over that of independent samples.
    pub(super) alike: f64,
    pub(super) is_record: bool,
    /// Decimal logarithm of how much shorter than five minutes the interval is.
    pub(super) haste: f64,
    /// Rarity that the past can vouch for at all.
    pub(super) most: f64,
}

impl Budget {
    /// Tells whether an alarm is due.
    pub(super) fn spend(&mut self, claim: Claim) -> bool {
        let Claim { rarity, effect, is_record, haste, .. } = claim;
        self.since_alarm = self.since_alarm.saturating_add(1);
        self.since_record = if is_record { 0 } else { self.since_record.saturating_add(1) };
        self.penalty *= 0.5_f32.powf(1.0 / PENALTY_HALF_LIFE);
        let fast = haste > RESTLESS;
        let haste = haste.clamp(0.0, 2.0);
        let mut rare = RARE + RARE_FOR_HASTE * haste;
        if haste > 0.0 {
            rare = rare.min(claim.most - RARE_BELOW_MOST).max(RARE);
        }
        let effective = effect >= EFFECT * (1.0 + EFFECT_FOR_HASTE * haste * claim.alike.max(1.0));
        let hot =
            (effective && rarity >= rare + f64::from(self.penalty)) || self.since_record < RECORD_COUNTS;
        let rested = self.since_alarm > REST;
        if !(hot && rested || is_record && fast) {
            return false;
        }
        if rested || !is_record {
            self.penalty += PENALTY;
        }
        self.since_alarm = 0;
        true
    }
}
