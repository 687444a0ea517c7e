//! A circuit breaker: a source that fails again and again is not asked for a while, and then with one query first.

use std::time::Duration;

use tokio::time::Instant;

/// Failures in a row after which a source is not asked.
pub const MAX_FAILURES: u32 = 3;
/// Time without a query.
pub const PAUSE: Duration = Duration::from_secs(30);

/// Where a breaker stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum State {
    /// Queries pass; so many failed in a row.
    Closed(u32),
    /// None passes until then.
    Open(Instant),
    /// One is under way, since then; it decides.
    Trial(Instant),
}

/// The breaker of one source.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Breaker(State);

impl Default for Breaker {
    fn default() -> Self {
        Self(State::Closed(0))
    }
}

impl Breaker {
    /// Returns whether a query may be made; if so, its outcome must be recorded. A trial whose outcome was never recorded, for it
    /// was aborted, blocks no longer than a pause.
    pub fn admits(&mut self, now: Instant) -> bool {
        match self.0 {
            State::Closed(_) => true,
            State::Open(until) if now >= until => {
                self.0 = State::Trial(now);
                true
            }
            State::Trial(since) if now >= since + PAUSE => {
                self.0 = State::Trial(now);
                true
            }
            State::Open(_) | State::Trial(_) => false,
        }
    }

    /// Records the outcome of a query.
    pub fn record(&mut self, succeeded: bool, now: Instant) {
        self.0 = match self.0 {
            _ if succeeded => State::Closed(0),
            State::Closed(failures) if failures + 1 < MAX_FAILURES => State::Closed(failures + 1),
            State::Closed(_) | State::Open(_) | State::Trial(_) => State::Open(now + PAUSE),
        };
    }
}
