//! Prometheus, its node exporter and Alertmanager, started with the files of `docs/connect/files`.

use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail, ensure};
use shared::clock::{Clock as _, SystemClock};
use stack::parts::guard::Guard;
use stack::parts::ports;
use stack::parts::probe;
use stack::parts::process::Process;
use stack::run::layout::{self, Layout};

/// Longest time until a server answers.
const READY: Duration = Duration::from_secs(30);

/// Where the programs of Prometheus are.
pub struct Programs {
    layout: Layout,
    guard: Arc<Guard>,
}

impl Programs {
    /// Fetches them, if they are missing. None where they cannot be had, which is said loudly, unless `FIREWATCH_PROMETHEUS` is
    /// `required`.
    pub fn find() -> Result<Option<Self>> {
        match path("prometheus") {
            Ok(_) => {
                let (layout, guard) = stack::testing::scratch()?;
                Ok(Some(Self { layout, guard }))
            }
            Err(error) if std::env::var("FIREWATCH_PROMETHEUS").is_ok_and(|value| value == "required") => {
                Err(error)
            }
            Err(error) => {
                eprintln!("\n*** SKIPPED: no test with a real Prometheus and Alertmanager: {error:#} ***\n");
                Ok(None)
            }
        }
    }

    /// Starts Prometheus with a file of `docs/connect/files`, changed as `changes` say, beside its file of rules.
    pub async fn prometheus(&self, file: &str, changes: &[(&str, &str)]) -> Result<Server> {
        let (config, rules) = (changed(file, changes)?, changed("rules.yml", &[("for: 1m", "for: 1s")])?);
        std::fs::write(self.layout.dir().join("rules.yml"), rules)?;
        let file = self.layout.dir().join("prometheus.yml");
        std::fs::write(&file, config)?;
        let data = self.layout.data().join("prometheus");
        let arguments = |port| {
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.tsdb.path={}", data.display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--rules.alert.resend-delay=1s".to_owned(),
            ]
        };
        self.start("prometheus", "/-/ready", arguments).await
    }

    /// Starts Alertmanager with its file of `docs/connect/files`, changed as `changes` say.
    pub async fn alertmanager(&self, changes: &[(&str, &str)]) -> Result<Server> {
        let file = self.layout.dir().join("alertmanager.yml");
        std::fs::write(&file, changed("alertmanager.yml", changes)?)?;
        let data = self.layout.data().join("alertmanager");
        let arguments = |port| {
            vec![
                format!("--config.file={}", file.display()),
                format!("--storage.path={}", data.display()),
                format!("--web.listen-address=127.0.0.1:{port}"),
                "--cluster.listen-address=".to_owned(),
            ]
        };
        self.start("alertmanager", "/-/ready", arguments).await
    }

    /// Starts a node exporter.
    pub async fn node_exporter(&self) -> Result<Server> {
        let arguments = |port| vec![format!("--web.listen-address=127.0.0.1:{port}")];
        self.start("prometheus-node-exporter", "/metrics", arguments).await
    }

    async fn start(&self, name: &str, page: &str, arguments: impl Fn(u16) -> Vec<String>) -> Result<Server> {
        let [port] = ports::free()?;
        let (program, arguments) = (path(name)?, arguments(port));
        let process = Process::new(name, self.layout.log(name), Arc::clone(&self.guard), move || {
            let mut command = Command::new(&program);
            command.args(&arguments);
            command
        });
        process.start()?;
        let server = Server { address: format!("127.0.0.1:{port}"), process };
        let (client, url) = (probe::client(), format!("http://{}{page}", server.address));
        server.process.until("its page", READY, async || probe::http(&client, &url).await).await?;
        Ok(server)
    }
}

/// A running server. It ends when this is dropped.
pub struct Server {
    /// Where it listens: `127.0.0.1:port`.
    pub address: String,
    process: Process,
}

impl Server {
    /// Fires an alert at an Alertmanager, or ends it, by `amtool`.
    pub fn alert(&self, name: &str, labels: &[&str], is_over: bool) -> Result<()> {
        let mut command = Command::new(path("amtool")?);
        command.arg(format!("--alertmanager.url=http://{}", self.address)).args(["alert", "add", name]);
        command.args(labels).arg("--annotation=summary=5 % of the requests fail");
        if is_over {
            command.arg(format!("--end={}", SystemClock.now()));
        }
        let output = command.output().context("amtool")?;
        ensure!(output.status.success(), "amtool: {}", String::from_utf8_lossy(&output.stderr));
        Ok(())
    }

    /// Returns the last lines that it wrote.
    pub fn log(&self) -> String {
        self.process.tail(20)
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        self.process.kill9();
    }
}

fn path(name: &str) -> Result<PathBuf> {
    let script = layout::root().join("infra/tools/prometheus.sh");
    let output = Command::new(&script).arg(name).output().context("infra/tools/prometheus.sh")?;
    ensure!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr).trim());
    let path = PathBuf::from(String::from_utf8(output.stdout)?.trim());
    ensure!(path.is_file(), "{} is not there", path.display());
    Ok(path)
}

/// Returns a file of `docs/connect/files` with other words. Fails where one of them is not in it.
fn changed(file: &str, changes: &[(&str, &str)]) -> Result<String> {
    let path = layout::root().join("docs/connect/files").join(Path::new(file));
    let mut text = std::fs::read_to_string(&path).with_context(|| path.display().to_string())?;
    for (from, to) in changes {
        if !text.contains(from) {
            bail!("{file} has no {from}");
        }
        text = text.replace(from, to);
    }
    Ok(text)
}
