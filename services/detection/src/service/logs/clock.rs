//! What time it is on one partition of `raw.logs`: the newest event time of any line, and ticks where there are no lines.

use serde::{Deserialize, Serialize};

use crate::config::Settings;
use crate::service::outcome::Reason;

/// The end of the year 9999. Nothing is later, so that sums of times do not overflow.
const LATEST_MS: i64 = 253_402_300_799_999;

/// The time of one partition of `raw.logs`. All its services are judged by it, so that one that has fallen silent is too.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct LogClock {
    /// Newest event time, milliseconds.
    now_ms: Option<i64>,
    /// The last record's own time, milliseconds.
    stamp_ms: i64,
}

impl LogClock {
    /// Takes the time of a line, and of its record. Returns the time by which the line is judged, or why it is not used:
    /// too far ahead both of all lines so far and of its record, or too far behind.
    pub(crate) fn take(&mut self, ts_ms: i64, stamp_ms: i64, settings: &Settings) -> Result<i64, Reason> {
        let newest = self.now_ms.unwrap_or(i64::MIN);
        if ts_ms > newest.max(stamp_ms).saturating_add(settings.ahead_ms()).min(LATEST_MS) {
            return Err(Reason::Ahead);
        }
        if ts_ms < newest.saturating_sub(settings.late_after_ms()) {
            return Err(Reason::Late);
        }
        let now_ms = newest.max(ts_ms);
        *self = Self { now_ms: Some(now_ms), stamp_ms };
        Ok(now_ms)
    }

    /// Takes a tick: as much time has passed as lies between its record and the one before.
    pub(crate) fn tick(&mut self, stamp_ms: i64) {
        if let Some(now_ms) = self.now_ms
            && stamp_ms < i64::MAX
        {
            let passed = stamp_ms.saturating_sub(self.stamp_ms).max(0);
            *self = Self { now_ms: Some(now_ms.saturating_add(passed).min(LATEST_MS)), stamp_ms };
        }
    }

    /// Returns what time it is, after the first line.
    pub(crate) fn now_ms(&self) -> Option<i64> {
        self.now_ms
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ticks_move_time_on_by_what_their_records_say_and_never_back() {
        let (settings, mut clock) = (Settings::default(), LogClock::default());
        clock.tick(9_000_000);
        assert_eq!(clock.now_ms(), None);
        assert_eq!(clock.take(10_000_000, 10_002_000, &settings), Ok(10_000_000));
        clock.tick(10_007_000);
        assert_eq!(clock.now_ms(), Some(10_005_000));
        clock.tick(10_001_000);
        clock.tick(i64::MAX);
        assert_eq!(clock.now_ms(), Some(10_005_000));
        assert_eq!(clock.take(10_001_000, 10_010_000, &settings), Ok(10_005_000));
        assert_eq!(clock.take(5_000_000, 10_010_000, &settings), Err(Reason::Late));
        assert_eq!(clock.take(10_310_001, 10_010_000, &settings), Err(Reason::Ahead));
        assert_eq!(clock.take(i64::MAX, i64::MAX, &settings), Err(Reason::Ahead));
    }
}
