//! `firewatch replay`: a window of the past, run through one stage once more.

pub mod arguments;
pub mod progress;
pub mod render;
pub mod silent;

use std::path::Path;
use std::sync::Arc;

use communication::Communication;
use correlation::Correlation;
use investigation::Investigation;
use postmortem::Postmortems;
use remediation::Remediation;
use shared::agent::Agent;
use shared::replay::{self, Report};
use shared::service::{self, Config, StageOptions};
use shared::stage::Stage;
use shared::store::Store;
use tokio_util::sync::CancellationToken;

use crate::failure::CliError;
use crate::settings::Settings;
use crate::terminal::{self, Screen};
use arguments::Replay;
use progress::Line;
use silent::NullChannel;

/// Name of this process in the database.
const PROCESS: &str = "firewatch replay";
/// What is said of the one stage that keeps no rows.
const DETECTION: &str = "detection keeps no rows and learns for weeks, so there is no window to run it in; \
    `detection replay FILE` runs it over samples in a file";

/// Runs `firewatch replay`. `file` is where settings are read from.
pub async fn run(
    arguments: Replay,
    file: Option<&Path>,
    settings: &Settings,
    screen: &Screen,
) -> Result<(), CliError> {
    let request = arguments.request(screen.now)?;
    let work = Work { settings, request };
    let report = match arguments.stage {
        Agent::Detection => return Err(CliError::Usage(DETECTION.to_owned())),
        Agent::Correlation => {
            let config: Config<correlation::Options> = configured("correlation", file)?;
            work.replay(&Correlation::new(config.stage)).await?
        }
        Agent::Investigation => {
            let config: Config<investigation::Options> = configured("investigation", file)?;
            let knowledge = config.common.knowledge.retrieval(work.production()?).await;
            let retrieval = knowledge.map_err(|error| CliError::Failed(format!("knowledge: {error}")))?;
            // a run of the past asks no system of today
            work.replay(&Investigation::new(config.stage, retrieval, None)).await?
        }
        Agent::Remediation => {
            let index = settings.common.knowledge.open_index(work.production()?);
            let index = index.map_err(|error| CliError::Failed(format!("knowledge: {error}")))?;
            work.replay(&Remediation::new(index)).await?
        }
        Agent::Communication => {
            let config: Config<communication::Options> = configured("communication", file)?;
            let channels = communication::channel::open(&config.stage)
                .map_err(|error| CliError::Usage(format!("communication: {error:#}")))?
                .map(|channel| Arc::new(NullChannel(channel)));
            work.replay(&Communication::new(config.stage, channels)).await?
        }
        Agent::Postmortem => {
            let config: Config<postmortem::Options> = configured("postmortem", file)?;
            work.replay(&Postmortems::new(config.stage)).await?
        }
    };
    terminal::print(&if arguments.json {
        terminal::json(&report, true)?
    } else {
        render::render(&report, screen)
    })?;
    if let Some(schema) = &report.schema {
        eprintln!("kept as schema {schema}; remove it with: drop schema {schema} cascade");
    }
    match report.differing() {
        0 => Ok(()),
        differing => Err(CliError::Differs(differing)),
    }
}

/// Returns the settings of a stage, from where its agent has them.
fn configured<S: StageOptions>(name: &'static str, file: Option<&Path>) -> Result<Config<S>, CliError> {
    Ok(Settings::configuration(name, file)?.0)
}

struct Work<'s> {
    settings: &'s Settings,
    request: replay::Request,
}

impl Work<'_> {
    /// Opens what production has, to search its knowledge.
    fn production(&self) -> Result<Store, CliError> {
        Store::new(&self.settings.common.postgres, PROCESS)
            .map_err(|error| CliError::Usage(format!("postgres: {error}")))
    }

    async fn replay<S: Stage>(&self, stage: &S) -> Result<Report, CliError> {
        let shutdown = CancellationToken::new();
        let signals = tokio::spawn(service::cancel_on_signal(shutdown.clone()));
        let line = Line::default();
        let told = |progress| line.show(progress);
        let outcome = replay::run(stage, &self.settings.common, &self.request, &told, &shutdown).await;
        line.clear();
        signals.abort();
        outcome.map_err(|error| self.failed(&error))
    }

    fn failed(&self, error: &replay::Error) -> CliError {
        match error {
            replay::Error::Bus(error) => crate::topics::failed(self.settings, error),
            replay::Error::Store(error) => crate::incidents::failed(self.settings, error),
            other => CliError::Failed(other.to_string()),
        }
    }
}
