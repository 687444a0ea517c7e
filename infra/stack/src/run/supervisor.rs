//! Restarts a process that ended by itself, with a growing delay, at most ten times in a row.

use std::time::{Duration, Instant};

use anyhow::Result;
use backon::{BackoffBuilder as _, ExponentialBackoff, ExponentialBuilder};

use crate::parts::process::{Process, describe};
use crate::run::progress::say;
use crate::run::text::elapsed;

/// Delays before restarts. A process is not restarted any more when they are used up.
const DELAYS: ExponentialBuilder = ExponentialBuilder::new()
    .with_min_delay(Duration::from_millis(500))
    .with_max_delay(Duration::from_secs(10))
    .with_max_times(MAX_ENDS - 1);
/// A process that ran for this long counts as recovered.
const RECOVERED_AFTER: Duration = Duration::from_mins(1);
/// Ends in a row after which a process is not restarted any more.
const MAX_ENDS: usize = 10;

/// Supervises one process.
#[derive(Debug)]
pub(crate) struct Supervisor {
    /// None of a process that is not restarted any more.
    delays: Option<ExponentialBackoff>,
    since: Instant,
    again: Option<Instant>,
}

impl Default for Supervisor {
    fn default() -> Self {
        Self { delays: Some(DELAYS.build()), since: Instant::now(), again: None }
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
        let Some(delays) = &mut self.delays else { return Ok(false) };
        let Some(status) = process.ended()? else { return Ok(false) };
        let (name, why) = (process.name(), describe(status));
        // it has finished its work
        if status.success() {
            self.delays = None;
            return Ok(false);
        }
        if self.since.elapsed() > RECOVERED_AFTER {
            *delays = DELAYS.build();
        }
        let Some(wait) = delays.next() else {
            say(&format!(
                "{name} ended {MAX_ENDS} times in a row and is not restarted; see {}",
                process.log().display()
            ));
            self.delays = None;
            return Ok(false);
        };
        say(&format!("{name} ended with {why}; restarting in {}", elapsed(wait)));
        self.again = Some(Instant::now() + wait);
        Ok(false)
    }
}
