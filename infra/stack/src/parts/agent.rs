//! Binaries of the workspace: the agents, the simulator.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Result, ensure};

use crate::parts::guard::Guard;
use crate::parts::probe;
use crate::parts::process::Process;
use crate::run::layout::{self, Layout};

/// Names of the six agents, in the order an incident passes them.
pub const AGENTS: [&str; shared::agent::Agent::ALL.len()] = {
    let mut names = [""; shared::agent::Agent::ALL.len()];
    let mut place = 0;
    while place < names.len() {
        names[place] = shared::agent::Agent::ALL[place].name();
        place += 1;
    }
    names
};

/// What to run.
#[derive(Debug, Clone, Default)]
pub struct Program {
    /// Binary of the workspace.
    pub name: String,
    /// Number of the copy, from 1.
    pub replica: u32,
    /// Arguments.
    pub arguments: Vec<String>,
    /// Settings beside those of the stack.
    pub environment: BTreeMap<String, String>,
}

impl Program {
    /// Describes the first copy of a binary.
    pub fn new(name: &str) -> Self {
        Self { name: name.to_owned(), replica: 1, ..Self::default() }
    }

    /// Makes it another copy.
    #[must_use]
    pub fn replica(mut self, replica: u32) -> Self {
        self.replica = replica;
        self
    }

    /// Adds arguments.
    #[must_use]
    pub fn with(mut self, arguments: impl IntoIterator<Item = impl Into<String>>) -> Self {
        self.arguments.extend(arguments.into_iter().map(Into::into));
        self
    }
}

/// A running copy of a binary.
pub struct Agent {
    process: Arc<Process>,
    http: String,
}

impl Agent {
    /// Starts a copy with `settings`, serving probes on `port`.
    pub(crate) fn start(
        program: &Program,
        binaries: &Path,
        port: u16,
        settings: BTreeMap<String, String>,
        layout: &Layout,
        guard: &Arc<Guard>,
    ) -> Result<Self> {
        let binary = binaries.join(&program.name);
        ensure!(binary.exists(), "{} is not built; run `make build`", binary.display());
        let http = format!("127.0.0.1:{port}");
        let mut environment = settings;
        environment.insert("FIREWATCH_HTTP__LISTEN".to_owned(), http.clone());
        environment.extend(program.environment.clone());
        let name = format!("{}-{}", program.name, program.replica);
        let arguments = program.arguments.clone();
        let process = Process::new(&name, layout.log(&name), guard.clone(), move || {
            let mut command = Command::new(&binary);
            command.args(&arguments).envs(&environment).current_dir(layout::root());
            command
        });
        process.start()?;
        Ok(Self { process: Arc::new(process), http })
    }

    /// Returns its name with the number of the copy, e.g. `detection-1`.
    pub fn name(&self) -> &str {
        self.process.name()
    }

    /// Whether it is one of the six agents.
    pub fn is_agent(&self) -> bool {
        AGENTS.iter().any(|agent| self.name().strip_prefix(agent).is_some_and(|rest| rest.starts_with('-')))
    }

    /// Returns where it serves probes and metrics.
    pub fn http(&self) -> &str {
        &self.http
    }

    /// Returns the process.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Waits until it reports that it is ready.
    pub async fn ready(&self, deadline: Duration) -> Result<()> {
        let client = probe::client();
        let url = format!("http://{}/readyz", self.http);
        self.process.until("readiness", deadline, async || probe::http(&client, &url).await).await
    }
}
