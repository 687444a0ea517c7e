//! Does the harm of a plan, keeps the house staffed as a supervisor would, and keeps a log of what was done.

use std::collections::BTreeMap;
use std::os::unix::process::ExitStatusExt;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use shared::bus::{self, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::Topic;
use stack::{AGENTS, Agent, Program, Stack};

use super::plan::{Kind, Plan, REPLICAS, Target};

/// Time between two looks at who has died.
const LOOK: Duration = Duration::from_millis(50);
/// What no agent can read.
pub const POISON: &[u8] = b"\x00poison";

/// What a restart of Kafka is called.
pub const KAFKA: &str = "kafka restarted";

/// Something that was done, or that happened because of it.
#[derive(Debug, Clone)]
pub struct Harm {
    /// When it began.
    pub at: Timestamp,
    /// When it was over.
    pub until: Timestamp,
    /// What: `kill`, `hold`, `died in a gap`, `kafka`, ...
    pub what: &'static str,
    /// The agent that was hit, if it was one.
    pub agent: Option<&'static str>,
    /// Its process, if it is no more.
    pub dead: Option<u32>,
}

/// One copy of an agent, which is to run.
struct Copy {
    agent: Arc<Agent>,
    pid: u32,
    starts: u32,
    /// Kept down on purpose.
    away: bool,
}

/// The staff of a house.
pub struct Staff {
    stack: Arc<Stack>,
    plan: Plan,
    settings: BTreeMap<String, String>,
    copies: Mutex<BTreeMap<(&'static str, u32), Copy>>,
    log: Mutex<Vec<Harm>>,
}

impl Staff {
    /// Starts all copies, armed as planned.
    pub fn hire(stack: Arc<Stack>, plan: Plan) -> Result<Arc<Self>> {
        let settings = [
            ("FIREWATCH_KAFKA__SESSION_TIMEOUT_MS", "3000"),
            ("FIREWATCH_KAFKA__DRAIN_TIMEOUT_MS", "1500"),
            ("FIREWATCH_DETECTION__SNAPSHOT_EVERY_S", "1"),
            ("FIREWATCH_LOG__LEVEL", "info,shared::stage=debug,shared::store=debug"),
        ];
        let settings = settings.map(|(name, value)| (name.to_owned(), value.to_owned())).into();
        let staff = Self { stack, plan, settings, copies: Mutex::default(), log: Mutex::default() };
        for name in AGENTS {
            for replica in 1..=REPLICAS {
                staff.start(name, replica)?;
            }
        }
        Ok(Arc::new(staff))
    }

    /// Waits until each copy is ready, or was and has died as planned.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let agents: Vec<_> = self.copies().values().map(|copy| copy.agent.clone()).collect();
        for agent in agents {
            if let Err(error) = agent.ready(deadline).await
                && agent.process().pid().is_some()
            {
                return Err(error);
            }
        }
        Ok(())
    }

    /// Starts again whoever has died, until it is dropped.
    pub async fn supervise(self: Arc<Self>) -> Result<()> {
        loop {
            tokio::time::sleep(LOOK).await;
            let dead: Vec<_> = self
                .copies()
                .iter()
                .filter(|(_, copy)| !copy.away && copy.agent.process().pid().is_none())
                .map(|(which, copy)| (*which, copy.pid, copy.agent.clone()))
                .collect();
            for ((name, replica), pid, agent) in dead {
                let aborted = agent.process().ended()?.is_some_and(|status| status.signal() == Some(6));
                self.note(if aborted { "died in a gap" } else { "gave up" }, Some(name), Some(pid), now());
                self.start(name, replica)?;
            }
        }
    }

    /// Does all the harm of the plan, and what heals it.
    pub async fn harm(&self) -> Result<()> {
        let blows = self.plan.blows.iter().map(async |blow| {
            tokio::time::sleep(Duration::from_millis(blow.at_ms)).await;
            self.strike(&blow.kind).await.with_context(|| format!("{:?}", blow.kind))
        });
        futures::future::try_join_all(blows).await?;
        Ok(())
    }

    /// Returns what was done so far.
    pub fn log(&self) -> Vec<Harm> {
        lock(&self.log).clone()
    }

    async fn strike(&self, kind: &Kind) -> Result<()> {
        let begun = now();
        match kind {
            Kind::Kill(target) => {
                if let Some((agent, pid)) = self.take_away(target) {
                    agent.process().kill9();
                    self.note("kill", Some(target.agent), Some(pid), begun);
                    self.bring_back(target).await?;
                }
            }
            Kind::Terminate(target) => {
                if let Some((agent, pid)) = self.take_away(target) {
                    agent.process().stop().await?;
                    self.note("terminate", Some(target.agent), Some(pid), begun);
                    self.bring_back(target).await?;
                }
            }
            Kind::Hold(target) => {
                let agent = self.copies().get(&(target.agent, target.replica)).map(|copy| copy.agent.clone());
                if let Some(agent) = agent {
                    agent.process().pause()?;
                    tokio::time::sleep(Duration::from_millis(target.for_ms)).await;
                    agent.process().resume()?;
                    self.note("hold", Some(target.agent), None, begun);
                }
            }
            Kind::Join(target) => {
                let agent = self.stack.spawn(&self.program(target.agent, target.replica))?;
                let pid = agent.process().pid().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(target.for_ms)).await;
                agent.process().stop().await?;
                self.note("join and leave", Some(target.agent), Some(pid), begun);
            }
            Kind::RestartKafka { kill } => {
                let kafka = self.stack.kafka();
                if *kill {
                    kafka.process().kill9();
                }
                kafka.restart().await?;
                self.note(KAFKA, None, None, begun);
            }
            Kind::RestartPostgres { kill } => {
                let postgres = self.stack.postgres();
                if *kill {
                    postgres.process().kill9();
                }
                postgres.restart().await?;
                self.note("postgresql restarted", None, None, begun);
            }
            Kind::ResetConnections => {
                // where the server itself is away there is nothing to reset
                if self.stack.postgres().reset_connections().await.is_ok() {
                    self.note("connections reset", None, None, begun);
                }
            }
            Kind::RefuseMail { for_ms } => {
                self.stack.mail().process().stop().await?;
                tokio::time::sleep(Duration::from_millis(*for_ms)).await;
                self.stack.mail().restart().await?;
                self.note("mail refused", None, None, begun);
            }
            Kind::Poison { topic, partition } => self.poison(*topic, *partition).await?,
        }
        Ok(())
    }

    async fn poison(&self, topic: Topic, partition: i32) -> Result<()> {
        let options = bus::Options {
            brokers: self.stack.brokers().to_owned(),
            delivery_timeout_ms: 90_000,
            ..bus::Options::default()
        };
        let producer = Producer::connect(&options)?;
        let sent = producer.enqueue_at(topic, Some(partition), Some("poison"), &Vec::new(), POISON).await?;
        sent.acknowledged().await?;
        Ok(())
    }

    /// Tells the supervisor to leave a copy alone; nothing if another blow has it.
    fn take_away(&self, target: &Target) -> Option<(Arc<Agent>, u32)> {
        let mut copies = self.copies();
        let copy = copies.get_mut(&(target.agent, target.replica))?;
        let free = !std::mem::replace(&mut copy.away, true);
        free.then(|| (copy.agent.clone(), copy.pid))
    }

    async fn bring_back(&self, target: &Target) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(target.for_ms)).await;
        self.start(target.agent, target.replica)
    }

    fn start(&self, name: &'static str, replica: u32) -> Result<()> {
        let mut copies = self.copies();
        let starts = copies.get(&(name, replica)).map_or(0, |copy| copy.starts);
        let mut program = self.program(name, replica);
        if let Some(arm) = self.plan.arm(name, replica, starts) {
            program.environment.insert("FAILPOINTS".to_owned(), arm.failpoints());
        }
        let agent = self.stack.spawn(&program)?;
        let pid = agent.process().pid().unwrap_or_default();
        copies.insert((name, replica), Copy { agent, pid, starts: starts + 1, away: false });
        Ok(())
    }

    fn program(&self, name: &str, replica: u32) -> Program {
        Program { environment: self.settings.clone(), ..Program::new(name).replica(replica) }
    }

    fn note(&self, what: &'static str, agent: Option<&'static str>, dead: Option<u32>, at: Timestamp) {
        lock(&self.log).push(Harm { at, until: now(), what, agent, dead });
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<(&'static str, u32), Copy>> {
        lock(&self.copies)
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
