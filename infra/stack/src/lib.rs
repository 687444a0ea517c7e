#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! ```text
//! parts, run  <  Stack (this file)  <  observe  <  testing, demo  <  commands (the binary)
//! ```
//!
//! A room imports only from its left. `parts` and `run` are one layer: a part needs the folders and the progress lines of
//! its run, and a run supervises its parts. The crate `tests` uses everything but `demo`. `tests/it/rooms.rs` checks both.

pub mod demo;
pub mod observe;
pub mod parts;
pub mod run;
pub mod testing;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::Stdio;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, bail};
use shared::store::{self, Store};

pub use parts::agent::{AGENTS, Agent, Program};

use parts::guard::Guard;
use parts::kafka::{self, Kafka};
use parts::mail::Mail;
use parts::ports;
use parts::postgres::{Durability, Postgres};
use parts::process::{self, Process};
use run::fetch::{self, Fetched};
use run::layout::{self, Layout};
use run::progress::Progress;
use run::state::{Claim, Identity, RecordedProcess, State};
use run::supervisor::Supervisor;

/// The database of a run.
const DATABASE: &str = "firewatch";
/// Longest time to index the knowledge base.
const SEEDING: Duration = Duration::from_mins(5);

/// What to start, and where.
#[derive(Debug, Clone)]
pub struct Options {
    /// Folder for all state of the run.
    pub dir: PathBuf,
    /// Removes the folder when the run ends, and trades durability for speed.
    pub throw_away: bool,
    /// Starts without what an earlier run left in the folder.
    pub fresh: bool,
    /// Folder with the binaries of the workspace.
    pub binaries: PathBuf,
    /// Which steps have a line of progress.
    pub progress: Progress,
    /// Settings of the agents that differ from their defaults, as environment variables.
    pub settings: BTreeMap<String, String>,
}

impl Options {
    /// A run in `.run` of the checkout, whose data stay until they are cleaned.
    pub fn lasting() -> Result<Self> {
        let binaries = layout::binaries()?;
        Ok(Self {
            dir: layout::run(),
            throw_away: false,
            fresh: false,
            binaries,
            progress: Progress::Every,
            settings: BTreeMap::new(),
        })
    }

    /// A run in `dir` without what an earlier one left there. Its data stay until they are removed.
    pub fn fresh_in(dir: PathBuf) -> Result<Self> {
        Ok(Self { dir, fresh: true, ..Self::lasting()? })
    }

    /// A run in a temporary folder that is removed with it.
    pub fn throw_away() -> Result<Self> {
        let binaries = layout::binaries()?;
        Ok(Self {
            dir: layout::scratch(),
            throw_away: true,
            fresh: true,
            binaries,
            progress: Progress::Slow,
            settings: BTreeMap::new(),
        })
    }
}

/// Whether everything that was asked for is up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Readiness {
    Starting,
    Ready,
}

/// What Firewatch needs, running: Kafka with the topics, PostgreSQL with the schema, a mail sink and the embedding model;
/// and the binaries of the workspace that were started with them.
///
/// All of it ends when this is dropped or when its process is killed.
pub struct Stack {
    // fields are dropped in this order: dependents first
    agents: Mutex<Vec<Arc<Agent>>>,
    /// Held while the record of the run is written: agents may be started side by side.
    recording: Mutex<()>,
    mail: Mail,
    kafka: Kafka,
    postgres: Postgres,
    guard: Arc<Guard>,
    fetched: Fetched,
    layout: Layout,
    options: Options,
    _claim: Claim,
}

