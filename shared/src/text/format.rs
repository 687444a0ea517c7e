//! Figures as people read them: values with units, shares, durations and times (UTC).

mod unit;

use jiff::Timestamp;
use jiff::tz::TimeZone;

use crate::events::anomaly::{Band, Direction};
pub use unit::Scale;

/// Returns a value to three significant digits with its unit, e.g. `7.38 s`, `97.4 %`, `6 lines a minute`.
pub fn figure(value: f64, unit: &str) -> String {
    Scale::of(unit, value).figure(value)
}

/// Returns a band, e.g. `25.2–34.8 ms`; the figure alone where both edges read the same.
pub fn band(band: &Band, unit: &str) -> String {
    range(band, unit, "–")
}

/// Returns a band as it stands in a sentence, e.g. `25.2 to 34.8 ms`.
pub fn band_in_words(band: &Band, unit: &str) -> String {
    range(band, unit, " to ")
}

fn range(band: &Band, unit: &str, between: &str) -> String {
    let (lower, upper) = (band.lower.min(band.upper), band.lower.max(band.upper));
    let scale = Scale::of(unit, lower.abs().max(upper.abs()));
    let (from, to) = (scale.number(lower), scale.figure(upper));
    if from == scale.number(upper) { to } else { format!("{from}{between}{to}") }
}

/// Returns a value as it is read where [`figure`] writes it: rounded.
pub fn rounded(value: f64, unit: &str) -> f64 {
    Scale::of(unit, value).rounded(value)
}

/// Returns the side of a band on which a value lies, as people read both: nothing where the rounded figures do not show it.
pub fn side(value: f64, band: &Band, unit: &str) -> Option<Direction> {
    let (lower, upper) = (band.lower.min(band.upper), band.lower.max(band.upper));
    let scale = Scale::of(unit, lower.abs().max(upper.abs()));
    let (value, lower, upper) = (rounded(value, unit), scale.rounded(lower), scale.rounded(upper));
    // scales may differ, and their factors are not exact
    let fuzz = 1e-9 * value.abs().max(upper.abs()).max(lower.abs());
    if value > upper + fuzz {
        Some(Direction::Up)
    } else if value < lower - fuzz {
        Some(Direction::Down)
    } else {
        None
    }
}

/// Returns a number to three significant digits, thousands grouped.
pub fn number(value: f64) -> String {
    if !value.is_finite() {
        return "n/a".to_owned();
    }
    let fixed = digits(value);
    if fixed.contains('e') {
        return fixed;
    }
    let (whole, fraction) = fixed.split_once('.').unwrap_or((&fixed, ""));
    let fraction = fraction.trim_end_matches('0');
    let (sign, whole) = whole.strip_prefix('-').map_or(("", whole), |rest| ("−", rest));
    let grouped = grouped(whole);
    if grouped == "0" && fraction.is_empty() {
        return grouped;
    }
    if fraction.is_empty() { format!("{sign}{grouped}") } else { format!("{sign}{grouped}.{fraction}") }
}

/// Rounds to three significant digits, or to the whole number where that has more.
fn digits(value: f64) -> String {
    let size = value.abs();
    if size != 0.0 && !(1e-3..1e12).contains(&size) {
        return format!("{value:.2e}");
    }
    let digits = if size == 0.0 { 1.0 } else { size.log10().floor() + 1.0 };
    let decimals = (3.0 - digits).clamp(0.0, 5.0) as usize;
    format!("{value:.decimals$}")
}

/// Returns a count with its thousands grouped, e.g. `49,900`.
pub fn count(count: i64) -> String {
    let sign = if count < 0 { "−" } else { "" };
    format!("{sign}{}", grouped(&count.unsigned_abs().to_string()))
}

/// Returns a count with its noun, e.g. `1 step`, `5 steps`.
pub fn counted(number: usize, noun: &str) -> String {
    format!("{} {noun}{}", count(number as i64), if number == 1 { "" } else { "s" })
}

fn grouped(digits: &str) -> String {
    let mut grouped = String::with_capacity(digits.len() + digits.len() / 3);
    for (place, digit) in digits.chars().enumerate() {
        if place > 0 && (digits.len() - place).is_multiple_of(3) {
            grouped.push(',');
        }
        grouped.push(digit);
    }
    grouped
}

/// Returns a share of 1 in percent; near certainty is not rounded to certainty.
pub fn percent(share: f64) -> String {
    match share * 100.0 {
        p if !p.is_finite() => "n/a".to_owned(),
        p if p <= 0.0 => "0\u{a0}%".to_owned(),
        p if p < 1.0 => "<1\u{a0}%".to_owned(),
        p if p > 99.0 && p < 100.0 => ">99\u{a0}%".to_owned(),
        p => format!("{:.0}\u{a0}%", p.min(100.0)),
    }
}

