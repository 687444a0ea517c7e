//! The pipeline as a whole: every agent, over real Kafka, PostgreSQL, SMTP and the real embedding model.

pub mod causes;
pub mod load;
pub mod mutants;
pub mod oracle;
pub mod quiescence;

use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use stack::observe::event_feed::{self, News};
use stack::observe::run_summary::Story;
use stack::{Options, Program, Stack};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Whole houses that run at a time: each has a broker, a database and six agents or more.
static HOUSES: Semaphore = Semaphore::const_new(MOST_HOUSES as usize);
const MOST_HOUSES: u32 = 2;

/// Longest time for an agent to be ready on a busy machine.
const READY: Duration = Duration::from_mins(2);

/// A house with all agents in it, and what is known of it.
pub struct House {
    /// What it stands on.
    pub stack: Stack,
    /// What has happened.
    pub story: Story,
    news: Receiver<News>,
    _turn: SemaphorePermit<'static>,
}

/// Waits until no other house runs, and keeps others from being built.
pub async fn alone() -> Result<SemaphorePermit<'static>> {
    Ok(HOUSES.acquire_many(MOST_HOUSES).await?)
}

impl House {
    /// Builds a house with some copies of each agent, when it is its turn.
    pub async fn with_copies(replicas: u32) -> Result<Self> {
        Self::with(Options::throw_away()?, replicas).await
    }

    /// Builds such a house with other settings.
    pub async fn with(options: Options, replicas: u32) -> Result<Self> {
        let turn = HOUSES.acquire().await?;
        let stack = Stack::start(options).await?;
        stack.seed().await?;
        stack.spawn_agents(replicas, READY).await?;
        let news = event_feed::follow(stack.brokers(), stack.mail().mailbox())?;
        Ok(Self { stack, story: Story::default(), news, _turn: turn })
    }

    /// Opens the shop.
    pub fn simulate(&self, arguments: &[&str]) -> Result<()> {
        self.stack.spawn(&Program::new("simulator").with(arguments.iter().copied()))?;
        Ok(())
    }

    /// Listens until the story is as it should be, which is when `missing` names nothing, and has stayed so for
    /// `settled`. Fails after `deadline` with what is missing still.
    pub async fn listen(
        &mut self,
        deadline: Duration,
        settled: Duration,
        missing: impl Fn(&Story) -> Vec<String>,
    ) -> Result<()> {
        let started = Instant::now();
        let mut complete: Option<Instant> = None;
        loop {
            match tokio::time::timeout(Duration::from_millis(200), self.news.recv()).await {
                Ok(Some(news)) => self.story.hear(&news),
                Ok(None) => bail!("no news any more"),
                Err(_) => {}
            }
            let missing = missing(&self.story);
            complete = if missing.is_empty() { complete.or(Some(Instant::now())) } else { None };
            if complete.is_some_and(|complete| complete.elapsed() >= settled) {
                return Ok(());
            }
            if started.elapsed() > deadline {
                bail!("after {} s: {}\n{:#?}", deadline.as_secs(), missing.join("; "), self.story.facts());
            }
        }
    }
}
