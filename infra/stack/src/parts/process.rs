//! One process of the stack: started in a group of its own, with its output in a file, and ended with this process.

use std::fs::OpenOptions;
use std::os::unix::process::{CommandExt, ExitStatusExt};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, ExitStatus, Stdio};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use nix::sys::signal::{Signal, kill, killpg};
use nix::unistd::Pid;

use crate::parts::guard::Guard;
use crate::parts::probe;

/// Time between two checks for the end of a process.
const CHECK_INTERVAL: Duration = Duration::from_millis(20);

type Recipe = Box<dyn Fn() -> Command + Send + Sync>;

/// A process that can be started, stopped, killed and signalled any number of times. It is not bound to an async runtime, so
/// that tests with a runtime each can share one.
pub struct Process {
    name: String,
    recipe: Recipe,
    log: PathBuf,
    /// Signal for an orderly end.
    stop_signal: Signal,
    /// Time after that signal before the process is killed.
    grace: Duration,
    guard: Arc<Guard>,
    child: Mutex<Option<Child>>,
}

impl Process {
    /// Describes a process, and does not start it.
    pub fn new(
        name: impl Into<String>,
        log: PathBuf,
        guard: Arc<Guard>,
        recipe: impl Fn() -> Command + Send + Sync + 'static,
    ) -> Self {
        Self {
            name: name.into(),
            recipe: Box::new(recipe),
            log,
            stop_signal: Signal::SIGTERM,
            grace: Duration::from_secs(15),
            guard,
            child: Mutex::new(None),
        }
    }

    /// Sets the signal for an orderly end, and the time before the process is killed.
    #[must_use]
    pub fn stopped_by(mut self, stop_signal: Signal, grace: Duration) -> Self {
        self.stop_signal = stop_signal;
        self.grace = grace;
        self
    }

    /// Returns the name.
    pub fn name(&self) -> &str {
        &self.name
    }

    /// Returns the file its output goes to.
    pub fn log(&self) -> &Path {
        &self.log
    }

    /// Starts the process, if it does not run.
    pub fn start(&self) -> Result<()> {
        let mut child = self.child();
        if let Some(running) = child.as_mut() {
            if running.try_wait()?.is_none() {
                return Ok(());
            }
            self.guard.remove(group(running));
        }
        let log = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&self.log)
            .with_context(|| format!("opening {}", self.log.display()))?;
        let mut command = (self.recipe)();
        let started = command
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {} ({})", self.name, command.get_program().display()))?;
        let group = group(&started);
        *child = Some(started);
        self.guard.add(group)
    }

    /// Returns the process id while it runs.
    pub fn pid(&self) -> Option<u32> {
        let mut child = self.child();
        let child = child.as_mut()?;
        matches!(child.try_wait(), Ok(None)).then(|| child.id())
    }

    /// Waits until `probe` succeeds. Fails after `deadline`, and at once with the end of its log if the process has ended.
    pub async fn until(
        &self,
        what: &str,
        deadline: Duration,
        mut probe: impl AsyncFnMut() -> Result<()>,
    ) -> Result<()> {
        let what = format!("{} {what}", self.name);
        probe::until(&what, deadline, async || match self.check() {
            Err(ended) => Ok(Err(ended)),
            Ok(()) => probe().await.map(Ok),
        })
        .await?
    }

    /// Fails with the end of its log if the process has ended by itself.
    pub fn check(&self) -> Result<()> {
        let Some(status) = self.ended()? else { return Ok(()) };
        bail!(
            "{} ended with {}; the end of {}:\n{}",
            self.name,
            describe(status),
            self.log.display(),
            self.tail(15)
        )
    }

    /// Returns how the process ended, if it did so by itself.
    pub fn ended(&self) -> Result<Option<ExitStatus>> {
        let mut child = self.child();
        let Some(child) = child.as_mut() else { return Ok(None) };
        Ok(child.try_wait()?)
    }

    /// Returns the last lines of the log.
    pub fn tail(&self, lines: usize) -> String {
        let text = std::fs::read(&self.log).map(|bytes| String::from_utf8_lossy(&bytes).into_owned());
        let text = text.unwrap_or_default();
        let all: Vec<_> = text.lines().collect();
        all[all.len().saturating_sub(lines)..].join("\n")
    }

    /// Stops the process, and kills it if it does not end in time.
    pub async fn stop(&self) -> Result<()> {
        self.signal(self.stop_signal)?;
        let signalled = Instant::now();
        while signalled.elapsed() < self.grace {
            if self.pid().is_none() {
                break;
            }
            tokio::time::sleep(CHECK_INTERVAL).await;
        }
        self.kill9();
        Ok(())
    }

    /// Kills the whole group at once and waits for its end.
    pub fn kill9(&self) {
        let Some(mut child) = self.child().take() else { return };
        let group = group(&child);
        // fails only if the group is empty
        let _ = killpg(group, Signal::SIGKILL);
        let _ = child.wait();
        self.guard.remove(group);
    }

    /// Sends a signal to the process itself, if it runs.
    pub fn signal(&self, signal: Signal) -> Result<()> {
        if let Some(pid) = self.pid() {
            kill(Pid::from_raw(pid as i32), signal)
                .with_context(|| format!("sending {signal} to {}", self.name))?;
        }
        Ok(())
    }

    /// Suspends the process: it keeps its connections and does not answer.
    pub fn pause(&self) -> Result<()> {
        self.signal(Signal::SIGSTOP)
    }

    /// Resumes a suspended process.
    pub fn resume(&self) -> Result<()> {
        self.signal(Signal::SIGCONT)
    }

    fn child(&self) -> MutexGuard<'_, Option<Child>> {
        self.child.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Process {
    fn drop(&mut self) {
        self.kill9();
    }
}

