//! How often a stage has failed in a row, and how long it waits before it begins again.

use std::time::{Duration, Instant};

/// First pause; each further one is twice as long.
const FIRST: Duration = Duration::from_millis(250);
/// Longest pause.
const LONGEST: Duration = Duration::from_mins(1);
/// Failures in a row after which the stage counts as standing still.
const STANDS_STILL: u32 = 4;
/// A stage that has run for so many times its longest timeout has not failed in a row.
const STEADY_FACTOR: u32 = 3;
/// Time after which the same reason is logged again.
const REPEAT: Duration = Duration::from_mins(10);

/// Returns how long a stage has to run for its failure not to be one in a row, where one request waits for `timeout`.
pub(super) fn steady(timeout: Duration) -> Duration {
    timeout.saturating_mul(STEADY_FACTOR)
}

/// Failures in a row.
#[derive(Debug, Default)]
pub(super) struct Failures {
    count: u32,
    logged: Option<(String, Instant)>,
}

impl Failures {
    /// Notes a failure, logs its reason where that is another one, and returns the pause before the next try.
    pub(super) fn note(&mut self, reason: String) -> Duration {
        self.count = self.count.saturating_add(1);
        let pause = FIRST.saturating_mul(1 << (self.count - 1).min(16)).min(LONGEST);
        let is_known =
            self.logged.as_ref().is_some_and(|(before, at)| *before == reason && at.elapsed() < REPEAT);
        if !is_known {
            tracing::warn!(
                reason,
                "partitions cannot be worked on; trying again from the last snapshot after a pause"
            );
            self.logged = Some((reason, Instant::now()));
        }
        pause
    }

    /// Forgets the failures before a run that was long enough to be `steady`.
    pub(super) fn forget_after(&mut self, ran: Duration, steady: Duration) {
        if ran >= steady {
            self.count = 0;
        }
    }

    /// Returns whether trying again has not helped.
    pub(super) fn stand_still(&self) -> bool {
        self.count >= STANDS_STILL
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pauses_grow_to_a_minute_and_a_long_run_ends_the_row() {
        let mut failures = Failures::default();
        let pauses: Vec<u128> = (0..40).map(|_| failures.note("no room".to_owned()).as_millis()).collect();
        assert_eq!(pauses[..3], [250, 500, 1000]);
        assert_eq!((pauses[8], pauses[39]), (60_000, 60_000));
        assert!(failures.stand_still());
        let timeout = Duration::from_secs(30);
        failures.forget_after(timeout + timeout / 2, steady(timeout));
        assert!(failures.stand_still(), "each run may end with a timeout");
        failures.forget_after(3 * timeout, steady(timeout));
        assert!(!failures.stand_still());
    }
}
