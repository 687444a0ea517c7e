//! Restarts a process that ended by itself, with a growing delay, at most ten times in a row.

use std::time::{Duration, Instant};

use anyhow::Result;

use crate::parts::process::{Process, describe};
use crate::run::progress::say;
use crate::run::text::elapsed;

/// Delay before the first restart; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(500);
/// Longest delay before a restart.
const MAX_DELAY: Duration = Duration::from_secs(10);
/// A process that ran for this long counts as recovered.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);
/// Ends in a row after which a process is not restarted any more.
const MAX_ENDS: u32 = 10;

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
        if self.ends >= MAX_ENDS {
            return Ok(false);
        }
        let Some(status) = process.ended()? else { return Ok(false) };
        let (name, why) = (process.name(), describe(status));
        // it has finished its work
        if status.success() {
            self.ends = MAX_ENDS;
            return Ok(false);
        }
        self.ends = if self.since.elapsed() > RECOVERED_AFTER { 1 } else { self.ends + 1 };
        if self.ends >= MAX_ENDS {
            say(&format!(
                "{name} ended {} times in a row and is not restarted; see {}",
                self.ends,
                process.log().display()
            ));
            return Ok(false);
        }
        let wait = delay(self.ends);
        say(&format!("{name} ended with {why}; restarting in {}", elapsed(wait)));
        self.again = Some(Instant::now() + wait);
        Ok(false)
    }
}

/// Returns the delay before a restart, after `ends` ends in a row.
fn delay(ends: u32) -> Duration {
    FIRST_DELAY.saturating_mul(2_u32.saturating_pow(ends.saturating_sub(1))).min(MAX_DELAY)
}
