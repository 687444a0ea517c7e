//! What a series shows, in words that are true of its own figures. Whatever prints an anomaly or a member of an incident
//! asks here whether it may speak of a band.

use std::collections::BTreeMap;

use crate::events::Kind;
use crate::events::anomaly::{Anomaly, Band, Direction, Status, series_name};
use crate::events::incident::Signal;
use crate::text::format::{band_in_words, figure, side};
use crate::text::sanitize::{self, one_line};

/// Longest name of a series with its dimensions, characters.
const SERIES: usize = 2 * sanitize::NAME;

/// One series at one moment.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Finding<'a> {
    /// Service.
    pub service: &'a str,
    /// Metric, or the name of what a rule derives.
    pub metric: &'a str,
    /// Labels that tell the series from others of the same metric.
    pub dimensions: &'a BTreeMap<String, String>,
    /// Unit as it stands on the bus.
    pub unit: &'a str,
    /// What the series measures.
    pub kind: Kind,
    /// Where the episode stands.
    pub status: Status,
    /// The side on which the episode lies.
    pub direction: Direction,
    /// The value that was seen.
    pub observed: f64,
    /// The band it was expected in.
    pub expected: Band,
}

impl<'a> From<&'a Anomaly> for Finding<'a> {
    fn from(anomaly: &'a Anomaly) -> Self {
        Self {
            service: &anomaly.service,
            metric: &anomaly.metric,
            dimensions: &anomaly.dimensions,
            unit: &anomaly.unit,
            kind: anomaly.kind,
            status: anomaly.status,
            direction: anomaly.direction,
            observed: anomaly.observed,
            expected: anomaly.expected,
        }
    }
}

impl<'a> From<&'a Signal> for Finding<'a> {
    fn from(signal: &'a Signal) -> Self {
        Self {
            service: &signal.service,
            metric: &signal.metric,
            dimensions: &signal.dimensions,
            unit: &signal.unit,
            kind: signal.kind,
            status: signal.status,
            direction: signal.direction,
            observed: signal.observed,
            expected: signal.expected,
        }
    }
}

impl Finding<'_> {
    /// Returns the side of its band on which the series lies: nothing where it has cleared, or where the printed figures
    /// do not show that it lies on the side of its episode. An alarm may rest on more than the last value (a trend, the
    /// rarity of what came before, one template among many lines).
    pub fn side(&self) -> Option<Direction> {
        let side = side(self.observed, &self.expected, self.unit)?;
        (self.status != Status::Cleared && side == self.direction).then_some(side)
    }

    /// Returns the side as a word, where there is one: `above` or `below`.
    pub fn side_word(&self) -> Option<&'static str> {
        self.side().map(|side| match side {
            Direction::Up => "above",
            Direction::Down => "below",
        })
    }

    /// Returns what was seen, e.g. `820 ms`.
    pub fn observed(&self) -> String {
        figure(self.observed, self.unit)
    }

    /// Returns what was expected, e.g. `expected 25.2 to 34.8 ms`, or that the value lies within it.
    pub fn expectation(&self) -> String {
        let band = band_in_words(&self.expected, self.unit);
        match side(self.observed, &self.expected, self.unit) {
            Some(_) => format!("expected {band}"),
            None => format!("inside its band of {band}"),
        }
    }

    /// Names side and band where the series lies outside, e.g. `above its band of 25.2 to 34.8 ms`.
    fn outside(&self) -> Option<String> {
        let (side, band) = (self.side_word()?, band_in_words(&self.expected, self.unit));
        let what = if self.is_one_value() { "the expected" } else { "its band of" };
        Some(format!("{side} {what} {band}"))
    }

    /// Says what is the case now, without the value, e.g. `is above its band of 25.2 to 34.8 ms`.
    pub fn predicate(&self) -> String {
        match (self.outside(), self.status) {
            (Some(outside), _) => format!("is {outside}"),
            (None, Status::Cleared) if self.kind == Kind::Logs => "has cleared".to_owned(),
            (None, Status::Cleared) => match side(self.observed, &self.expected, self.unit) {
                None => "is back inside its band".to_owned(),
                Some(_) => "is no longer abnormal".to_owned(),
            },
            (None, _) => match self.kind {
                Kind::Certificate => "is about to expire".to_owned(),
                _ if self.metric.ends_with(":time_to_full") => "is about to reach its limit".to_owned(),
                _ => "is abnormal".to_owned(),
            },
        }
    }

    /// Says it in one clause with the value, e.g. `latency_p99_ms of payment is 820 ms, above its band of 25.2 to 34.8 ms`.
    pub fn sentence(&self) -> String {
        let service = one_line(self.service, sanitize::NAME);
        let metric = one_line(&series_name(self.metric, self.dimensions), SERIES);
        if self.status == Status::Cleared {
            return format!("{metric} of {service} {}", self.predicate());
        }
        let observed = self.observed();
        let mut text = match (self.kind, lines(self.metric)) {
            (Kind::Logs, Some(lines)) => format!("{service} writes {lines}: {observed}"),
            _ => format!("{metric} of {service} is {observed}"),
        };
        match self.outside() {
            // where none is expected, that they come says it all
            Some(_) if self.kind == Kind::Logs && self.is_one_value() => {}
            Some(outside) => text = format!("{text}, {outside}"),
            None if self.kind == Kind::Logs => {}
            None => text = format!("{text} and {}", self.predicate()),
        }
        text
    }

    fn is_one_value(&self) -> bool {
        figure(self.expected.lower, self.unit) == figure(self.expected.upper, self.unit)
    }
}

