//! How often lines come, and how far from usual a count is.

use serde::{Deserialize, Serialize};

/// Time over which rates are remembered, seconds: long enough for what comes seldom, short enough to follow the day.
const MEMORY_S: f64 = 10_800.0;
/// Lines that the assumed clumping weighs.
const ASSUMED_LINES: f64 = 10.0;
/// A count below this many times the usual one is not unusual.
const HELD_FACTOR: f64 = 2.0;
/// A count has to be this many times the usual one to begin something.
const SURGE_FACTOR: f64 = 3.0;
/// Half-width of the expected band, in deviations.
const BAND_SPREADS: f64 = 3.5;

/// What it takes for a count to be a surge.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Bar {
    /// Log-likelihood ratio, nats.
    pub(super) nats: f64,
    /// Lines in one window.
    pub(super) lines: u32,
    /// Variance over mean that is assumed before the data shows it: lines come in clumps.
    pub(super) overdispersion: f64,
}

/// What a count says.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
pub(super) struct Score {
    /// Log-likelihood ratio against the usual rate, nats; zero below twice the usual.
    pub(super) nats: f64,
    /// Whether it is enough to begin something.
    pub(super) is_surge: bool,
}

impl Score {
    /// Returns what the stronger of two counts says.
    pub(super) fn or(self, other: Self) -> Self {
        Self { nats: self.nats.max(other.nats), is_surge: self.is_surge || other.is_surge }
    }
}

/// How the rate of an alert's lines is treated when a window ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Lesson {
    /// Learnt, one window late: the window in which something began is not part of the past that it is judged by.
    Learn,
    /// Not learnt while an alert is open.
    Wait,
    /// What came during the alert is never learnt.
    Forget,
    /// What came in the last window is usual from now on.
    Adopt,
}

/// The rate of some lines: exponentially forgotten sums, so that windows may differ in length.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Rate {
    lines: f32,
    /// Sum of the squared differences between a window's count and what was expected of it.
    scatter: f32,
    seconds: f32,
    /// Lines of the window that is open.
    pub(super) now: u32,
    /// Lines of the window before, which are not learnt yet.
    last: u32,
}

impl Rate {
    /// Begins a rate of which nothing came in all the time that `past` knows.
    pub(super) fn unheard(past: &Self) -> Self {
        Self { seconds: past.seconds, ..Self::default() }
    }

    /// Counts a line.
    pub(super) fn count(&mut self) {
        self.now = self.now.saturating_add(1);
    }

    /// Returns the lines that are remembered.
    pub(super) fn lines(&self) -> f64 {
        f64::from(self.lines)
    }

    /// Returns the time that is remembered, seconds.
    pub(super) fn seconds(&self) -> f64 {
        f64::from(self.seconds)
    }

    /// Returns the lines of this window and the one before.
    pub(super) fn lately(&self) -> u32 {
        self.now.saturating_add(self.last)
    }

    /// Returns the usual count in so many seconds: one line more than there were, for a rate that was never seen is
    /// small and not zero.
    pub(super) fn expected(&self, seconds: f64) -> f64 {
        (self.lines() + 1.0) / self.seconds().max(seconds) * seconds
    }

    /// Returns the fewest lines in so many seconds that are more than usual.
    pub(super) fn many(&self, seconds: f64) -> u32 {
        (HELD_FACTOR * self.expected(seconds)).ceil().max(1.0) as u32
    }

    /// Returns the variance of counts over their mean, at least 1 (Poisson).
    fn overdispersion(&self, assumed: f64) -> f64 {
        ((f64::from(self.scatter) + assumed * ASSUMED_LINES) / (self.lines() + ASSUMED_LINES)).max(1.0)
    }

