//! Figures as a terminal shows them: common blanks, times that sort, durations that fit a column.

use jiff::{SignedDuration, Timestamp};
use shared::finding::Finding;
use shared::text::format;
pub use shared::text::format::counted;

/// Evidence of one series is capped at this much.
const MOST_EVIDENCE: f64 = 6.0;

/// Returns a value with its unit, e.g. `98.7 %`.
pub fn quantity(value: f64, unit: &str) -> String {
    breakable(&format::figure(value, unit))
}

/// Returns what was expected of a series, e.g. `expected 22 to 38.2 %`, or that its value lies inside its band.
pub fn expectation<'a>(finding: impl Into<Finding<'a>>) -> String {
    breakable(&finding.into().expectation())
}

/// Returns how strong the evidence of a series is, of the most that one series may have.
pub fn evidence(nats: f64) -> String {
    format!("evidence {} of {}", format::number(nats), format::number(MOST_EVIDENCE))
}

/// Returns a share of 1 in percent; only certainty reads `100 %`.
pub fn percent(share: f64) -> String {
    breakable(&format::percent(share))
}

/// Returns a figure with common blanks: what is copied from a terminal is searched for and compared.
fn breakable(figure: &str) -> String {
    figure.replace('\u{a0}', " ")
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_hold_no_blank_that_cannot_be_typed() {
        let read = [quantity(98.74, "%"), quantity(6.0, "{line}/min"), percent(0.999), evidence(5.96)];
        assert_eq!(read, ["98.7 %", "6 lines a minute", ">99 %", "evidence 5.96 of 6"]);
    }
}
