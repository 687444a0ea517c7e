//! The pipeline as a whole: every agent, with real Kafka, PostgreSQL, SMTP and the real embedding model.

pub mod causes;
pub mod gateway_oracle;
pub mod in_process;
pub mod injection;
pub mod load;
pub mod mutants;
pub mod oracle;
pub mod people;
pub mod prometheus;
pub mod quiescence;
pub mod scoreboard;
pub mod seeds;

use std::fmt::Display;
use std::time::{Duration, Instant};

use anyhow::{Result, bail};
use shared::bus::{Pending, Producer};
use shared::events::Outgoing;
use shared::events::fault::Scenario;
use stack::observe::event_feed::{self, Event};
use stack::observe::run_summary::RunObservation;
use stack::{Options, Program, Stack};
use tokio::sync::mpsc::Receiver;
use tokio::sync::{Semaphore, SemaphorePermit};

/// Pipelines that may run at a time: each has a broker, a database and six agents or more.
static SLOTS: Semaphore = Semaphore::const_new(MAX_PIPELINES as usize);
const MAX_PIPELINES: u32 = 2;

/// Longest time for an agent to be ready on a busy machine.
const READY: Duration = Duration::from_mins(2);

/// All agents over real parts, and what was observed of them.
pub struct Pipeline {
    /// The parts and the agents.
    pub stack: Stack,
    /// What was observed so far.
    pub observation: RunObservation,
    events: Receiver<Event>,
    _slot: SemaphorePermit<'static>,
}

/// Enqueues an event as its stage would publish it.
pub async fn enqueue(producer: &Producer, event: &Outgoing) -> Result<Pending> {
    let headers = event.envelope.to_headers();
    Ok(producer.enqueue(event.topic, Some(&event.key), &headers, &event.payload).await?)
}

/// Lets roles decide who is notified, in place of the routes that were seeded: recipients do not depend on the hour.
pub async fn without_routes(stack: &Stack) -> Result<()> {
    let store = stack.store()?;
    Ok(store.replace_oncall(&store.reads().rotations().await?, None).await?)
}

/// Waits until no other pipeline runs, and keeps others from starting.
pub async fn alone() -> Result<SemaphorePermit<'static>> {
    Ok(SLOTS.acquire_many(MAX_PIPELINES).await?)
}

impl Pipeline {
    /// Starts `replicas` copies of each agent, once a slot is free.
    pub async fn start(replicas: u32) -> Result<Self> {
        Self::start_with(Options::throw_away()?, replicas).await
    }

    /// Starts them with other settings.
    pub async fn start_with(options: Options, replicas: u32) -> Result<Self> {
        let slot = SLOTS.acquire().await?;
        let stack = Stack::start(options).await?;
        stack.seed().await?;
        stack.spawn_agents(replicas, READY).await?;
        let events = event_feed::follow(stack.brokers(), stack.mail().mailbox())?;
        Ok(Self { stack, observation: RunObservation::default(), events, _slot: slot })
    }

    /// Starts the simulator.
    pub fn simulate(&self, arguments: &[&str]) -> Result<()> {
        self.stack.spawn(&Program::new("simulator").with(arguments.iter().copied()))?;
        Ok(())
    }

    /// Starts the simulator for one fault, early and at an interval that leaves time for a restart.
    pub fn simulate_fault(&self, scenario: Scenario, further: &[&str]) -> Result<()> {
        let scenario = format!("--scenario={scenario}");
        let fault = ["--interval=400ms", "--first-fault-after=45", "--once", &scenario];
        self.simulate(&[&fault, further].concat())
    }

    /// Receives events until `missing` returns nothing, and has returned nothing for `settled`. Fails after `deadline`
    /// with what is still missing.
    pub async fn wait_for<M: Display>(
        &mut self,
        deadline: Duration,
        settled: Duration,
        missing: impl Fn(&RunObservation) -> Vec<M>,
    ) -> Result<()> {
        let started = Instant::now();
        let mut complete: Option<Instant> = None;
        loop {
            match tokio::time::timeout(Duration::from_millis(200), self.events.recv()).await {
                Ok(Some(event)) => self.observation.record(&event),
                Ok(None) => bail!("the event feed has ended"),
                Err(_) => {}
            }
            let missing = missing(&self.observation);
            complete = if missing.is_empty() { complete.or(Some(Instant::now())) } else { None };
            if complete.is_some_and(|complete| complete.elapsed() >= settled) {
                return Ok(());
            }
            if started.elapsed() > deadline {
                let missing: Vec<String> = missing.iter().map(ToString::to_string).collect();
                let facts = self.observation.facts();
                bail!("after {} s: {}\n{facts:#?}", deadline.as_secs(), missing.join("; "));
            }
        }
    }
}
