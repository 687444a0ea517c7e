//! CPU time that a host gives to other guests while a service wants it ("steal"). It is a symptom: what causes it is a
//! neighbour on the host, which neither calls nor is called. Telemetry seldom names hosts, so the neighbour is the service whose
//! own CPU use rose at the same time.

use jiff::{SignedDuration, Timestamp};
use shared::events::Kind;
use shared::events::anomaly::Direction;
use shared::events::incident::Signal;

/// Samples within which symptoms of one fault begin at services of which neither calls the other.
const SAME_ONSET: i32 = 3;
/// Longest time between two samples that is reckoned with, milliseconds.
const LONGEST_INTERVAL_MS: u64 = 86_400_000;

/// Whether a signal shows that a host gave more CPU time to others.
pub fn is_steal(signal: &Signal) -> bool {
    signal.kind == Kind::Cpu
        && signal.direction == Direction::Up
        && signal.metric.to_ascii_lowercase().contains("steal")
}

/// Whether a signal shows that a service itself uses more CPU time.
pub fn is_own_use(signal: &Signal) -> bool {
    signal.kind == Kind::Cpu && signal.direction == Direction::Up && !is_steal(signal)
}

/// Whether two symptoms began at nearly the same time, where the slower series has a sample every `interval_ms`.
pub fn began_together(one: Timestamp, other: Timestamp, interval_ms: u64) -> bool {
    let near = SignedDuration::from_millis(interval_ms.min(LONGEST_INTERVAL_MS) as i64) * SAME_ONSET;
    one.duration_since(other).abs() <= near
}

/// Whether `user` may have taken the CPU time that `steal` shows: another service whose own use rose at the same time.
pub fn is_taken_by(steal: &Signal, user: &Signal) -> bool {
    steal.service != user.service
        && is_own_use(user)
        && began_together(steal.started_at, user.started_at, steal.interval_ms.max(user.interval_ms))
}
