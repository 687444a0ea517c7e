//! What each hour of the week adds to what is usual at its time of day: weekends, weekly jobs.
//!
//! Learned in the first week, tried in the second, and used from the third on as long as it explained the week before
//! better than the day alone.

use serde::{Deserialize, Serialize};

use super::{array, usual};

/// Half hours of a week.
const HALF_HOURS: u32 = 336;
const HOURS: usize = HALF_HOURS as usize / 2;
/// Stands for an hour that was never seen.
const UNSEEN: i8 = i8::MIN;
/// Steps in one usual residual of the day, at first.
const STEPS_PER_RESIDUAL: f64 = 16.0;
/// Weight of half an hour in what its hour adds.
const HALF_HOUR_WEIGHT: f64 = 0.25;
/// Farthest that one sample counts in the trial, in usual residuals of the day.
const TRIAL_LIMIT_RESIDUALS: f64 = 8.0;
/// Share of the day's residuals below which the week's are used, and the samples a week that decide it.
const MAX_RESIDUAL_RATIO: f64 = 0.8;
const TRIAL_SAMPLES: u16 = 84;

/// The hours of the week. Small, for each series has one: what an hour adds is kept in steps.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Week {
    /// What each hour of the week (from Thursday 0:00 local time, as the epoch) adds to the day, in steps.
    #[serde(with = "array")]
    added: [i8; HOURS],
    /// One step, in the unit of the series.
    step: f32,
    /// Mean absolute residual with the week, in the unit of the series.
    size: f32,
    /// Sums of the residuals of this week without and with it, and how many there were.
    without: f32,
    with: f32,
    tried: u16,
    /// Half hour since the epoch at which this week is over.
    ends: u32,
    /// Whether it explained the week before; nothing in its first week.
    helps: Option<bool>,
}

impl Week {
    /// Begins with the half hour since the epoch, where the usual residual of the day is `size`.
    pub(super) fn new(half: u32, size: f64) -> Self {
        Self {
            added: [UNSEEN; HOURS],
            step: ((size / STEPS_PER_RESIDUAL) as f32).max(f32::MIN_POSITIVE),
            size: 0.0,
            without: 0.0,
            with: 0.0,
            tried: 0,
            ends: half.saturating_add(HALF_HOURS),
            helps: None,
        }
    }

    /// Takes a residual of the day, whose usual size is `size`. Returns the residual with the week and the usual size of
    /// that, if they are used.
    pub(super) fn residual(&mut self, half: u32, residual: f64, size: f64) -> Option<(f64, f64)> {
        if half >= self.ends {
            self.turn(half);
        }
        let added = self.added[hour(half)];
        if added == UNSEEN || self.helps.is_none() {
            return None;
        }
        let own = residual - f64::from(added) * f64::from(self.step);
        let limit = TRIAL_LIMIT_RESIDUALS * size;
        self.without += residual.abs().min(limit) as f32;
        self.with += own.abs().min(limit) as f32;
        self.tried = self.tried.saturating_add(1);
        let size_before = f64::from(self.size);
        self.size = if size_before > 0.0 {
            (size_before + usual::settled_step(own, size_before)) as f32
        } else {
            // the trial measures it from here on
            size as f32
        };
        (self.helps == Some(true)).then_some((own, f64::from(self.size)))
    }

    /// Learns how far the mean of a half hour lay above what is usual at that time of day.
    pub(super) fn learn(&mut self, half: u32, above: f64) {
        let added = &mut self.added[hour(half)];
        let (known, weight) =
            if *added == UNSEEN { (0.0, 1.0) } else { (f64::from(*added), HALF_HOUR_WEIGHT) };
        let steps = known + weight * (above / f64::from(self.step) - known);
        let largest = f64::from(i8::MAX);
        *added = steps.round().clamp(-largest, largest) as i8;
        if steps.abs() > largest {
            // what does not fit is far more than noise, and is kept in coarser steps
            let coarser = (steps.abs() / largest).log2().ceil().exp2();
            self.step = (f64::from(self.step) * coarser) as f32;
            for added in self.added.iter_mut().filter(|added| **added != UNSEEN) {
                *added = (f64::from(*added) / coarser) as i8;
            }
            self.added[hour(half)] = (steps / coarser) as i8;
        }
    }

    /// Ends a week: decides whether it is used in the next.
    fn turn(&mut self, half: u32) {
        let explained = self.tried >= TRIAL_SAMPLES
            && f64::from(self.with) < MAX_RESIDUAL_RATIO * f64::from(self.without);
        self.helps = Some(explained);
        (self.without, self.with, self.tried) = (0.0, 0.0, 0);
        self.ends =
            self.ends.saturating_add((1 + (half - self.ends) / HALF_HOURS).saturating_mul(HALF_HOURS));
    }
}

fn hour(half: u32) -> usize {
    (half % HALF_HOURS) as usize / 2
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Lives through weeks of ten-minute samples that lie `above(hour)` over the day, and returns how many residuals of
    /// each week were used, and the largest of them.
    fn live(weeks: u32, above: impl Fn(usize) -> f64) -> Vec<(usize, f64)> {
        let mut week = Week::new(0, 1.0);
        let mut all = Vec::new();
        for number in 0..weeks {
            let (mut believed, mut largest) = (0, 0.0_f64);
            for half in number * HALF_HOURS..(number + 1) * HALF_HOURS {
                let value = above(hour(half));
                for wobble in [-0.3, 0.0, 0.3] {
                    if let Some((residual, _)) = week.residual(half, value + wobble, 1.0) {
                        believed += 1;
                        largest = largest.max(residual.abs());
                    }
                }
                week.learn(half, value);
            }
            all.push((believed, largest));
        }
        all
    }

    #[test]
    fn weekends_are_explained_from_the_third_week_on() {
        let weeks = live(4, |hour| if hour < 48 { -6.0 } else { 0.0 });
        assert_eq!(weeks.iter().map(|week| week.0).collect::<Vec<_>>(), [0, 0, 1008, 1008]);
        assert!(weeks[3].1 < 0.4, "{weeks:?}");
    }

    #[test]
    fn a_week_like_any_other_day_is_never_asked() {
        assert!(live(6, |_| 0.0).iter().all(|week| week.0 == 0));
    }

    #[test]
    fn what_does_not_fit_makes_the_steps_coarser() {
        let weeks = live(4, |hour| if hour < 24 { 900.0 } else { 0.0 });
        assert!(weeks[3].0 > 0 && weeks[3].1 < 9.0, "{weeks:?}");
    }

    #[test]
    fn the_end_of_time_ends_no_week() {
        let mut week = Week::new(0, f64::MIN_POSITIVE);
        week.learn(u32::MAX, f64::from(f32::MAX));
        assert_eq!(week.residual(u32::MAX, 1.0, 1.0), None);
        assert_eq!(week.residual(u32::MAX, 1.0, 1.0), None);
    }

    #[test]
    fn weeks_without_samples_are_passed_over() {
        let mut week = Week::new(0, 1.0);
        assert_eq!(week.residual(5 * HALF_HOURS + 3, 1.0, 1.0), None);
        assert_eq!(week.ends, 6 * HALF_HOURS);
    }
}
