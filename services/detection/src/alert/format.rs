//! Values, times and spans as people read them.

use shared::clock::from_ms;
use shared::events::anomaly::Band;
use shared::text::format::{self, band_in_words, figure, side};

/// A deployment that is this close before an episode is mentioned, milliseconds.
const RECENT_DEPLOYMENT_MS: i64 = 3_600_000;

/// Writes a value with its unit.
pub(crate) fn quantity(value: f64, unit: &str) -> String {
    figure(value, unit).replace('\u{a0}', " ")
}

/// Writes a share in percent.
pub(crate) fn percent(share: f64) -> String {
    format::percent(share).replace('\u{a0}', " ")
}

/// Writes a band with its unit.
pub(crate) fn range(band: &Band, unit: &str) -> String {
    band_in_words(band, unit).replace('\u{a0}', " ")
}

/// Writes what was expected of a value: the band it has left, or what is usual where the figures do not show that it has.
pub(crate) fn expectation(value: f64, band: &Band, unit: &str) -> String {
    match side(value, band, unit) {
        Some(_) => format!("expected {}", range(band, unit)),
        None => format!("usually {} and inside {}", quantity(band.center, unit), range(band, unit)),
    }
}

/// Writes a time of day, with the date where it is not the day of `now_ms`.
pub(crate) fn time(ms: i64, now_ms: i64) -> String {
    let (then, now) = (from_ms(ms), from_ms(now_ms));
    let same_day = then.strftime("%F").to_string() == now.strftime("%F").to_string();
    let format = if same_day { "%H:%M:%S UTC" } else { "%F %H:%M:%S UTC" };
    then.strftime(format).to_string()
}

/// Writes how long something took, roughly.
pub(crate) fn duration(ms: i64) -> String {
    let seconds = ms.max(0) / 1000;
    match seconds {
        ..=119 => format!("{seconds} s"),
        120..7200 => format!("{} min", (seconds + 30) / 60),
        7200..172_800 => format!("{} h", (seconds + 1800) / 3600),
        _ => format!("{} days", (seconds + 43_200) / 86_400),
    }
}

/// Returns a clause on the deployment that came shortly before what began at `started_ms`, or nothing.
pub(crate) fn after_deployment(deployed: Option<(&str, i64)>, started_ms: i64) -> String {
    deployed
        .map(|(version, at_ms)| (version, started_ms.saturating_sub(at_ms)))
        .filter(|(_, before)| (0..=RECENT_DEPLOYMENT_MS).contains(before))
        .map(|(version, before)| format!("; version {version} was deployed {} before", duration(before)))
        .unwrap_or_default()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn durations_and_times_read_well() {
        assert_eq!([duration(45_000), duration(240_000), duration(7_200_000)], ["45 s", "4 min", "2 h"]);
        let noon = 1_750_000_000_000;
        assert_eq!(time(noon, noon), "15:06:40 UTC");
        assert_eq!(time(noon, noon + 86_400_000), "2025-06-15 15:06:40 UTC");
    }
}
