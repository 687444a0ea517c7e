//! Limits under load: a burst of samples and anomalies within a minute. Memory stays bounded, nothing is lost, `/metrics` shows
//! the lag, and the time to recover is measured.

pub mod burst;
pub mod commands;
pub mod pace;
pub mod watch;

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use jiff::SignedDuration;
use serde::Serialize;
use shared::bus::lag::extents;
use shared::bus::{self};
use shared::clock::{Clock, SystemClock};
use shared::events::Topic;
use stack::run::progress::{Progress, say};
use stack::{AGENTS, Agent, Options, Program, Stack};

use crate::quiescence::{self, STANDS};
use burst::{Burst, REVISIONS, Size, WORST};
use commands::{Commanded, Commands};
use pace::{Pace, Paced};
use watch::Watch;

/// Longest time for all agents to be ready.
const READY: Duration = Duration::from_mins(2);
/// Longest time until correlation has stored the calls between services.
const CALLS: Duration = Duration::from_mins(1);
/// Longest time to write the burst.
const WRITING: Duration = Duration::from_mins(1);
/// Longest time to handle everything after that.
const RECOVERY: Duration = Duration::from_mins(20);
/// Time between two scrapes of the agents.
const SCRAPE_INTERVAL: Duration = Duration::from_millis(500);
/// Time between two lines of progress.
const PROGRESS_INTERVAL: Duration = Duration::from_secs(10);
/// Scrapes in a row at which nothing is pending. Agents publish their lag every 2 s.
const QUIET_SCRAPES: u32 = 6;
/// Pending rows: name and counting statement.
const PENDING: [(&str, &str); 2] = [
    ("rows in the outbox", "select count(*) from outbox where published_at is null and rejected_at is null"),
    ("timers that are due", "select count(*) from timers where state = 'waiting' and due <= now()"),
];
/// Longest wait for an answer of the broker.
const ANSWER: Duration = Duration::from_secs(10);

/// Most resident memory of an agent, bytes.
pub const MEMORY: u64 = 256 * 1024 * 1024;

/// What was measured of one agent.
#[derive(Debug, Clone, Serialize)]
pub struct AgentOutcome {
    /// Name.
    pub agent: &'static str,
    /// Largest lag by its `/metrics`, records.
    pub peak_lag: u64,
    /// Seconds from the last write of the burst until the lag was 0; none if it was 0 all the time. Agents publish their lag
    /// every 2 s.
    pub recovery_s: Option<f64>,
    /// Most resident memory, bytes.
    pub peak_memory: u64,
}

/// The outcome of a run.
#[derive(Debug, Clone, Serialize)]
pub struct Outcome {
    /// The machine.
    pub machine: Machine,
    /// Folder with the binaries of the agents.
    pub binaries: PathBuf,
    /// What was written.
    pub size: Size,
    /// Time to write it, seconds.
    pub written_s: f64,
    /// Time from the first write until nothing was pending, seconds.
    pub seconds: f64,
    /// Incidents that were opened.
    pub incidents: i64,
    /// Decisions that correlation repeated after a conflict.
    pub conflicts: u64,
    /// Most resident memory an agent may have, bytes.
    pub memory_bound: u64,
    /// What was measured of each agent.
    pub agents: Vec<AgentOutcome>,
    /// Anomalies at a steady rate, after the burst was handled.
    pub paced: Option<Paced>,
    /// Commands at a steady rate, after that.
    pub commanded: Option<Commanded>,
    /// Expectations that are not met.
    pub violations: Vec<String>,
}

/// The machine a run was measured on.
#[derive(Debug, Clone, Serialize)]
pub struct Machine {
    /// Cores that may be used.
    pub cores: usize,
    /// Their model.
    pub model: String,
    /// Memory, bytes.
    pub memory: u64,
}

impl Machine {
    /// Reads what the kernel reports of this machine.
    pub fn here() -> Result<Self> {
        let field = |path: &str, name: &str| -> Result<String> {
            let text = std::fs::read_to_string(path)?;
            let found = text.lines().find_map(|line| line.strip_prefix(name)?.trim().strip_prefix(':'));
            Ok(found.unwrap_or_default().trim().to_owned())
        };
        let kilobytes = field("/proc/meminfo", "MemTotal")?;
        Ok(Self {
            cores: std::thread::available_parallelism()?.get(),
            model: field("/proc/cpuinfo", "model name")?,
            memory: kilobytes.trim_end_matches(" kB").parse::<u64>()? * 1024,
        })
    }
}

