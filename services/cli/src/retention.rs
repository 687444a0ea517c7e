//! `firewatch retention`: rows that are removed after their ages.

pub mod arguments;

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::SignedDuration;
use serde::Serialize;
use shared::store::retention::{Due, End, Remover, Turn};
use tokio_util::sync::CancellationToken;

use crate::failure::CliError;
use crate::figures::{counted, duration};
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone, cell, finished};
use arguments::Retention;

/// How often the lock is tried while an agent removes rows, 200 ms apart.
const TRIES: u32 = 50;
const HOURS_OF_DAY: u32 = 24;

/// Runs `firewatch retention ...`.
pub async fn run(command: Retention, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let options = &settings.common.retention;
    match command {
        Retention::Preview { json } => {
            let store = open_store(settings)?;
            let due =
                store.reads().due_for_removal(options).await.map_err(|error| failed(settings, &error))?;
            terminal::print(&if json { terminal::json(&due, true)? } else { preview(&due, screen) })
        }
        Retention::Run { yes, json } => {
            if !yes {
                return Err(CliError::Usage(format!(
                    "nothing was removed: rows would go after {}; compare that with [retention] of your agents, then add --yes",
                    listed(options.ages())
                )));
            }
            let store = open_store(settings)?;
            let stop = CancellationToken::new();
            let remover = Remover { options, stop: &stop, tries: TRIES };
            let turn =
                store.remove_old(remover, |_, _| {}).await.map_err(|error| failed(settings, &error))?;
            let ran = Ran { ages: options.ages().into(), turn };
            terminal::print(&if json { terminal::json(&ran, true)? } else { removed(&ran, screen) })?;
            let turn = ran.turn;
            if turn.end == End::Busy {
                return Err(CliError::Failed(
                    "another process removes rows now; run it again later, or leave the rest to that one"
                        .to_owned(),
                ));
            }
            Ok(())
        }
    }
}

/// Renders what would be removed.
pub fn preview(due: &[Due], screen: &Screen) -> String {
    let mut table = screen.table(&["TABLE", "ROWS", "WHAT", "AFTER", "OLDEST", "SETTING"]);
    for one in due {
        let rows = format!("{}{}", if one.has_more { "more than " } else { "" }, one.rows);
        let tone = if one.rows > 0 { Tone::Warning } else { Tone::Faint };
        table.add_row([
            cell(Tone::Strong, one.table),
            cell(tone, rows),
            cell(Tone::Plain, one.what),
            cell(Tone::Plain, after(one.after_hours)),
            cell(Tone::Plain, one.oldest_s.map_or_else(|| "-".to_owned(), age)),
            cell(Tone::Faint, one.setting.map_or("-".to_owned(), |setting| format!("retention.{setting}"))),
        ]);
    }
    let rows = due.iter().map(|one| one.rows).sum::<i64>();
    let least = if due.iter().any(|one| one.has_more) { "at least " } else { "" };
    format!("{}\n{least}{} would be removed\n", finished(&table), counted(rows as usize, "row"))
}

/// A turn with the ages that it was about.
#[derive(Debug, Clone, Serialize)]
pub struct Ran {
    /// Ages by setting, days; 0: kept for ever.
    pub ages: BTreeMap<&'static str, u32>,
    /// What was removed.
    #[serde(flatten)]
    pub turn: Turn,
}

/// Renders what was removed.
pub fn removed(ran: &Ran, screen: &Screen) -> String {
    let Ran { ages, turn } = ran;
    let mut text = format!("ages: {}\n", listed(ages.iter().map(|(setting, days)| (*setting, *days))));
    if turn.removed.is_empty() {
        text.push_str(match turn.end {
            End::Done => "nothing is old enough to be removed\n",
            End::Stopped | End::Busy => "nothing was removed\n",
        });
        return text;
    }
    let mut table = screen.table(&["TABLE", "REMOVED"]);
    for (name, rows) in &turn.removed {
        table.add_row([cell(Tone::Strong, name), cell(Tone::Plain, rows)]);
    }
    let _ = write!(text, "\n{}", finished(&table));
    let rows = turn.removed.values().sum::<u64>();
    let _ = writeln!(text, "\n{} removed", counted(rows as usize, "row"));
    text
}

/// Returns ages for people, e.g. `audit_days 1100, outbox_days never`.
fn listed(ages: impl IntoIterator<Item = (&'static str, u32)>) -> String {
    let each = ages.into_iter().map(|(setting, days)| match days {
        0 => format!("{setting} never"),
        days => format!("{setting} {days}"),
    });
    each.collect::<Vec<_>>().join(", ")
}

fn after(hours: Option<u32>) -> String {
    match hours {
        None => "never".to_owned(),
        Some(hours) if hours.is_multiple_of(HOURS_OF_DAY) => counted((hours / HOURS_OF_DAY) as usize, "day"),
        Some(hours) => counted(hours as usize, "hour"),
    }
}

fn age(seconds: f64) -> String {
    duration(SignedDuration::try_from_secs_f64(seconds).unwrap_or_default())
}
