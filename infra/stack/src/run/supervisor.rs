//! Restarts a process that ended by itself, with a growing delay, at most ten times in a row.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::parts::process::{Process, describe};
use crate::run::progress::say;

/// First and longest wait before a process that ended is started again.
const BACKOFF: (Duration, Duration) = (Duration::from_millis(500), Duration::from_secs(10));
/// A process that ran this long has recovered.
const RECOVERED: Duration = Duration::from_mins(1);
/// Ends in a row after which it is given up.
const GIVE_UP: u32 = 10;

/// Supervises one process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    ends: u32,
    since: Instant,
    again: Option<Instant>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { ends: 0, since: Instant::now(), again: None }
    }
}

impl Supervisor {
    /// Checks the process once. Returns whether it was restarted.
    pub(crate) fn check(&mut self, process: &Process) -> Result<bool> {
        if let Some(again) = self.again {
            if Instant::now() < again {
                return Ok(false);
            }
            self.again = None;
            self.since = Instant::now();
            process.start()?;
            return Ok(true);
        }
        if self.ends >= GIVE_UP {
            return Ok(false);
        }
        let Some(status) = process.ended()? else { return Ok(false) };
        let (name, why) = (process.name(), describe(status));
        if status.success() {
            // it has done what it was asked to do
            self.ends = GIVE_UP;
            return Ok(false);
        }
        self.ends = if self.since.elapsed() > RECOVERED { 1 } else { self.ends + 1 };
        if self.ends >= GIVE_UP {
            say(&format!(
                "{name} ended {} times in a row and is given up; see {}",
                self.ends,
                process.log().display()
            ));
            return Ok(false);
        }
        let wait = (BACKOFF.0 * 2_u32.pow(self.ends - 1)).min(BACKOFF.1);
        say(&format!("{name} ended with {why}; starting it again in {:.1} s", wait.as_secs_f64()));
        self.again = Some(Instant::now() + wait);
        Ok(false)
    }
}
