//! PostgreSQL: a private cluster, separate from those of the machine.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use shared::store::{Options, Store};
use shared::testing;

use crate::parts::guard::Guard;
use crate::parts::process::Process;
use crate::parts::{ports, probe};
use crate::run::layout::Layout;

const USER: &str = "firewatch";
const READY: Duration = Duration::from_mins(1);

/// Whether the data survive a crash of the machine.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Durability {
    /// They do.
    Durable,
    /// They need not, in the cluster of a test. Several times faster.
    Disposable,
}

/// A cluster with the database `firewatch`.
pub struct Postgres {
    process: Arc<Process>,
    port: u16,
}

impl Postgres {
    /// Starts a cluster on a free port with its data under `layout`, and waits until it answers.
    pub async fn start(layout: &Layout, guard: &Arc<Guard>, durability: Durability) -> Result<Self> {
        Self::start_with(layout, guard, durability, &[]).await
    }

    /// As [`Postgres::start`], with further settings, `name=value`.
    pub async fn start_with(
        layout: &Layout,
        guard: &Arc<Guard>,
        durability: Durability,
        further: &[String],
    ) -> Result<Self> {
        let binaries = binaries().context("no PostgreSQL server found")?;
        let data = layout.data().join("postgres");
        let launcher = Launcher::of_this_user()?;
        if !data.join("PG_VERSION").exists() {
            initialise(&launcher, &binaries, &data).await?;
        }
        let [port] = ports::free()?;
        let (server, further) = (binaries.join("postgres"), further.to_vec());
        let process = Process::new("postgres", layout.log("postgres"), guard.clone(), move || {
            let mut command = launcher.command(&server);
            command.arg("-D").arg(&data);
            let mut settings = vec![
                format!("port={port}"),
                "listen_addresses=127.0.0.1".to_owned(),
                // sockets in a folder have a length limit that a deep checkout breaks
                "unix_socket_directories=".to_owned(),
                "max_connections=200".to_owned(),
                "shared_buffers=64MB".to_owned(),
                "log_timezone=UTC".to_owned(),
            ];
            if durability == Durability::Disposable {
                // commits stay synchronous: a killed server keeps what it has acknowledged
                settings.extend(["fsync=off", "full_page_writes=off"].map(str::to_owned));
            }
            settings.extend(further.iter().cloned());
            for setting in settings {
                command.arg("-c").arg(setting);
            }
            command
        })
        // the fast shutdown: ends the sessions and writes a checkpoint
        .stopped_by(Signal::SIGINT, Duration::from_secs(20));
        let postgres = Self { process: Arc::new(process), port };
        postgres.up().await?;
        create_database(&postgres.url("postgres"), USER, None).await?;
        Ok(postgres)
    }

    /// Returns the URL of a database of the cluster.
    pub fn url(&self, database: &str) -> String {
        format!("postgres://{USER}@127.0.0.1:{}/{database}", self.port)
    }

    /// Returns the port it listens on.
    pub fn port(&self) -> u16 {
        self.port
    }

    /// Returns the process.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Starts it again on the same port with the same data, and waits until it answers.
    pub async fn restart(&self) -> Result<()> {
        self.process.stop().await?;
        self.up().await
    }

    /// Ends all sessions but its own, as a network failure or an administrator would.
    pub async fn reset_connections(&self) -> Result<()> {
        let store = Store::new(&Options { url: self.url("postgres"), ..Options::default() }, "stack")?;
        let sessions = "select pg_terminate_backend(pid) from pg_stat_activity \
                        where backend_type = 'client backend' and pid <> pg_backend_pid()";
        testing::client(&store).await?.batch_execute(sessions).await?;
        Ok(())
    }

    /// Starts the server if it does not run, and waits until it answers. After a crash the sessions of the old server may
    /// still hold the data. Then the new one refuses to start, and is started again.
    pub async fn up(&self) -> Result<()> {
        let store = Store::new(&Options { url: self.url("postgres"), ..Options::default() }, "stack")?;
        probe::until("PostgreSQL", READY, async || {
            let ended = self.process.check();
            self.process.start()?;
            ended?;
            store.ping().await?;
            Ok(())
        })
        .await
    }
}

