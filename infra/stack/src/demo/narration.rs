//! Tells what happens until it is told.

use std::io::IsTerminal;
use std::time::{Duration, Instant};

use crate::demo::console::Teller;
use crate::observe::event_feed::News;
use crate::observe::run_summary::Story;
use anyhow::Result;
use jiff::tz::TimeZone;
use shared::clock::{Clock, SystemClock};
use tokio::sync::mpsc::Receiver;

/// How long after the last thing that had to happen something that must not happen (a second incident, a sixth mail)
/// is waited for.
const AFTERMATH: Duration = Duration::from_secs(6);

/// After this without anything to tell it is told what is waited for.
const SILENCE: Duration = Duration::from_secs(15);

/// Someone who listens to the news and tells them.
pub struct Narration {
    /// What is known so far.
    pub story: Story,
    teller: Teller,
    news: Receiver<News>,
    told: Instant,
}

impl Narration {
    /// Begins with what `news` has.
    pub fn new(news: Receiver<News>) -> Self {
        let plain = std::env::var_os("NO_COLOR").is_some() || !std::io::stdout().is_terminal();
        Self {
            story: Story::default(),
            teller: Teller { colours: !plain, zone: TimeZone::system() },
            news,
            told: Instant::now(),
        }
    }

    /// Tells until nothing is missing from the story of one fault, or until `deadline` has passed.
    pub async fn one_fault(&mut self, deadline: Duration) {
        let started = Instant::now();
        let mut complete: Option<Instant> = None;
        while started.elapsed() < deadline && complete.is_none_or(|complete| complete.elapsed() < AFTERMATH) {
            match tokio::time::timeout(Duration::from_millis(250), self.news.recv()).await {
                Ok(Some(news)) => self.tell(&news),
                Ok(None) => return,
                Err(_) => {}
            }
            if self.told.elapsed() > SILENCE {
                self.wait();
            }
            complete = if self.story.missing().is_empty() { complete.or(Some(Instant::now())) } else { None };
        }
    }

    /// Tells for as long as there is something.
    pub async fn go_on(&mut self) {
        while let Some(news) = self.news.recv().await {
            self.tell(&news);
        }
    }

    /// Returns what happened.
    pub fn summary(&self) -> String {
        self.teller.summary(&self.story)
    }

    /// Writes the facts into `file`.
    pub fn write(&self, file: &std::path::Path) -> Result<()> {
        Ok(std::fs::write(file, serde_json::to_vec_pretty(&self.story.facts())?)?)
    }

    /// Tells what is waited for, so that nobody thinks it hangs.
    fn wait(&mut self) {
        if let Some(missing) = self.story.missing().first() {
            println!("{}", self.teller.waiting(missing, SystemClock.now()));
        }
        self.told = Instant::now();
    }

    fn tell(&mut self, news: &News) {
        if let Some(line) = self.teller.line(news, &self.story, SystemClock.now()) {
            println!("{line}");
            self.told = Instant::now();
        }
        self.story.hear(news);
    }
}
