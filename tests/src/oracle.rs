//! Hunts for the counter-example to "exactly one effect": for a seed, a house with three copies of each agent, three
//! shops with a fault each, and harm at every moment; then everything that is left behind is held against what must be
//! true.

pub mod fault_injector;
pub mod invariants;
pub mod observations;
pub mod plan;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use shared::events::envelope::header;
use shared::events::{Anomaly, Topic};
use stack::observe::run_summary::MAILS;
use stack::run::progress::Progress;
use stack::{Options, Program, Stack};

use fault_injector::Staff;
use observations::Evidence;
use plan::{Plan, Shop};

use crate::quiescence;

/// Longest time for all copies to be ready.
const READY: Duration = Duration::from_mins(2);
/// Longest time for the shops to close after the harm is over.
const SHOPS: Duration = Duration::from_mins(2);
/// Longest time for the house to come to rest after the shops are closed.
const REST: Duration = Duration::from_mins(2);
/// Time between two ticks of a shop.
const INTERVAL: &str = "200ms";

/// What a seed came to.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// What must be true and is not.
    pub violations: Vec<String>,
    /// Incidents.
    pub incidents: usize,
    /// Different mails.
    pub mails: usize,
    /// What was done, by kind.
    pub harm: BTreeMap<String, usize>,
    /// Processes that died or were stopped.
    pub kills: usize,
    /// Events that a stage was given again after it had handled them; its inbox suppressed each.
    pub redeliveries: usize,
    /// Outbox rows, timers and partitions that another process took over from a dead one.
    pub takeovers: usize,
    /// Records that are on the bus more than once, under one id.
    pub duplicates_suppressed: usize,
    /// Second copies of a mail, under one Message-ID, each excused by a crash.
    pub mail_copies: usize,
    /// How long it took.
    pub seconds: f64,
}

