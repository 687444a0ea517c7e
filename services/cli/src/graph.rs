//! `firewatch graph`: who calls whom, with the figures of the calls.

pub mod arguments;
pub mod document;
pub mod dot;
pub mod mermaid;
pub mod table;

use std::path::Path;

use jiff::{SignedDuration, Timestamp};
use shared::service::Config;

use crate::failure::CliError;
use crate::incidents::{failed, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen, cleaned};
use arguments::{Format, Graph};
use document::Document;

/// Runs `firewatch graph`. `file` is where settings are read from: edges are as old as correlation uses them.
pub async fn run(
    arguments: Graph,
    file: Option<&Path>,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let (correlation, _): (Config<correlation::Options>, _) = Settings::configuration("correlation", file)?;
    let age = SignedDuration::from_hours(i64::from(correlation.stage.edge_age_hours));
    let edges_since = screen.now.saturating_sub(age).unwrap_or(Timestamp::MIN);
    let store = open_store(settings)?;
    let Graph { environment, format, since } = arguments;
    let found = store
        .reads()
        .service_graph(&environment, edges_since, since, screen.now)
        .await
        .map_err(|error| failed(settings, &error))?;
    let Some(graph) = found else {
        let known = store.reads().environments().await.map_err(|error| failed(settings, &error))?;
        return Err(unknown(&environment, &known));
    };
    let document = Document::of(environment, since, &graph);
    terminal::print(&render(&document, format, screen)?)
}

/// Renders a graph.
pub fn render(document: &Document, format: Format, screen: &Screen) -> Result<String, CliError> {
    Ok(match format {
        Format::Json => terminal::json(document, true)?,
        Format::Table => table::render(&cleaned(document)?, screen),
        Format::Dot => dot::render(document),
        Format::Mermaid => mermaid::render(document),
    })
}

fn unknown(environment: &str, known: &[String]) -> CliError {
    let hint = match known {
        [] => "no environment has sent anything yet".to_owned(),
        known => format!("known: {}", known.join(", ")),
    };
    CliError::NotFound(format!("nothing is stored of environment {environment} ({hint})"))
}
