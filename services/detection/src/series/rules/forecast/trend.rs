//! The trend of the last ten buckets of a series, and how far it usually goes.
//!
//! Sen's slope (J. Am. Stat. Assoc. 63, 1968) is the median of all slopes between two buckets; up to a quarter of them may
//! be wild. Whether there is a trend at all follows from Mann's and Kendall's sum of signs (Econometrica 13, 1945), which
//! knows no distribution.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Buckets that a trend rests on.
pub(super) const BUCKETS: usize = 10;
const PAIRS: usize = BUCKETS * (BUCKETS - 1) / 2;
/// Sum of signs from which there is a trend: 3.0 standard deviations, one in a thousand. A step amounts to 25, a fall
/// after nine steps up to 27.
const RISING_SIGNS: i32 = 35;
/// Sum of signs below which it has ended.
const ENDED_SIGNS: i32 = 20;
/// Variance of the sum of signs, n (n - 1) (2 n + 5) / 18.
const SIGNS_VARIANCE: f64 = 125.0;
/// Time after which what a series reaches begins to be forgotten, milliseconds.
const GENERATION_MS: i64 = 4 * 86_400_000;

/// The means of the last buckets, in which more is worse.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Trend {
    /// Number of each bucket (time over width) and its mean, oldest first.
    buckets: VecDeque<(u32, f32)>,
    /// How many more pairs of them rise than fall.
    signs: i32,
    open: Open,
    /// Begin of the trend, milliseconds, while there is one.
    pub(super) since_ms: Option<i64>,
    /// Samples in a row that were found to lead to the end soon.
    pub(super) held: u8,
    /// What the series has reached before the present trend.
    pub(super) usual: Usual,
    /// Buckets of a trend that was an alarm, which are yet to leave.
    suspicious: u8,
}

/// The bucket that is being filled.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Open {
    number: u32,
    sum: f64,
    count: u32,
}

/// Lowest and highest bucket of the last four to eight days, trends that go on left out.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub(super) struct Usual {
    generation: u32,
    now: Option<(f32, f32)>,
    before: Option<(f32, f32)>,
}

/// A straight line through the last buckets.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Line {
    /// Rise per millisecond.
    pub(super) slope: f64,
    /// Level at the end of the newest bucket.
    pub(super) level: f64,
    /// Standard deviations by which the sum of signs is above 0.
    pub(super) certainty: f64,
}

impl Trend {
    pub(super) fn new() -> Self {
        Self {
            buckets: VecDeque::with_capacity(BUCKETS),
            signs: 0,
            open: Open { number: 0, sum: 0.0, count: 0 },
            since_ms: None,
            held: 0,
            usual: Usual { generation: 0, now: None, before: None },
            suspicious: 0,
        }
    }

    /// Takes a sample. Returns whether a bucket has been closed, so that the trend may have changed.
    pub(super) fn take(&mut self, ts_ms: i64, value: f64, width_ms: i64, interval_ms: f64) -> bool {
        let number = (ts_ms / width_ms).clamp(0, i64::from(u32::MAX)) as u32;
        let open = &mut self.open;
        let closes = open.count > 0 && number != open.number;
        if closes {
            let closed = (open.number, (open.sum / f64::from(open.count)) as f32);
            let missing = f64::from(number.saturating_sub(closed.0)) * width_ms as f64;
            *open = Open { number, sum: 0.0, count: 0 };
            self.close(closed, width_ms);
            if missing > BUCKETS as f64 * interval_ms.max(width_ms as f64) {
                self.interrupt();
            }
        }
        self.open.number = number;
        self.open.sum += value;
        self.open.count += 1;
        closes
    }

    fn close(&mut self, (number, mean): (u32, f32), width_ms: i64) {
        let generation = (i64::from(number) * width_ms / GENERATION_MS) as u32;
        if self.usual.now.is_none() && self.usual.before.is_none() {
            self.usual.reach(generation, mean);
        }
        if self.buckets.len() == BUCKETS
            && let Some((_, left)) = self.buckets.pop_front()
            && self.since_ms.is_none()
        {
            if self.suspicious == 0 {
                self.usual.reach(generation, left);
            }
            self.suspicious = self.suspicious.saturating_sub(1);
        }
        self.buckets.push_back((number, mean));
        self.signs = self.count_signs();
        if self.signs < ENDED_SIGNS {
            self.since_ms = None;
        } else if self.signs >= RISING_SIGNS && self.since_ms.is_none() {
            self.since_ms = self.buckets.front().map(|&(number, _)| i64::from(number) * width_ms);
        }
    }

    /// Forgets the buckets, for what comes next lies long after them.
    fn interrupt(&mut self) {
        self.buckets.clear();
        self.signs = 0;
        (self.since_ms, self.held) = (None, 0);
    }

