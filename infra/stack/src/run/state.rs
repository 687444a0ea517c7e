//! The running processes, recorded for `stop`, `status`, and a start after a crash.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

const FILE: &str = "stack.json";
const LOCK: &str = "lock";

/// A process, identified by its id and its start time, so that a later process with the same id is another one.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id, and the id of its group.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl Identity {
    /// Returns the identity of a running process.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name in parentheses may hold anything, so count from its end: state is field 3, start time 22
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Self { pid, started })
    }

    /// Returns whether that very process still runs.
    pub fn alive(&self) -> bool {
        Self::of(self.pid).as_ref() == Some(self)
    }
}

/// One process of the stack.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecordedProcess {
    /// `kafka`, `detection-2`, ...
    pub name: String,
    /// Which process it is.
    #[serde(flatten)]
    pub identity: Identity,
    /// Address of its probes and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// File with its output.
    pub log: PathBuf,
}

/// A run.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct State {
    /// Whether everything that was asked for is up.
    pub ready: bool,
    /// Address of Kafka.
    pub brokers: String,
    /// URL of the database.
    pub postgres_url: String,
    /// URL that mails are sent to.
    pub smtp_url: String,
    /// URL of the web page with the mails.
    pub mail_url: String,
    /// Settings that a binary of the workspace needs to reach the parts.
    pub environment: BTreeMap<String, String>,
    /// Processes.
    pub processes: Vec<RecordedProcess>,
}

impl State {
    /// Reads the state of the run in `dir`, if there is one.
    pub fn read(dir: &Path) -> Result<Option<Self>> {
        let file = dir.join(FILE);
        match std::fs::read(&file) {
            Ok(text) => Ok(Some(
                serde_json::from_slice(&text).with_context(|| format!("reading {}", file.display()))?,
            )),
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
            Err(error) => Err(error).with_context(|| format!("reading {}", file.display())),
        }
    }

    /// Writes it atomically.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let new = dir.join("stack.json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        Ok(std::fs::rename(new, dir.join(FILE))?)
    }

    /// Removes the record of the run.
    pub fn remove(dir: &Path) {
        let _ = std::fs::remove_file(dir.join(FILE));
    }
}

/// A lock on the folder of a run, which at most one stack uses. The kernel releases it when the process ends.
pub struct Claim {
    _lock: File,
}

impl Claim {
    /// Locks the folder, and ends the processes that a crashed stack left in it.
    pub fn take(dir: &Path) -> Result<Self> {
        let mut lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
        if lock.try_lock().is_err() {
            bail!("already running; see `make status`, or stop it with `make stop`");
        }
        lock.set_len(0)?;
        serde_json::to_writer(&mut lock, &Identity::of(std::process::id()))?;
        sweep(dir)?;
        Ok(Self { _lock: lock })
    }

    /// Returns the process that has locked `dir`, if one has.
    pub fn holder(dir: &Path) -> Option<Identity> {
        let holder: Identity = serde_json::from_slice(&std::fs::read(dir.join(LOCK)).ok()?).ok()?;
        holder.alive().then_some(holder)
    }
}

/// Kills the recorded processes that still run, and removes the record. Returns their names.
pub fn sweep(dir: &Path) -> Result<Vec<String>> {
    let Some(state) = State::read(dir)? else { return Ok(Vec::new()) };
    let mut swept = Vec::new();
    for process in state.processes {
        if process.identity.alive() {
            // it may end between the check and the signal
            let _ = killpg(Pid::from_raw(process.identity.pid as i32), Signal::SIGKILL);
            swept.push(process.name);
        }
    }
    State::remove(dir);
    Ok(swept)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_with_a_reused_id_is_another_one() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.alive());
        let earlier = Identity { started: own.started - 1, ..own };
        assert!(!earlier.alive());
    }
}
