//! Replicas of the gateway that are killed and started again, and a Kafka that goes down.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::path::Path;
use std::process::Command;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use stack::parts::guard::Guard;
use stack::parts::kafka::Kafka;
use stack::parts::ports;
use stack::parts::process::Process;
use stack::run::layout::{self, Layout};

use super::plan::{Gap, Harm, Outage, Plan, REPLICAS, Step};

/// Time between two looks for replicas that have ended.
const LOOK: Duration = Duration::from_millis(50);
/// How much the largest file of the topic may still grow when the disk becomes full, bytes.
const ROOM: u64 = 16 * 1024;

/// Replicas of the gateway.
pub struct Replicas<'p> {
    plan: &'p Plan,
    addresses: Vec<String>,
    all: Vec<Replica>,
    log: Mutex<BTreeMap<String, usize>>,
}

struct Replica {
    process: Process,
    /// The failpoint of the next start, which the process reads when it starts.
    gap: Arc<Mutex<Option<Gap>>>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    starts: usize,
    /// It was ended from outside, and is started again by who ended it.
    held: bool,
}

impl<'p> Replicas<'p> {
    /// Starts them on ports of their own.
    pub fn start(
        plan: &'p Plan,
        binaries: &Path,
        brokers: &str,
        logs: &Layout,
        guard: &Arc<Guard>,
    ) -> Result<Self> {
        let binary = binaries.join("gateway");
        ensure!(binary.exists(), "{} is not built; run `make failpoints`", binary.display());
        let (mut addresses, mut replicas) = (Vec::new(), Vec::new());
        for number in 0..REPLICAS {
            let [listen, http] = ports::free()?.map(|port: u16| format!("127.0.0.1:{port}"));
            addresses.push(listen.clone());
            let (binary, brokers, gap) =
                (binary.clone(), brokers.to_owned(), Arc::<Mutex<Option<Gap>>>::default());
            let name = format!("gateway-{number}");
            let armed = Arc::clone(&gap);
            let process = Process::new(&name, logs.log(&name), guard.clone(), move || {
                let mut command = Command::new(&binary);
                command
                    .env("FIREWATCH_KAFKA__BROKERS", &brokers)
                    .env("FIREWATCH_HTTP__LISTEN", &http)
                    .env("FIREWATCH_GATEWAY__LISTEN", &listen)
                    .env("FIREWATCH_GATEWAY__GRPC_LISTEN", "")
                    // so that producers meet refusals, and are back soon
                    .env("FIREWATCH_GATEWAY__REQUESTS__PUBLISH_TIMEOUT_MS", "3000")
                    .env("FIREWATCH_GATEWAY__REQUESTS__RETRY_AFTER_S", "1")
                    .current_dir(layout::root());
                if let Some(gap) = *lock(&armed) {
                    command.env("FAILPOINTS", gap.variable());
                }
                command
            });
            replicas.push(Replica { process, gap, state: Mutex::default() });
        }
        let replicas = Self { plan, addresses, all: replicas, log: Mutex::default() };
        for number in 0..REPLICAS {
            replicas.start_one(number)?;
        }
        Ok(replicas)
    }

    /// Returns where they are.
    pub fn addresses(&self) -> &[String] {
        &self.addresses
    }

    /// Starts those again that failpoints have killed. Never returns, unless it fails.
    pub async fn keep_up(&self) -> Result<Infallible> {
        loop {
            tokio::time::sleep(LOOK).await;
            for (number, replica) in self.all.iter().enumerate() {
                if replica.process.pid().is_some() || lock(&replica.state).held {
                    continue;
                }
                let gap = lock(&replica.gap).take();
                let gap = gap.with_context(|| {
                    format!("gateway-{number} has ended by itself:\n{}", replica.process.tail(15))
                })?;
                self.count(format!("failpoint: {}", gap.failpoint.name()));
                self.start_one(number)?;
            }
        }
    }

    /// Does what the plan says, one step after another.
    pub async fn disturb(&self, steps: &[Step<(usize, Harm)>]) -> Result<()> {
        for Step { after_ms, for_ms, what: (number, harm) } in steps {
            tokio::time::sleep(Duration::from_millis(*after_ms)).await;
            let replica = &self.all[*number];
            lock(&replica.state).held = true;
            match harm {
                Harm::Kill => replica.process.kill9(),
                Harm::Terminate => replica.process.stop().await?,
                Harm::Hold(_) => replica.process.pause()?,
            }
            let (name, down_ms) = match harm {
                Harm::Kill => ("killed", for_ms),
                Harm::Terminate => ("terminated", for_ms),
                Harm::Hold(held_ms) => ("suspended", held_ms),
            };
            self.count(format!("gateway: {name}"));
            tokio::time::sleep(Duration::from_millis(*down_ms)).await;
            if matches!(harm, Harm::Hold(_)) {
                replica.process.resume()?;
            } else {
                self.start_one(*number)?;
            }
            lock(&replica.state).held = false;
        }
        Ok(())
    }

    /// Ends them. Returns what was done to them, by kind.
    pub async fn stop(self) -> Result<BTreeMap<String, usize>> {
        for replica in &self.all {
            replica.process.stop().await?;
        }
        Ok(self.log.into_inner().unwrap_or_else(PoisonError::into_inner))
    }

    fn start_one(&self, number: usize) -> Result<()> {
        let replica = &self.all[number];
        let mut state = lock(&replica.state);
        *lock(&replica.gap) = self.plan.gap(number, state.starts);
        state.starts += 1;
        replica.process.start()
    }

    fn count(&self, what: String) {
        *lock(&self.log).entry(what).or_default() += 1;
    }
}

/// Lets Kafka go down as the plan says.
pub async fn disturb_kafka(kafka: &Kafka, logs: &Layout, steps: &[Step<Outage>]) -> Result<()> {
    for Step { after_ms, for_ms, what } in steps {
        tokio::time::sleep(Duration::from_millis(*after_ms)).await;
        match what {
            Outage::Kill => kafka.process().kill9(),
            Outage::Stop => kafka.process().stop().await?,
            Outage::FullDisk => fill_disk(kafka, logs)?,
        }
        tokio::time::sleep(Duration::from_millis(*for_ms)).await;
        kafka.process().kill9();
        kafka.restart().await?;
    }
    Ok(())
}

/// Lets no file of Kafka grow beyond a size that the topic reaches soon. Writes then fail as on a full disk, first in the midst of a
/// record. The limit is that of the process and ends with it.
fn fill_disk(kafka: &Kafka, logs: &Layout) -> Result<()> {
    let pid = kafka.process().pid().context("Kafka does not run")?;
    let mut largest = 0;
    for partition in std::fs::read_dir(logs.data().join("kafka/log"))? {
        let partition = partition?.path();
        if partition.is_dir() && partition.to_string_lossy().contains("/raw.metrics-") {
            for file in std::fs::read_dir(&partition)? {
                let file = file?;
                if file.path().extension().is_some_and(|extension| extension == "log") {
                    largest = largest.max(file.metadata()?.len());
                }
            }
        }
    }
    let limit = format!("--fsize={}:", largest + ROOM);
    let status = Command::new("prlimit").args(["--pid", &pid.to_string(), &limit]).status();
    ensure!(status.context("running prlimit (util-linux)")?.success(), "prlimit failed");
    Ok(())
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