    /// Notes that the present trend was an alarm that is over: what it reached is no habit yet. Half of it counts, so that
    /// the same fault is found again and a habit is learned after a few times.
    pub(super) fn forgive(&mut self) {
        let highest = self.buckets.iter().map(|&(_, mean)| mean).reduce(f32::max);
        if let (Some(highest), Some((_, reached))) = (highest, self.usual.range())
            && highest > reached
        {
            self.usual.reach(self.usual.generation, reached + (highest - reached) / 2.0);
        }
        self.suspicious = BUCKETS as u8;
        self.held = 0;
    }

    /// Returns the line through the last buckets if they rise beyond doubt.
    pub(super) fn line(&self, width_ms: i64) -> Option<Line> {
        if self.buckets.len() < BUCKETS || self.signs < RISING_SIGNS {
            return None;
        }
        let times_values = || self.buckets.iter().map(|&(number, mean)| (f64::from(number), f64::from(mean)));
        let mut slopes = [0.0; PAIRS];
        let pairs = times_values()
            .enumerate()
            .flat_map(|(at, (t, x))| times_values().skip(at + 1).map(move |(u, y)| (y - x) / (u - t)));
        for (place, slope) in slopes.iter_mut().zip(pairs) {
            *place = slope;
        }
        let slope = crate::stats::robust::median(&mut slopes);
        let newest = f64::from(self.buckets.back()?.0);
        let mut ends = [0.0; BUCKETS];
        for (place, (t, x)) in ends.iter_mut().zip(times_values()) {
            *place = x + slope * (newest + 0.5 - t);
        }
        Some(Line {
            slope: slope / width_ms as f64,
            level: crate::stats::robust::median(&mut ends),
            certainty: (f64::from(self.signs) - 1.0) / SIGNS_VARIANCE.sqrt(),
        })
    }

    /// Returns time, milliseconds, and mean of the last buckets, oldest first.
    pub(super) fn points(&self, width_ms: i64) -> impl Iterator<Item = (i64, f64)> {
        self.buckets
            .iter()
            .map(move |&(number, mean)| (i64::from(number) * width_ms + width_ms / 2, f64::from(mean)))
    }

    /// Returns the newest mean.
    pub(super) fn newest(&self) -> Option<f64> {
        self.buckets.back().map(|&(_, mean)| f64::from(mean))
    }

    fn count_signs(&self) -> i32 {
        let mut signs = 0;
        for (at, (_, before)) in self.buckets.iter().enumerate() {
            for (_, after) in self.buckets.iter().skip(at + 1) {
                signs += i32::from(after > before) - i32::from(after < before);
            }
        }
        signs
    }
}

impl Usual {
    fn reach(&mut self, generation: u32, mean: f32) {
        if generation != self.generation {
            (self.before, self.now, self.generation) = (self.now.or(self.before), None, generation);
        }
        let (low, high) = self.now.unwrap_or((mean, mean));
        self.now = Some((low.min(mean), high.max(mean)));
    }

    /// Returns the lowest and the highest bucket.
    pub(super) fn range(&self) -> Option<(f32, f32)> {
        match (self.before, self.now) {
            (Some(before), Some(now)) => Some((before.0.min(now.0), before.1.max(now.1))),
            (before, now) => before.or(now),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const WIDTH_MS: i64 = 30_000;

    fn trend(values: impl IntoIterator<Item = f64>) -> Trend {
        let mut trend = Trend::new();
        for (i, value) in values.into_iter().enumerate() {
            trend.take(i as i64 * WIDTH_MS, value, WIDTH_MS, WIDTH_MS as f64);
        }
        trend
    }

    #[test]
    fn a_rise_with_a_wild_bucket_keeps_its_slope() {
        let line = trend((0..12).map(|i| if i == 5 { 900.0 } else { f64::from(i) })).line(WIDTH_MS).unwrap();
        assert!((line.slope * WIDTH_MS as f64 - 1.0).abs() < 0.05, "{line:?}");
        assert!((line.level - 10.5).abs() < 0.5, "{line:?}");
    }

    #[test]
    fn a_step_and_a_fall_after_a_rise_are_no_trend() {
        assert_eq!(trend((0..16).map(|i| f64::from(i32::from(i > 9)))).line(WIDTH_MS), None);
        assert_eq!(trend((0..12).map(|i| if i < 10 { f64::from(i) } else { 0.0 })).line(WIDTH_MS), None);
    }

    #[test]
    fn what_is_usual_leaves_out_the_trend_that_goes_on() {
        let habit = (0..60).map(|i| f64::from(i % 12));
        let usual = trend(habit.clone()).usual.range().unwrap();
        assert_eq!(usual, (0.0, 11.0));
        let rise = trend(habit.chain((0..100).map(f64::from)));
        assert_eq!(rise.usual.range().unwrap(), (0.0, 11.0));
        assert!(rise.since_ms.is_some());
    }
}
