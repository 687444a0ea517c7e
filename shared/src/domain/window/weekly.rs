//! Hours of the week by the clock on the wall: `{ days: [monday, friday], from: "09:00", to: "17:00" }`.

use jiff::civil::{Date, Time, Weekday};
use jiff::tz::TimeZone;
use jiff::{Span, Timestamp};
use serde::{Deserialize, Serialize};

use super::wall::{instant, local};

/// A day of the week.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Day {
    /// Monday.
    Monday,
    /// Tuesday.
    Tuesday,
    /// Wednesday.
    Wednesday,
    /// Thursday.
    Thursday,
    /// Friday.
    Friday,
    /// Saturday.
    Saturday,
    /// Sunday.
    Sunday,
}

impl Day {
    fn weekday(self) -> Weekday {
        match self {
            Self::Monday => Weekday::Monday,
            Self::Tuesday => Weekday::Tuesday,
            Self::Wednesday => Weekday::Wednesday,
            Self::Thursday => Weekday::Thursday,
            Self::Friday => Weekday::Friday,
            Self::Saturday => Weekday::Saturday,
            Self::Sunday => Weekday::Sunday,
        }
    }
}

/// Hours on some days of the week. Hours that end at or before the time they begin at end on the next day, so that the same
/// time twice is a whole day.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Hours {
    /// Days on which they begin; none: all.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub days: Vec<Day>,
    /// When they begin, e.g. `09:00`.
    #[serde(with = "time")]
    pub from: Time,
    /// When they end, e.g. `17:00`; the end is not part of them.
    #[serde(with = "time")]
    pub to: Time,
}

impl Hours {
    /// Returns the hours that begin on a day; none where none do, or where clocks that are changed leave nothing of them.
    fn on(&self, date: Date, zone: &TimeZone) -> Option<(Timestamp, Timestamp)> {
        let is_day = self.days.is_empty() || self.days.iter().any(|day| day.weekday() == date.weekday());
        let last = if self.to <= self.from { date.tomorrow().ok()? } else { date };
        let (begin, end) =
            (instant(zone, date.to_datetime(self.from)), instant(zone, last.to_datetime(self.to)));
        (is_day && begin < end).then_some((begin, end))
    }
}

/// Returns whether a time is inside of any of some hours.
pub fn is_inside(hours: &[Hours], zone: &TimeZone, at: Timestamp) -> bool {
    around(hours, zone, at).any(|(begin, end)| (begin..end).contains(&at))
}

/// Returns when it changes next whether a time is inside of hours: the first begin or end after a time. It may lie inside of other
/// hours, so that nothing changes. None if there are no hours within the next eight days.
pub fn next_edge(hours: &[Hours], zone: &TimeZone, after: Timestamp) -> Option<Timestamp> {
    around(hours, zone, after).flat_map(|(begin, end)| [begin, end]).filter(|edge| *edge > after).min()
}

/// Returns when the hours that a time is inside of end, hours that follow without a break included; none if it is inside of none,
/// or if they do not end within a year.
pub fn end(hours: &[Hours], zone: &TimeZone, at: Timestamp) -> Option<Timestamp> {
    let mut reached = at;
    for _ in 0..MAX_FOLLOWING {
        let inside = around(hours, zone, reached).filter(|(begin, end)| (*begin..*end).contains(&reached));
        match inside.map(|(_, end)| end).max() {
            Some(end) => reached = end,
            None => return (reached > at).then_some(reached),
        }
    }
    None
}

/// Most hours that follow each other without a break.
const MAX_FOLLOWING: usize = 366;

/// Returns the hours that begin from the day before a time to the eighth day after it.
fn around(hours: &[Hours], zone: &TimeZone, at: Timestamp) -> impl Iterator<Item = (Timestamp, Timestamp)> {
    let today = local(zone, at).date();
    let dates = (-1..=8).filter_map(move |day| today.checked_add(Span::new().days(day)).ok());
    dates.flat_map(move |date| hours.iter().filter_map(move |hours| hours.on(date, zone)))
}

/// Times of the day to the minute, as people write them: `09:00`.
mod time {
    use jiff::civil::Time;
    use serde::{Deserialize as _, Deserializer, Serializer};

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(time: &Time, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&time.strftime("%H:%M"))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Time, D::Error> {
        let text = String::deserialize(deserializer)?;
        let is_written = text.len() == 5 && text.as_bytes().get(2) == Some(&b':');
        let read = is_written.then(|| Time::strptime("%H:%M", &text).ok()).flatten();
        read.ok_or_else(|| {
            serde::de::Error::custom(format!("{text:?} is not a time of the day such as \"09:00\""))
        })
    }
}
