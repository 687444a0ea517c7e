//! A circuit breaker: a host or source that fails again and again is not asked for a while, and then with one request first.

use std::time::Duration;

use tokio::time::Instant;

/// Time without a request.
pub const PAUSE: Duration = Duration::from_secs(30);

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Requests pass; so many failed in a row.
    Closed(u32),
    /// None passes until then.
    Open(Instant),
    /// One is under way, since then; it decides.
    Trial(Instant),
}

/// The breaker of one host or source, which is not asked after so many failures in a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker<const MAX_FAILURES: u32>(State);

impl<const MAX_FAILURES: u32> Default for Breaker<MAX_FAILURES> {
    fn default() -> Self {
        Self(State::Closed(0))
    }
}

impl<const MAX_FAILURES: u32> Breaker<MAX_FAILURES> {
    /// Lets a request pass, whose outcome must then be recorded; or returns how long none passes. A trial whose outcome was never
    /// recorded, for it was aborted, blocks no longer than a pause.
    pub fn admit(&mut self, now: Instant) -> Result<(), Duration> {
        let until = match self.0 {
            State::Closed(_) => return Ok(()),
            State::Open(until) => until,
            State::Trial(since) => since + PAUSE,
        };
        if now < until {
            return Err(until - now);
        }
        self.0 = State::Trial(now);
        Ok(())
    }

    /// Returns whether a request may be made, whose outcome must then be recorded.
    pub fn admits(&mut self, now: Instant) -> bool {
        self.admit(now).is_ok()
    }

    /// Records the outcome of a request.
    pub fn record(&mut self, succeeded: bool, now: Instant) {
        self.0 = match self.0 {
            _ if succeeded => State::Closed(0),
            State::Closed(failures) if failures + 1 < MAX_FAILURES => State::Closed(failures + 1),
            State::Closed(_) | State::Open(_) | State::Trial(_) => State::Open(now + PAUSE),
        };
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_FAILURES: u32 = 5;

    #[tokio::test]
    async fn after_five_failures_in_a_row_one_request_in_half_a_minute_passes() {
        let (mut breaker, start) = (Breaker::<MAX_FAILURES>::default(), Instant::now());
        for _ in 0..MAX_FAILURES - 1 {
            breaker.record(false, start);
        }
        breaker.record(true, start);
        for _ in 0..MAX_FAILURES {
            assert_eq!(breaker.admit(start), Ok(()));
            breaker.record(false, start);
        }
        assert_eq!(breaker.admit(start + PAUSE / 3), Err(PAUSE * 2 / 3));
        assert_eq!(breaker.admit(start + PAUSE), Ok(()), "half open");
        assert!(breaker.admit(start + PAUSE).is_err(), "one request decides");
        breaker.record(false, start + PAUSE);
        assert!(breaker.admit(start + PAUSE).is_err());
        assert_eq!(breaker.admit(start + 2 * PAUSE), Ok(()));
        breaker.record(true, start + 2 * PAUSE);
        assert_eq!(breaker.admit(start + 2 * PAUSE), Ok(()));
        assert_eq!(breaker.admit(start + 2 * PAUSE), Ok(()));
    }
}