/// Starts a pipeline with one copy of each agent, writes the burst, waits until it is handled, and checks the rows and records
/// that it leaves.
pub async fn run(size: Size, pace: Pace, people: Commands, binaries: Option<PathBuf>) -> Result<Outcome> {
    let mut options = Options { progress: Progress::Slow, ..Options::throw_away()? };
    if let Some(binaries) = binaries {
        options.binaries = binaries;
    }
    let binaries = options.binaries.clone();
    let stack = Stack::start(options).await?;
    stack.seed().await?;
    let mut agents: Vec<Arc<Agent>> = Vec::new();
    for name in AGENTS {
        agents.push(stack.spawn(&Program::new(name))?);
    }
    for agent in &agents {
        agent.ready(READY).await?;
    }
    let broker = bus::Options { brokers: stack.brokers().to_owned(), ..bus::Options::default() };
    let burst = Burst { size, now: SystemClock.now() - SignedDuration::from_mins(1) };
    burst.calls(&broker).await?;
    calls_are_known(&stack, size).await?;

    let mut watch = Watch::new(agents)?;
    let begun = Instant::now();
    let written = watch_over(&stack, &mut watch, burst, broker.clone()).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let recovered = |at: Instant| at.saturating_duration_since(begun + written).as_secs_f64();
    let mut agents = Vec::new();
    for (watched, agent) in watch.agents.iter().zip(AGENTS) {
        agents.push(AgentOutcome {
            agent,
            peak_lag: watched.peak_lag as u64,
            recovery_s: watched.behind_at.map(recovered).filter(|seconds| *seconds > 0.0),
            peak_memory: watched.peak_memory()?,
        });
    }
    let mut outcome = Outcome {
        machine: Machine::here()?,
        binaries,
        size,
        written_s: written.as_secs_f64(),
        seconds,
        incidents: count(
            &stack,
            &format!("select count(*) from incidents where environment <> 'load-healthy' and {STANDS}"),
        )
        .await?,
        conflicts: watch.agents[1].exposed.sum("firewatch_conflicts_total", "") as u64,
        memory_bound: MEMORY,
        agents,
        paced: None,
        commanded: None,
        violations: Vec::new(),
    };
    outcome.violations = violations(&stack, &watch, &outcome).await?;
    steady(&stack, burst, pace, people, &broker, &mut outcome).await?;
    stack.stop().await?;
    Ok(outcome)
}

/// Measures what anomalies and commands at steady rates take once the burst is handled.
async fn steady(
    stack: &Stack,
    burst: Burst,
    pace: Pace,
    people: Commands,
    broker: &bus::Options,
    outcome: &mut Outcome,
) -> Result<()> {
    let paced = pace::run(burst, pace, broker).await?;
    if paced.shown < paced.news {
        outcome.violations.push(format!(
            "{} of {} changes of status were in an event of their incident within {} s",
            paced.shown,
            paced.news,
            pace::LAST.as_secs()
        ));
    }
    outcome.paced = Some(paced);
    let commanded = commands::run(stack, burst, people, broker).await?;
    if commanded.decided < commanded.commands as usize || commanded.refused > 0 {
        outcome.violations.push(format!(
            "{} of {} commands were decided on within {} s, {} of them refused",
            commanded.decided,
            commanded.commands,
            commands::LAST.as_secs(),
            commanded.refused
        ));
    }
    outcome.commanded = Some(commanded);
    Ok(())
}

/// Waits until correlation has stored all calls of the spans, which decide which anomalies are grouped.
async fn calls_are_known(stack: &Stack, size: Size) -> Result<()> {
    stack::parts::probe::until("the calls between services", CALLS, async || {
        let known = count(stack, "select count(*) from edges where environment like 'load-%'").await?;
        ensure!(known as usize == size.calls(), "{known} of {}", size.calls());
        Ok(())
    })
    .await
}

/// Writes the burst and scrapes the agents until everything is handled. Returns how long the writing took.
async fn watch_over(
    stack: &Stack,
    watch: &mut Watch,
    burst: Burst,
    broker: bus::Options,
) -> Result<Duration> {
    let mut writing = Some(tokio::spawn(burst.write(broker)));
    let (begun, mut line) = (Instant::now(), Instant::now());
    let mut written = Duration::ZERO;
    let mut quiet = 0;
    loop {
        let scraped = Instant::now();
        watch.scrape().await;
        if let Some(done) = writing.take_if(|writing| writing.is_finished()) {
            written = done.await??;
        }
        let pending = if writing.is_none() && watch.is_quiet() {
            quiescence::pending(stack, &PENDING).await?
        } else {
            Vec::new()
        };
        let is_quiet = writing.is_none() && watch.is_quiet() && pending.is_empty();
        quiet = if is_quiet { quiet + 1 } else { 0 };
        if quiet >= QUIET_SCRAPES {
            return Ok(written);
        }
        let lags: Vec<String> = watch
            .agents
            .iter()
            .filter(|watched| watched.lag > 0.0)
            .map(|watched| format!("{} {}", watched.agent.name(), watched.lag))
            .collect();
        if line.elapsed() >= PROGRESS_INTERVAL {
            line = Instant::now();
            say(&format!(
                "{} s; behind: {}; {}",
                begun.elapsed().as_secs(),
                lags.join(", "),
                pending.join(", ")
            ));
        }
        if begun.elapsed() > WRITING + RECOVERY {
            bail!("after {} s: {}; {}", begun.elapsed().as_secs(), lags.join(", "), pending.join(", "));
        }
        tokio::time::sleep(SCRAPE_INTERVAL.saturating_sub(scraped.elapsed())).await;
    }
}

