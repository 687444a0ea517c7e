//! Silences as a terminal shows them.

use comfy_table::ColumnConstraint;
use jiff::Timestamp;
use shared::silence::{Silence, Standing};

use super::{Listed, Shown};
use crate::figures::{counted, moment};
use crate::terminal::page::Page;
use crate::terminal::{Screen, Tone, cell, finished};

/// Renders silences as a table, in the order they are given. Expects cleaned ones.
pub fn table(listed: &[Listed], screen: &Screen) -> String {
    if listed.is_empty() {
        return "no silences\n".to_owned();
    }
    let mut table = screen.table(&["ID", "STATE", "ENVIRONMENT", "MATCHERS", "BY", "COMMENT"]);
    for Listed { silence, standing } in listed {
        table.add_row([
            cell(Tone::Strong, silence.silence_id),
            cell(tone(*standing), state(silence, *standing)),
            cell(Tone::Plain, &silence.environment),
            cell(Tone::Plain, &silence.spec.matchers),
            cell(Tone::Plain, &silence.by),
            cell(Tone::Plain, &silence.spec.comment),
        ]);
    }
    if let Some(column) = table.column_mut(0) {
        column.set_constraint(ColumnConstraint::ContentWidth);
    }
    finished(&table)
}

/// Renders the page of a silence. Expects a cleaned one.
pub fn render(shown: &Shown, screen: &Screen) -> String {
    let Listed { silence, standing } = &shown.listed;
    let spec = &silence.spec;
    let mut page = Page::new(screen);
    let what = if spec.is_maintenance { "Maintenance window" } else { "Silence" };
    page.line(&format!(
        "{}  {}  {}",
        page.strong(&format!("{what} {}", silence.silence_id)),
        page.paint(tone(*standing), &state(silence, *standing)),
        silence.environment,
    ));
    page.gap();
    page.field("Matchers", &spec.matchers);
    page.field("Time", &format!("{} to {}", minute(spec.starts_at), minute(spec.ends_at)));
    if let Some(recurrence) = &spec.recurrence {
        let minutes = counted(recurrence.duration_min as usize, "minute");
        page.field("Recurs", &format!("{} ({}), for {minutes}", recurrence.cron, recurrence.zone));
    }
    page.field("Begun by", &format!("{}, {}", silence.by, moment(silence.begun_at)));
    page.field("Comment", &spec.comment);
    if let Some(ending) = &silence.ended {
        page.field("Ended by", &format!("{}, {}: {}", ending.by, moment(ending.at), ending.reason));
    }
    hidden(&mut page, shown);
    page.finish()
}

fn hidden(page: &mut Page<'_>, shown: &Shown) {
    let all = &shown.hidden;
    let remark = format!(
        "{} of {}",
        counted(usize::try_from(all.count).unwrap_or_default(), "notification"),
        counted(usize::try_from(all.incidents).unwrap_or_default(), "incident")
    );
    page.heading("Hidden", &remark);
    if all.notifications.is_empty() {
        page.text("  ", "nothing");
    }
    for hidden in &all.notifications {
        let one = &hidden.notification;
        let label = format!("  {}  #{}  {}  ", moment(one.created_at), hidden.number, one.kind.words());
        page.hanging(&label, &hidden.title);
        page.faint("                       ", &format!("not sent to {}", one.recipients.join(", ")));
    }
    let left_out = all.count.saturating_sub(all.notifications.len() as i64);
    if left_out > 0 {
        let left_out = counted(usize::try_from(left_out).unwrap_or_default(), "notification");
        page.faint("  ", &format!("... and {left_out} before; --limit lists more"));
    }
}

fn state(silence: &Silence, standing: Standing) -> String {
    match standing {
        Standing::Active { until } => format!("active until {}", minute(until)),
        Standing::Waiting { from } => format!("from {}", minute(from)),
        Standing::Over => "over".to_owned(),
        Standing::Ended => {
            let by = silence.ended.as_ref().map_or("", |ending| &ending.by);
            format!("ended by {by}")
        }
    }
}

fn tone(standing: Standing) -> Tone {
    match standing {
        Standing::Active { .. } => Tone::Warning,
        Standing::Waiting { .. } => Tone::Plain,
        Standing::Over | Standing::Ended => Tone::Faint,
    }
}

/// Returns date and time, UTC, to the minute.
fn minute(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M").to_string()
}