/// Returns a duration of milliseconds in its two largest units, e.g. `3 min 20 s`.
pub fn duration(ms: i64) -> String {
    let seconds = (ms.unsigned_abs() + 500) / 1000;
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3600 % 24, seconds / 60 % 60, seconds % 60);
    let two = |large: u64, large_name: &str, small: u64, small_name: &str| {
        if small == 0 {
            format!("{large}\u{a0}{large_name}")
        } else {
            format!("{large}\u{a0}{large_name} {small}\u{a0}{small_name}")
        }
    };
    match (days, hours, minutes) {
        (0, 0, 0) if ms.unsigned_abs() < 1000 => format!("{}\u{a0}ms", ms.unsigned_abs()),
        (0, 0, 0) => format!("{rest}\u{a0}s"),
        (0, 0, _) => two(minutes, "min", rest, "s"),
        (0, _, _) => two(hours, "h", minutes, "min"),
        _ => two(days, "d", hours, "h"),
    }
}

/// Returns the duration between two times, whichever is first.
pub fn between(a: Timestamp, b: Timestamp) -> String {
    duration(b.as_millisecond().saturating_sub(a.as_millisecond()))
}

/// Returns day and time, e.g. `14 Mar 2026, 09:26:53 UTC`.
pub fn moment(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%-d %b %Y, %H:%M:%S UTC").to_string()
}

/// Returns the time of day, e.g. `09:26:53`.
pub fn clock(at: Timestamp) -> String {
    at.to_zoned(TimeZone::UTC).strftime("%H:%M:%S").to_string()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_have_three_digits_and_a_unit() {
        let read = [(7380.0, "ms"), (97.36, "%"), (9.996, ""), (100.0, "count"), (-1234.0, "{job}")]
            .map(|(value, unit)| figure(value, unit).replace('\u{a0}', " "));
        assert_eq!(read, ["7.38 s", "97.4 %", "10", "100", "−1,234 jobs"]);
        assert_eq!(figure(1.5 * 1024.0 * 1024.0 * 1024.0, "By").replace('\u{a0}', " "), "1.5 GiB");
        assert_eq!(number(1e300), "1.00e300");
        assert_eq!([count(0), count(999), count(-1_234_567)], ["0", "999", "−1,234,567"]);
    }

    fn edges(lower: f64, upper: f64) -> Band {
        Band { lower, center: f64::midpoint(lower, upper), upper }
    }

    #[test]
    fn both_edges_of_a_band_have_one_unit() {
        let read = |lower, upper, unit| band_in_words(&edges(lower, upper), unit).replace('\u{a0}', " ");
        assert_eq!(read(252.0, 1340.0, "ms"), "0.252 to 1.34 s");
        assert_eq!(read(0.0, 0.0, "{line}/min"), "0 lines a minute");
        assert_eq!(read(0.0, 1.0, "connections"), "0 to 1 connection");
        assert_eq!(band(&edges(25.2, 34.8), "ms"), "25.2–34.8\u{a0}ms");
    }

    #[test]
    fn a_side_is_named_only_where_the_printed_figures_show_it() {
        for (value, lower, upper, unit, expected) in [
            (100.0, 71.5, 100.0, "%", None),
            (100.04, 71.5, 99.96, "%", None),
            (100.6, 71.5, 100.0, "%", Some(Direction::Up)),
            (6.0, 0.0, 9.9, "{line}/min", None),
            (6.0, 0.0, 0.0, "{line}/min", Some(Direction::Up)),
            (71.4, 71.5, 100.0, "%", Some(Direction::Down)),
            (1000.4, 20.0, 999.6, "ms", None),
            (1020.0, 20.0, 999.6, "ms", Some(Direction::Up)),
            (-3.0, 14.0, 30.0, "d", Some(Direction::Down)),
        ] {
            assert_eq!(side(value, &edges(lower, upper), unit), expected, "{value} {lower} {upper} {unit}");
        }
    }

    #[test]
    fn near_certainty_is_not_certainty() {
        let read = [0.0, 0.004, 0.934, 0.996, 1.0].map(|share| percent(share).replace('\u{a0}', " "));
        assert_eq!(read, ["0 %", "<1 %", "93 %", ">99 %", "100 %"]);
    }

    #[test]
    fn durations_name_their_two_largest_units() {
        let read = [40, 41_000, 200_000, 3_600_000, 5_430_000, 93_600_000]
            .map(|ms| duration(ms).replace('\u{a0}', " "));
        assert_eq!(read, ["40 ms", "41 s", "3 min 20 s", "1 h", "1 h 30 min", "1 d 2 h"]);
    }
}
