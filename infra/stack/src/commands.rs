//! One module for each command; the small ones are here.

pub(crate) mod demo;
pub(crate) mod follow;
pub(crate) mod logs;
pub(crate) mod matrix;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;

use std::path::PathBuf;
use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use shared::bus::{self, admin::Admin};
use shared::events::fault::Scenario;
use shared::service::config::{Cli, Config, NoOptions};
use stack::parts::kafka::create_topics;
use stack::run::progress::{Progress, say};
use stack::run::state::{Claim, State};
use stack::run::{fetch as parts, layout};
use tokio::signal::unix::{SignalKind, signal};

/// Fetches what is missing.
pub(crate) async fn fetch() -> Result<ExitCode> {
    parts::all(Progress::Every).await?;
    Ok(ExitCode::SUCCESS)
}

#[derive(clap::Args)]
pub(crate) struct Topics {
    /// Address of Kafka
    #[arg(long, env = "FIREWATCH_KAFKA__BROKERS")]
    brokers: String,
    /// TOML file with further settings, e.g. of TLS and the login
    #[arg(long, env = "FIREWATCH_CONFIG")]
    config: Option<PathBuf>,
}

/// Creates the topics that are missing.
pub(crate) async fn topics(arguments: &Topics) -> Result<ExitCode> {
    let config =
        Config::<NoOptions>::load("stack", &Cli { config: arguments.config.clone(), print_config: false })
            .map_err(|problems| anyhow::anyhow!("the configuration is invalid:\n{problems}"))?;
    let options = bus::Options { brokers: arguments.brokers.clone(), ..config.common.kafka };
    for warning in options.warnings() {
        say(&format!("warning: {warning}"));
    }
    Progress::Every.step("creating the topics", create_topics(&Admin::new(&options)?)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the seeder for the running stack.
pub(crate) fn seed() -> Result<ExitCode> {
    let state = running()?;
    let status = Command::new(layout::binaries()?.join("seeder"))
        .current_dir(layout::root())
        .envs(&state.environment)
        .status()
        .context("running the seeder")?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Returns the fault of the simulator that has this name.
fn fault(name: &str) -> Result<Scenario, String> {
    let faults = || Scenario::ALL.into_iter().filter(|scenario| scenario.category().is_some());
    faults().find(|scenario| scenario.to_string() == name).ok_or_else(|| {
        let known: Vec<String> = faults().map(|scenario| scenario.to_string()).collect();
        format!("no scenario {name:?}; there are {}", known.join(", "))
    })
}

/// Returns the running stack of `.run`.
fn running() -> Result<State> {
    let dir = layout::run();
    Claim::holder(&dir).context("no stack is running; `make start` starts one")?;
    State::read(&dir)?.context("the stack is still starting")
}

/// Returns when the user or the system asks this process to end.
async fn interrupted() -> Result<()> {
    let mut terminate = signal(SignalKind::terminate())?;
    let mut hangup = signal(SignalKind::hangup())?;
    tokio::select! {
        interrupt = tokio::signal::ctrl_c() => interrupt?,
        _ = terminate.recv() => {}
        _ = hangup.recv() => {}
    }
    Ok(())
}
