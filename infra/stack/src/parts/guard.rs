//! What ends our processes when we end, however we end.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::unistd::Pid;

/// Keeps a list of process groups. When its input ends, its owner is gone: it ends the groups that are left and
/// removes the folder it was given, if any.
const WATCH: &str = r#"
trap '' HUP INT TERM
groups=
while read -r change group; do
    rest=
    for known in $groups; do [ "$known" = "$group" ] || rest="$rest $known"; done
    groups=$rest
    [ "$change" = + ] && groups="$groups $group"
done
for group in $groups; do kill -INT "-$group"; done 2>/dev/null
for tick in 1 2 3 4 5 6 7 8 9 10; do
    left=
    for group in $groups; do kill -0 "-$group" 2>/dev/null && left=yes; done
    [ -z "$left" ] && break
    sleep 0.3
done
for group in $groups; do kill -KILL "-$group"; done 2>/dev/null
[ -n "$1" ] && rm -rf -- "$1"
exit 0
"#;

/// A small process beside ours that outlives a `kill -9` of ours for as long as it takes to clean up.
///
/// It holds the read end of a pipe. The kernel closes the write end with the last thread of this process, which no
/// crash can prevent.
pub struct Guard {
    watch: Mutex<(Child, Option<ChildStdin>)>,
}

impl Guard {
    /// Starts the watch. `remove` is a folder that goes with us, for a run that is thrown away.
    pub fn start(remove: Option<&Path>) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", WATCH, "guard"])
            .arg(remove.unwrap_or_else(|| Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .current_dir("/")
            .spawn()
            .context("starting the guard")?;
        let input = child.stdin.take();
        Ok(Self { watch: Mutex::new((child, input)) })
    }

    /// Puts a process group under guard.
    pub fn add(&self, group: Pid) -> Result<()> {
        self.send('+', group).context("the guard is gone")
    }

    /// Takes a process group that has ended out again.
    pub fn remove(&self, group: Pid) {
        // where the guard is gone there is nothing to take it out of
        let _ = self.send('-', group);
    }

    fn send(&self, change: char, group: Pid) -> std::io::Result<()> {
        let mut watch = self.watch.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut watch.1 {
            Some(input) => writeln!(input, "{change} {group}"),
            None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let watch = self.watch.get_mut().unwrap_or_else(PoisonError::into_inner);
        watch.1 = None;
        let _ = watch.0.wait();
    }
}