/// Returns what the lines of a derived series of a log are.
fn lines(metric: &str) -> Option<&'static str> {
    match metric {
        "logs:critical" => Some("critical lines"),
        "logs:errors" => Some("warnings and errors"),
        "logs:new_template" => Some("warnings and errors that it has not written before"),
        "logs:volume" => Some("lines below a warning"),
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    static NONE: BTreeMap<String, String> = BTreeMap::new();

    fn finding(
        metric: &'static str,
        kind: Kind,
        unit: &'static str,
        observed: f64,
        edges: [f64; 2],
    ) -> Finding<'static> {
        let [lower, upper] = edges;
        Finding {
            service: "user",
            metric,
            dimensions: &NONE,
            unit,
            kind,
            status: Status::Firing,
            direction: Direction::Up,
            observed,
            expected: Band { lower, center: f64::midpoint(lower, upper), upper },
        }
    }

    fn read(text: &str) -> String {
        text.replace('\u{a0}', " ")
    }

    #[test]
    fn a_band_is_named_only_where_the_value_lies_outside_of_it() {
        let outside = finding("latency_p99_ms", Kind::Latency, "ms", 820.0, [25.2, 34.8]);
        assert_eq!(
            read(&outside.sentence()),
            "latency_p99_ms of user is 820 ms, above its band of 25.2 to 34.8 ms"
        );
        assert_eq!(read(&outside.expectation()), "expected 25.2 to 34.8 ms");
        let inside = finding("memory_percent", Kind::Memory, "%", 100.0, [71.5, 100.0]);
        assert_eq!(read(&inside.sentence()), "memory_percent of user is 100 % and is abnormal");
        assert_eq!(read(&inside.expectation()), "inside its band of 71.5 to 100 %");
        let other_side = Finding { direction: Direction::Down, ..outside };
        assert_eq!(other_side.side(), None);
        let over = Finding { status: Status::Cleared, observed: 30.0, ..outside };
        assert_eq!(over.sentence(), "latency_p99_ms of user is back inside its band");
        let route = BTreeMap::from([("route".to_owned(), "/pay".to_owned())]);
        let of_route = Finding { dimensions: &route, ..over };
        assert_eq!(of_route.sentence(), "latency_p99_ms{route=\"/pay\"} of user is back inside its band");
        let accepted = Finding { status: Status::Cleared, ..outside };
        assert_eq!(accepted.sentence(), "latency_p99_ms of user is no longer abnormal");
    }

    #[test]
    fn lines_are_spoken_of_as_lines() {
        let unit = "{line}/min";
        let critical = finding("logs:critical", Kind::Logs, unit, 6.0, [0.0, 0.0]);
        assert_eq!(read(&critical.sentence()), "user writes critical lines: 6 lines a minute");
        assert_eq!(read(&critical.predicate()), "is above the expected 0 lines a minute");
        let errors = finding("logs:errors", Kind::Logs, unit, 60.0, [0.0, 9.9]);
        assert_eq!(
            read(&errors.sentence()),
            "user writes warnings and errors: 60 lines a minute, above its band of 0 to 9.9 lines a minute"
        );
        let within = finding("logs:errors", Kind::Logs, unit, 6.0, [0.0, 9.9]);
        assert_eq!(read(&within.sentence()), "user writes warnings and errors: 6 lines a minute");
    }

    #[test]
    fn what_is_near_its_end_says_so() {
        let certificate = finding("cert_days", Kind::Certificate, "d", 20.0, [14.0, 30.0]);
        assert_eq!(read(&certificate.sentence()), "cert_days of user is 20 days and is about to expire");
        let disk = finding("disk_percent:time_to_full", Kind::Disk, "%", 71.0, [40.0, 80.0]);
        assert_eq!(
            read(&disk.sentence()),
            "disk_percent:time_to_full of user is 71 % and is about to reach its limit"
        );
    }
}
