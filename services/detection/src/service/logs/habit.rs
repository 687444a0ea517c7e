//! Critical lines that a service always writes: they mean nothing here, whatever they mean elsewhere.

use serde::{Deserialize, Serialize};

/// Kinds of critical lines that are remembered apart; all further ones are taken together.
const MAX_KINDS: usize = 12;
/// Windows with critical lines, of about the last day, that make them a habit.
const HABIT_WINDOWS: f64 = 5.0;
const MEMORY_MS: f64 = 86_400_000.0;
/// Below so many windows a kind is forgotten.
const FORGOTTEN_WINDOWS: f64 = 0.5;

/// How often one kind of critical line came.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
struct Kind {
    template: u64,
    /// Windows with such lines, exponentially forgotten, as of the last of them.
    windows: f64,
    since_ms: i64,
    last_ms: i64,
    /// Begin of the window that was counted last.
    window_ms: i64,
    /// Whether it came before the habits of the service were known, and no longer stayed away since.
    is_of_old: bool,
}

impl Kind {
    fn windows_at(&self, now_ms: i64) -> f64 {
        let passed = now_ms.saturating_sub(self.last_ms).max(0) as f64;
        self.windows * (-passed / MEMORY_MS).exp()
    }
}

/// The moment at which a critical line comes.
#[derive(Debug, Clone, Copy)]
pub(super) struct Moment {
    pub(super) now_ms: i64,
    /// Begin of the open window.
    pub(super) window_ms: i64,
    /// Whether the habits of the service are known.
    pub(super) is_known: bool,
    pub(super) accept_after_ms: i64,
}

/// The critical lines that a service has written.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct Habits(Vec<Kind>);

impl Habits {
    /// Counts a critical line of a template. Returns whether this service always writes it: from its first lines on and
    /// never long away, or for as long as it takes to be accepted.
    pub(super) fn take(&mut self, template: u64, at: Moment) -> bool {
        self.0.retain(|kind| kind.windows_at(at.now_ms) >= FORGOTTEN_WINDOWS);
        let place = self.0.iter().position(|kind| kind.template == template);
        let place = place.unwrap_or_else(|| {
            if self.0.len() < MAX_KINDS {
                let Moment { now_ms, window_ms, is_known, .. } = at;
                let (since_ms, last_ms, window_ms) = (now_ms, now_ms, window_ms.saturating_sub(1));
                self.0.push(Kind {
                    template,
                    windows: 0.0,
                    since_ms,
                    last_ms,
                    window_ms,
                    is_of_old: !is_known,
                });
            }
            self.0.len() - 1
        });
        let kind = &mut self.0[place];
        let away_ms = at.now_ms.saturating_sub(kind.last_ms);
        kind.is_of_old = kind.is_of_old && away_ms < at.accept_after_ms;
        let windows = kind.windows_at(at.now_ms);
        let is_habit =
            windows >= HABIT_WINDOWS && at.now_ms.saturating_sub(kind.since_ms) >= at.accept_after_ms;
        kind.windows = windows + f64::from(u8::from(kind.window_ms != at.window_ms));
        (kind.window_ms, kind.last_ms) = (at.window_ms, at.now_ms);
        at.is_known && kind.is_of_old || is_habit
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn take(habits: &mut Habits, template: u64, minute: i64, is_known: bool) -> bool {
        let now_ms = minute * MINUTE_MS;
        habits.take(template, Moment { now_ms, window_ms: now_ms, is_known, accept_after_ms: 60 * MINUTE_MS })
    }

    #[test]
    fn what_came_before_anything_was_known_is_a_habit_until_it_stays_away() {
        let mut habits = Habits::default();
        assert!(!take(&mut habits, 1, 0, false));
        assert!(take(&mut habits, 1, 5, true));
        assert!(!take(&mut habits, 2, 6, true), "another kind is none");
        assert!(take(&mut habits, 1, 64, true));
        assert!(!take(&mut habits, 1, 125, true));
        assert!(!take(&mut habits, 1, 126, true));
    }

    #[test]
    fn what_came_for_an_hour_is_a_habit_for_about_a_day() {
        let mut habits = Habits::default();
        let first = (0..30).find(|tens| take(&mut habits, 1, 10 * tens, true));
        assert_eq!(first, Some(6));
        assert!(take(&mut habits, 1, 500, true));
        assert!(!take(&mut habits, 1, 500 + 5 * 24 * 60, true));
    }

    #[test]
    fn lines_without_end_and_likeness_are_one_habit() {
        let mut habits = Habits::default();
        let habitual =
            (0..100).filter(|number| take(&mut habits, *number, 10 * *number as i64, true)).count();
        assert!(habitual > 60, "{habitual}");
        assert!(habits.0.len() <= MAX_KINDS);
    }
}
