//! One module a command; the small ones are here.

pub(crate) mod demo;
pub(crate) mod follow;
pub(crate) mod logs;
pub(crate) mod matrix;
mod narration;
pub(crate) mod run;
pub(crate) mod start;
pub(crate) mod status;
pub(crate) mod stop;

use std::process::{Command, ExitCode};

use anyhow::{Context, Result};
use shared::bus::{self, admin::Admin};
use stack::kafka::create_topics;
use stack::progress::Progress;
use stack::state::{Claim, State};
use stack::{fetch as parts, layout};
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
}

/// Creates the topics that are missing.
pub(crate) async fn topics(arguments: &Topics) -> Result<ExitCode> {
    let options = bus::Options { brokers: arguments.brokers.clone(), ..bus::Options::default() };
    Progress::Every.step("creating the topics", create_topics(&Admin::new(&options)?)).await?;
    Ok(ExitCode::SUCCESS)
}

/// Runs the seeder over the stack that runs.
pub(crate) fn seed() -> Result<ExitCode> {
    let state = running()?;
    let status = Command::new(layout::binaries()?.join("seeder"))
        .current_dir(layout::root())
        .envs(&state.environment)
        .status()
        .context("running the seeder")?;
    Ok(ExitCode::from(u8::from(!status.success())))
}

/// Returns the stack that runs under `.run`.
fn running() -> Result<State> {
    let dir = layout::run();
    Claim::holder(&dir).context("nothing runs; `make start` starts it")?;
    State::read(&dir)?.context("it is still starting")
}

/// Ends when the user or the system asks us to.
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
