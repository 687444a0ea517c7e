//! Times in nanoseconds.

use shared::events::raw::{NoEventTime, TimeUnit, event_time};

use crate::refusals::Reason;

/// Returns a time in milliseconds. One that was given in another unit is refused by the name of that unit.
pub(super) fn to_ms(field: &str, nanos: u64) -> Result<i64, (Reason, String)> {
    if nanos == 0 {
        return Err((Reason::Clock, format!("{field} is 0; it is required")));
    }
    let mistaken = match event_time(i64::try_from(nanos).unwrap_or(i64::MAX)) {
        Ok(()) => Some("milliseconds"),
        Err(NoEventTime::Unit(unit)) if unit != TimeUnit::Nanoseconds => Some(unit.name()),
        Err(_) => None,
    };
    match mistaken {
        Some(unit) => {
            Err((Reason::Clock, format!("{field} is in {unit}; it must be in nanoseconds since 1970")))
        }
        None => Ok((nanos / 1_000_000) as i64),
    }
}

/// Returns a start in milliseconds; none where it is 0, which stands for unknown.
pub(super) fn start_ms(nanos: u64) -> Option<i64> {
    (nanos != 0).then_some((nanos / 1_000_000) as i64)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_in_another_unit_is_refused_by_its_name() {
        const NOW_MS: u64 = 1_772_359_210_000;
        assert_eq!(to_ms("t", NOW_MS * 1_000_000), Ok(1_772_359_210_000));
        for (nanos, word) in [
            (0, "required"),
            (NOW_MS / 1_000, "in seconds"),
            (NOW_MS, "in milliseconds"),
            (NOW_MS * 1_000, "in microseconds"),
        ] {
            let (reason, detail) = to_ms("t", nanos).unwrap_err();
            assert!(reason == Reason::Clock && detail.contains(word), "{detail}");
        }
    }
}
