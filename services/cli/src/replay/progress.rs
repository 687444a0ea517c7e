//! How far a replay is, on the standard error, once it takes longer than a few seconds.

use std::io::{IsTerminal as _, Write as _};
use std::sync::{Mutex, PoisonError};
use std::time::{Duration, Instant};

use shared::replay::Progress;
use shared::text::format::count;

/// Nothing is said before.
const PATIENCE: Duration = Duration::from_secs(3);
/// Time between two lines where each stays.
const PACE: Duration = Duration::from_secs(10);

/// A line that is written over on a terminal; elsewhere a new one now and then.
pub struct Line {
    terminal: bool,
    begun: Instant,
    shown: Mutex<Option<Instant>>,
}

impl Default for Line {
    fn default() -> Self {
        let terminal = std::io::stderr().is_terminal();
        Self { terminal, begun: Instant::now(), shown: Mutex::new(None) }
    }
}

impl Line {
    /// Says how far it is.
    pub fn show(&self, progress: Progress) {
        let mut shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        let soon = shown.is_some_and(|shown| !self.terminal && shown.elapsed() < PACE);
        if soon || self.begun.elapsed() < PATIENCE {
            return;
        }
        *shown = Some(Instant::now());
        let text = text(progress);
        // whoever cannot read this still gets the report
        let _ = if self.terminal {
            write!(std::io::stderr(), "\r\x1b[K{text}")
        } else {
            writeln!(std::io::stderr(), "{text}")
        };
    }

    /// Takes the line away.
    pub fn clear(&self) {
        let shown = self.shown.lock().unwrap_or_else(PoisonError::into_inner);
        if self.terminal && shown.is_some() {
            let _ = write!(std::io::stderr(), "\r\x1b[K");
        }
    }
}

fn text(progress: Progress) -> String {
    let number = |number: u64| count(i64::try_from(number).unwrap_or(i64::MAX));
    match progress {
        Progress { doing, done: 0, of: None } => format!("{doing} ..."),
        Progress { doing, done, of: None } => format!("{doing}: {}", number(done)),
        Progress { doing, done, of: Some(of) } => format!("{doing}: {} of {}", number(done), number(of)),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn progress_reads_as_a_sentence() {
        let told = [(0, None), (1_200, None), (7, Some(9))]
            .map(|(done, of)| text(Progress { doing: "reading", done, of }));
        assert_eq!(told, ["reading ...", "reading: 1,200", "reading: 7 of 9"]);
    }
}