impl Stack {
    /// Fetches what is missing, starts the parts, creates the topics and the schema.
    pub async fn start(options: Options) -> Result<Self> {
        let progress = options.progress;
        let layout = Layout::create(&options.dir)?;
        let claim = Claim::take(layout.dir())?;
        if options.fresh {
            layout.empty()?;
        }
        let fetched = fetch::all(progress).await?;
        let guard = Arc::new(Guard::start(options.throw_away.then(|| layout.dir()))?);
        let durability = if options.throw_away { Durability::Disposable } else { Durability::Durable };
        let (kafka, postgres, mail) = tokio::try_join!(
            progress.step("starting Kafka", Kafka::start(&fetched.kafka, &layout, &guard)),
            progress.step("starting PostgreSQL", Postgres::start(&layout, &guard, durability)),
            progress.step("starting the mail sink", Mail::start(&fetched.maildev, &layout, &guard)),
        )?;
        let agents = Mutex::default();
        let recording = Mutex::default();
        let stack =
            Self { agents, recording, mail, kafka, postgres, guard, fetched, layout, options, _claim: claim };
        stack.record(Readiness::Starting)?;
        progress.step("creating the topics", kafka::create_topics(stack.kafka.admin())).await?;
        progress.step("creating the schema", stack.create_schema()).await?;
        Ok(stack)
    }

    /// Returns Kafka.
    pub fn kafka(&self) -> &Kafka {
        &self.kafka
    }

    /// Returns PostgreSQL.
    pub fn postgres(&self) -> &Postgres {
        &self.postgres
    }

    /// Returns the mail sink.
    pub fn mail(&self) -> &Mail {
        &self.mail
    }

    /// Returns the folders of the run.
    pub fn layout(&self) -> &Layout {
        &self.layout
    }

    /// Returns the address of Kafka.
    pub fn brokers(&self) -> &str {
        self.kafka.brokers()
    }

    /// Returns the URL of the database.
    pub fn postgres_url(&self) -> String {
        self.postgres.url(DATABASE)
    }

    /// Returns where a binary of the workspace is.
    pub fn binary(&self, name: &str) -> PathBuf {
        self.options.binaries.join(name)
    }

    /// Opens the database.
    pub fn store(&self) -> Result<Store> {
        let options =
            store::Options { url: self.postgres_url(), max_connections: 2, ..store::Options::default() };
        Ok(Store::new(&options, "stack")?)
    }

    /// Returns the settings that a binary of the workspace needs to reach the parts.
    pub fn environment(&self) -> BTreeMap<String, String> {
        let settings = [
            ("FIREWATCH_KAFKA__BROKERS", self.brokers().to_owned()),
            ("FIREWATCH_POSTGRES__URL", self.postgres_url()),
            ("FIREWATCH_COMMUNICATION__SMTP_URL", self.mail.smtp_url()),
            ("FIREWATCH_KNOWLEDGE__INDEX", "postgres".to_owned()),
            ("FIREWATCH_KNOWLEDGE__MODEL_DIR", self.fetched.model.display().to_string()),
        ];
        let own = self.options.settings.clone();
        settings.into_iter().map(|(name, value)| (name.to_owned(), value)).chain(own).collect()
    }

    /// Indexes the knowledge base.
    pub async fn seed(&self) -> Result<()> {
        let log = self.layout.log("seeder");
        let output = std::fs::File::create(&log)?;
        let binary = self.binary("seeder");
        let mut child = tokio::process::Command::new(&binary)
            .current_dir(layout::root())
            .envs(self.environment())
            .stdin(Stdio::null())
            .stdout(output.try_clone()?)
            .stderr(output)
            .kill_on_drop(true)
            .spawn()
            .with_context(|| format!("running {}", binary.display()))?;
        let status = tokio::time::timeout(SEEDING, child.wait())
            .await
            .context("the seeder did not end within 5 min")??;
        if !status.success() {
            let text = std::fs::read_to_string(&log).unwrap_or_default();
            bail!("seeder: {}; {}:\n{text}", process::describe(status), log.display());
        }
        Ok(())
    }

