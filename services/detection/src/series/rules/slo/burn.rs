//! How fast the budget of failures of an availability objective is used up, in two pairs of windows: one for what uses it
//! up fast, one for what does so slowly.
//!
//! Basis: Google, The Site Reliability Workbook (2018), chapter 5, "Multiwindow, Multi-Burn-Rate Alerts": 14.4 uses up 2 %
//! of the budget of 30 days in an hour, 6 uses up 5 % of it in six hours; the short window is a twelfth of the long one.

use serde::{Deserialize, Serialize};
use shared::events::anomaly::FAST_BURN_RATE;

use super::Requests;

/// Parts into which a long window is divided; the oldest one is dropped as a whole.
const PARTS: usize = 12;
/// Largest share of failures that is asked for, however low the objective is.
const MAX_BAR: f64 = 0.5;
/// Failures in the long window from which on it is certain.
const CONFIRM_FAILURES: f64 = 9.5;
/// Time over which it is learned how many requests usually fail, milliseconds.
const USUAL_MS: f64 = 86_400_000.0;
/// Intervals between samples after which a pause ends what had lasted before it.
const PAUSE_INTERVALS: i64 = 3;

/// A burn rate that fires, and the windows in which it has to be reached.
#[derive(Debug, PartialEq)]
pub(super) struct Pace {
    /// How many times as fast as it may last the budget is used up.
    pub(super) rate: f64,
    /// Long window, milliseconds.
    long_ms: i64,
    /// Parts of the short window, milliseconds each at least, and so many requests that one would fail at that rate.
    part_ms: i64,
    /// Parts in a row in which it has to be reached, and then not to be.
    parts: i8,
    /// Multiple of the usual share of failures that has to be reached as well: what has always been so is a matter of the
    /// objective, not of an incident.
    times_usual: f64,
}

/// Fastest first.
pub(super) const PACES: [Pace; 2] = [
    Pace { rate: FAST_BURN_RATE, long_ms: 3_600_000, part_ms: 60_000, parts: 5, times_usual: 0.0 },
    Pace { rate: 6.0, long_ms: 21_600_000, part_ms: 900_000, parts: 2, times_usual: 2.0 },
];

impl Pace {
    /// Returns the share of failures from which on a budget (a share too) is used up so fast, where so many fail usually.
    fn bar(&self, budget: f64, usual: f64) -> f64 {
        (self.rate * budget).max(self.times_usual * usual).min(MAX_BAR)
    }
}

/// A pace that a series has reached in both of its windows.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Burning {
    pub(super) pace: &'static Pace,
    /// Share of failures from which on it is reached.
    pub(super) bar: f64,
    /// Requests of the long window.
    pub(super) long: Requests,
    /// Beginning of the short windows in a row, milliseconds.
    pub(super) since_ms: i64,
    /// How far the long window reaches back, milliseconds.
    pub(super) reach_ms: i64,
}

/// How fast the budget of one series is used up.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct Burn {
    first_ms: i64,
    last_ms: i64,
    /// Requests of the last day, where a sample counts with as many failures as the slowest pace asks for at most: an
    /// outage is not usual.
    usual: Requests,
    windows: [Windows; PACES.len()],
}

/// The windows of one pace.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Windows {
    /// Number of the newest part of the long window since 1970, and the parts in a ring: failed, and all.
    newest: i64,
    long: [[f32; 2]; PARTS],
    /// When the part of the short window began, milliseconds, and what it holds so far.
    short: (i64, Requests),
    /// Parts in a row in which the pace is reached, or, below 0, is not.
    run: i8,
    /// Beginning of the first of them, milliseconds.
    since_ms: i64,
    /// Whether it was reached in both windows, and has not been over since.
    is_burning: bool,
}

impl Burn {
    pub(super) fn new(ts_ms: i64) -> Self {
        let windows = Windows {
            newest: 0,
            long: [[0.0; 2]; PARTS],
            short: (ts_ms, Requests::default()),
            run: 0,
            since_ms: ts_ms,
            is_burning: false,
        };
        let usual = Requests::default();
        Self { first_ms: ts_ms, last_ms: ts_ms, usual, windows: std::array::from_fn(|_| windows.clone()) }
    }

    /// Takes the requests of a sample. Returns the share that has failed in the part of the shortest window that ends with
    /// it, if one does.
    pub(super) fn observe(
        &mut self,
        ts_ms: i64,
        interval_ms: i64,
        new: Requests,
        budget: f64,
    ) -> Option<f64> {
        let passed_ms = ts_ms.saturating_sub(self.last_ms);
        self.last_ms = ts_ms;
        self.learn(passed_ms, new, budget);
        let usual = self.usual.share();
        let [fastest, _] = std::array::from_fn(|place| {
            let (pace, windows): (&Pace, &mut Windows) = (&PACES[place], &mut self.windows[place]);
            if passed_ms > pace.part_ms.max(PAUSE_INTERVALS * interval_ms) {
                windows.begin_anew(ts_ms.saturating_sub(interval_ms));
            }
            windows.observe(ts_ms, new, pace, pace.bar(budget, usual))
        });
        fastest
    }

