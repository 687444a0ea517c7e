//! Prints the events of a run as they arrive.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use anyhow::Result;
use jiff::tz::TimeZone;
use shared::clock::{Clock, SystemClock};
use tokio::sync::mpsc::Receiver;

use crate::demo::console::Console;
use crate::observe::event_feed::Event;
use crate::observe::run_summary::RunObservation;

/// Time after completion in which a surplus event (a second incident, a sixth mail) would still be found.
const SETTLE: Duration = Duration::from_secs(6);

/// Time without a line after which a line says what is still expected.
const IDLE: Duration = Duration::from_secs(15);

/// Receives events, prints them, and collects what a run came to.
pub struct Narration {
    /// What was received so far.
    pub observation: RunObservation,
    console: Console,
    events: Receiver<Event>,
    printed: Instant,
}

impl Narration {
    /// Begins with the first event of `events`.
    pub fn new(events: Receiver<Event>) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
        Self {
            observation: RunObservation::default(),
            console: Console { colours: !plain, zone: TimeZone::system() },
            events,
            printed: Instant::now(),
        }
    }

    /// Prints events until one fault has all that is expected of it, or until `deadline` has passed.
    pub async fn one_fault(&mut self, deadline: Duration) {
        let started = Instant::now();
        let mut complete: Option<Instant> = None;
        while started.elapsed() < deadline && complete.is_none_or(|complete| complete.elapsed() < SETTLE) {
            match tokio::time::timeout(Duration::from_millis(250), self.events.recv()).await {
                Ok(Some(event)) => self.print(&event),
                Ok(None) => return,
                Err(_) => {}
            }
            if self.printed.elapsed() > IDLE {
                self.print_waiting();
            }
            complete =
                if self.observation.missing().is_empty() { complete.or(Some(Instant::now())) } else { None };
        }
    }

    /// Prints events until the feed ends.
    pub async fn follow(&mut self) {
        while let Some(event) = self.events.recv().await {
            self.print(&event);
        }
    }

    /// Returns what happened.
    pub fn summary(&self) -> String {
        self.console.summary(&self.observation)
    }

    /// Writes the facts into `file`.
    pub fn write(&self, file: &std::path::Path) -> Result<()> {
        Ok(std::fs::write(file, serde_json::to_vec_pretty(&self.observation.facts())?)?)
    }

    /// Prints what is still expected, so that the demo does not look stuck.
    fn print_waiting(&mut self) {
        if let Some(missing) = self.observation.missing().first() {
            println!("{}", self.console.waiting(missing, SystemClock.now()));
        }
        self.printed = Instant::now();
    }

    fn print(&mut self, event: &Event) {
        if let Some(line) = self.console.line(event, &self.observation, SystemClock.now()) {
            println!("{line}");
            self.printed = Instant::now();
        }
        self.observation.record(event);
    }
}