    /// Judges the open window of so many seconds, as if it were over: (k ln(k/m) - k + m) / c for k lines where m are
    /// usual and variance is c times the mean. Quasi-likelihood of an over-dispersed Poisson count: Wedderburn,
    /// Biometrika 61 (1974).
    pub(super) fn score(&self, seconds: f64, bar: Bar) -> Score {
        self.score_of(self.now, seconds, bar)
    }

    /// Judges so many lines in so many seconds in the same way.
    pub(super) fn score_of(&self, lines: u32, seconds: f64, bar: Bar) -> Score {
        let (count, usual) = (f64::from(lines), self.expected(seconds));
        if count < HELD_FACTOR * usual {
            return Score::default();
        }
        let nats = (count * (count / usual).ln() - count + usual) / self.overdispersion(bar.overdispersion);
        let is_surge = nats >= bar.nats && lines >= bar.lines && count >= SURGE_FACTOR * usual;
        Score { nats, is_surge }
    }

    /// Returns how much more likely so many lines in so many seconds are at the usual rate than at `loud` lines a second:
    /// log-likelihood ratio of the same over-dispersed Poisson count, nats. Zero where `loud` is not above the usual.
    pub(super) fn usual_again(&self, lines: u32, seconds: f64, loud: f64, bar: Bar) -> f64 {
        let (usual, loud) = (self.expected(seconds), loud * seconds);
        if loud <= usual {
            return 0.0;
        }
        (loud - usual - f64::from(lines) * (loud / usual).ln()) / self.overdispersion(bar.overdispersion)
    }

    /// Returns lower edge, centre and upper edge of the usual count in so many seconds.
    pub(super) fn band(&self, seconds: f64, bar: Bar) -> [f64; 3] {
        let center = self.lines() / self.seconds().max(seconds) * seconds;
        let usual = self.expected(seconds);
        let reach = BAND_SPREADS * (self.overdispersion(bar.overdispersion) * usual).sqrt();
        [(center - reach).max(0.0), center, usual + reach]
    }

    /// Ends a window of `seconds`; the one before it had `before` seconds.
    pub(super) fn close(&mut self, seconds: f64, before: f64, lesson: Lesson) {
        match lesson {
            Lesson::Learn => {
                self.learn(f64::from(self.last), before);
                self.last = self.now;
            }
            Lesson::Wait => self.last = self.last.max(self.now),
            Lesson::Forget => self.last = 0,
            Lesson::Adopt => {
                self.last = 0;
                let lines = f64::from(self.now) / seconds.max(1.0) * self.seconds();
                self.lines = lines as f32;
                self.scatter = (HELD_FACTOR * lines) as f32;
            }
        }
        self.now = 0;
    }

    /// Lets time pass in which no line came: `windows` of `seconds` each.
    pub(super) fn rest(&mut self, seconds: f64, windows: f64) {
        let kept = (-seconds * windows / MEMORY_S).exp();
        let usual = self.lines() / self.seconds().max(seconds) * seconds;
        self.lines = (self.lines() * kept) as f32;
        self.scatter = (f64::from(self.scatter) * kept + windows * usual * usual) as f32;
        self.seconds = (self.seconds() * kept + seconds * windows) as f32;
    }

    /// Takes over the rate of other lines, which belong to this one from now on.
    pub(super) fn absorb(&mut self, other: &Self) {
        let lines = other.lines() / other.seconds().max(1.0) * self.seconds();
        self.lines = (self.lines() + lines) as f32;
        self.scatter = (f64::from(self.scatter) + HELD_FACTOR * lines) as f32;
    }

    fn learn(&mut self, count: f64, seconds: f64) {
        if seconds <= 0.0 {
            return;
        }
        let kept = (-seconds / MEMORY_S).exp();
        let usual = if self.seconds > 0.0 { self.lines() / self.seconds() * seconds } else { count };
        self.lines = (self.lines() * kept + count) as f32;
        self.scatter = (f64::from(self.scatter) * kept + (count - usual).powi(2)) as f32;
        self.seconds = (self.seconds() * kept + seconds) as f32;
    }
}
