//! `stack run`.

use std::process::ExitCode;

use anyhow::{Context, Result};
use stack::{Options, Stack, testing};

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// The command and its arguments
    #[arg(trailing_var_arg = true, required = true, value_name = "COMMAND")]
    command: Vec<String>,
}

/// Starts temporary parts and runs a command, whose tests find the parts by [`testing`] through the environment.
pub(crate) async fn run(arguments: &Arguments) -> Result<ExitCode> {
    let started = tokio::select! {
        stack = Stack::start(Options::throw_away()?) => Some(stack?),
        interrupted = super::interrupted() => interrupted.map(|()| None)?,
    };
    let Some(stack) = started else { return Ok(ExitCode::FAILURE) };
    let [program, rest @ ..] = arguments.command.as_slice() else { return Ok(ExitCode::FAILURE) };
    let mut child = tokio::process::Command::new(program)
        .args(rest)
        .env(testing::KAFKA, stack.brokers())
        .env(testing::POSTGRES, stack.postgres().url("postgres"))
        .env(testing::SMTP, stack.mail().smtp_url())
        .env(testing::MAIL, stack.mail().web_url())
        .kill_on_drop(true)
        .spawn()
        .with_context(|| format!("running {program}"))?;
    let code = tokio::select! {
        status = child.wait() => status?.code().and_then(|code| u8::try_from(code).ok()),
        interrupted = super::interrupted() => interrupted.map(|()| None)?,
    };
    drop(child);
    stack.stop().await?;
    Ok(code.map_or(ExitCode::FAILURE, ExitCode::from))
}
