//! `firewatch oncall`: who is on call, until when and why.

pub mod arguments;

use std::path::Path;

use catalogue::Problems;
use catalogue::oncall::OnCall as Content;
use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::oncall::Schedule;

use crate::failure::CliError;
use crate::figures::counted;
use crate::terminal::{self, Screen, Tone, cell, cleaned, finished};
use arguments::OnCall;

/// Who is on call in one rotation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Row {
    /// Rotation.
    pub rotation: String,
    /// Its team.
    pub team: String,
    /// Its zone.
    pub zone: String,
    /// Who; none where nobody is.
    pub person: Option<String>,
    /// Where they are reached.
    pub addresses: Vec<String>,
    /// Why, in words.
    pub why: String,
    /// When it is somebody else; none if that is not within 400 days.
    pub until: Option<Timestamp>,
    /// Who is next; none where nobody is, or nothing changes.
    pub next: Option<String>,
}

impl Row {
    fn of(schedule: &Schedule, at: Timestamp) -> Self {
        let shift = schedule.at(at);
        let addresses = shift.person.as_deref().map_or(&[][..], |person| schedule.addresses(person));
        let next = shift.until.and_then(|until| schedule.at(until).person);
        Self {
            rotation: schedule.name().to_owned(),
            team: schedule.team().to_owned(),
            zone: schedule.rotation().zone.clone(),
            addresses: addresses.to_vec(),
            person: shift.person,
            why: shift.why.to_string(),
            until: shift.until,
            next,
        }
    }
}

/// Runs `firewatch oncall`.
pub fn run(arguments: &OnCall, screen: &Screen) -> Result<(), CliError> {
    let OnCall { at, team, dir, json } = arguments;
    let at = at.map_or(screen.now, |at| at.seen_from(screen.now));
    let content = load(dir)?;
    let all: Vec<&Schedule> = content.roster.schedules().collect();
    let is_wanted = |schedule: &&Schedule| team.as_ref().is_none_or(|team| schedule.team() == team);
    let rows: Vec<Row> =
        all.iter().copied().filter(is_wanted).map(|schedule| Row::of(schedule, at)).collect();
    if rows.is_empty() {
        return Err(missing(dir, team.as_deref(), &all));
    }
    terminal::print(&if *json { terminal::json(&rows, true)? } else { render(&cleaned(&rows)?, at, screen) })
}

/// Renders rows whose texts are clean.
pub fn render(rows: &[Row], at: Timestamp, screen: &Screen) -> String {
    let mut table = screen.table(&["ROTATION", "TEAM", "ON CALL", "UNTIL", "NEXT", "WHY"]);
    for Row { rotation, team, person, why, until, next, .. } in rows {
        let tone = if person.is_some() { Tone::Strong } else { Tone::Alarm };
        table.add_row([
            cell(Tone::Plain, rotation),
            cell(Tone::Faint, team),
            cell(tone, person.as_deref().unwrap_or("nobody")),
            cell(Tone::Plain, until.map_or_else(|| "-".to_owned(), minute)),
            cell(Tone::Plain, next.as_deref().unwrap_or(if until.is_some() { "nobody" } else { "-" })),
            cell(Tone::Faint, why),
        ]);
    }
    format!("on call at {} UTC\n{}", minute(at), finished(&table))
}

/// Returns date and time, UTC, to the minute.
pub(crate) fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}

/// Reads rotations and routes of a content directory.
pub(crate) fn load(directory: &Path) -> Result<Content, CliError> {
    is_directory(directory)?;
    Content::load(directory).map_err(|problems| invalid(directory, &problems))
}

/// Refuses a content directory that does not exist.
pub(crate) fn is_directory(directory: &Path) -> Result<(), CliError> {
    if directory.is_dir() {
        return Ok(());
    }
    Err(CliError::NotFound(format!("there is no directory {}; name one with --dir", directory.display())))
}

/// Returns the failure for content that is refused.
fn invalid(directory: &Path, problems: &Problems) -> CliError {
    let name = directory.display();
    let first = problems.to_string().lines().next().unwrap_or_default().to_owned();
    let count = counted(problems.0.len(), "problem");
    CliError::Failed(format!(
        "{count} in {name}, the first is {first}; `firewatch kb lint {name}` prints all"
    ))
}

fn missing(directory: &Path, team: Option<&str>, all: &[&Schedule]) -> CliError {
    let mut teams: Vec<&str> = all.iter().map(|schedule| schedule.team()).collect();
    teams.sort_unstable();
    teams.dedup();
    CliError::NotFound(match team.filter(|_| !all.is_empty()) {
        Some(team) => format!("team {team} has no rotation (teams with one: {})", teams.join(", ")),
        None => format!("{} has no rotations; a rotation is a file oncall/NAME.yaml", directory.display()),
    })
}
