//! From the time on the wall to the instant, also on days when clocks are changed.

use jiff::civil::{Date, DateTime};
use jiff::tz::{AmbiguousOffset, TimeZone};
use jiff::{SignedDuration, Timestamp};

use super::Error;

/// Returns a zone of the IANA database, e.g. `Europe/Berlin`.
///
/// # Errors
/// If there is no such zone.
pub fn zone(name: &str) -> Result<TimeZone, Error> {
    TimeZone::get(name).map_err(|_| Error::Zone(name.to_owned()))
}

/// Returns the instant of a local time. A time that does not exist is taken at the next instant that does; of one that exists
/// twice the first is taken. So the order of local times is kept.
pub fn instant(zone: &TimeZone, local: DateTime) -> Timestamp {
    let ambiguous = zone.to_ambiguous_timestamp(local);
    let found = match ambiguous.offset() {
        AmbiguousOffset::Gap { after, .. } => {
            // read with the offset behind the gap it lies before the change, which is the next one
            let before = after.to_timestamp(local);
            before.map(|before| zone.following(before).next().map_or(before, |change| change.timestamp()))
        }
        AmbiguousOffset::Fold { .. } | AmbiguousOffset::Unambiguous { .. } => ambiguous.earlier(),
    };
    // out of the range of years
    found.unwrap_or(if local.year() < 0 { Timestamp::MIN } else { Timestamp::MAX })
}

/// Returns the local time of an instant.
pub fn local(zone: &TimeZone, at: Timestamp) -> DateTime {
    zone.to_datetime(at)
}

/// Returns a local time that no instant up to `at` exceeds: behind a change that set clocks back, the time before it.
pub(super) fn latest_local(zone: &TimeZone, at: Timestamp) -> DateTime {
    let yesterday = at.saturating_sub(SignedDuration::from_hours(24)).unwrap_or(Timestamp::MIN);
    let earlier = zone.to_offset(yesterday).to_datetime(at);
    local(zone, at).max(earlier)
}

/// Returns the first instant of a day.
pub fn midnight(zone: &TimeZone, date: Date) -> Timestamp {
    instant(zone, date.at(0, 0, 0, 0))
}
