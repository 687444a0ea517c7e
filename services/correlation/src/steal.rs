//! CPU time that a host gives to other guests while a service wants it ("steal"). It is a symptom: what causes it is a
//! neighbour on the host, which neither calls nor is called. Telemetry seldom names hosts, so the neighbour is the service whose
//! own CPU use rose at the same time.

use shared::events::Kind;
use shared::events::anomaly::Direction;
use shared::events::incident::Signal;

use crate::sampling::began_together;

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

/// Whether `user` may have taken the CPU time that `steal` shows: another service whose own use rose at the same time.
pub fn is_taken_by(steal: &Signal, user: &Signal) -> bool {
    is_steal(steal)
        && is_own_use(user)
        && steal.service != user.service
        && began_together(steal.started_at, user.started_at, steal.interval_ms.max(user.interval_ms))
}
