//! Windows of time: once, or again and again at local times. Silences and maintenance use them.
//!
//! ```yaml
//! { start: 2026-03-01T22:00:00Z, end: 2026-03-02T02:00:00Z }
//! { cron: "0 2 * * sun", zone: Europe/Berlin, duration: 2h }
//! ```
//!
//! A cron expression has five fields (minute, hour, day of month, month, day of week) and is read in local time of its zone.
//! Where clocks are changed, a start that does not exist on a day is taken at the next instant that does, and a start that
//! exists twice is taken once, the first time. A duration is elapsed time: a window of 4 hours over a change of the clock
//! ends an hour earlier or later by the wall. The end of a window is not part of it. Windows that overlap or touch are one.

mod recurrence;
pub mod wall;
pub mod weekly;

use jiff::{SignedDuration, Span, SpanRelativeTo, Timestamp};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

pub use recurrence::Recurrence;

/// Shortest window.
pub const SHORTEST: SignedDuration = SignedDuration::from_mins(1);
/// Longest window, also of occurrences that are merged.
pub const LONGEST: SignedDuration = SignedDuration::from_hours(30 * 24);

/// Start and end of an occurrence; the end is not part of it.
pub type Interval = (Timestamp, Timestamp);

/// A window of time.
#[derive(Debug, Clone, PartialEq)]
pub struct Window(Shape);

#[derive(Debug, Clone, PartialEq)]
enum Shape {
    Once(Timestamp, Timestamp),
    Recurring(Box<Recurrence>),
}

impl Window {
    /// Returns a window that occurs once.
    ///
    /// # Errors
    /// If the end is not after the start, or it is shorter than [`SHORTEST`] or longer than [`LONGEST`].
    pub fn once(start: Timestamp, end: Timestamp) -> Result<Self, Error> {
        if end <= start {
            return Err(Error::EndsBeforeStart);
        }
        length(end.duration_since(start))?;
        Ok(Self(Shape::Once(start, end)))
    }

    /// Returns a window that recurs.
    ///
    /// # Errors
    /// If an argument is invalid, the window never occurs within 4 years, or its occurrences overlap without an end.
    pub fn recurring(cron: &str, zone: &str, duration: SignedDuration) -> Result<Self, Error> {
        length(duration)?;
        Ok(Self(Shape::Recurring(Box::new(Recurrence::new(cron, zone, duration)?))))
    }

    /// Returns the recurrence of a window that recurs.
    pub fn recurrence(&self) -> Option<&Recurrence> {
        match &self.0 {
            Shape::Once(..) => None,
            Shape::Recurring(recurrence) => Some(recurrence),
        }
    }

    /// Returns whether a time is inside of the window.
    pub fn is_active(&self, at: Timestamp) -> bool {
        match &self.0 {
            Shape::Once(start, end) => (*start..*end).contains(&at),
            Shape::Recurring(recurrence) => recurrence.is_active(at),
        }
    }

    /// Returns the occurrence that a time is inside of.
    pub fn current(&self, at: Timestamp) -> Option<Interval> {
        match &self.0 {
            Shape::Once(start, end) => (*start..*end).contains(&at).then_some((*start, *end)),
            Shape::Recurring(recurrence) => recurrence.current(at),
        }
    }

    /// Returns the first occurrence that begins after a time; none if there is none, of a recurrence within 4 years.
    pub fn next(&self, after: Timestamp) -> Option<Interval> {
        match &self.0 {
            Shape::Once(start, end) => (*start > after).then_some((*start, *end)),
            Shape::Recurring(recurrence) => recurrence.next(after),
        }
    }
}

fn length(duration: SignedDuration) -> Result<(), Error> {
    if (SHORTEST..=LONGEST).contains(&duration) { Ok(()) } else { Err(Error::Length(duration)) }
}

/// Why a window is refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Error {
    /// The end is not after the start.
    #[error("end is not after start")]
    EndsBeforeStart,
    /// It is too short or too long.
    #[error("a window of {0:#} is not between 1 minute and 30 days")]
    Length(SignedDuration),
    /// The fields are neither those of one kind nor of the other.
    #[error("a window has start and end, or cron, zone and duration")]
    Fields,
    /// The cron expression is invalid.
    #[error("cron {expression:?}: {reason}")]
    Cron {
        /// Expression.
        expression: String,
        /// What is wrong.
        reason: String,
    },
    /// There is no such zone.
    #[error("unknown time zone {0:?}, expected a name such as Europe/Berlin")]
    Zone(String),
    /// The duration cannot be read.
    #[error("{0:?} is not a duration such as 2h or 90m")]
    Duration(String),
    /// It never occurs.
    #[error("cron {0:?} does not occur within 4 years")]
    Never(String),
    /// Its occurrences are one without an end.
    #[error("the occurrences of cron {0:?} overlap for more than 30 days, or more than 2000 of them do")]
    Endless(String),
}

/// A window as it is written.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Written {
    #[serde(default, skip_serializing_if = "Option::is_none")]
    start: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    end: Option<Timestamp>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    cron: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    zone: Option<String>,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    duration: Option<String>,
}

impl TryFrom<Written> for Window {
    type Error = Error;

    fn try_from(written: Written) -> Result<Self, Error> {
        match written {
            Written { start: Some(start), end: Some(end), cron: None, zone: None, duration: None } => {
                Self::once(start, end)
            }
            Written { start: None, end: None, cron: Some(cron), zone: Some(zone), duration: Some(text) } => {
                Self::recurring(&cron, &zone, duration(&text)?)
            }
            _ => Err(Error::Fields),
        }
    }
}

/// Reads a duration such as `2h`, `1 day` or `PT2H`; a day has 24 hours.
pub fn duration(text: &str) -> Result<SignedDuration, Error> {
    let span = text.parse::<Span>().and_then(|span| span.to_duration(SpanRelativeTo::days_are_24_hours()));
    span.map_err(|_| Error::Duration(text.to_owned()))
}

impl Serialize for Window {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let written = match &self.0 {
            Shape::Once(start, end) => {
                Written { start: Some(*start), end: Some(*end), cron: None, zone: None, duration: None }
            }
            Shape::Recurring(recurrence) => Written {
                start: None,
                end: None,
                cron: Some(recurrence.cron().to_owned()),
                zone: Some(recurrence.zone().to_owned()),
                duration: Some(format!("{:#}", recurrence.duration())),
            },
        };
        written.serialize(serializer)
    }
}

impl<'de> Deserialize<'de> for Window {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Written::deserialize(deserializer)?.try_into().map_err(serde::de::Error::custom)
    }
}

#[cfg(test)]
mod tests;
