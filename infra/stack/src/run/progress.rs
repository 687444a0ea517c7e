//! Says what is going on while something takes long.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::run::text::elapsed;

/// How much is said.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// A line for every step.
    Every,
    /// Lines only for steps that take longer than a few seconds.
    Slow,
}

/// After this a step is worth a line.
const SLOW: Duration = Duration::from_secs(3);
/// Time between lines while it goes on.
const AGAIN: Duration = Duration::from_secs(10);

impl Progress {
    /// Runs `work` and reports under the name `step` that it goes on, that it is done or that it failed, each with the
    /// time it took so far.
    pub async fn step<T, E>(self, step: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let started = Instant::now();
        let mut work = std::pin::pin!(work);
        let mut wait = SLOW;
        let outcome = loop {
            match tokio::time::timeout(wait, &mut work).await {
                Ok(outcome) => break outcome,
                Err(_) => say(&format!("{step} ... {}", elapsed(started.elapsed()))),
            }
            wait = AGAIN;
        };
        let took = started.elapsed();
        match &outcome {
            Ok(_) if self == Self::Every || took > SLOW => say(&format!("{step}: done in {}", elapsed(took))),
            Ok(_) => {}
            Err(_) => say(&format!("{step}: failed after {}", elapsed(took))),
        }
        outcome
    }
}

/// Prints one line of progress.
pub fn say(line: &str) {
    eprintln!("  {line}");
}
