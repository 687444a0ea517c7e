//! `firewatch topics`: topics, as Kafka has them.

pub mod line;
pub mod list;
pub mod tail;

use std::time::Duration;

use shared::bus;
use shared::events::Topic;

use crate::arguments;
use crate::failure::CliError;
use crate::settings::Settings;
use crate::terminal::{self, Screen};

/// Longest wait for one answer of the broker.
const ANSWER: Duration = Duration::from_secs(5);

/// Runs `firewatch topics ...`. The client's calls block, so they run on a thread of their own.
pub async fn run(command: arguments::Topics, settings: Settings, screen: Screen) -> Result<(), CliError> {
    let work = move || match command {
        arguments::Topics::List { json } => {
            let rows =
                list::read(&settings.common.kafka, ANSWER).map_err(|error| failed(&settings, &error))?;
            terminal::print(&if json { terminal::json(&rows, true)? } else { list::render(&rows, &screen) })
        }
        arguments::Topics::Tail { topic, last, follow, key, json } => {
            let request = tail::Request { topic, last: last.into(), follow, key };
            tail::tail(&request, &settings, |record| {
                if json {
                    Ok(terminal::json(&line::Document::of(topic, record), false)?)
                } else {
                    Ok(line::render(topic, record, &screen))
                }
            })
        }
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(CliError::Failed(format!("internal error: {error}"))))
}

/// Returns the failure for an error of the client.
pub(crate) fn failed(settings: &Settings, error: &bus::Error) -> CliError {
    settings.unreachable(
        "Kafka",
        &settings.common.kafka.brokers,
        "FIREWATCH_KAFKA__BROKERS",
        &error.to_string(),
    )
}

/// Returns what the key of a topic's records is.
fn key_of(topic: Topic) -> &'static str {
    match topic {
        Topic::RawMetrics
        | Topic::RawLogs
        | Topic::RawDeployments
        | Topic::RawAlerts
        | Topic::CatalogueServices
        | Topic::Anomalies
        | Topic::SimFaults => "service",
        Topic::RawSpans => "trace",
        Topic::IncidentsOpened
        | Topic::IncidentsUpdated
        | Topic::IncidentsResolved
        | Topic::RcaCompleted
        | Topic::Plans
        | Topic::Actions
        | Topic::Postmortems => "incident",
        Topic::OperatorCommands => "incident or environment",
        Topic::DetectionState => "partition, service",
        Topic::DeadLetters(_) => "as the input",
    }
}
