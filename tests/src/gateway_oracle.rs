//! Searches for a point that the gateway acknowledged and that is lost. A seed stands for producers that send numbered points to two
//! replicas of the gateway, which are killed, suspended and stopped while Kafka goes down and its disk is full. Afterwards the topic
//! and the count of a detection that reads it are compared with what was acknowledged.

pub mod account;
pub mod harm;
pub mod plan;
pub mod producers;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shared::bus;
use shared::bus::reader::{From, Reader};
use shared::clock::{Clock as _, SystemClock};
use shared::events::Topic;
use stack::parts::guard::Guard;
use stack::parts::kafka::{Kafka, create_topics};
use stack::parts::ports;
use stack::parts::probe;
use stack::parts::process::Process;
use stack::run::fetch;
use stack::run::layout::{self, Layout};
use stack::run::progress::Progress;

use crate::load::watch;
use account::{Violation, Written, violations};
use harm::Replicas;
use plan::Plan;
use producers::Producers;

/// Age of the first point, milliseconds: the times of all points are in the past.
const AGE_MS: i64 = 24 * 3_600_000;
/// Time in which producers go on after the last step.
const SETTLE: Duration = Duration::from_secs(1);
/// Longest time to read the topic.
const READ: Duration = Duration::from_mins(1);
/// Longest time for detection to start and to read the topic.
const DETECTION: Duration = Duration::from_mins(2);

/// The outcome of a seed.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must not happen and did.
    pub violations: Vec<Violation>,
    /// Requests that were acknowledged.
    pub requests: usize,
    /// Points that were acknowledged.
    pub points: u64,
    /// Points that are on the topic more than once, each further time.
    pub copies: u64,
    /// Attempts that were not acknowledged, by what became of them.
    pub repeats: BTreeMap<String, usize>,
    /// What was done, by kind.
    pub harms: BTreeMap<String, usize>,
    /// How long it took, seconds.
    pub seconds: f64,
}

/// Runs one seed with the binaries of a folder, which have failpoints compiled in. The logs of a seed with violations stay in `out`.
pub async fn run(plan: &Plan, binaries: &Path, out: &Path) -> Result<Outcome> {
    let began = Instant::now();
    let logs = Layout::create(&out.join(format!("seed-{}", plan.seed)))?;
    logs.empty()?;
    let guard = Arc::new(Guard::start(None)?);
    let jars = fetch::all(Progress::Slow).await?.kafka;
    let kafka = Kafka::start(&jars, &logs, &guard).await?;
    create_topics(kafka.admin()).await?;
    let replicas = Replicas::start(plan, binaries, kafka.brokers(), &logs, &guard)?;

    let begin_ms = SystemClock.now().as_millisecond() - AGE_MS;
    let producers = Producers::start(replicas.addresses(), begin_ms)?;
    let sending = async {
        tokio::try_join!(replicas.disturb(&plan.harms), harm::disturb_kafka(&kafka, &logs, &plan.outages))?;
        tokio::time::sleep(SETTLE).await;
        producers.end().await
    };
    let sent = tokio::select! {
        sent = sending => sent?,
        never = replicas.keep_up() => match never? {},
    };
    let mut harms = replicas.stop().await?;
    for outage in &plan.outages {
        *harms.entry(format!("kafka: {:?}", outage.what)).or_default() += 1;
    }

    let written = read(&kafka, begin_ms).await?;
    let used = used_by_detection(&written, binaries, &kafka, &logs, &guard).await?;
    let violations = violations(&sent.acknowledged, &written, used);
    kafka.process().kill9();
    if violations.is_empty() {
        std::fs::remove_dir_all(logs.dir())?;
    }
    Ok(Outcome {
        seed: plan.seed,
        violations,
        requests: sent.requests,
        points: sent.acknowledged.values().sum(),
        copies: written.total() - written.distinct(),
        repeats: sent.repeats,
        harms,
        seconds: began.elapsed().as_secs_f64(),
    })
}

/// Reads `raw.metrics` to its end.
async fn read(kafka: &Kafka, begin_ms: i64) -> Result<Written> {
    let options = bus::Options { brokers: kafka.brokers().to_owned(), ..bus::Options::default() };
    let lines = tokio::task::spawn_blocking(move || {
        Reader::open(&options, Topic::RawMetrics, None, From::Beginning, READ)
            .and_then(|reader| reader.to_end(READ))
    });
    let mut written = Written::default();
    for line in lines.await?? {
        written.add(&line.payload.context("a record without a payload")?, begin_ms)?;
    }
    Ok(written)
}

/// Lets a detection read the topic from its beginning. Returns how many samples it used, once it has read all.
async fn used_by_detection(
    written: &Written,
    binaries: &Path,
    kafka: &Kafka,
    logs: &Layout,
    guard: &Arc<Guard>,
) -> Result<u64> {
    let [port] = ports::free()?;
    let http = format!("127.0.0.1:{port}");
    let (binary, brokers, listen) = (binaries.join("detection"), kafka.brokers().to_owned(), http.clone());
    ensure!(binary.exists(), "{} is not built", binary.display());
    let detection = Process::new("detection", logs.log("detection"), guard.clone(), move || {
        let mut command = Command::new(&binary);
        command.env("FIREWATCH_KAFKA__BROKERS", &brokers).env("FIREWATCH_HTTP__LISTEN", &listen);
        command.current_dir(layout::root());
        command
    });
    detection.start()?;
    let client = probe::client();
    let topic = format!("topic=\"{}\"", Topic::RawMetrics);
    let mut used = 0;
    detection
        .until("reading the topic", DETECTION, async || {
            let exposed = watch::fetch(&client, &http).await?;
            let of =
                |metric: &str| exposed.sum(&format!("firewatch_detection_{metric}_total"), &topic) as u64;
            used = of("samples");
            let (dropped, all) = (of("dropped"), written.total());
            ensure!(used + dropped == all, "{used} used and {dropped} dropped of {all}");
            Ok(())
        })
        .await?;
    Ok(used)
}
