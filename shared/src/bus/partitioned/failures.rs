//! How often a stage has failed in a row, and how long it waits before it begins again.

use std::time::{Duration, Instant};

use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

/// Longest pause.
const LONGEST: Duration = Duration::from_mins(1);
/// Pauses between tries; without an end.
const BACKOFF: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(250))
    .with_max_delay(LONGEST)
    .without_max_times();
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
#[derive(Debug)]
pub(super) struct Failures {
    count: u32,
    pauses: ExponentialBackoff,
    logged: Option<(String, Instant)>,
}

impl Default for Failures {
    fn default() -> Self {
        Self { count: 0, pauses: BACKOFF.build(), logged: None }
    }
}

impl Failures {
    /// Notes a failure, logs its reason where that is another one, and returns the pause before the next try.
    pub(super) fn note(&mut self, reason: String) -> Duration {
        self.count = self.count.saturating_add(1);
        let is_known =
            self.logged.as_ref().is_some_and(|(before, at)| *before == reason && at.elapsed() < REPEAT);
        if !is_known {
            tracing::warn!(
                reason,
                "partitions cannot be worked on; trying again from the last snapshot after a pause"
            );
            self.logged = Some((reason, Instant::now()));
        }
        self.pauses.next().unwrap_or(LONGEST)
    }

    /// Forgets the failures before a run that was long enough to be `steady`.
    pub(super) fn forget_after(&mut self, ran: Duration, steady: Duration) {
        if ran >= steady {
            (self.count, self.pauses) = (0, BACKOFF.build());
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
