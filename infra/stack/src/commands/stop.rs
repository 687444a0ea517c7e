//! `stack stop` and `stack clean`.

use std::process::ExitCode;
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use stack::parts::probe;
use stack::run::layout;
use stack::run::progress::{Progress, say};
use stack::run::state::{Claim, sweep};

/// Longest time for an orderly stop of everything.
const ORDERLY: Duration = Duration::from_mins(1);

/// Stops what runs.
pub(crate) async fn stop() -> Result<ExitCode> {
    if !end().await? {
        say("nothing is running");
    }
    Ok(ExitCode::SUCCESS)
}

/// Stops what runs and removes `.run`.
pub(crate) async fn clean() -> Result<ExitCode> {
    end().await?;
    let dir = layout::run();
    if dir.exists() {
        std::fs::remove_dir_all(&dir).with_context(|| format!("removing {}", dir.display()))?;
        say(&format!("removed {}", dir.display()));
    }
    Ok(ExitCode::SUCCESS)
}

/// Terminates the stack and waits for it, then kills what is left. Returns whether anything ran.
async fn end() -> Result<bool> {
    let dir = layout::run();
    let holder = Claim::holder(&dir);
    if let Some(holder) = &holder {
        kill(Pid::from_raw(holder.pid as i32), Signal::SIGTERM).context("terminating the stack")?;
        let gone = probe::until("the end of the stack", ORDERLY, async || {
            ensure!(!holder.alive(), "process {} still runs", holder.pid);
            Ok(())
        });
        if Progress::Every.step("stopping", gone).await.is_err() && holder.alive() {
            kill(Pid::from_raw(holder.pid as i32), Signal::SIGKILL).context("killing the stack")?;
        }
    }
    let swept = sweep(&dir)?;
    for name in &swept {
        say(&format!("stopped {name}, which an earlier run had left"));
    }
    Ok(holder.is_some() || !swept.is_empty())
}
