//! How long a complaint has to stay away before it is over: longer than its own longest pause, and longer still while
//! little is known of its pauses.

use serde::{Deserialize, Serialize};

/// Calm that is enough of a complaint that comes without pauses, milliseconds.
const MIN_CALM_MS: i64 = 10_000;
/// Calm before any pause is known, milliseconds. Pauses that are known divide it, after the rule of succession: after n
/// pauses the next is longer than all of them with a probability of about 2 / (n + 2), for they come in clusters.
const UNKNOWN_CALM_MS: i64 = 45_000;
const PRIOR_PAUSES: i64 = 2;
/// Calm in longest pauses.
const CALM_PAUSES: f64 = 2.5;
/// Longest pause within one complaint, milliseconds: what comes less often is another complaint each time.
const MAX_PAUSE_MS: i64 = 90_000;
/// Time in which half of the longest pause is forgotten, milliseconds: a pause that comes back within it is expected.
const HALF_LIFE_MS: f64 = 300_000.0;
/// Lines that come within this time of the first of them are one moment, milliseconds.
pub(super) const MOMENT_MS: i64 = 1000;

/// The pauses between the moments of one complaint. The longest is kept beyond the end of an alert, so that a complaint
/// that comes back soon after it was over is not cut in two again.
#[derive(Debug, Clone, Copy, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Pauses {
    /// Begin and end of the last moment, milliseconds.
    began_ms: i64,
    last_ms: Option<i64>,
    /// Longest pause, milliseconds, as of the last moment.
    longest_ms: f64,
    /// Pauses of the present alert.
    known: i64,
}

impl Pauses {
    /// Notes that the complaint came at `now_ms`.
    pub(super) fn note(&mut self, now_ms: i64) {
        self.note_window(now_ms, now_ms, 1);
    }

    /// Notes that the complaint came from `from_ms` to `until_ms`, in so many moments.
    pub(super) fn note_window(&mut self, from_ms: i64, until_ms: i64, moments: u32) {
        let within = i64::from(moments.max(1)) - 1;
        let Some(last_ms) = self.last_ms else {
            *self = Self { began_ms: from_ms, last_ms: Some(until_ms), longest_ms: 0.0, known: within };
            return;
        };
        self.longest_ms = self.longest_at(from_ms);
        if from_ms.saturating_sub(self.began_ms) >= MOMENT_MS {
            let pause_ms = from_ms.saturating_sub(last_ms).max(0);
            self.known = self.known.saturating_add(within);
            if pause_ms <= MAX_PAUSE_MS {
                self.longest_ms = self.longest_ms.max(pause_ms as f64);
                self.known = self.known.saturating_add(1);
            }
            self.began_ms = from_ms;
        }
        self.last_ms = Some(last_ms.max(until_ms));
    }

    /// Returns whether it has stayed away for so long that it is over.
    pub(super) fn is_over(&self, now_ms: i64) -> bool {
        let away_ms = self.last_ms.map_or(i64::MAX, |last_ms| now_ms.saturating_sub(last_ms));
        away_ms >= self.calm_ms(now_ms)
    }

    /// Notes that the alert is over.
    pub(super) fn end(&mut self) {
        self.known = 0;
    }

    fn calm_ms(&self, now_ms: i64) -> i64 {
        let expected = (CALM_PAUSES * self.longest_at(now_ms)) as i64;
        expected
            .max(UNKNOWN_CALM_MS * PRIOR_PAUSES / self.known.saturating_add(PRIOR_PAUSES))
            .max(MIN_CALM_MS)
    }

    fn longest_at(&self, now_ms: i64) -> f64 {
        let passed = self.last_ms.map_or(0, |last_ms| now_ms.saturating_sub(last_ms)).max(0);
        self.longest_ms * (-passed as f64 / HALF_LIFE_MS).exp2()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Notes lines at these times, seconds, and returns after how much calm it is over.
    fn calm(pauses: &mut Pauses, lines: impl IntoIterator<Item = i64>) -> i64 {
        let mut last = 0;
        for second in lines {
            last = second;
            pauses.note(second * 1000);
        }
        (0..1000).find(|calm| pauses.is_over((last + calm) * 1000)).unwrap()
    }

    #[test]
    fn what_comes_without_pauses_is_over_soon_and_a_lone_line_is_waited_for() {
        assert_eq!(calm(&mut Pauses::default(), [0]), 45);
        assert_eq!(calm(&mut Pauses::default(), [0, 0, 0, 0, 0, 0]), 45, "one moment tells of no pause");
        assert_eq!(calm(&mut Pauses::default(), [0, 2]), 30);
        assert_eq!(calm(&mut Pauses::default(), 0..20), 10);
        let mut dense = Pauses::default();
        for tenth in 0..100 {
            dense.note(tenth * 100);
        }
        assert!(dense.is_over(9900 + 10_000) && !dense.is_over(9900 + 9_000));
        let mut window = Pauses::default();
        window.note_window(0, 10_000, 10);
        assert!(window.is_over(20_000) && !window.is_over(19_000));
    }

    #[test]
    fn the_longest_pause_is_waited_for_until_it_is_forgotten() {
        let mut pauses = Pauses::default();
        let every_half_minute = calm(&mut pauses, (0..20).map(|i| 30 * i));
        assert!((60..=75).contains(&every_half_minute), "{every_half_minute}");
        assert!(calm(&mut pauses, 571..600) > 40);
        assert_eq!(calm(&mut pauses, 600..2400), 10);
    }

    #[test]
    fn a_pause_in_which_an_alert_ended_is_remembered_for_the_next() {
        let mut pauses = Pauses::default();
        assert_eq!(calm(&mut pauses, 0..8), 10);
        pauses.end();
        assert!(calm(&mut pauses, [35, 36, 37, 38, 39]) > 50);
        pauses.end();
        assert_eq!(calm(&mut pauses, [10_000]), 45, "much later it is another complaint");
    }
}
