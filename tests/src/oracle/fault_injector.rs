//! Injects the faults of a plan, restarts copies of agents as a supervisor would, and logs what was injected.

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

/// Time between two checks for copies that have ended.
const CHECK_INTERVAL: Duration = Duration::from_millis(50);
/// A payload that no agent can parse.
pub const POISON: &[u8] = b"\x00poison";

/// What was injected, or ended because of it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FaultKind {
    /// A copy was killed by SIGKILL.
    Kill,
    /// A copy was ended by SIGTERM.
    Terminate,
    /// A copy was held by SIGSTOP for longer than its session timeout.
    Hold,
    /// A further copy joined and left.
    JoinAndLeave,
    /// A copy was killed at a failpoint.
    DiedAtFailpoint,
    /// A copy ended by itself.
    GaveUp,
    /// Kafka was restarted.
    KafkaRestarted,
    /// PostgreSQL was restarted.
    PostgresRestarted,
    /// PostgreSQL ended all connections.
    ConnectionsReset,
    /// The mail server was down.
    MailRefused,
}

impl FaultKind {
    /// Returns the key in the summary.
    pub fn name(self) -> &'static str {
        match self {
            Self::Kill => "kill",
            Self::Terminate => "terminate",
            Self::Hold => "hold",
            Self::JoinAndLeave => "join and leave",
            Self::DiedAtFailpoint => "died in a gap",
            Self::GaveUp => "gave up",
            Self::KafkaRestarted => "kafka restarted",
            Self::PostgresRestarted => "postgresql restarted",
            Self::ConnectionsReset => "connections reset",
            Self::MailRefused => "mail refused",
        }
    }
}

/// A fault that was injected, or an end of a process that it caused.
#[derive(Debug, Clone)]
pub struct InjectedFault {
    /// When it began.
    pub at: Timestamp,
    /// When it ended.
    pub until: Timestamp,
    /// What kind.
    pub kind: FaultKind,
    /// The agent that it was injected into, if it was one.
    pub agent: Option<&'static str>,
    /// Id of the process that ended, if one did.
    pub ended: Option<u32>,
}

/// One copy of an agent that the pool keeps running.
struct Replica {
    agent: Arc<Agent>,
    pid: u32,
    starts: u32,
    /// Whether an injection has it, so that the pool does not restart it.
    held: bool,
}

/// The copies of all agents of a pipeline.
pub struct AgentPool {
    stack: Arc<Stack>,
    plan: Plan,
    settings: BTreeMap<String, String>,
    copies: Mutex<BTreeMap<(&'static str, u32), Replica>>,
    log: Mutex<Vec<InjectedFault>>,
}

impl AgentPool {
    /// Starts all copies with the failpoints of the plan and further settings.
    pub fn start(stack: Arc<Stack>, plan: Plan, further: BTreeMap<String, String>) -> Result<Arc<Self>> {
        let own = [
            ("FIREWATCH_KAFKA__SESSION_TIMEOUT_MS", "3000"),
            ("FIREWATCH_KAFKA__DRAIN_TIMEOUT_MS", "1500"),
            ("FIREWATCH_DETECTION__SNAPSHOT_EVERY_S", "1"),
            ("FIREWATCH_LOG__LEVEL", "info,shared::stage=debug,shared::store=debug"),
        ];
        let own = own.map(|(name, value)| (name.to_owned(), value.to_owned()));
        let settings = own.into_iter().chain(further).collect();
        let pool = Self { stack, plan, settings, copies: Mutex::default(), log: Mutex::default() };
        for name in AGENTS {
            for replica in 1..=REPLICAS {
                pool.start_copy(name, replica)?;
            }
        }
        Ok(Arc::new(pool))
    }

    /// Waits until each copy is ready, or has ended as planned.
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

    /// Restarts copies that have ended, until it is dropped.
    pub async fn supervise(self: Arc<Self>) -> Result<()> {
        loop {
            tokio::time::sleep(CHECK_INTERVAL).await;
            let ended: Vec<_> = self
                .copies()
                .iter()
                .filter(|(_, copy)| !copy.held && copy.agent.process().pid().is_none())
                .map(|(which, copy)| (*which, copy.pid, copy.agent.clone()))
                .collect();
            for ((name, replica), pid, agent) in ended {
                let aborted = agent.process().ended()?.is_some_and(|status| status.signal() == Some(6));
                let kind = if aborted { FaultKind::DiedAtFailpoint } else { FaultKind::GaveUp };
                self.log_fault(kind, Some(name), Some(pid), now());
                self.start_copy(name, replica)?;
            }
        }
    }

