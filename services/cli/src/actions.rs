//! `firewatch actions`: action items of postmortems, and what became of them. Changes are commands that postmortem decides on.

pub mod arguments;

use jiff::civil::Date;
use jiff::tz::TimeZone;
use serde::Serialize;
use shared::events::command::Action;
use shared::events::postmortem::Priority;
use shared::store::Reads;
use shared::store::action_items::{Filter, Item, State};

use crate::command::arguments::Sender;
use crate::command::{asked, send};
use crate::failure::CliError;
use crate::incidents::{failed, find, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone, cell, cleaned, finished};
use arguments::{Actions, ItemRef, List};

/// An item as it is listed.
#[derive(Debug, Clone, Serialize)]
pub struct Listed {
    /// The item.
    #[serde(flatten)]
    pub item: Item,
    /// Whether it is to be done and its date is past.
    pub is_overdue: bool,
}

impl Listed {
    /// Returns an item as it is on a day.
    pub fn on(today: Date, item: Item) -> Self {
        Self { is_overdue: item.is_overdue(today), item }
    }
}

/// Runs `firewatch actions ...`.
///
/// # Errors
/// If a command is refused or not answered in time, an item does not exist, or the database does not answer.
pub async fn run(command: Actions, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let (which, sender): (ItemRef, Sender) = match &command {
        Actions::List(arguments) => return list(arguments, store.reads(), settings, screen).await,
        Actions::Done { which, sender, .. }
        | Actions::Reopen { which, sender, .. }
        | Actions::Drop { which, sender, .. } => (which.clone(), sender.clone()),
    };
    let item = item(&which, store.reads(), settings).await?;
    let item_id = item.item_id;
    let action = match command {
        Actions::Done { note, .. } => Action::CompleteActionItem { item_id, note },
        Actions::Reopen { note, .. } => Action::ReopenActionItem { item_id, note },
        Actions::Drop { reason, .. } => Action::DropActionItem { item_id, reason },
        Actions::List(_) => return Ok(()),
    };
    let command = asked(action, Some(item.incident_id), item.environment, &sender, screen);
    send(&command, &sender, &store, settings).await
}

async fn item(which: &ItemRef, reads: &Reads, settings: &Settings) -> Result<Item, CliError> {
    let found = match which {
        ItemRef::Id(id) => reads.action_item(*id).await.map(|item| item.into_iter().collect()),
        ItemRef::Name { number, digits } => reads.action_items_named(*number, digits).await,
    };
    let found: Vec<Item> = found.map_err(|error| failed(settings, &error))?;
    match <[Item; 1]>::try_from(found) {
        Ok([item]) => Ok(item),
        Err(found) if found.is_empty() => Err(CliError::NotFound(format!("there is no action item {which}"))),
        Err(_) => Err(CliError::Usage(format!("several action items begin with {which}; give more digits"))),
    }
}

async fn list(arguments: &List, reads: &Reads, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let today = screen.now.to_zoned(TimeZone::UTC).date();
    let incident_id = match arguments.incident {
        Some(which) => Some(find(reads, which, settings).await?.incident_id),
        None => None,
    };
    let filter = Filter {
        all: arguments.all,
        owner: arguments.owner.clone(),
        service: arguments.service.clone(),
        incident_id,
        due_before: arguments.overdue.then_some(today),
    };
    let items =
        reads.action_items(&filter, arguments.limit).await.map_err(|error| failed(settings, &error))?;
    let listed: Vec<Listed> = items.into_iter().map(|item| Listed::on(today, item)).collect();
    if arguments.json {
        return terminal::print(&terminal::json(&listed, true)?);
    }
    let listed: Vec<Listed> = listed
        .into_iter()
        .map(|one| Ok(Listed { item: cleaned(&one.item)?, ..one }))
        .collect::<Result<_, CliError>>()?;
    terminal::print(&table(&listed, screen))
}

/// Renders items as a table, in the order they are given. Expects clean texts.
pub fn table(listed: &[Listed], screen: &Screen) -> String {
    if listed.is_empty() {
        return "no action items\n".to_owned();
    }
    let mut table = screen.table(&["ID", "DUE", "PRIORITY", "STATE", "OWNER", "SERVICE", "WHAT"]);
    for Listed { item, is_overdue } in listed {
        let due = if *is_overdue { format!("{} overdue", item.due) } else { item.due.to_string() };
        let state = match &item.changed {
            Some(change) if item.state != State::Open => format!("{} by {}", item.standing(), change.by),
            _ => item.standing().to_owned(),
        };
        table.add_row([
            cell(Tone::Strong, &item.name),
            cell(if *is_overdue { Tone::Alarm } else { Tone::Plain }, due),
            cell(priority_tone(item.priority), item.priority),
            cell(state_tone(item), state),
            cell(Tone::Plain, &item.owner),
            cell(Tone::Plain, &item.service),
            cell(Tone::Plain, &item.title),
        ]);
    }
    finished(&table)
}

fn priority_tone(priority: Priority) -> Tone {
    match priority {
        Priority::High => Tone::Warning,
        Priority::Medium => Tone::Plain,
        Priority::Low => Tone::Faint,
    }
}

/// Returns how loud the state of an item is.
pub(crate) fn state_tone(item: &Item) -> Tone {
    match item.state {
        State::Done => Tone::Good,
        State::Open if item.is_open() => Tone::Plain,
        State::Open | State::Dropped => Tone::Faint,
    }
}
