//! Lines of progress for steps that take long.

use std::future::Future;
use std::time::{Duration, Instant};

use crate::run::text::elapsed;

/// Which steps have a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Progress {
    /// All.
    Every,
    /// Those that take longer than 3 s.
    Slow,
}

/// Time after which a slow step has a line.
const SLOW: Duration = Duration::from_secs(3);
/// Time between lines of a step.
const REPEAT: Duration = Duration::from_secs(10);

impl Progress {
    /// Runs `work`, and prints under the name `step` that it is still running, done or failed, each with the time so far.
    pub async fn step<T, E>(self, step: &str, work: impl Future<Output = Result<T, E>>) -> Result<T, E> {
        let started = Instant::now();
        let mut work = std::pin::pin!(work);
        let mut wait = SLOW;
        let outcome = loop {
            match tokio::time::timeout(wait, &mut work).await {
                Ok(outcome) => break outcome,
                Err(_) => say(&format!("{step} ... {}", elapsed(started.elapsed()))),
            }
            wait = REPEAT;
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
