//! The second largest and the second smallest of what each half hour of the day has shown, apart for working days and
//! weekends; and the same for the first day of a month.

use serde::{Deserialize, Serialize};

use crate::series::history::array;
use crate::stats::half::Half;

const DAY_MS: i64 = 86_400_000;
/// Half hours of a working day, and of a day of the weekend.
const HALF_HOURS: usize = 48;
const DAY_BINS: usize = 2 * HALF_HOURS;
const HALF_HOUR_MS: i64 = DAY_MS / HALF_HOURS as i64;
const HOURS: usize = 24;
const HOUR_MS: i64 = DAY_MS / HOURS as i64;
/// By how much the same may come earlier or later.
const JITTER_MS: i64 = 6 * 60_000;
/// Part by which an extreme comes nearer with each day that does not reach it: what came once a week is still known.
const FORGET_SHARE: f64 = 1.0 / 128.0;

/// Half hours after which a rise that does not come is missed: a week, so that each kind of day was seen twice.
const SURE_HALF_HOURS: u32 = 7 * HALF_HOURS as u32;

/// The two largest and the two smallest values of one part of the day, each of another day.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
struct Extremes {
    largest: [Half; 2],
    smallest: [Half; 2],
}

/// What is being seen of one part of the day.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Visit {
    /// Number of the part since the epoch.
    number: i64,
    largest: f64,
    smallest: f64,
}

/// What working days and weekends have shown.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct DayEnvelope {
    #[serde(with = "array")]
    bins: [Extremes; DAY_BINS],
    visit: Option<Visit>,
    /// Half hours that were seen.
    half_hours: u32,
    /// Whether the rise of the day has not come so far.
    is_missed: bool,
}

/// What first days of a month have shown, by the hour.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct MonthEnvelope {
    bins: [Extremes; HOURS],
    visit: Option<Visit>,
}

impl Default for DayEnvelope {
    fn default() -> Self {
        Self { bins: [Extremes::default(); DAY_BINS], visit: None, half_hours: 0, is_missed: false }
    }
}

impl DayEnvelope {
    /// Returns how far beyond the level the series has gone about this time of such a day, at least twice.
    pub(super) fn farthest(&self, local_ms: i64, is_up: bool, level: f64) -> f64 {
        farthest(local_ms, is_up, level, |at_ms| {
            let bin = day_bin(at_ms.div_euclid(HALF_HOUR_MS));
            // before the first weekend is over it is a day like any other
            let other = (bin + HALF_HOURS) % DAY_BINS;
            if self.bins[bin].days() < 2 { &self.bins[other] } else { &self.bins[bin] }
        })
    }

    /// Learns a value. Returns whether what comes on each such day at this time has not come: all values of the half hour
    /// before lay below what it has shown so far, by at least `least`, and so does this one.
    pub(super) fn learn(&mut self, local_ms: i64, value: f64, least: f64) -> bool {
        let half_hour = local_ms.div_euclid(HALF_HOUR_MS);
        let is_below =
            |bin: &Extremes, value: f64| bin.twice(false).is_some_and(|smallest| value < smallest - least);
        if let Some(ended) = Visit::take(&mut self.visit, half_hour, value) {
            let bin = &mut self.bins[day_bin(ended.number)];
            self.is_missed = self.half_hours >= SURE_HALF_HOURS
                && half_hour == ended.number + 1
                && is_below(bin, ended.largest);
            bin.learn(ended, FORGET_SHARE);
            self.half_hours = self.half_hours.saturating_add(1);
        }
        self.is_missed &= is_below(&self.bins[day_bin(half_hour)], value);
        self.is_missed
    }
}

impl MonthEnvelope {
    pub(super) fn farthest(&self, local_ms: i64, is_up: bool, level: f64) -> f64 {
        if !is_first_of_month(local_ms) {
            return 0.0;
        }
        farthest(local_ms, is_up, level, |at_ms| &self.bins[month_bin(at_ms.div_euclid(HOUR_MS))])
    }

    pub(super) fn learn(&mut self, local_ms: i64, value: f64) {
        if let Some(ended) = Visit::take(&mut self.visit, local_ms.div_euclid(HOUR_MS), value) {
            self.bins[month_bin(ended.number)].learn(ended, 0.0);
        }
    }
}

impl Extremes {
    /// Takes what a day has shown.
    fn learn(&mut self, day: Visit, forget: f64) {
        let (largest, smallest) = (self.largest.map(Half::value), self.smallest.map(Half::value));
        let keep = |extreme: f64, value: f64| extreme + forget * (value - extreme);
        let (up, down) = match self.days() {
            0 => ([day.largest, f64::NAN], [day.smallest, f64::NAN]),
            1 => (
                [largest[0].max(day.largest), largest[0].min(day.largest)],
                [smallest[0].min(day.smallest), smallest[0].max(day.smallest)],
            ),
            _ => (
                second(largest, day.largest, keep, f64::max, f64::min),
                second(smallest, day.smallest, keep, f64::min, f64::max),
            ),
        };
        (self.largest, self.smallest) = (up.map(Half::of), down.map(Half::of));
    }