    /// Learns how many requests usually fail.
    fn learn(&mut self, passed_ms: i64, new: Requests, budget: f64) {
        let most = PACES.iter().map(|pace| pace.rate).fold(f64::INFINITY, f64::min) * budget * new.of;
        let kept = (-(passed_ms as f64) / USUAL_MS).exp();
        let Requests { failed, of } = self.usual;
        self.usual = Requests { failed: kept * failed + new.failed.min(most), of: kept * of + new.of };
    }

    /// Returns the share of failures from which on the fastest pace is reached.
    pub(super) fn fastest_bar(budget: f64) -> f64 {
        PACES[0].bar(budget, 0.0)
    }

    /// Returns the fastest pace that is reached in both of its windows and by `share`, what failed just now.
    pub(super) fn judge(&mut self, share: f64, budget: f64) -> Option<Burning> {
        let (first_ms, last_ms, usual) = (self.first_ms, self.last_ms, self.usual.share());
        let (mut is_faster, mut found) = (false, None);
        for (pace, windows) in PACES.iter().zip(&mut self.windows) {
            let (bar, long) = (pace.bar(budget, usual), windows.long());
            let is_reached = windows.run >= pace.parts
                && share.min(long.share()) >= bar
                && long.failed >= CONFIRM_FAILURES;
            // what a faster pace reports is not waited for a second time
            windows.is_burning =
                !is_faster && windows.run > -pace.parts && (windows.is_burning || is_reached);
            is_faster |= windows.is_burning;
            if windows.is_burning && is_reached {
                let reach_ms = last_ms.saturating_sub(first_ms.max(windows.long_since_ms(pace)));
                found = Some(Burning { pace, bar, long, since_ms: windows.since_ms, reach_ms });
            }
        }
        found
    }

    /// Returns whether no pace is reached any more, for long enough.
    pub(super) fn is_over(&self) -> bool {
        self.windows[0].run <= -PACES[0].parts && !self.windows.iter().any(|windows| windows.is_burning)
    }

    /// Returns how many times as fast as it may last the budget is used up, over the long window of the pace that was
    /// reached and is not over.
    pub(super) fn rate(&self, budget: f64) -> Option<f64> {
        let burning = self.windows.iter().find(|windows| windows.is_burning)?;
        Some(burning.long().share() / budget)
    }
}

impl Windows {
    /// Begins the short window anew: what lies before a pause and behind it is not in a row.
    fn begin_anew(&mut self, at_ms: i64) {
        (self.short, self.run) = ((at_ms, Requests::default()), 0);
    }

    /// Takes the requests of a sample. Returns the share that has failed in the part of the short window that ends with it,
    /// if one does.
    fn observe(&mut self, ts_ms: i64, new: Requests, pace: &Pace, bar: f64) -> Option<f64> {
        self.add(ts_ms.div_euclid(pace.long_ms / PARTS as i64), new);
        let (began_ms, short) = (self.short.0, self.short.1 + new);
        self.short.1 = short;
        if ts_ms.saturating_sub(began_ms) < pace.part_ms || bar * short.of < 1.0 {
            return None;
        }
        self.short = (ts_ms, Requests::default());
        let step = if short.share() >= bar { 1 } else { -1 };
        if step * self.run <= 0 {
            (self.run, self.since_ms) = (0, began_ms);
        }
        self.run = (self.run + step).clamp(-pace.parts, pace.parts);
        Some(short.share())
    }

    /// Adds to a part of the long window, and drops what it does not reach any more.
    fn add(&mut self, part: i64, new: Requests) {
        let passed = part.saturating_sub(self.newest).clamp(0, PARTS as i64);
        for dropped in 0..passed {
            self.long[place(part - dropped)] = [0.0; 2];
        }
        self.newest = self.newest.max(part);
        let [failed, of] = &mut self.long[place(self.newest)];
        *failed += new.failed as f32;
        *of += new.of as f32;
    }

    fn long(&self) -> Requests {
        let parts = self.long.iter().map(|&[failed, of]| Requests { failed: failed.into(), of: of.into() });
        parts.fold(Requests::default(), |sum, part| sum + part)
    }

    /// Returns when the long window begins, milliseconds.
    fn long_since_ms(&self, pace: &Pace) -> i64 {
        self.newest.saturating_sub(PARTS as i64 - 1).saturating_mul(pace.long_ms / PARTS as i64)
    }
}

/// Returns the place of a part in the ring.
fn place(part: i64) -> usize {
    part.rem_euclid(PARTS as i64) as usize
}

#[cfg(test)]
mod tests {
    use super::*;

    const INTERVAL_MS: i64 = 10_000;
    const BUDGET: f64 = 0.001;
    /// Requests of a sample.
    const OF: f64 = 800.0;

    /// A burn whose samples have come so far.
    struct Fed {
        burn: Burn,
        now_ms: i64,
        /// What was reached: the rate of its pace, and when.
        reached: Vec<(f64, i64)>,
    }