/// Returns the expectations that are not met after a burst.
async fn violations(stack: &Stack, watch: &Watch, outcome: &Outcome) -> Result<Vec<String>> {
    let mut violations = Vec::new();
    let mut expect = |holds: bool, otherwise: String| {
        if !holds {
            violations.push(otherwise);
        }
    };
    let size = outcome.size;
    expect(
        outcome.written_s <= WRITING.as_secs_f64(),
        format!("writing the burst took {:.0} s, longer than a minute", outcome.written_s),
    );
    for (watched, measured) in watch.agents.iter().zip(&outcome.agents) {
        let AgentOutcome { agent, peak_memory, .. } = measured;
        expect(watched.agent.process().pid() == Some(watched.pid), format!("{agent} has ended"));
        expect(
            *peak_memory <= MEMORY,
            format!("{agent} had {peak_memory} bytes of resident memory, more than {MEMORY}"),
        );
    }
    // these two read the burst itself. A short one may be handled between two publications of the lag
    let showed_lag = outcome.agents[..2].iter().any(|measured| measured.peak_lag > 0);
    expect(showed_lag, "neither detection nor correlation showed any lag".to_owned());
    let of_samples = |metric| watch.agents[0].exposed.sum(metric, "topic=\"raw.metrics\"") as u64;
    let used = of_samples("firewatch_detection_samples_total");
    let dropped = of_samples("firewatch_detection_dropped_total");
    expect(
        used + dropped == u64::from(size.samples),
        format!("{used} samples used and {dropped} dropped of {}", size.samples),
    );
    for (what, expected, statement) in [
        (
            "episodes",
            i64::from(size.episodes()),
            "select count(*) from signals where environment <> 'load-healthy'".to_owned(),
        ),
        (
            "episodes at their last revision",
            i64::from(size.episodes()),
            format!(
                "select count(*) from signals where environment <> 'load-healthy' and revision = {REVISIONS}"
            ),
        ),
        (
            "episodes without an incident",
            0,
            "select count(*) from signals where environment <> 'load-healthy' and incident_id is null"
                .to_owned(),
        ),
        (
            "incidents",
            i64::from(size.incidents()),
            format!("select count(*) from incidents where environment <> 'load-healthy' and {STANDS}"),
        ),
        (
            "incidents of the environment with one chain",
            1,
            format!("select count(*) from incidents where environment = '{WORST}' and {STANDS}"),
        ),
    ] {
        let found = count(stack, &statement).await?;
        expect(found == expected, format!("{found} {what} instead of {expected}"));
    }
    for failed in failed_timers(stack).await? {
        expect(false, failed);
    }
    for (stage, dead) in dead_letters(stack).await? {
        expect(dead == 0, format!("{dead} dead letters of {stage}"));
    }
    Ok(violations)
}

async fn dead_letters(stack: &Stack) -> Result<BTreeMap<Topic, i64>> {
    let broker = bus::Options { brokers: stack.brokers().to_owned(), ..bus::Options::default() };
    let topics: Vec<Topic> =
        Topic::all().into_iter().filter(|topic| matches!(topic, Topic::DeadLetters(_))).collect();
    let held = tokio::task::spawn_blocking(move || extents(&broker, &topics, ANSWER)).await??;
    Ok(held
        .into_iter()
        .map(|(topic, partitions)| (topic, partitions.iter().map(bus::lag::OffsetRange::records).sum()))
        .collect())
}

/// Returns, in a line each, why timers have failed.
async fn failed_timers(stack: &Stack) -> Result<Vec<String>> {
    let client = shared::testing::client(&stack.store()?).await?;
    let statement = "select format('%s timers %s of %s failed: %s', count(*), name, stage, last_error) from timers \
                     where state = 'failed' group by name, stage, last_error order by count(*) desc limit 10";
    Ok(client.query(statement, &[]).await?.iter().map(|row| row.try_get(0)).collect::<Result<_, _>>()?)
}

async fn count(stack: &Stack, statement: &str) -> Result<i64> {
    let client = shared::testing::client(&stack.store()?).await?;
    Ok(client.query_one(statement, &[]).await?.try_get(0)?)
}