    /// Returns how many days were seen, at most two.
    fn days(self) -> usize {
        self.largest.iter().filter(|one| !one.value().is_nan()).count()
    }

    /// Returns what was reached twice on one side; nothing where it was seen less often.
    fn twice(self, is_up: bool) -> Option<f64> {
        let [_, second] = if is_up { self.largest } else { self.smallest };
        Some(second.value()).filter(|value| !value.is_nan())
    }
}

/// Returns the two that lie farthest out of two and a new one; those that are not reached come nearer by a little.
fn second(
    [first, second]: [f64; 2],
    new: f64,
    keep: impl Fn(f64, f64) -> f64,
    outer: impl Fn(f64, f64) -> f64,
    inner: impl Fn(f64, f64) -> f64,
) -> [f64; 2] {
    let is_beyond = |new: f64, old: f64| (outer(new, old) - old).abs() > 0.0;
    if is_beyond(new, first) {
        [new, first]
    } else if is_beyond(new, second) {
        [keep(first, new), inner(new, keep(first, new))]
    } else {
        [keep(first, new), keep(second, new)]
    }
}

impl Visit {
    /// Goes on with a visit, and returns the one that ends where another part of the day begins.
    fn take(visit: &mut Option<Self>, number: i64, value: f64) -> Option<Self> {
        match visit {
            Some(visit) if visit.number == number => {
                visit.largest = visit.largest.max(value);
                visit.smallest = visit.smallest.min(value);
                None
            }
            _ => visit.replace(Self { number, largest: value, smallest: value }),
        }
    }
}

fn farthest<'a>(local_ms: i64, is_up: bool, level: f64, bin: impl Fn(i64) -> &'a Extremes) -> f64 {
    let beyond = [-JITTER_MS, 0, JITTER_MS]
        .into_iter()
        .filter_map(|jitter_ms| bin(local_ms.saturating_add(jitter_ms)).twice(is_up))
        .map(|value| value - level);
    if is_up { beyond.fold(0.0, f64::max) } else { beyond.fold(0.0, f64::min) }
}

fn day_bin(half_hour: i64) -> usize {
    let of_day = half_hour.rem_euclid(HALF_HOURS as i64) as usize;
    // the epoch was a Thursday
    let weekday = (half_hour.div_euclid(HALF_HOURS as i64) + 3).rem_euclid(7);
    if weekday < 5 { of_day } else { HALF_HOURS + of_day }
}

fn month_bin(hour: i64) -> usize {
    hour.rem_euclid(HOURS as i64) as usize
}

/// Returns whether a time lies on the first day of a month.
pub(super) fn is_first_of_month(local_ms: i64) -> bool {
    // days since 1 March 0000, in the era of 400 years (Howard Hinnant, chrono-compatible low-level date algorithms)
    let days = local_ms.div_euclid(DAY_MS) + 719_468;
    let of_era = days.rem_euclid(146_097);
    let year = (of_era - of_era / 1460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * year + year / 4 - year / 100);
    let month = (5 * of_year + 2) / 153;
    of_year == (153 * month + 2) / 5
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn first_days_of_months_are_known() {
        let firsts = (0..1461).filter(|day| is_first_of_month(day * DAY_MS)).collect::<Vec<_>>();
        assert_eq!(firsts[..4], [0, 31, 59, 90]);
        assert_eq!(firsts.len(), 48);
        // 1 March 2024, after a leap day
        assert!(is_first_of_month(1_709_251_200_000) && !is_first_of_month(1_709_164_800_000));
    }

    #[test]
    fn what_was_reached_twice_is_kept_and_hardly_forgotten() {
        let mut bin = Extremes::default();
        let day = |largest| Visit { number: 0, largest, smallest: 1.0 };
        bin.learn(day(10.0), FORGET_SHARE);
        assert_eq!(bin.twice(true), None);
        bin.learn(day(100.0), FORGET_SHARE);
        assert_eq!(bin.twice(true), Some(10.0));
        bin.learn(day(90.0), FORGET_SHARE);
        let twice = bin.twice(true).unwrap();
        assert!((88.0..=91.0).contains(&twice), "{twice}");
        (0..6).for_each(|_| bin.learn(day(10.0), FORGET_SHARE));
        assert!(bin.twice(true).unwrap() > 80.0);
    }
}
