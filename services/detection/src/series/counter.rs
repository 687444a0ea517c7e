//! Counter or not. The name is a guess, the values decide: what falls little by little, or as often as it rises, is no
//! counter, and what has done nothing but grow is one.

use serde::{Deserialize, Serialize};
use shared::events::Kind;

use super::Series;
use crate::config::{BUFFER_SAMPLES, Settings};
use crate::metric_profile::{MetricProfile, Pace, Role};
use crate::series::rules::Rule;
use crate::series::rules::restarts::RestartSource;

/// Memory of the usual increase, in increases.
const MEMORY_RISES: f32 = 32.0;
/// A fall of at most so many usual increases, which ends above so many, is little: a counter that begins anew falls to
/// what one interval adds, and one of many instances that begins anew takes with it what it has counted in its life.
const LITTLE_RISES: f64 = 8.0;
const BEGUN_RISES: f64 = 2.0;
/// Little falls that prove that it is no counter. One is forgotten after so many increases.
const LITTLE_FALLS: u8 = 3;
const FORGET_RISES: u16 = 256;
/// Falls from which on their number proves it, where there is one for every other increase.
const MANY_FALLS: u16 = 8;
/// Part of the first samples that have to be larger than the one before them, with none smaller, in what is a counter by
/// its values.
const GROWING_SHARE: f64 = 0.8;
/// Samples after which one that began late is like any other.
const LATE_SAMPLES: u32 = 60;
/// Where counters begin again that have reached their end: 32 and 64 bits.
const ENDS: [f64; 2] = [4_294_967_296.0, 18_446_744_073_709_551_616.0];
/// Usual increases within which an end has to be passed.
const END_RISES: f64 = 20.0;

/// What the values of a series have shown.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(crate) struct Habit {
    /// Usual increase from one sample to the next.
    usual_rise: f32,
    rises: u16,
    falls: u16,
    little_falls: u8,
    shown: Shown,
    /// Whether it began later than its service, with nothing counted before.
    is_late: bool,
}

/// What a series has turned out to be.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
enum Shown {
    /// What its name says.
    #[default]
    AsNamed,
    /// A counter.
    Counter,
    /// No counter.
    Gauge,
}

/// What a sample of a counter is, after the one before it.
#[derive(Debug, Clone, Copy, PartialEq)]
enum Step {
    Rise(f64),
    Reset,
    Gauge,
}

impl Habit {
    fn step(&mut self, before: f64, value: f64) -> Step {
        let change = value - before;
        let usual = f64::from(self.usual_rise);
        if change >= 0.0 {
            self.rise(change);
            return Step::Rise(change);
        }
        let passed = ENDS.iter().map(|end| end - before + value);
        if let Some(rise) = passed.into_iter().find(|rise| (0.0..=END_RISES * usual).contains(rise)) {
            return Step::Rise(rise);
        }
        self.falls = self.falls.saturating_add(1);
        let is_little = -change <= LITTLE_RISES * usual && value > BEGUN_RISES * usual;
        self.little_falls = self.little_falls.saturating_add(u8::from(is_little));
        let are_many = self.falls >= MANY_FALLS && self.falls.saturating_mul(2) >= self.rises;
        if self.little_falls >= LITTLE_FALLS || are_many { Step::Gauge } else { Step::Reset }
    }

    fn rise(&mut self, by: f64) {
        if by <= 0.0 {
            return;
        }
        self.rises += 1;
        if self.rises == FORGET_RISES {
            self.little_falls = self.little_falls.saturating_sub(1);
            (self.rises, self.falls) = (self.rises / 2, self.falls / 2);
        }
        let rate = 1.0 / f32::from(self.rises).min(MEMORY_RISES);
        let by = by as f32;
        // one that was begun long ago must not be taken for what is usual
        let limited = if self.rises > 3 { by.min(4.0 * self.usual_rise.max(f32::MIN_POSITIVE)) } else { by };
        self.usual_rise += rate * (limited - self.usual_rise);
    }
}

impl Series {
    /// Returns what was counted since the sample before, per second, of a counter; other values pass. Nothing comes of a
    /// counter's first value and of one that is smaller than before, which is a restart.
    pub(super) fn increase(&mut self, value: f64, gap_ms: f64, settings: &Settings) -> Option<f64> {
        if !self.metric.profile.counter {
            return (!self.turns_out_to_count(value, settings)).then_some(value);
        }
        let before = self.counted.replace(value)?;
        match self.habit.step(before, value) {
            Step::Rise(by) => Some(by / (gap_ms / 1000.0)),
            Step::Gauge if !self.metric.is_configured_counter() => {
                self.turn(Shown::Gauge);
                Some(value)
            }
            Step::Reset | Step::Gauge => {
                if self.rule.is_none() {
                    self.rule = Some(Box::new(Rule::Restarts(RestartSource::counter(before))));
                }
                None
            }
        }
    }

    /// Begins with nothing counted before its first sample at a time, in a service that was known without it: a counter
    /// is often made with the first event that it counts. What failed before is then known: nothing.
    pub(crate) fn begin_late(&mut self, ts_ms: i64, interval_ms: i64) {
        let profile = &self.metric.profile;
        if !profile.counter || !profile.mode.is_by_normal() {
            return;
        }
        let counts_failures = profile.role == Role::Rate;
        (self.last_ms, self.interval_ms) = (ts_ms.saturating_sub(interval_ms), interval_ms as f64);
        (self.counted, self.intervals) = (Some(0.0), 1);
        if counts_failures {
            self.habit.is_late = true;
            for ago in (1..=BUFFER_SAMPLES as i64 / 2).rev() {
                self.samples.push(ts_ms.saturating_sub(ago * interval_ms), 0.0);
            }
            self.found();
        }
    }