    impl Fed {
        fn new() -> Self {
            let now_ms = 1_750_000_000_000;
            Self { burn: Burn::new(now_ms), now_ms, reached: Vec::new() }
        }

        /// Feeds samples of so many minutes in which the budget is used up so many times as fast as it may last.
        fn minutes(&mut self, minutes: i64, rate: impl Fn(i64) -> f64) -> &mut Self {
            for sample in 0..minutes * 60_000 / INTERVAL_MS {
                self.now_ms += INTERVAL_MS;
                let new = Requests { failed: rate(sample) * BUDGET * OF, of: OF };
                let share = self.burn.observe(self.now_ms, INTERVAL_MS, new, BUDGET);
                if let Some(found) = share.and_then(|share| self.burn.judge(share, BUDGET)) {
                    self.reached.push((found.pace.rate, self.now_ms));
                    assert!(found.reach_ms <= found.pace.long_ms && found.long.share() <= 1.0);
                }
            }
            self
        }

        fn first(&self, rate: f64) -> Option<i64> {
            self.reached.iter().find(|(found, _)| *found == rate).map(|(_, at)| *at)
        }
    }

    #[test]
    fn a_slow_burn_is_reached_within_its_window_and_never_by_the_fast_pace() {
        let mut fed = Fed::new();
        let began_ms = fed.minutes(1440, |_| 0.2).now_ms;
        assert_eq!(fed.reached, []);
        fed.minutes(360, |_| 7.0);
        let after_ms = fed.first(6.0).expect("six hours at seven times") - began_ms;
        assert!((4 * 3_600_000..=6 * 3_600_000).contains(&after_ms), "{after_ms}");
        assert_eq!(fed.first(14.4), None);
        let rate = fed.burn.rate(BUDGET).unwrap();
        assert!((6.0..7.0).contains(&rate), "{rate}");
        // half an hour below it and it is over
        fed.minutes(14, |_| 0.2);
        assert!(!fed.burn.is_over());
        fed.minutes(46, |_| 0.2);
        assert!(fed.burn.is_over() && fed.burn.rate(BUDGET).is_none());
    }

    #[test]
    fn a_fast_burn_is_reached_in_minutes_and_over_in_minutes() {
        let mut fed = Fed::new();
        let began_ms = fed.minutes(720, |_| 0.2).now_ms;
        let ended_ms = fed.minutes(60, |_| 100.0).now_ms;
        assert!(fed.first(14.4).unwrap() - began_ms <= 10 * 60_000);
        assert_eq!(fed.first(6.0), None, "what is reported is not waited for a second time");
        while !fed.minutes(1, |_| 0.2).burn.is_over() {}
        assert!(fed.now_ms - ended_ms <= 7 * 60_000);
        // what goes on slowly is taken over
        let mut fed = Fed::new();
        fed.minutes(720, |_| 0.2).minutes(120, |_| 100.0).minutes(60, |_| 8.0);
        assert!(!fed.burn.is_over() && fed.reached.last().unwrap().0 == 6.0);
    }

    #[test]
    fn healthy_noise_and_short_outages_reach_nothing() {
        let mut fed = Fed::new();
        // two times as fast on average, and everything fails for ten seconds each two hours
        fed.minutes(2880, |sample| if sample % 720 == 99 { 1000.0 } else { f64::from(sample as i32 % 5) });
        assert_eq!(fed.reached, []);
    }

    #[test]
    fn what_always_fails_is_usual_and_twice_as_much_is_not() {
        let mut fed = Fed::new();
        fed.minutes(1440, |sample| 8.0 + f64::from(sample as i32 % 5)).minutes(60, |_| 500.0);
        let ended_ms = fed.now_ms;
        fed.minutes(600, |sample| 8.0 + f64::from(sample as i32 % 5));
        assert!(fed.reached.iter().all(|(rate, at)| *rate == 14.4 && *at <= ended_ms), "{:?}", fed.reached);
        let mut fed = Fed::new();
        fed.minutes(1440, |_| 4.0).minutes(360, |_| 11.0);
        assert!(fed.first(6.0).is_some() && fed.first(14.4).is_none());
    }

    #[test]
    fn what_lies_before_a_pause_and_behind_it_is_not_in_a_row() {
        for pause_ms in [90_000, 3_000_000, 40_000_000] {
            let mut fed = Fed::new();
            fed.minutes(720, |_| 0.2).minutes(4, |_| 300.0);
            fed.now_ms += pause_ms;
            fed.minutes(4, |_| 300.0).minutes(60, |_| 0.2);
            assert_eq!(fed.reached, [], "{pause_ms}");
        }
        // nor does a pause end what burns
        let mut fed = Fed::new();
        fed.minutes(20, |_| 100.0);
        fed.now_ms += 3_000_000;
        fed.minutes(4, |_| 100.0);
        assert!(!fed.burn.is_over() && fed.burn.rate(BUDGET).is_some());
    }
}
