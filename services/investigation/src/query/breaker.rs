//! The circuit breaker of a source.

pub use shared::breaker::PAUSE;

/// Failures in a row after which a source is not asked.
pub const MAX_FAILURES: u32 = 3;

/// The breaker of one source.
pub type Breaker = shared::breaker::Breaker<MAX_FAILURES>;
