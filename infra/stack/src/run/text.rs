//! Durations for a terminal: those of `shared::text::format`, with plain spaces.

use std::time::Duration;

use jiff::SignedDuration;
use shared::text::format;

/// Seconds from which a duration is printed in two units.
const TWO_UNITS_S: f64 = 60.0;

/// Returns a duration, e.g. `4.2 s`, `1 min 5 s`.
pub fn duration(time: SignedDuration) -> String {
    let seconds = time.as_secs_f64();
    if seconds.abs() < TWO_UNITS_S {
        return plain_spaces(&format::figure(seconds, "s"));
    }
    let sign = if seconds < 0.0 { "−" } else { "" };
    let ms = i64::try_from(time.as_millis()).unwrap_or(i64::MAX);
    format!("{sign}{}", plain_spaces(&format::duration(ms)))
}

/// Returns a time that was measured, as [`duration`] does.
pub fn elapsed(time: Duration) -> String {
    duration(SignedDuration::try_from(time).unwrap_or(SignedDuration::MAX))
}

fn plain_spaces(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_have_units() {
        let printed = [0, 40, 4_240, 27_000, 125_000].map(|ms| elapsed(Duration::from_millis(ms)));
        assert_eq!(printed, ["0 s", "40 ms", "4.24 s", "27 s", "2 min 5 s"]);
        assert_eq!(duration(SignedDuration::from_secs(-3)), "−3 s");
        assert_eq!(duration(SignedDuration::from_secs(-65)), "−1 min 5 s");
    }
}