    /// Returns a value as it is judged: what a counter has counted since its last sample, per second.
    pub(crate) fn as_judged(&self, ts_ms: i64, value: f64) -> Option<f64> {
        if !self.metric.profile.counter {
            return Some(value);
        }
        let seconds = ts_ms.saturating_sub(self.last_ms) as f64 / 1000.0;
        self.counted
            .filter(|&before| value >= before && seconds > 0.0)
            .map(|before| (value - before) / seconds)
    }

    /// Returns whether it began later than its service, a while ago at most.
    pub(crate) fn is_late(&self) -> bool {
        self.habit.is_late && self.intervals < LATE_SAMPLES
    }

    /// Goes on with what its values have shown before.
    pub(super) fn resume_habit(&mut self, habit: Habit) {
        if habit.shown != Shown::AsNamed && !self.metric.is_configured_counter() {
            self.turn(habit.shown);
        }
        self.habit = habit;
    }

    pub(super) fn habit(&self) -> Option<Habit> {
        let counts = self.metric.profile.counter || self.intervals < BUFFER_SAMPLES as u32;
        let is_known = self.habit.shown != Shown::AsNamed || counts && self.habit != Habit::default();
        is_known.then_some(self.habit)
    }

    /// Returns whether a value of what is no counter by its name shows that it is one: then it is one from now on.
    fn turns_out_to_count(&mut self, value: f64, settings: &Settings) -> bool {
        let is_open = self.habit.shown == Shown::AsNamed && self.intervals < settings.warm_up;
        if !is_open || !may_count(&self.metric.profile) {
            return false;
        }
        let Some(before) = self.counted.replace(value) else { return false };
        if value < before {
            self.habit.shown = Shown::Gauge;
            return false;
        }
        self.habit.rise(value - before);
        let enough = GROWING_SHARE * f64::from(settings.warm_up);
        let counts = self.intervals + 1 == settings.warm_up && f64::from(self.habit.rises) >= enough;
        if counts && !self.metric.is_configured_counter() {
            self.turn(Shown::Counter);
        }
        self.metric.profile.counter
    }

    /// Begins anew as a counter, or as what is none.
    fn turn(&mut self, shown: Shown) {
        let metric = self.metric.counted(shown == Shown::Counter);
        *self = Self {
            last_ms: self.last_ms,
            interval_ms: self.interval_ms,
            intervals: self.intervals,
            counted: self.counted,
            habit: Habit { shown, falls: 0, little_falls: 0, ..self.habit },
            episode: self.episode.take(),
            ..Self::new(metric)
        };
    }
}

/// Returns whether what a metric is called leaves open that it counts.
fn may_count(profile: &MetricProfile) -> bool {
    matches!(profile.kind, Kind::Traffic | Kind::Errors | Kind::DataLoss | Kind::Security | Kind::Other)
        && profile.ceiling.is_none()
        && profile.pace == Pace::Sample
        && profile.role != Role::Share
        && profile.role != Role::Instances
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Returns what is made of values that come one after another.
    fn steps(values: impl IntoIterator<Item = f64>) -> Vec<Step> {
        let mut habit = Habit::default();
        let values: Vec<f64> = values.into_iter().collect();
        values.windows(2).map(|pair| habit.step(pair[0], pair[1])).collect()
    }

    fn is_gauge(values: impl IntoIterator<Item = f64>) -> bool {
        steps(values).contains(&Step::Gauge)
    }

    #[test]
    fn what_falls_as_it_rises_is_no_counter() {
        let noise = |i: i32| f64::from(i * 7919 % 13) / 6.5;
        // a queue that fills and drains, a level with noise, sessions of which there are few
        assert!(is_gauge((0..90).map(|i| match i % 30 {
            phase @ ..24 => 4.0 + 56.0 * f64::from(phase) / 24.0 + noise(i),
            phase => 6.0 + 0.6 * f64::from(phase - 24) + noise(i),
        })));
        assert!(is_gauge((0..60).map(|i| 500.0 + 20.0 * noise(i))));
        assert!(is_gauge((0..60).map(|i| f64::from(i * i * 7 % 13 / 3))));
    }

    #[test]
    fn a_counter_remains_one_when_it_begins_anew_in_whole_or_in_part() {
        let crash_loop = (0..600).map(|i| f64::from(i % 6) * 6000.0 + f64::from(i % 5) * 100.0);
        assert!(!is_gauge(crash_loop.take(40)));
        // six instances in one sum, replaced one after the other after an hour
        let sum = (0..600).map(|i| {
            (0..6)
                .map(|instance| {
                    50.0 * f64::from(if i > 360 + 6 * instance { i - 360 - 6 * instance } else { i })
                })
                .sum()
        });
        assert!(!is_gauge(sum));
    }

    #[test]
    fn a_counter_that_reaches_its_end_goes_on() {
        for end in ENDS {
            let step = (end / 1e6).max(1000.0);
            let passed = steps((0..20).map(|i| (end - 10.5 * step + f64::from(i) * step) % end));
            assert!(passed.iter().all(|step| matches!(step, Step::Rise(_))), "{passed:?}");
        }
        assert_eq!(steps([4e9, 4e9 + 50.0, 4e9 + 100.0, 3.0])[2], Step::Reset);
    }
}
