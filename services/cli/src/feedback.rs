//! `firewatch feedback` and `firewatch accuracy`: whether causes were right, as people say, and how often.

pub mod accuracy;
pub mod arguments;

use crate::command;
use crate::command::arguments::OfIncident;
use crate::failure::CliError;
use crate::incidents::{failed, find, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, cleaned};
use accuracy::Accuracy;
use arguments::{AccuracyArguments, FeedbackArguments};

/// Runs `firewatch feedback`.
///
/// # Errors
/// If it is refused, not answered in time, or cannot be sent.
pub async fn give(request: FeedbackArguments, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let action = request.action()?;
    let FeedbackArguments { of: OfIncident { incident, sender }, .. } = request;
    let incident = find(store.reads(), incident, settings).await?;
    let id = Some(incident.incident_id);
    let command = command::asked(action, id, incident.environment, &sender, screen);
    command::send(&command, &sender, &store, settings).await
}

/// Runs `firewatch accuracy`.
pub async fn accuracy(
    request: AccuracyArguments,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let judged =
        store.reads().judged(&request.environment).await.map_err(|error| failed(settings, &error))?;
    let accuracy = Accuracy::of(request.environment, &judged);
    terminal::print(&if request.json {
        terminal::json(&accuracy, true)?
    } else {
        accuracy::render(&cleaned(&accuracy)?, screen)
    })
}
