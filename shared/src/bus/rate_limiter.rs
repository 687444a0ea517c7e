//! When something large may be written again, so that all writers together stay below a rate.

use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use tokio::time::Instant;

/// Longest time that one writing may ask for.
const LONGEST: Duration = Duration::from_hours(1);

/// A rate that several writers share.
#[derive(Debug)]
pub(super) struct RateLimiter {
    bytes_per_s: f64,
    /// When all that was written so far is paid for.
    paid: Mutex<Option<Instant>>,
}

impl RateLimiter {
    pub(super) fn new(bytes_per_s: f64) -> Self {
        Self { bytes_per_s, paid: Mutex::default() }
    }

    /// Notes what was written just now. Returns when its writer may write again. Time in which nobody writes is not
    /// saved up.
    pub(super) fn spend(&self, bytes: usize, now: Instant) -> Instant {
        if bytes == 0 {
            return now;
        }
        let takes = Duration::try_from_secs_f64(bytes as f64 / self.bytes_per_s).unwrap_or(LONGEST);
        let mut paid = self.paid.lock().unwrap_or_else(PoisonError::into_inner);
        let until = paid.map_or(now, |paid| paid.max(now)) + takes.min(LONGEST);
        *paid = Some(until);
        until
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn two_writers_together_stay_below_the_rate() {
        let (limiter, begun) = (RateLimiter::new(100.0), Instant::now());
        let at = |seconds| begun + Duration::from_secs(seconds);
        assert_eq!(limiter.spend(300, begun), at(3));
        assert_eq!(limiter.spend(500, begun), at(8));
        assert_eq!(limiter.spend(300, at(3)), at(11), "what the second has written is not paid for yet");
        assert_eq!(limiter.spend(100, at(60)), at(61), "rest is not saved up");
        assert_eq!(limiter.spend(0, at(60)), at(60), "nothing costs nothing");
        assert_eq!(RateLimiter::new(0.0).spend(1, begun), begun + LONGEST, "nor is there a wait without end");
    }
}
