//! The list of incidents.

use comfy_table::ColumnConstraint;
use shared::events::Incident;

use super::{lasted, severity_tone, state_tone};
use crate::figures::{ago, counted, percent};
use crate::terminal::{Screen, Tone, cell, finished};

/// Returns a note on the rows that could not be read, if there are any.
pub fn left_out(unreadable: usize) -> Option<String> {
    match unreadable {
        0 => None,
        1 => Some("1 incident is left out: its row cannot be read".to_owned()),
        more => Some(format!("{} are left out: their rows cannot be read", counted(more, "incident"))),
    }
}

/// Renders incidents as a table, in the order they are given.
pub fn render(incidents: &[Incident], screen: &Screen) -> String {
    if incidents.is_empty() {
        return "no incidents\n".to_owned();
    }
    let mut table = screen.table(&["#", "SEV", "STATE", "TITLE", "SUSPECT", "OPENED", "LASTED"]);
    for incident in incidents {
        let suspect = incident.suspect().map_or_else(
            || "none stands out".to_owned(),
            |suspect| format!("{} ({})", suspect.service, percent(suspect.posterior)),
        );
        table.add_row([
            cell(Tone::Strong, incident.number),
            cell(severity_tone(incident.severity), incident.severity.label()),
            cell(state_tone(incident.state), incident.state),
            cell(Tone::Plain, &incident.title),
            cell(Tone::Plain, suspect),
            cell(Tone::Plain, ago(screen.now, incident.opened_at)),
            cell(Tone::Plain, lasted(incident, screen)),
        ]);
    }
    // where room is short, words give way before figures do
    for narrow in [0, 1, 2, 5, 6] {
        if let Some(column) = table.column_mut(narrow) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    finished(&table)
}
