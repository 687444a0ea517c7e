//! The time between two samples of a series, and what it leaves uncertain.

use jiff::{SignedDuration, Timestamp};

/// Longest time between two samples that is reckoned with, milliseconds.
const LONGEST_INTERVAL_MS: u64 = 86_400_000;
/// Samples within which symptoms of one fault begin at services of which neither calls the other.
const SAME_ONSET: i32 = 3;

/// Returns the time between two samples, at most a day.
pub fn interval(interval_ms: u64) -> SignedDuration {
    SignedDuration::from_millis(interval_ms.min(LONGEST_INTERVAL_MS) as i64)
}

/// Whether two symptoms began at nearly the same time, where the slower series has a sample every `interval_ms`.
pub fn began_together(one: Timestamp, other: Timestamp, interval_ms: u64) -> bool {
    one.duration_since(other).abs() <= interval(interval_ms) * SAME_ONSET
}