/// Creates a database, as a copy of `template` if one is named, unless it exists.
pub async fn create_database(server: &str, name: &str, template: Option<&str>) -> Result<()> {
    let mut arguments = vec!["--maintenance-db", server];
    if let Some(template) = template {
        arguments.extend(["--template", template]);
    }
    arguments.push(name);
    match client("createdb", &arguments).await {
        Err(error) if format!("{error:#}").contains("already exists") => Ok(()),
        outcome => outcome,
    }
}

/// Removes a database and ends its sessions.
pub async fn drop_database(server: &str, name: &str) -> Result<()> {
    client("dropdb", &["--maintenance-db", server, "--force", "--if-exists", name]).await
}

async fn client(program: &str, arguments: &[&str]) -> Result<()> {
    let path = binaries().map_or_else(|| PathBuf::from(program), |binaries| binaries.join(program));
    let output = tokio::process::Command::new(path)
        .args(arguments)
        .env("LC_ALL", "C")
        .kill_on_drop(true)
        .output()
        .await
        .with_context(|| format!("running {program}"))?;
    if !output.status.success() {
        bail!("{}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

async fn initialise(launcher: &Launcher, binaries: &Path, data: &Path) -> Result<()> {
    if data.exists() {
        // left by an interrupted initdb
        std::fs::remove_dir_all(data)?;
    }
    std::fs::create_dir_all(data)?;
    launcher.own(data)?;
    let mut command: tokio::process::Command = launcher.command(&binaries.join("initdb")).into();
    let output = command
        .arg("-D")
        .arg(data)
        .args([
            "--username",
            USER,
            "--auth=trust",
            "--encoding=UTF8",
            "--locale=C",
            "--no-sync",
            "--no-instructions",
        ])
        .kill_on_drop(true)
        .output()
        .await
        .context("running initdb")?;
    if !output.status.success() {
        // without its version file an incomplete cluster is created again
        let _ = std::fs::remove_file(data.join("PG_VERSION"));
        bail!("initdb: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

/// Returns the folder of the newest server of the machine. Debian does not have it in the `PATH`.
pub fn binaries() -> Option<PathBuf> {
    let debian = std::fs::read_dir("/usr/lib/postgresql").into_iter().flatten().flatten();
    let newest = debian
        .filter_map(|version| {
            Some((version.file_name().to_str()?.parse::<u32>().ok()?, version.path().join("bin")))
        })
        .filter(|(_, binaries)| binaries.join("initdb").exists())
        .max();
    newest.map(|(_, binaries)| binaries).or_else(|| {
        std::env::split_paths(&std::env::var_os("PATH")?).find(|folder| folder.join("initdb").exists())
    })
}

/// How the server is started, which refuses to run as root.
enum Launcher {
    /// As the current user.
    Direct,
    /// In a user namespace, as an ordinary user. Needs no other account with access to the folder.
    Namespace,
    /// As the account that came with the server.
    Account,
}

impl Launcher {
    fn of_this_user() -> Result<Self> {
        if !nix::unistd::geteuid().is_root() {
            return Ok(Self::Direct);
        }
        for launcher in [Self::Namespace, Self::Account] {
            let test = launcher.command(Path::new("true")).output();
            if test.is_ok_and(|output| output.status.success()) {
                return Ok(launcher);
            }
        }
        bail!(
            "PostgreSQL does not run as root, this machine allows no user namespaces (`unshare --user`) and has no \
             account `postgres`; run this as an ordinary user"
        )
    }

    /// `unshare` and `setpriv` replace themselves by the program, so that signals reach it.
    fn command(&self, program: &Path) -> Command {
        match self {
            Self::Direct => Command::new(program),
            Self::Namespace => {
                let mut command = Command::new("unshare");
                command.args(["--user", "--map-user=1000", "--map-group=1000", "--"]).arg(program);
                command
            }
            Self::Account => {
                let mut command = Command::new("setpriv");
                command.args(["--reuid=postgres", "--regid=postgres", "--clear-groups", "--"]).arg(program);
                command
            }
        }
    }

    /// Makes the account of the server the owner of `data`.
    fn own(&self, data: &Path) -> Result<()> {
        if let Self::Account = self {
            let account = nix::unistd::User::from_name("postgres")?.context("no account postgres")?;
            std::os::unix::fs::chown(data, Some(account.uid.as_raw()), Some(account.gid.as_raw()))?;
        }
        Ok(())
    }
}
