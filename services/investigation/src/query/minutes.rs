//! Counts of each minute.

use jiff::Timestamp;
use shared::events::anomaly::Point;
use shared::events::evidence::MAX_POINTS;

/// Most lines of a minute: what is more is no count.
const MAX_COUNT: f64 = 1e15;
/// Length of a minute, milliseconds.
pub const MINUTE_MS: i64 = 60_000;

/// Returns the lines of each minute from `from` to `to`, zero where none was counted. A count belongs to the minute in which its
/// time lies.
pub fn of(from: Timestamp, to: Timestamp, counts: impl Iterator<Item = (i64, f64)>) -> Vec<Point> {
    let (begin, end) = (from.as_millisecond(), to.as_millisecond());
    let length = usize::try_from((end.saturating_sub(begin) + MINUTE_MS - 1) / MINUTE_MS).unwrap_or(0);
    let at = |place: usize| begin + place as i64 * MINUTE_MS;
    let mut minutes: Vec<Point> =
        (0..length.min(MAX_POINTS)).map(|place| Point { ts_ms: at(place), value: 0.0 }).collect();
    for (ts_ms, count) in counts.filter(|(_, count)| count.is_finite() && *count > 0.0) {
        let place = usize::try_from(ts_ms.saturating_sub(begin).div_euclid(MINUTE_MS));
        if let Some(minute) = place.ok().and_then(|place| minutes.get_mut(place)) {
            minute.value = (minute.value + count).min(MAX_COUNT);
        }
    }
    minutes
}
