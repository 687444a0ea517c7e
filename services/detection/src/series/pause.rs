//! Pauses of telemetry: a restart, maintenance, a night. What came before says little about what comes after.

use super::Series;
use super::slow::LongMemory;
use crate::config::Settings;

/// A pause from which on the level of the last hours says little about what comes next, milliseconds.
const PAUSE_MS: f64 = 15.0 * 60_000.0;
/// Time in which a day whose curve is not known may move by as much as the level, milliseconds; the farthest that it may
/// move, in levels; and how much farther than usual one may move whose curve is known.
const DAY_MOVES_MS: f64 = 6.0 * 3_600_000.0;
const DAY_MOVES_LEVELS: f64 = 2.0;
const DAY_MARGIN_FACTOR: f64 = 1.5;

impl Series {
    /// Notes a pause of `gap_ms` that ends: the level may have moved as far as the day does in that time.
    pub(super) fn doubt(&mut self, ts_ms: i64, gap_ms: f64, settings: &Settings) {
        let LongMemory::Ranks(history) = &mut self.memory else { return };
        let local_ms = settings.time_zone.local_ms(ts_ms);
        let known = history.moves(local_ms.saturating_sub(gap_ms as i64), local_ms).map_or(0.0, f64::abs);
        if gap_ms >= PAUSE_MS {
            history.pause();
        }
        let unknown = self.baseline.level().abs() * (gap_ms / DAY_MOVES_MS).min(DAY_MOVES_LEVELS);
        self.baseline.doubt(unknown.max(DAY_MARGIN_FACTOR * known));
    }
}
