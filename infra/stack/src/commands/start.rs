//! `stack start`.

use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::process::{Command, ExitCode, Stdio};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use stack::run::layout::{self, Layout};
use stack::run::progress::{Progress, say};
use stack::run::state::{Claim, State, sweep};
use stack::{Options, Program, Stack};

/// Longest time for an agent to be ready.
const READY: Duration = Duration::from_mins(1);

#[derive(clap::Args)]
pub(crate) struct Arguments {
    /// Copies of each agent
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=6))]
    replicas: u32,
    /// Starts no simulator, for telemetry of your own
    #[arg(long)]
    no_simulator: bool,
    /// Starts the gateway too: OTLP on 127.0.0.1:4318 (HTTP) and 127.0.0.1:4317 (gRPC)
    #[arg(long)]
    gateway: bool,
    /// Stays in the foreground until interrupted
    #[arg(long)]
    foreground: bool,
}

/// Starts everything. In the background it does so by a second process of this program, in a session of its own.
pub(crate) async fn start(arguments: Arguments) -> Result<ExitCode> {
    if arguments.foreground {
        return foreground(&arguments).await;
    }
    let layout = Layout::create(&layout::run())?;
    if Claim::holder(layout.dir()).is_some() {
        bail!("already running; see `make status`, or stop it with `make stop`");
    }
    sweep(layout.dir())?;
    let log = layout.log("stack");
    let output = std::fs::File::create(&log)?;
    let mut command = Command::new("setsid");
    command
        .arg(std::env::current_exe()?)
        .args(["start", "--foreground", "--replicas", &arguments.replicas.to_string()])
        .stdin(Stdio::null())
        .stdout(output.try_clone()?)
        .stderr(output);
    if arguments.no_simulator {
        command.arg("--no-simulator");
    }
    if arguments.gateway {
        command.arg("--gateway");
    }
    let mut child = command.spawn().context("running setsid")?;
    let mut shown = 0;
    loop {
        shown = show(&log, shown)?;
        if State::read(layout.dir())?.is_some_and(|state| state.ready) {
            show(&log, shown)?;
            return Ok(ExitCode::SUCCESS);
        }
        if let Some(status) = child.try_wait()? {
            show(&log, shown)?;
            return Ok(ExitCode::from(u8::from(!status.success())));
        }
        tokio::time::sleep(Duration::from_millis(100)).await;
    }
}

/// Starts everything and supervises it until interrupted.
async fn foreground(arguments: &Arguments) -> Result<ExitCode> {
    let started = tokio::select! {
        stack = up(arguments) => Some(stack?),
        interrupted = super::interrupted() => interrupted.map(|()| None)?,
    };
    let Some(stack) = started else { return Ok(ExitCode::FAILURE) };
    let watched = tokio::select! {
        watched = stack.watch() => watched,
        interrupted = super::interrupted() => interrupted,
    };
    Progress::Every.step("stopping", stack.stop()).await?;
    watched.map(|()| ExitCode::SUCCESS)
}

async fn up(arguments: &Arguments) -> Result<Stack> {
    let stack = agents(Options::lasting()?, arguments.replicas).await?;
    if arguments.gateway {
        stack.spawn(&Program::new("gateway"))?.ready(READY).await?;
        say("the gateway takes OTLP at 127.0.0.1:4318 (HTTP) and 127.0.0.1:4317 (gRPC)");
    }
    if !arguments.no_simulator {
        stack.spawn(&Program::new("simulator"))?.ready(READY).await?;
    }
    stack.ready()?;
    say(&format!("ready; mails are at {}", stack.mail().web_url()));
    Ok(stack)
}

/// Starts the parts, indexes the knowledge base and starts copies of the agents.
pub(super) async fn agents(options: Options, replicas: u32) -> Result<Stack> {
    let progress = options.progress;
    let stack = Stack::start(options).await?;
    progress.step("indexing the knowledge base", stack.seed()).await?;
    let copies = if replicas == 1 { String::new() } else { format!(", {replicas} copies of each") };
    let step = format!("starting the six agents{copies}");
    progress.step(&step, stack.spawn_agents(replicas, READY)).await?;
    Ok(stack)
}

/// Copies what a file has after `from` to standard error. Returns its length in bytes.
fn show(file: &Path, from: u64) -> Result<u64> {
    let mut file = std::fs::File::open(file)?;
    file.seek(SeekFrom::Start(from))?;
    let mut text = Vec::new();
    let length = file.read_to_end(&mut text)?;
    eprint!("{}", String::from_utf8_lossy(&text));
    Ok(from + length as u64)
}
