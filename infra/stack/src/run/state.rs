//! What runs, written down for whoever comes next: `stop`, `status`, and a start after a crash.

use std::collections::BTreeMap;
use std::fs::{File, OpenOptions};
use std::path::{Path, PathBuf};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, killpg};
use nix::unistd::Pid;
use serde::{Deserialize, Serialize};

const FILE: &str = "stack.json";
const LOCK: &str = "lock";

/// A process, known by its id and the time it started, so that another one that got its id later is not mistaken
/// for it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Identity {
    /// Process id, and the id of its group.
    pub pid: u32,
    /// When it started, in clock ticks since boot.
    pub started: u64,
}

impl Identity {
    /// Looks a running process up.
    pub fn of(pid: u32) -> Option<Self> {
        let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
        // the name in parentheses may hold anything, so count from its end: state is field 3, start time 22
        let mut fields = stat.rsplit_once(')')?.1.split_whitespace();
        let state = fields.next()?;
        let started = fields.nth(18)?.parse().ok()?;
        (state != "Z").then_some(Self { pid, started })
    }

    /// Tells whether that very process still runs.
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
    /// Where it serves probes and metrics.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub http: Option<String>,
    /// Where its output goes.
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
    /// Where mails are sent.
    pub smtp_url: String,
    /// Where mails are shown.
    pub mail_url: String,
    /// Settings by which a binary of the workspace finds the parts.
    pub environment: BTreeMap<String, String>,
    /// Everything that was started.
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

    /// Writes it, at once or not at all.
    pub fn write(&self, dir: &Path) -> Result<()> {
        let new = dir.join("stack.json.new");
        std::fs::write(&new, serde_json::to_vec_pretty(self)?)?;
        Ok(std::fs::rename(new, dir.join(FILE))?)
    }

    /// Forgets the run.
    pub fn remove(dir: &Path) {
        let _ = std::fs::remove_file(dir.join(FILE));
    }
}

/// Holds a run's folder: at most one stack works in it. The kernel lets go of it when the process ends.
pub struct Claim {
    _lock: File,
}

impl Claim {
    /// Takes the folder, and ends what a stack left behind in it that died without being able to clean up.
    pub fn take(dir: &Path) -> Result<Self> {
        let mut lock = OpenOptions::new().create(true).truncate(false).write(true).open(dir.join(LOCK))?;
        if lock.try_lock().is_err() {
            bail!("already running; see `make status`, or end it with `make stop`");
        }
        lock.set_len(0)?;
        serde_json::to_writer(&mut lock, &Identity::of(std::process::id()))?;
        sweep(dir)?;
        Ok(Self { _lock: lock })
    }

    /// Returns the process that works in `dir`, if one does.
    pub fn holder(dir: &Path) -> Option<Identity> {
        let holder: Identity = serde_json::from_slice(&std::fs::read(dir.join(LOCK)).ok()?).ok()?;
        holder.alive().then_some(holder)
    }
}

/// Ends the recorded processes that still run, and forgets them. Returns the names of those.
pub fn sweep(dir: &Path) -> Result<Vec<String>> {
    let Some(state) = State::read(dir)? else { return Ok(Vec::new()) };
    let mut swept = Vec::new();
    for process in state.processes {
        if process.identity.alive() {
            // it may end between the look and the blow
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
    fn a_process_is_not_taken_for_another_with_its_id() {
        let own = Identity::of(std::process::id()).unwrap();
        assert!(own.alive());
        let earlier = Identity { started: own.started - 1, ..own };
        assert!(!earlier.alive());
    }
}
