//! Times as people write them.

use std::str::FromStr;

use jiff::{SignedDuration, Timestamp, civil, tz::TimeZone};
use shared::window::duration;

/// A time as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Moment {
    /// A point in time.
    At(Timestamp),
    /// So long ago.
    Ago(SignedDuration),
}

impl Moment {
    /// Returns the point in time, seen from `now`.
    pub fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::Ago(ago) => now.saturating_sub(ago).unwrap_or(Timestamp::MIN),
        }
    }
}

impl FromStr for Moment {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(at) = text.parse() {
            return Ok(Self::At(at));
        }
        // what we print ourselves is UTC
        if let Ok(at) = text.parse::<civil::DateTime>().and_then(|at| at.to_zoned(TimeZone::UTC)) {
            return Ok(Self::At(at.timestamp()));
        }
        duration(text)
            .ok()
            .filter(|ago| !ago.is_negative())
            .map(Self::Ago)
            .ok_or("neither a time such as `2026-03-01 10:00` nor a duration such as `2h`")
    }
}

/// A time to come as people write it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Until {
    /// A point in time.
    At(Timestamp),
    /// After so long.
    In(SignedDuration),
}

impl Until {
    /// Returns the point in time, seen from `now`.
    pub fn seen_from(self, now: Timestamp) -> Timestamp {
        match self {
            Self::At(at) => at,
            Self::In(wait) => now.saturating_add(wait).unwrap_or(Timestamp::MAX),
        }
    }
}

impl FromStr for Until {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        text.parse::<Moment>().map(|moment| match moment {
            Moment::At(at) => Self::At(at),
            Moment::Ago(wait) => Self::In(wait),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_read_in_the_ways_people_write_it() {
        let now: Timestamp = "2026-03-01T10:00:00Z".parse().unwrap();
        for (text, at) in [
            ("2026-03-01T11:00:00+02:00", "2026-03-01T09:00:00Z"),
            ("2026-03-01 09:30:05", "2026-03-01T09:30:05Z"),
            ("2026-03-01 09:30", "2026-03-01T09:30:00Z"),
            ("2026-02-28", "2026-02-28T00:00:00Z"),
            ("90m", "2026-03-01T08:30:00Z"),
            ("2 days", "2026-02-27T10:00:00Z"),
            ("1h 30m", "2026-03-01T08:30:00Z"),
        ] {
            let moment: Moment = text.parse().unwrap();
            assert_eq!(moment.seen_from(now), at.parse().unwrap(), "{text}");
        }
        for wrong in ["", "yesterday", "-2h", "2", "1 month", "10:00"] {
            assert!(wrong.parse::<Moment>().is_err(), "{wrong}");
        }
        assert_eq!(Moment::Ago(SignedDuration::MAX).seen_from(now), Timestamp::MIN);
    }
}
