//! Measured durations and their percentiles.

use std::fmt;
use std::time::Duration;

/// Measured durations.
#[derive(Debug, Clone, Default)]
pub struct Durations(Vec<Duration>);

impl Durations {
    /// Adds a measurement.
    pub fn push(&mut self, duration: Duration) {
        let place = self.0.partition_point(|known| *known <= duration);
        self.0.insert(place, duration);
    }

    /// Returns how many were measured.
    pub fn number(&self) -> usize {
        self.0.len()
    }

    /// Returns the measurement at a share (0 to 1) of the sorted ones, milliseconds; 0 where there is none.
    pub fn percentile_ms(&self, share: f64) -> f64 {
        let place = (self.0.len().saturating_sub(1) as f64 * share).round() as usize;
        self.0.get(place).map_or(0.0, |duration| duration.as_secs_f64() * 1_000.0)
    }
}

impl fmt::Display for Durations {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let at = |share| self.percentile_ms(share);
        write!(
            f,
            "p50 {:.1} ms, p95 {:.1} ms, p99 {:.1} ms, most {:.1} ms",
            at(0.5),
            at(0.95),
            at(0.99),
            at(1.0)
        )
    }
}