    /// Starts a binary of the workspace, and does not wait until it is ready: see [`Agent::ready`].
    pub fn spawn(&self, program: &Program) -> Result<Arc<Agent>> {
        let [port] = ports::free()?;
        let binaries = &self.options.binaries;
        let agent = Agent::start(program, binaries, port, self.environment(), &self.layout, &self.guard)?;
        let agent = Arc::new(agent);
        self.agents().push(agent.clone());
        self.record(Readiness::Starting)?;
        Ok(agent)
    }

    /// Starts `replicas` copies of each of the six agents and waits until all are ready.
    pub async fn spawn_agents(&self, replicas: u32, deadline: Duration) -> Result<()> {
        let mut agents = Vec::new();
        for name in AGENTS {
            for replica in 1..=replicas {
                agents.push(self.spawn(&Program::new(name).replica(replica))?);
            }
        }
        for agent in agents {
            agent.ready(deadline).await?;
        }
        Ok(())
    }

    /// Records that everything is up, and writes the settings that `firewatch` reads.
    pub fn ready(&self) -> Result<()> {
        let lines: Vec<_> = self
            .environment()
            .into_iter()
            .map(|(name, value)| format!("export {name}='{value}'\n"))
            .collect();
        std::fs::write(self.layout.dir().join("env"), lines.concat())?;
        self.record(Readiness::Ready)
    }

    /// Restarts processes that end by themselves. Never returns, unless it fails.
    pub async fn watch(&self) -> Result<()> {
        let mut supervisors: BTreeMap<String, Supervisor> = BTreeMap::new();
        loop {
            tokio::time::sleep(Duration::from_millis(200)).await;
            let mut changed = false;
            for process in self.processes() {
                changed |= supervisors.entry(process.name().to_owned()).or_default().check(&process)?;
            }
            if changed {
                self.record(Readiness::Ready)?;
            }
        }
    }

    /// Stops everything in order: first what writes telemetry, which retires its services, then the agents, then the servers
    /// they depend on.
    pub async fn stop(self) -> Result<()> {
        let (agents, sources): (Vec<_>, Vec<_>) = self.agents().drain(..).partition(|agent| agent.is_agent());
        for group in [sources, agents] {
            let mut stopping = tokio::task::JoinSet::new();
            for agent in group {
                let process = agent.process().clone();
                stopping.spawn(async move { process.stop().await });
            }
            while let Some(stopped) = stopping.join_next().await {
                stopped??;
            }
        }
        tokio::try_join!(
            self.kafka.process().stop(),
            self.postgres.process().stop(),
            self.mail.process().stop()
        )?;
        State::remove(self.layout.dir());
        Ok(())
    }

    async fn create_schema(&self) -> Result<()> {
        Ok(shared::testing::migrate(&self.store()?).await?)
    }

    fn processes(&self) -> Vec<Arc<Process>> {
        let own = [self.kafka.process(), self.postgres.process(), self.mail.process()];
        let agents = self.agents();
        own.into_iter().chain(agents.iter().map(|agent| agent.process())).cloned().collect()
    }

    fn record(&self, readiness: Readiness) -> Result<()> {
        let _recording = self.recording.lock().unwrap_or_else(PoisonError::into_inner);
        let http: BTreeMap<String, String> =
            self.agents().iter().map(|agent| (agent.name().to_owned(), agent.http().to_owned())).collect();
        let processes = self.processes().into_iter().filter_map(|process| {
            let identity = Identity::of(process.pid()?)?;
            let (name, log) = (process.name().to_owned(), process.log().to_owned());
            Some(RecordedProcess { http: http.get(&name).cloned(), name, identity, log })
        });
        let state = State {
            ready: readiness == Readiness::Ready,
            brokers: self.brokers().to_owned(),
            postgres_url: self.postgres_url(),
            smtp_url: self.mail.smtp_url(),
            mail_url: self.mail.web_url(),
            environment: self.environment(),
            processes: processes.collect(),
        };
        state.write(self.layout.dir())
    }

    fn agents(&self) -> MutexGuard<'_, Vec<Arc<Agent>>> {
        self.agents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
