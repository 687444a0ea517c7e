//! The time of a thread, and the service as a process.

use std::fs::File;
use std::net::TcpListener;
use std::path::PathBuf;
use std::process::Stdio;
use std::time::Duration;

use anyhow::{Context, ensure};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::process::{Child, Command};

/// Returns the processor time of this thread, seconds.
pub(crate) fn thread_s() -> anyhow::Result<f64> {
    let text = std::fs::read_to_string("/proc/thread-self/schedstat")?;
    let ns: f64 = text.split(' ').next().unwrap_or_default().parse()?;
    Ok(ns / 1e9)
}

/// A running copy of the service.
pub(crate) struct Service {
    child: Child,
    pub(crate) pid: u32,
    http: String,
}

impl Service {
    /// Starts the binary that lies beside this one's folder; its log is `target/bench/detection.log`.
    pub(crate) fn start(brokers: &str) -> anyhow::Result<Self> {
        let here = std::env::current_exe()?;
        let binary: PathBuf = here.ancestors().nth(2).context("no folder")?.join("detection");
        ensure!(binary.exists(), "{} is not built", binary.display());
        let http = TcpListener::bind("127.0.0.1:0")?.local_addr()?.to_string();
        std::fs::create_dir_all("target/bench")?;
        let log = File::options().create(true).append(true).open("target/bench/detection.log")?;
        let child = Command::new(binary)
            .env("FIREWATCH_KAFKA__BROKERS", brokers)
            .env("FIREWATCH_HTTP__LISTEN", &http)
            .stdin(Stdio::null())
            .stdout(log.try_clone()?)
            .stderr(log)
            .kill_on_drop(true)
            .spawn()?;
        let pid = child.id().context("it has ended")?;
        Ok(Self { child, pid, http })
    }

    /// Returns the sum of a metric over its labels; nothing where the service does not tell it yet.
    pub(crate) async fn metric(&self, name: &str) -> Option<f64> {
        let text = tokio::time::timeout(Duration::from_secs(5), self.get("/metrics")).await.ok()?.ok()?;
        let values = text.lines().filter_map(|line| {
            let (metric, value) = line.rsplit_once(' ')?;
            let labels = metric.strip_prefix(name)?;
            (labels.is_empty() || labels.starts_with('{')).then(|| value.parse::<f64>().ok())?
        });
        values.reduce(|a, b| a + b)
    }

    async fn get(&self, path: &str) -> anyhow::Result<String> {
        let mut stream = TcpStream::connect(&self.http).await?;
        stream
            .write_all(format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n").as_bytes())
            .await?;
        let mut text = String::new();
        stream.read_to_string(&mut text).await?;
        Ok(text)
    }

    /// Asks it to end in an orderly way, and waits for it.
    pub(crate) async fn stop(mut self) -> anyhow::Result<()> {
        Command::new("kill").arg(self.pid.to_string()).status().await?;
        tokio::time::timeout(Duration::from_secs(30), self.child.wait()).await.context("does not end")??;
        Ok(())
    }

    /// Ends it as a crash would.
    pub(crate) async fn kill(mut self) -> anyhow::Result<()> {
        self.child.kill().await?;
        Ok(())
    }

    /// Fails if it has ended by itself.
    pub(crate) fn check(&mut self) -> anyhow::Result<()> {
        let ended = self.child.try_wait()?;
        ensure!(ended.is_none(), "the service has ended: see target/bench/detection.log");
        Ok(())
    }
}
