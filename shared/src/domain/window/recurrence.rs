//! Windows that begin at local times of a cron expression.

use croner::Cron;
use croner::parser::{CronParser, Seconds, Year};
use jiff::civil::{DateTime, datetime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp, Zoned};

use super::wall::{instant, latest_local, local, zone};
use super::{Error, Interval, LONGEST};

/// Longest cron expression, bytes.
const MAX_EXPRESSION: usize = 200;
/// Most occurrences that are merged into one.
const MAX_MERGED: usize = 2_000;
/// Occurrences that are looked at when a recurrence is checked.
const MAX_CHECKED: usize = 1_000;
/// Most starts that are passed over because clocks were set back: those of the minutes of two days.
const MAX_PASSED: usize = 2 * 24 * 60;
/// Longest time that is searched for an occurrence, years: each day of a calendar comes back within it.
const SEARCHED_YEARS: i64 = 4;

/// A window that begins at each local time of a cron expression.
#[derive(Debug, Clone)]
pub struct Recurrence {
    expression: String,
    zone_name: String,
    duration: SignedDuration,
    cron: Cron,
    zone: TimeZone,
}

impl PartialEq for Recurrence {
    fn eq(&self, other: &Self) -> bool {
        let parts = |one: &Self| (one.expression.clone(), one.zone_name.clone(), one.duration);
        parts(self) == parts(other)
    }
}

impl Recurrence {
    pub(super) fn new(expression: &str, zone_name: &str, duration: SignedDuration) -> Result<Self, Error> {
        let recurrence = Self {
            expression: expression.to_owned(),
            zone_name: zone_name.to_owned(),
            duration,
            cron: parsed(expression)?,
            zone: zone(zone_name)?,
        };
        // four years with a leap day, so that the answer does not depend on the day it is asked
        let reference = instant(&recurrence.zone, datetime(2023, 12, 31, 23, 59, 0, 0));
        let Some(first) = recurrence.next_start(reference) else {
            return Err(Error::Never(expression.to_owned()));
        };
        // the first months show it; what is longer later is cut at MAX_MERGED
        let (mut begin, mut checked) = (first, 0);
        while checked < MAX_CHECKED {
            let (end, merged) = recurrence.merged_end(begin);
            if merged > MAX_MERGED || end.duration_since(begin) > LONGEST {
                return Err(Error::Endless(expression.to_owned()));
            }
            checked += merged;
            let Some(next) = recurrence.next_start(end) else { break };
            begin = next;
        }
        Ok(recurrence)
    }

    /// Returns the cron expression.
    pub fn cron(&self) -> &str {
        &self.expression
    }

    /// Returns the name of the zone.
    pub fn zone(&self) -> &str {
        &self.zone_name
    }

    /// Returns how long each occurrence takes.
    pub fn duration(&self) -> SignedDuration {
        self.duration
    }

    pub(super) fn is_active(&self, at: Timestamp) -> bool {
        self.latest_start(at).is_some_and(|start| at < self.end(start))
    }

    pub(super) fn current(&self, at: Timestamp) -> Option<Interval> {
        // all take as long as each other: the latest start has the latest end
        let mut begin = self.latest_start(at).filter(|start| at < self.end(*start))?;
        let (end, _) = self.merged_end(begin);
        for _ in 0..MAX_MERGED {
            let before = begin.checked_sub(SignedDuration::from_nanos(1)).ok()?;
            match self.latest_start(before) {
                Some(start) if self.end(start) >= begin => begin = start,
                _ => break,
            }
        }
        Some((begin, end))
    }

    pub(super) fn next(&self, after: Timestamp) -> Option<Interval> {
        // what begins inside of an occurrence is part of it
        let from = self.current(after).map_or(after, |(_, end)| end);
        let begin = self.next_start(from)?;
        Some((begin, self.merged_end(begin).0))
    }

    fn end(&self, start: Timestamp) -> Timestamp {
        start.saturating_add(self.duration).unwrap_or(Timestamp::MAX)
    }

    /// Returns the end of an occurrence and of those that overlap it, and how many these are: more than [`MAX_MERGED`] where not
    /// all of them were looked at.
    fn merged_end(&self, begin: Timestamp) -> (Timestamp, usize) {
        let mut start = begin;
        for merged in 1..=MAX_MERGED {
            match self.next_start(start) {
                Some(next) if next <= self.end(start) => start = next,
                _ => return (self.end(start), merged),
            }
        }
        (self.end(start), MAX_MERGED + 1)
    }

    /// Returns the first start after an instant.
    fn next_start(&self, after: Timestamp) -> Option<Timestamp> {
        let mut from = local(&self.zone, after);
        let last = from.checked_add(jiff::Span::new().years(SEARCHED_YEARS)).ok()?;
        for _ in 0..MAX_PASSED {
            let found = civil(&self.cron.find_next_occurrence(&utc(from)?, false).ok()?);
            if found > last {
                return None;
            }
            let start = instant(&self.zone, found);
            if start > after {
                return Some(start);
            }
            // clocks were set back: it was taken the first time
            from = found;
        }
        None
    }

    /// Returns the last start that is not after an instant.
    fn latest_start(&self, at: Timestamp) -> Option<Timestamp> {
        let mut from = latest_local(&self.zone, at);
        let first = from.checked_sub(jiff::Span::new().years(SEARCHED_YEARS)).ok()?;
        for pass in 0..MAX_PASSED {
            let found = civil(&self.cron.find_previous_occurrence(&utc(from)?, pass == 0).ok()?);
            if found < first {
                return None;
            }
            let start = instant(&self.zone, found);
            if start <= at {
                return Some(start);
            }
            from = found;
        }
        None
    }
}

fn parsed(expression: &str) -> Result<Cron, Error> {
    let refused = |reason: String| Error::Cron { expression: expression.to_owned(), reason };
    if expression.len() > MAX_EXPRESSION {
        let start = expression.chars().take(20).collect();
        return Err(Error::Cron {
            expression: start,
            reason: format!("is longer than {MAX_EXPRESSION} bytes"),
        });
    }
    if expression.split_whitespace().count() != 5 {
        return Err(refused(
            "has not five fields: minute, hour, day of month, month, day of week".to_owned(),
        ));
    }
    let parser = CronParser::builder().seconds(Seconds::Disallowed).year(Year::Disallowed).build();
    parser.parse(expression).map_err(|error| refused(error.to_string()))
}

/// Returns a local time as if it were UTC: the expression is asked about local times only, and no clock is changed there.
fn utc(local: DateTime) -> Option<Zoned> {
    local.to_zoned(TimeZone::UTC).ok()
}

fn civil(found: &Zoned) -> DateTime {
    found.datetime()
}
