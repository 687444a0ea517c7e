//! `firewatch feedback` and `firewatch accuracy`: whether causes were right, as people say, and how often.

pub mod accuracy;
pub mod arguments;

use shared::events::Category;
use shared::events::rca::RootCause;
use shared::store::ArtifactKind;
use shared::store::feedback::Feedback;

use crate::failure::CliError;
use crate::incidents::{failed, find, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, cleaned};
use accuracy::Accuracy;
use arguments::{AccuracyArguments, FeedbackArguments};

/// Runs `firewatch feedback`.
pub async fn give(request: FeedbackArguments, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let incident = find(store.reads(), request.incident, settings).await?;
    let result: Option<RootCause> = store
        .reads()
        .artifact(incident.incident_id, ArtifactKind::RootCause)
        .await
        .map_err(|error| failed(settings, &error))?;
    let result = result.ok_or_else(|| {
        CliError::NotFound(format!("incident #{} was not investigated yet", incident.number))
    })?;
    let feedback = request.feedback(screen.now)?;
    store.give_feedback(incident.incident_id, &feedback).await.map_err(|error| failed(settings, &error))?;
    let said = said(&feedback, &result);
    terminal::print(&format!("incident #{}: {}\n", incident.number, terminal::clean(&said, 500)))
}

/// Says what was recorded.
fn said(feedback: &Feedback, result: &RootCause) -> String {
    let first = result.candidates.first();
    let cause = first.map_or_else(
        || "no cause was found".to_owned(),
        |first| format!("{}, {}", first.service, first.category.words()),
    );
    let correction = match (&feedback.service, feedback.category.map(Category::words)) {
        (None, None) => String::new(),
        (Some(service), None) => format!("; it was {service}"),
        (None, Some(category)) => format!("; it was {category}"),
        (Some(service), Some(category)) => format!("; it was {service}, {category}"),
    };
    let Feedback { cause: judgement, given_by, .. } = feedback;
    format!("the cause ({cause}) is recorded as {judgement}{correction}, by {given_by}")
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
