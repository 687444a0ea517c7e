//! The timeline: what is on record, in order of event time, without repetitions and bounded.

use std::fmt::Write as _;

use jiff::Timestamp;
use shared::audit::AuditAction;
use shared::events::incident::Signal;
use shared::events::postmortem::Moment;
use shared::store::timeline::{Entry, Outcome};
use shared::text::format::{band, between, figure, side};
use shared::text::sanitize::{NAME, one_line};

use crate::record::Record;

/// Most rows.
pub const MAX_MOMENTS: usize = 60;
/// Longest sentence of a row, characters.
const MAX_WHAT: usize = 320;

/// A timeline that fits a page.
#[derive(Debug, Clone, PartialEq)]
pub struct Timeline {
    /// Rows, earliest first.
    pub moments: Vec<Moment>,
    /// Lines of the trail that did not fit.
    pub left_out: usize,
}

/// A row with what decides whether it stays.
struct Row {
    weight: u8,
    moment: Moment,
}

impl Row {
    fn new(weight: u8, at: Timestamp, actor: &str, what: &str) -> Self {
        let what = one_line(what, MAX_WHAT).trim_end_matches('.').to_owned();
        Self { weight, moment: Moment { at, actor: one_line(actor, NAME), what } }
    }

    fn of(entry: &Entry) -> Self {
        Self::new(weight(entry), entry.at, &entry.actor, &entry.what)
    }
}

/// Returns the timeline of an incident.
pub fn timeline(record: &Record<'_>) -> Timeline {
    let mut rows: Vec<Row> = facts(record);
    rows.extend(record.entries().iter().map(Row::of));
    // stable: what happened at the same time stays as it was recorded
    rows.sort_by_key(|row| row.moment.at);
    let mut rows = without_repetitions(rows);
    let left_out = shorten(&mut rows);
    Timeline { moments: rows.into_iter().map(|row| row.moment).collect(), left_out }
}

/// What the incident itself knows of the time before it was opened. Who made a change is left out on purpose.
fn facts(record: &Record<'_>) -> Vec<Row> {
    let incident = record.incident;
    let change = incident.deployment.as_ref().map(|change| {
        let (service, version) = (one_line(&change.service, NAME), one_line(&change.version, NAME));
        Row::new(0, change.at, "deployment", &format!("Version {version} of {service} went out"))
    });
    let symptom = record.first_signal().map(|signal| {
        let mut what = format!(
            "First abnormal sample: {} of {}",
            one_line(&signal.metric, NAME),
            one_line(&signal.service, NAME),
        );
        let at = incident.started_at.min(signal.started_at);
        if let Some(first) = signal.samples.iter().find(|point| point.ts_ms >= at.as_millisecond()) {
            let Signal { unit, expected, .. } = signal;
            let _ = write!(what, ", {}", figure(first.value, unit));
            if side(first.value, expected, unit).is_some() {
                let _ = write!(what, ", expected {}", band(expected, unit));
            }
        }
        Row::new(0, at, "telemetry", &what)
    });
    change.into_iter().chain(symptom).collect()
}

/// How much a row matters: 0 is the story, 2 can be looked up. What people said and did always matters.
fn weight(entry: &Entry) -> u8 {
    use AuditAction::{
        Announced, CauseRanked, Cleared, Joined, Opened, Overdue, PlanProposed, Resolved, SuspectChanged,
    };
    match entry.action.parse() {
        _ if entry.outcome == Some(Outcome::Refused) => 1,
        _ if entry.is_of_person() => 0,
        Ok(Opened | Announced | SuspectChanged | CauseRanked | PlanProposed | Overdue | Resolved) => 0,
        Ok(Joined | Cleared) => 2,
        _ => 1,
    }
}

/// Drops what is recorded twice, and merges the same sentence said several times in a row.
fn without_repetitions(rows: Vec<Row>) -> Vec<Row> {
    let mut kept: Vec<(Row, usize, Timestamp)> = Vec::new();
    for row in rows {
        match kept.last_mut() {
            Some((last, times, until))
                if last.moment.actor == row.moment.actor && last.moment.what == row.moment.what =>
            {
                if *until < row.moment.at {
                    (*times, *until) = (*times + 1, row.moment.at);
                }
            }
            _ => {
                let at = row.moment.at;
                kept.push((row, 1, at));
            }
        }
    }
    kept.into_iter()
        .map(|(mut row, times, until)| {
            if times > 1 {
                let _ = write!(row.moment.what, " ({times} times within {})", between(row.moment.at, until));
            }
            row
        })
        .collect()
}

/// Takes out the rows that matter least, the latest of them first, until the rest fits; returns how many.
fn shorten(rows: &mut Vec<Row>) -> usize {
    let surplus = rows.len().saturating_sub(MAX_MOMENTS);
    let mut places: Vec<usize> = (0..rows.len()).collect();
    places.sort_by_key(|&place| std::cmp::Reverse((rows[place].weight, place)));
    let dropped: std::collections::BTreeSet<usize> = places.into_iter().take(surplus).collect();
    let mut place = 0;
    rows.retain(|_| {
        place += 1;
        !dropped.contains(&(place - 1))
    });
    surplus
}
