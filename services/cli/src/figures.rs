//! Numbers, times and durations as people read them.

use jiff::{SignedDuration, Timestamp};

/// Returns a value with about three significant digits, e.g. `0.52`, `98.7`, `7,380`.
pub fn number(value: f64) -> String {
    let size = value.abs();
    if size >= 1e15 || (size > 0.0 && size < 0.001) {
        return format!("{value:.2e}");
    }
    if size >= 999.5 {
        return grouped(value.round() as i64);
    }
    let digits = match size {
        99.95.. => 0,
        9.995.. => 1,
        0.995.. => 2,
        _ => 3,
    };
    let text = format!("{value:.digits$}");
    let text = if text.contains('.') { text.trim_end_matches('0').trim_end_matches('.') } else { &text };
    if text == "-0" { "0".to_owned() } else { text.to_owned() }
}

/// Returns a count with its thousands apart, e.g. `49,900`.
pub fn grouped(count: i64) -> String {
    let digits = count.unsigned_abs().to_string();
    let mut text = String::from(if count < 0 { "-" } else { "" });
    for (index, digit) in digits.char_indices() {
        if index > 0 && (digits.len() - index).is_multiple_of(3) {
            text.push(',');
        }
        text.push(digit);
    }
    text
}

/// Returns a value with its unit, e.g. `98.7 %`.
pub fn quantity(value: f64, unit: &str) -> String {
    if unit.is_empty() { number(value) } else { format!("{} {unit}", number(value)) }
}

/// Returns a share of 1 in percent; only certainty reads `100 %`.
pub fn percent(share: f64) -> String {
    match share {
        1.0.. => "100 %".to_owned(),
        0.995.. => ">99 %".to_owned(),
        0.005.. => format!("{:.0} %", share * 100.0),
        _ if share > 0.0 => "<1 %".to_owned(),
        _ => "0 %".to_owned(),
    }
}

/// Returns a duration in its two largest units, e.g. `4m 22s`.
pub fn duration(duration: SignedDuration) -> String {
    let seconds = duration.as_secs().max(0);
    match seconds {
        0..60 => format!("{seconds}s"),
        60..3_600 => format!("{}m {:02}s", seconds / 60, seconds % 60),
        3_600..86_400 => format!("{}h {:02}m", seconds / 3_600, seconds % 3_600 / 60),
        _ => format!("{}d {:02}h", seconds / 86_400, seconds % 86_400 / 3_600),
    }
}

/// Returns how long ago something was, in its largest unit; what lies ahead (clocks differ) is said to.
pub fn ago(now: Timestamp, at: Timestamp) -> String {
    let seconds = now.duration_since(at).as_secs();
    let size = seconds.unsigned_abs();
    let age = match size {
        0..60 => format!("{size}s"),
        60..3_600 => format!("{}m", size / 60),
        3_600..86_400 => format!("{}h", size / 3_600),
        _ => format!("{}d", size / 86_400),
    };
    if seconds < 0 { format!("in {age}") } else { format!("{age} ago") }
}

/// Returns date and time, UTC, to the second.
pub fn moment(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S").to_string()
}

/// Returns the time of the day, UTC, to the second.
pub fn time_of_day(at: Timestamp) -> String {
    at.strftime("%H:%M:%S").to_string()
}

/// Returns a count with its noun, e.g. `1 step`, `5 steps`.
pub fn counted(count: usize, noun: &str) -> String {
    format!("{} {noun}{}", grouped(count as i64), if count == 1 { "" } else { "s" })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_keep_about_three_digits() {
        let cases = [
            (0.0, "0"),
            (-0.0001, "-1.00e-4"),
            (0.5, "0.5"),
            (0.9996, "1"),
            (5.0, "5"),
            (9.996, "10"),
            (98.74, "98.7"),
            (380.2, "380"),
            (999.7, "1,000"),
            (49_900.0, "49,900"),
            (-1_234_567.0, "-1,234,567"),
            (1e300, "1.00e300"),
        ];
        for (value, text) in cases {
            assert_eq!(number(value), text);
        }
    }

    #[test]
    fn only_certainty_is_a_hundred_percent() {
        assert_eq!([1.0, 0.999, 0.826, 0.001, 0.0].map(percent), ["100 %", ">99 %", "83 %", "<1 %", "0 %"]);
    }
}