/// Runs one seed with the binaries of a folder, which have failpoints compiled in. Where something is violated, the evidence
/// is left in `keep`.
pub async fn run(plan: &Plan, binaries: &Path, keep: &Path) -> Result<Outcome> {
    let begun = Instant::now();
    let options =
        Options { binaries: binaries.to_owned(), progress: Progress::Slow, ..Options::throw_away()? };
    let stack = Arc::new(Stack::start(options).await?);
    stack.seed().await?;
    let staff = Staff::hire(Arc::clone(&stack), plan.clone())?;
    let supervision = tokio::spawn(Arc::clone(&staff).supervise());
    staff.ready(READY).await?;
    let shops = plan.shops.iter().map(|shop| open(&stack, shop)).collect::<Result<Vec<_>>>()?;
    staff.harm().await?;
    for shop in shops {
        stack::parts::probe::until("the end of the shops", SHOPS, async || {
            anyhow::ensure!(shop.process().pid().is_none(), "{} is open", shop.name());
            Ok(())
        })
        .await?;
    }
    let rest = until_rest(&stack).await;
    let evidence = Evidence::gather(&stack, staff.log()).await?;
    let mut outcome = weigh(plan.seed, &evidence);
    outcome.violations = invariants::violations(&evidence);
    if let Err(restless) = rest {
        outcome.violations.push(format!("the house does not come to rest: {restless:#}"));
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    supervision.abort();
    let _ = supervision.await;
    if !outcome.violations.is_empty() {
        keep_evidence(&stack, plan, &outcome, &evidence, keep).context("keeping the evidence")?;
    }
    drop(staff);
    Ok(outcome)
}

fn open(stack: &Stack, shop: &Shop) -> Result<Arc<stack::Agent>> {
    let arguments = [
        "--once".to_owned(),
        "--tail=30".to_owned(),
        format!("--interval={INTERVAL}"),
        format!("--environment={}", shop.environment),
        format!("--scenario={}", shop.scenario),
        format!("--seed={}", shop.seed),
        format!("--first-fault-after={}", shop.healthy),
    ];
    let mut program = Program::new("simulator").with(arguments);
    program.replica = u32::try_from(shop.seed).unwrap_or(u32::MAX);
    stack.spawn(&program)
}

/// Waits until nothing is left to do, and that for two looks.
async fn until_rest(stack: &Stack) -> Result<()> {
    let mut quiet = 0;
    stack::parts::probe::until("rest", REST, async || {
        let busy = unrest(stack).await?;
        quiet = if busy.is_empty() { quiet + 1 } else { 0 };
        anyhow::ensure!(quiet > 2, "{}", busy.join(", "));
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(())
    })
    .await
}

async fn unrest(stack: &Stack) -> Result<Vec<String>> {
    let mails = format!(
        "select {MAILS} * (select count(*) from incidents) - count(*) from notifications where state = 'sent'"
    );
    let counts = [
        ("rows in the outbox", "select count(*) from outbox where published_at is null"),
        ("timers", "select count(*) from timers where state <> 'done'"),
        ("incidents that are not closed", "select count(*) from incidents where state <> 'closed'"),
        ("mails to come", &mails),
    ];
    quiescence::left(stack, &counts).await
}

/// Counts what happened, so that a run in which nothing did proves nothing.
fn weigh(seed: u64, evidence: &Evidence) -> Outcome {
    let mut outcome = Outcome { seed, incidents: evidence.incidents.len(), ..Outcome::default() };
    for harm in &evidence.harm {
        *outcome.harm.entry(harm.what.to_owned()).or_default() += 1;
        outcome.kills += usize::from(harm.dead.is_some());
    }
    outcome.redeliveries =
        evidence.logs.iter().filter(|line| line.contains("redelivered event suppressed")).count();
    let dead: Vec<_> =
        evidence.harm.iter().filter_map(|harm| harm.dead).map(|pid| format!("-{pid}\"")).collect();
    let of_the_dead =
        |line: &&String| line.contains("taken over") && dead.iter().any(|pid| line.contains(pid.as_str()));
    outcome.takeovers = evidence.logs.iter().filter(of_the_dead).count();
    for (topic, lines) in &evidence.records {
        let mut ids = BTreeSet::new();
        if !matches!(topic, Topic::DeadLetters(_)) {
            let known = lines.iter().filter_map(|line| header(&line.headers, "ce_id"));
            outcome.duplicates_suppressed += known.filter(|id| !ids.insert(*id)).count();
        }
    }
    let ids: BTreeSet<_> = evidence.mails.iter().map(|accepted| &accepted.mail.id).collect();
    outcome.mails = ids.len();
    outcome.mail_copies = evidence.mails.len() - ids.len();
    outcome
}

fn keep_evidence(
    stack: &Stack,
    plan: &Plan,
    outcome: &Outcome,
    evidence: &Evidence,
    keep: &Path,
) -> Result<()> {
    let folder: PathBuf = keep.join(format!("seed-{}", plan.seed));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("incidents.json"), serde_json::to_vec_pretty(&evidence.incidents)?)?;
    let undisturbed = evidence.undisturbed.iter().map(told).collect::<String>();
    std::fs::write(folder.join("anomalies-undisturbed.txt"), undisturbed)?;
    let emitted = evidence.events(Topic::Anomalies).map(|anomaly| told(&anomaly)).collect::<String>();
    std::fs::write(folder.join("anomalies-emitted.txt"), emitted)?;
    let audit: Vec<_> = evidence
        .audit
        .iter()
        .map(|line| {
            format!("{} {} {} {} by event {}\n", line.incident, line.at, line.actor, line.action, line.event)
        })
        .collect();
    std::fs::write(folder.join("audit.txt"), audit.concat())?;
    let harm: Vec<_> = evidence.harm.iter().map(|harm| format!("{harm:?}\n")).collect();
    std::fs::write(folder.join("harm.txt"), harm.concat())?;
    std::fs::write(folder.join("plan.json"), serde_json::to_vec_pretty(plan)?)?;
    std::fs::write(folder.join("outcome.json"), serde_json::to_vec_pretty(outcome)?)?;
    for entry in std::fs::read_dir(stack.layout().logs())? {
        let path = entry?.path();
        if let Some(name) = path.file_name() {
            std::fs::copy(&path, folder.join(name))?;
        }
    }
    Ok(())
}

/// One line about a revision of an anomaly, with what a decision rests on.
fn told(anomaly: &Anomaly) -> String {
    let Anomaly { anomaly_id, revision, status, environment, service, metric, observed, evidence, .. } =
        anomaly;
    let (started, seen, center) = (anomaly.started_at, anomaly.observed_at, anomaly.expected.center);
    format!(
        "{seen} {environment} {service} {metric} {status:?} revision {revision} since {started}: {observed} where {center} \
         is expected, {evidence} nats, {anomaly_id}\n"
    )
}
