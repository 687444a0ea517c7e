//! `firewatch privacy`: what is stored of a person is erased on request.

pub mod arguments;

use std::fmt::Write as _;

use serde::Serialize;
use shared::store::erasure::{Erased, Request};
use shared::text::person::MAX_VALUES;
use shared::text::sanitize::{NAME, one_line};
use shared::text::seal::Sealer;

use crate::failure::CliError;
use crate::figures::counted;
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone, cell, finished};
use arguments::Privacy;

/// What an erasure does not reach, one sentence each.
pub const NOT_REACHED: [&str; 8] = [
    "mail servers, chats, pagers, trackers and webhooks: what was sent is there; delete it there",
    "Kafka: records on operator.commands, incidents.* and others stay until the retention of their topics, 14 days at most",
    "backups of PostgreSQL and Kafka, and files that people have exported (`firewatch incidents export`)",
    "files: knowledge/oncall, knowledge/incidents, routes and the service catalogue; change them and run the seeder",
    "texts of approved postmortems: `firewatch postmortem withdraw`, or approve an edited one again",
    "outbox, timers and results of outside work, until `retention.outbox_days` and `retention.inbox_days`",
    "recipients of messages about incidents that are not closed: later messages go to them; run it again then",
    "logs of the agents, and what they or their queried systems keep elsewhere",
];
/// What is added where no key is configured.
const NO_KEY: &str = "values behind placeholders (`firewatch evidence open`): set redaction.seal_key to the key of the agents and run it again";

/// The outcome of a request.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// Whether nothing was changed.
    pub is_preview: bool,
    /// What was replaced, or would be.
    #[serde(flatten)]
    pub erased: Erased,
    /// What is not reached, one sentence each.
    pub not_reached: Vec<&'static str>,
}

/// Runs `firewatch privacy ...`.
pub async fn run(command: Privacy, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let Privacy::Erase { person, by, preview, json } = command;
    let by = one_line(&by, NAME);
    if by.trim().is_empty() {
        return Err(CliError::Usage("--by names nobody: say who asks".to_owned()));
    }
    let store = open_store(settings)?;
    let sealer = Sealer::new(&settings.common.redaction.seal_key);
    let erased = if preview {
        store.count_person(&person, sealer.as_ref()).await
    } else {
        let request = Request { person: &person, by: &by, at: screen.now, sealer: sealer.as_ref() };
        store.erase_person(&request).await
    };
    let erased = erased.map_err(|error| failed(settings, &error))?;
    let mut not_reached = NOT_REACHED.to_vec();
    if sealer.is_none() {
        not_reached.push(NO_KEY);
    }
    let outcome = Outcome { is_preview: preview, erased, not_reached };
    terminal::print(&if json { terminal::json(&outcome, true)? } else { render(&outcome, screen) })
}

/// Renders the outcome of a request. It does not repeat the name, but for the values that a preview lists.
pub fn render(outcome: &Outcome, screen: &Screen) -> String {
    let Outcome { erased, not_reached, .. } = outcome;
    let mut text = String::new();
    if erased.rows.is_empty() {
        text.push_str("no row names that person\n");
    } else {
        let mut table = screen.table(&["TABLE", "ROWS"]);
        for (name, rows) in &erased.rows {
            table.add_row([cell(Tone::Strong, name), cell(Tone::Plain, rows)]);
        }
        text.push_str(&finished(&table));
        let (rows, texts) = (counted(erased.rows() as usize, "row"), counted(erased.texts as usize, "text"));
        let sealed = match erased.sealed {
            0 => String::new(),
            values => format!(", {} removed", counted(values as usize, "sealed value")),
        };
        let _ = match &erased.placeholder {
            Some(placeholder) => writeln!(text, "\n{texts} in {rows} replaced by {placeholder}{sealed}"),
            None => writeln!(text, "\n{texts} in {rows} would be replaced{sealed}"),
        };
    }
    if !erased.values.is_empty() {
        text.push_str("\nVALUES OF FIELDS THAT NAME A PERSON\n");
        for value in &erased.values {
            let _ = writeln!(text, "- {}", terminal::clean(value, NAME));
        }
        if erased.values.len() == MAX_VALUES {
            text.push_str("  (there may be others)\n");
        }
    }
    text.push_str("\nNOT REACHED\n");
    for what in not_reached {
        let _ = writeln!(text, "- {what}");
    }
    text
}