fn group(child: &Child) -> Pid {
    Pid::from_raw(child.id() as i32)
}

/// Describes how a process ended: `exit code 1`, `signal 9`.
pub fn describe(status: ExitStatus) -> String {
    match (status.code(), status.signal()) {
        (Some(code), _) => format!("exit code {code}"),
        (None, Some(signal)) => format!("signal {signal}"),
        (None, None) => status.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn process(guard: &Arc<Guard>, dir: &Path, script: &'static str) -> Process {
        Process::new("probe", dir.join("probe.log"), guard.clone(), move || {
            let mut command = Command::new("sh");
            command.args(["-c", script]);
            command
        })
    }

    fn alive(pid: i32) -> bool {
        // a killed process keeps its id until its parent waits for it
        std::fs::read_to_string(format!("/proc/{pid}/stat"))
            .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or_default().trim_start().starts_with('Z'))
    }

    fn scratch(name: &str) -> PathBuf {
        let dir = std::env::temp_dir().join(format!("firewatch-{name}-{}", std::process::id()));
        std::fs::create_dir_all(&dir).unwrap();
        dir
    }

    async fn child_of_the_process(dir: &Path) -> i32 {
        probe::until("the child's id", Duration::from_secs(5), async || {
            Ok(std::fs::read_to_string(dir.join("probe.log"))?.trim().parse()?)
        })
        .await
        .unwrap()
    }

    #[tokio::test]
    async fn stopping_ends_the_children_of_the_process() {
        let dir = scratch("process");
        let guard = Arc::new(Guard::start(None).unwrap());
        let process = process(&guard, &dir, "sleep 100 & echo $!; wait");
        process.start().unwrap();
        let child = child_of_the_process(&dir).await;
        assert!(alive(child));
        process.stop().await.unwrap();
        assert!(process.pid().is_none());
        probe::until("the end of the child", Duration::from_secs(5), async || {
            anyhow::ensure!(!alive(child));
            Ok(())
        })
        .await
        .unwrap();
        std::fs::remove_dir_all(dir).unwrap();
    }

    #[tokio::test]
    async fn guard_ends_the_processes_of_a_killed_owner() {
        let dir = scratch("guard");
        let guard = Arc::new(Guard::start(Some(&dir)).unwrap());
        let process = process(&guard, &dir, "sleep 100 & echo $!; wait");
        process.start().unwrap();
        let child = child_of_the_process(&dir).await;
        // as after SIGKILL of the owner: the process is not stopped, the pipe closes
        let mut left = process.child().take().unwrap();
        drop(process);
        drop(guard);
        let _ = left.wait();
        // the signal is sent, but may not be delivered yet
        probe::until("the end of the child", Duration::from_secs(5), async || {
            anyhow::ensure!(!alive(child));
            Ok(())
        })
        .await
        .unwrap();
        assert!(!dir.exists(), "the temporary folder is removed too");
    }
}
