//! A guard process, which ends the processes of this one when this one ends in any way.

use std::io::Write;
use std::os::unix::process::CommandExt;
use std::path::Path;
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, PoisonError};

use anyhow::{Context, Result};
use nix::unistd::Pid;

/// Shell script that keeps a list of process groups. The end of its input means that its owner has ended. Then it ends the
/// groups that are left and removes the folder it was given, if any.
const SCRIPT: &str = r#"
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

/// A shell beside this process that outlives its SIGKILL and cleans up.
///
/// It holds the read end of a pipe. The kernel closes the write end with the last thread of this process, also after a
/// crash.
pub struct Guard {
    shell: Mutex<(Child, Option<ChildStdin>)>,
}

impl Guard {
    /// Starts the shell. `remove` is a folder that it removes at the end.
    pub fn start(remove: Option<&Path>) -> Result<Self> {
        let mut child = Command::new("sh")
            .args(["-c", SCRIPT, "guard"])
            .arg(remove.unwrap_or_else(|| Path::new("")))
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .process_group(0)
            .current_dir("/")
            .spawn()
            .context("starting the guard")?;
        let input = child.stdin.take();
        Ok(Self { shell: Mutex::new((child, input)) })
    }

    /// Adds a process group.
    pub fn add(&self, group: Pid) -> Result<()> {
        self.send('+', group).context("the guard has ended")
    }

    /// Removes a process group that has ended.
    pub fn remove(&self, group: Pid) {
        // a guard that has ended has no list any more
        let _ = self.send('-', group);
    }

    fn send(&self, change: char, group: Pid) -> std::io::Result<()> {
        let mut shell = self.shell.lock().unwrap_or_else(PoisonError::into_inner);
        match &mut shell.1 {
            Some(input) => writeln!(input, "{change} {group}"),
            None => Ok(()),
        }
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        let shell = self.shell.get_mut().unwrap_or_else(PoisonError::into_inner);
        shell.1 = None;
        let _ = shell.0.wait();
    }
}
