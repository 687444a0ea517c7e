//! Apache Kafka: one node that is broker and controller (KRaft).

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::Arc;
use std::time::Duration;

use anyhow::{Context, Result, bail};
use nix::sys::signal::Signal;
use shared::bus::{self, admin::Admin};
use shared::events::Topic;

use crate::parts::guard::Guard;
use crate::parts::ports;
use crate::parts::process::Process;
use crate::run::layout::Layout;
use crate::run::progress::say;

const LOG4J: &str = include_str!("../../kafka/log4j2.properties");
/// Cluster id, any: nothing else connects to this cluster.
const CLUSTER: &str = "RmlyZXdhdGNoTmF0aXZlMQ";
/// Most listeners beside the plain one.
const FURTHER: usize = 4;
/// Longest time to be ready, also when a crash left much to recover.
const READY: Duration = Duration::from_secs(90);

/// A listener besides the plain one, with TLS or logins.
pub struct Listener {
    /// Its name, in capitals.
    pub name: &'static str,
    /// `SSL`, `SASL_SSL` or `SASL_PLAINTEXT`.
    pub protocol: &'static str,
    /// Its own properties, without the prefix that names it.
    pub properties: Vec<(String, String)>,
}

/// What a broker has beside the plain listener; nothing in the stack.
#[derive(Default)]
pub struct Further {
    /// Listeners.
    pub listeners: Vec<Listener>,
    /// Users of SCRAM, as `StorageTool` takes them: `SCRAM-SHA-512=[name=...,password=...]`.
    pub scram: Vec<String>,
}

/// A broker.
pub struct Kafka {
    process: Arc<Process>,
    admin: Admin,
    brokers: String,
    further: BTreeMap<&'static str, String>,
}

impl Kafka {
    /// Starts a broker on free ports with its data under `layout`, and waits until it answers.
    pub async fn start(jars: &Path, layout: &Layout, guard: &Arc<Guard>) -> Result<Self> {
        Self::start_with(jars, layout, guard, &Further::default()).await
    }

    /// As [`Kafka::start`], with further listeners.
    pub async fn start_with(
        jars: &Path,
        layout: &Layout,
        guard: &Arc<Guard>,
        further: &Further,
    ) -> Result<Self> {
        let data = layout.data().join("kafka");
        std::fs::create_dir_all(&data)?;
        let [port, controller, others @ ..] = ports::free::<{ 2 + FURTHER }>()?;
        if further.listeners.len() > FURTHER {
            bail!("more than {FURTHER} further listeners");
        }
        let others: Vec<(&Listener, u16)> = further.listeners.iter().zip(others).collect();
        let properties = data.join("server.properties");
        std::fs::write(&properties, configuration(port, controller, &others, &data.join("log")))?;
        let log4j = data.join("log4j2.properties");
        std::fs::write(&log4j, LOG4J)?;
        if !data.join("log/meta.properties").exists() {
            format(jars, &properties, &further.scram).await?;
        }
        let class_path = jars.join("*");
        let process = Process::new("kafka", layout.log("kafka"), guard.clone(), move || {
            let mut java = Command::new("java");
            java.args(["-Xms256m", "-Xmx512m", "-XX:+UseG1GC", "-Djava.awt.headless=true"])
                .arg(joined("-Dlog4j2.configurationFile=", &log4j))
                .arg("-cp")
                .arg(&class_path)
                .arg("kafka.Kafka")
                .arg(&properties);
            java
        })
        .stopped_by(Signal::SIGTERM, Duration::from_secs(20));
        process.start()?;
        let brokers = format!("127.0.0.1:{port}");
        let admin = Admin::new(&bus::Options { brokers: brokers.clone(), ..bus::Options::default() })?;
        let further =
            others.iter().map(|(listener, port)| (listener.name, format!("localhost:{port}"))).collect();
        let kafka = Self { process: Arc::new(process), admin, brokers, further };
        kafka.ready().await?;
        Ok(kafka)
    }

    /// Returns the address clients connect to.
    pub fn brokers(&self) -> &str {
        &self.brokers
    }

    /// Returns the address of a further listener.
    pub fn listener(&self, name: &str) -> Option<&str> {
        self.further.get(name).map(String::as_str)
    }

    /// Returns the client that manages topics.
    pub fn admin(&self) -> &Admin {
        &self.admin
    }

    /// Returns the process.
    pub fn process(&self) -> &Arc<Process> {
        &self.process
    }

    /// Starts it again on the same ports with the same data, and waits until it answers.
    pub async fn restart(&self) -> Result<()> {
        self.process.stop().await?;
        self.process.start()?;
        self.ready().await
    }

    /// Waits until the broker answers.
    pub async fn ready(&self) -> Result<()> {
        self.process
            .until("answer", READY, async || {
                self.admin.topics(Duration::from_secs(2)).await?;
                Ok(())
            })
            .await
    }
}

/// Creates the topics that are missing. Prints a line for each that has another number of partitions.
pub async fn create_topics(admin: &Admin) -> Result<()> {
    for mismatch in admin.provision(&Topic::all()).await?.mismatched {
        say(&mismatch.to_string());
    }
    Ok(())
}

/// Formats the data folder.
async fn format(jars: &Path, properties: &Path, scram: &[String]) -> Result<()> {
    let output = tokio::process::Command::new("java")
        .arg("-cp")
        .arg(jars.join("*"))
        .args([
            "kafka.tools.StorageTool",
            "format",
            "--cluster-id",
            CLUSTER,
            "--ignore-formatted",
            "--config",
        ])
        .arg(properties)
        .args(scram.iter().flat_map(|user| ["--add-scram", user.as_str()]))
        .kill_on_drop(true)
        .output()
        .await
        .context("running java")?;
    if !output.status.success() {
        bail!("formatting Kafka's data folder: {}", String::from_utf8_lossy(&output.stderr).trim_end());
    }
    Ok(())
}

/// Returns the properties. The quorum is named here and not stored in the data, so that the data can be used on other ports.
fn configuration(port: u16, controller: u16, further: &[(&Listener, u16)], log: &Path) -> String {
    let (mut listeners, mut advertised, mut protocols, mut own) =
        (String::new(), String::new(), String::new(), String::new());
    for (Listener { name, protocol, properties }, port) in further {
        let _ = write!(listeners, ",{name}://127.0.0.1:{port}");
        // certificates are issued for a name
        let _ = write!(advertised, ",{name}://localhost:{port}");
        let _ = write!(protocols, ",{name}:{protocol}");
        for (property, value) in properties {
            let _ = writeln!(own, "listener.name.{}.{property}={value}", name.to_ascii_lowercase());
        }
    }
    format!(
        "process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller}
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller}{listeners}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}{advertised}
controller.listener.names=CONTROLLER
inter.broker.listener.name=PLAINTEXT
listener.security.protocol.map=CONTROLLER:PLAINTEXT,PLAINTEXT:PLAINTEXT{protocols}
log.dirs={}
num.partitions=1
default.replication.factor=1
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
group.min.session.timeout.ms=1000
auto.create.topics.enable=false
{own}",
        log.display()
    )
}

fn joined(prefix: &str, path: &Path) -> PathBuf {
    let mut joined = std::ffi::OsString::from(prefix);
    joined.push(path);
    joined.into()
}