    /// Injects all faults of the plan, each at its time, and removes them again.
    pub async fn inject_all(&self) -> Result<()> {
        let injections = self.plan.injections.iter().map(async |injection| {
            tokio::time::sleep(Duration::from_millis(injection.at_ms)).await;
            self.inject(&injection.kind).await.with_context(|| format!("{:?}", injection.kind))
        });
        futures::future::try_join_all(injections).await?;
        Ok(())
    }

    /// Returns what was injected so far.
    pub fn log(&self) -> Vec<InjectedFault> {
        lock(&self.log).clone()
    }

    async fn inject(&self, kind: &Kind) -> Result<()> {
        let begun = now();
        match kind {
            Kind::Kill(target) => {
                if let Some((agent, pid)) = self.take(target) {
                    agent.process().kill9();
                    self.log_fault(FaultKind::Kill, Some(target.agent), Some(pid), begun);
                    self.give_back(target).await?;
                }
            }
            Kind::Terminate(target) => {
                if let Some((agent, pid)) = self.take(target) {
                    agent.process().stop().await?;
                    self.log_fault(FaultKind::Terminate, Some(target.agent), Some(pid), begun);
                    self.give_back(target).await?;
                }
            }
            Kind::Hold(target) => {
                let agent = self.copies().get(&(target.agent, target.replica)).map(|copy| copy.agent.clone());
                if let Some(agent) = agent {
                    agent.process().pause()?;
                    tokio::time::sleep(Duration::from_millis(target.for_ms)).await;
                    agent.process().resume()?;
                    self.log_fault(FaultKind::Hold, Some(target.agent), None, begun);
                }
            }
            Kind::Join(target) => {
                let agent = self.stack.spawn(&self.program(target.agent, target.replica))?;
                let pid = agent.process().pid().unwrap_or_default();
                tokio::time::sleep(Duration::from_millis(target.for_ms)).await;
                agent.process().stop().await?;
                self.log_fault(FaultKind::JoinAndLeave, Some(target.agent), Some(pid), begun);
            }
            Kind::RestartKafka { kill } => {
                let kafka = self.stack.kafka();
                if *kill {
                    kafka.process().kill9();
                }
                kafka.restart().await?;
                self.log_fault(FaultKind::KafkaRestarted, None, None, begun);
            }
            Kind::RestartPostgres { kill } => {
                let postgres = self.stack.postgres();
                if *kill {
                    postgres.process().kill9();
                }
                postgres.restart().await?;
                self.log_fault(FaultKind::PostgresRestarted, None, None, begun);
            }
            Kind::ResetConnections => {
                // a server that is down has no connections to reset
                if self.stack.postgres().reset_connections().await.is_ok() {
                    self.log_fault(FaultKind::ConnectionsReset, None, None, begun);
                }
            }
            Kind::RefuseMail { for_ms } => {
                self.stack.mail().process().stop().await?;
                tokio::time::sleep(Duration::from_millis(*for_ms)).await;
                self.stack.mail().restart().await?;
                self.log_fault(FaultKind::MailRefused, None, None, begun);
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

    /// Takes a copy from the supervisor. Returns nothing if another injection has it.
    fn take(&self, target: &Target) -> Option<(Arc<Agent>, u32)> {
        let mut copies = self.copies();
        let copy = copies.get_mut(&(target.agent, target.replica))?;
        let free = !std::mem::replace(&mut copy.held, true);
        free.then(|| (copy.agent.clone(), copy.pid))
    }

    async fn give_back(&self, target: &Target) -> Result<()> {
        tokio::time::sleep(Duration::from_millis(target.for_ms)).await;
        self.start_copy(target.agent, target.replica)
    }

    fn start_copy(&self, name: &'static str, replica: u32) -> Result<()> {
        let mut copies = self.copies();
        let starts = copies.get(&(name, replica)).map_or(0, |copy| copy.starts);
        let mut program = self.program(name, replica);
        if let Some(setting) = self.plan.failpoint(name, replica, starts) {
            program.environment.insert("FAILPOINTS".to_owned(), setting.variable());
        }
        let agent = self.stack.spawn(&program)?;
        let pid = agent.process().pid().unwrap_or_default();
        copies.insert((name, replica), Replica { agent, pid, starts: starts + 1, held: false });
        Ok(())
    }

    fn program(&self, name: &str, replica: u32) -> Program {
        Program { environment: self.settings.clone(), ..Program::new(name).replica(replica) }
    }

    fn log_fault(&self, kind: FaultKind, agent: Option<&'static str>, ended: Option<u32>, at: Timestamp) {
        lock(&self.log).push(InjectedFault { at, until: now(), kind, agent, ended });
    }

    fn copies(&self) -> MutexGuard<'_, BTreeMap<(&'static str, u32), Replica>> {
        lock(&self.copies)
    }
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
