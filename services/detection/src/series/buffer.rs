//! The last samples of a series, small: eight bytes each.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};
use shared::events::anomaly::Point;

use crate::config::BUFFER_SAMPLES;

/// Samples from which on a value that never changed is taken to stand.
const STANDING_SAMPLES: usize = 10;
/// Magnitudes within which twelve decimal places distinguish all values, and the powers of ten that round to so many places.
const ROUNDED: std::ops::Range<f64> = 1e-3..1e7;
const TENS: [f64; 13] = [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12];

/// The last samples. Their times are exact, their values have seven digits.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(crate) struct Buffer {
    newest_ms: i64,
    /// Time since the sample before, milliseconds, and value; newest last.
    samples: VecDeque<(u32, f32)>,
}

impl Buffer {
    pub(crate) fn new() -> Self {
        Self { newest_ms: 0, samples: VecDeque::with_capacity(BUFFER_SAMPLES) }
    }

    /// Takes the newest sample. What lies seven weeks before it is forgotten.
    pub(crate) fn push(&mut self, ts_ms: i64, value: f64) {
        let gap = ts_ms.saturating_sub(self.newest_ms);
        let Ok(gap) = u32::try_from(if self.samples.is_empty() { 0 } else { gap }) else {
            self.samples.clear();
            return self.push(ts_ms, value);
        };
        if self.samples.len() == BUFFER_SAMPLES {
            self.samples.pop_front();
        }
        self.newest_ms = ts_ms;
        let largest = f64::from(f32::MAX);
        self.samples.push_back((gap, value.clamp(-largest, largest) as f32));
    }

    /// Returns how many there are.
    pub(crate) fn len(&self) -> usize {
        self.samples.len()
    }

    /// Returns the values, oldest first.
    pub(crate) fn values(&self) -> impl Iterator<Item = f64> {
        self.samples.iter().map(|&(_, value)| f64::from(value))
    }

    /// Returns time and value of each, oldest first, the values with the digits that they have.
    pub(crate) fn points(&self) -> impl Iterator<Item = Point> {
        let since_oldest: i64 = self.samples.iter().skip(1).map(|&(gap, _)| i64::from(gap)).sum();
        let mut ts_ms = self.newest_ms - since_oldest;
        self.samples.iter().enumerate().map(move |(index, &(gap, value))| {
            if index > 0 {
                ts_ms += i64::from(gap);
            }
            Point { ts_ms, value: digits(value) }
        })
    }

    /// Returns the time of the `count`th sample from the end (1 is the newest), or of the oldest one.
    pub(crate) fn time_of_last(&self, count: usize) -> i64 {
        let later = count.clamp(1, self.samples.len().max(1)) - 1;
        self.newest_ms - self.samples.iter().rev().take(later).map(|&(gap, _)| i64::from(gap)).sum::<i64>()
    }

    /// Returns the value that all of them have, if there are enough to say that it stands.
    pub(crate) fn standing(&self) -> Option<f64> {
        let &(_, first) = self.samples.front()?;
        let stands = self.samples.iter().all(|(_, value)| value.total_cmp(&first).is_eq());
        (self.samples.len() >= STANDING_SAMPLES && stands).then(|| f64::from(first))
    }

    /// Returns time and value of the newest sample, without a look at its digits.
    pub(crate) fn last(&self) -> Option<(i64, f64)> {
        self.samples.back().map(|&(_, value)| (self.newest_ms, f64::from(value)))
    }

    /// Returns the newest sample.
    pub(crate) fn newest(&self) -> Option<Point> {
        self.samples.back().map(|&(_, value)| Point { ts_ms: self.newest_ms, value: digits(value) })
    }
}

/// Widens a value without the digits that only the conversion would add: 0.1 stays 0.1.
fn digits(value: f32) -> f64 {
    let wide = f64::from(value);
    if ROUNDED.contains(&wide.abs()) {
        // faster than a text, for each sample passes here: the fewest places that distinguish it from its neighbours
        let rounded = TENS.iter().map(|ten| (wide * ten).round() / ten);
        if let Some(rounded) =
            rounded.into_iter().find(|&rounded| (rounded as f32).to_bits() == value.to_bits())
        {
            return rounded;
        }
    }
    value.to_string().parse().unwrap_or(wide)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn times_are_exact_and_values_keep_their_digits() {
        let mut kept = Buffer::new();
        for i in 0..100 {
            kept.push(1_750_000_000_000 + i * i, 0.1 * i as f64);
        }
        let points: Vec<Point> = kept.points().collect();
        assert_eq!(points.len(), BUFFER_SAMPLES);
        assert_eq!(points[0], Point { ts_ms: 1_750_000_001_600, value: 4.0 });
        assert_eq!(points[59], Point { ts_ms: 1_750_000_009_801, value: 9.9 });
        assert_eq!(kept.time_of_last(1), 1_750_000_009_801);
        assert_eq!(kept.time_of_last(3), 1_750_000_009_409);
        assert_eq!(kept.newest(), Some(points[59]));
    }

    #[test]
    fn values_have_the_digits_that_are_printed() {
        let printed = |value: f32| value.to_string().parse::<f64>().unwrap();
        let steps = (0..2_000_000_u32).map(|step| f32::from_bits(step.wrapping_mul(2_147_001)));
        let few = (0..200_000).map(|i| (f64::from(i) * 0.001) as f32);
        for value in steps.chain(few).filter(|value| value.is_finite()) {
            assert_eq!(digits(value).to_bits(), printed(value).to_bits(), "{value}");
            assert_eq!(digits(-value).to_bits(), printed(-value).to_bits(), "-{value}");
        }
    }

    #[test]
    fn a_gap_of_months_forgets_what_was_before_it_and_large_values_stay_finite() {
        let mut kept = Buffer::new();
        kept.push(0, 1.0);
        kept.push(i64::from(u32::MAX) + 1, 1e100);
        assert_eq!(kept.len(), 1);
        assert!(kept.points().all(|point| point.value.is_finite()));
    }
}
