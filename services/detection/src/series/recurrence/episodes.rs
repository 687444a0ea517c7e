//! How far and how long the deviations of a series usually go that come again and again at no time of their own: bursts, the
//! falls of a sawtooth, a compaction now and then.

use serde::{Deserialize, Serialize};

use crate::stats::half::Half;

/// Durations that are distinguished, milliseconds: what lasts at least so long.
const LASTED_MS: [i64; 9] = [0, 30_000, 60_000, 120_000, 240_000, 480_000, 960_000, 1_920_000, 3_840_000];
/// Duration from which on nothing is usual, milliseconds.
const TOO_LONG_MS: i64 = 2 * LASTED_MS[LASTED_MS.len() - 1];
/// Occurrences that make it usual, and the time within which there is at most one of them: eight come from at least 21 hours,
/// so that what flaps for a morning is not usual yet.
const OCCURRENCES: usize = 8;
const APART_MS: i64 = 3 * 3_600_000;
/// Parts of [`APART_MS`] within which they have to lie: five days.
const WITHIN: u16 = 40;

/// The last occurrences to one side.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct EpisodeEnvelope {
    above: Option<Box<Side>>,
    below: Option<Box<Side>>,
}

/// For each duration the last occurrences, newest first.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
struct Side([Occurrences; LASTED_MS.len()]);

/// How far each of the last occurrences went beyond the level, and in which part of time it began; 0 is none.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Occurrences {
    farthest: [Half; OCCURRENCES],
    parts: [u16; OCCURRENCES],
}

impl EpisodeEnvelope {
    /// Returns how far beyond the level the series usually goes for so long.
    pub(super) fn farthest(&self, at_ms: i64, lasts_ms: i64, is_up: bool) -> f64 {
        let side = if is_up { &self.above } else { &self.below };
        let Some(Side(durations)) = side.as_deref().filter(|_| lasts_ms < TOO_LONG_MS) else { return 0.0 };
        let duration = LASTED_MS.iter().rposition(|least| lasts_ms >= *least).unwrap_or(0);
        durations[duration].usual(part_of(at_ms)).unwrap_or(0.0)
    }

    /// Learns that an episode which began then lasts so long by now, and how far it has gone beyond the level.
    pub(super) fn learn(&mut self, started_ms: i64, lasts_ms: i64, farthest: f64) {
        let side = if farthest >= 0.0 { &mut self.above } else { &mut self.below };
        let Side(durations) = &mut **side.get_or_insert_default();
        let part = part_of(started_ms);
        for (occurrences, _) in durations.iter_mut().zip(LASTED_MS).filter(|(_, least)| lasts_ms >= *least) {
            occurrences.learn(part, farthest);
        }
    }
}

impl Occurrences {
    /// Takes how far an occurrence has gone that began in a part of time.
    fn learn(&mut self, part: u16, farthest: f64) {
        if self.parts[0] != part {
            self.parts.rotate_right(1);
            self.farthest.rotate_right(1);
            (self.parts[0], self.farthest[0]) = (part, Half::ZERO);
        }
        if farthest.abs() > self.farthest[0].value().abs() {
            self.farthest[0] = Half::of(farthest);
        }
    }

    /// Returns how far the second farthest went, if all are there and recent.
    fn usual(&self, now: u16) -> Option<f64> {
        let oldest = self.parts[OCCURRENCES - 1];
        if oldest == 0 || now.wrapping_sub(oldest) > WITHIN {
            return None;
        }
        let mut farthest = self.farthest.map(Half::value);
        farthest.sort_by(|a, b| b.abs().total_cmp(&a.abs()));
        Some(farthest[1])
    }
}

/// Returns the number of a part of time; never 0, and the same again after 22 years.
fn part_of(at_ms: i64) -> u16 {
    at_ms.div_euclid(APART_MS).rem_euclid(i64::from(u16::MAX)) as u16 + 1
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR_MS: i64 = 3_600_000;

    /// Lets episodes of 50 s come, each so many hours after the one before.
    fn learned(times: i64, hours_apart: i64) -> (EpisodeEnvelope, i64) {
        let mut envelope = EpisodeEnvelope::default();
        let mut at_ms = 0;
        for time in 1..=times {
            at_ms = time * hours_apart * HOUR_MS;
            envelope.learn(at_ms, 0, 90.0);
            envelope.learn(at_ms, 50_000, 100.0 + time as f64);
        }
        (envelope, at_ms)
    }

    #[test]
    fn what_has_come_eight_times_within_five_days_is_usual_for_as_long_as_it_lasts() {
        let (envelope, at_ms) = learned(8, 6);
        let farthest = |lasts_ms| envelope.farthest(at_ms + HOUR_MS, lasts_ms, true);
        assert!([0, 30_000, 59_999].iter().all(|lasts_ms| (106.0..=107.5).contains(&farthest(*lasts_ms))));
        assert_eq!([60_000, TOO_LONG_MS].map(farthest), [0.0; 2]);
        assert_eq!(envelope.farthest(at_ms, 0, false), 0.0);
        assert_eq!(envelope.farthest(at_ms + 100 * HOUR_MS, 0, true), 0.0);
    }

    #[test]
    fn neither_seven_times_nor_a_morning_of_flapping_nor_once_a_day_is_usual() {
        for (times, hours_apart) in [(7, 6), (20, 24)] {
            let (envelope, at_ms) = learned(times, hours_apart);
            assert_eq!(envelope.farthest(at_ms, 0, true), 0.0, "{times} times, {hours_apart} h");
        }
        let mut flapping = EpisodeEnvelope::default();
        (0..200).for_each(|time| flapping.learn(time * 90_000, 20_000, 50.0));
        assert_eq!(flapping.farthest(200 * 90_000, 0, true), 0.0);
    }
}
