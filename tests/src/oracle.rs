//! Searches for a counter-example to "exactly one effect". A seed stands for a pipeline with three copies of each agent,
//! three simulated shops with a fault each, receivers of notifications that fail, and faults that are injected at any moment.
//! Afterwards the records, rows, mails, what receivers accepted and logs are checked against the invariants.

pub mod fault_injector;
pub mod invariants;
pub mod observations;
pub mod operator;
pub mod plan;
pub mod receivers;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use serde::Serialize;
use shared::events::envelope::header;
use shared::events::{Anomaly, Topic};
use shared::store::NotificationKind;
use stack::run::progress::Progress;
use stack::{Options, Program, Stack};

use fault_injector::AgentPool;
use invariants::{Code, Violation};
use observations::{Entry, Observations, REDELIVERED, TAKEN_OVER, UNFINISHED_TIMERS};
use operator::Operator;
use plan::{Plan, Shop};
use receivers::{Receiver, Receivers};

use crate::quiescence::{self, STANDS};

/// Longest time for all copies to be ready.
const READY: Duration = Duration::from_mins(2);
/// Longest time for the simulators to end after the last injection.
const SIMULATORS: Duration = Duration::from_mins(2);
/// Longest time for the pipeline to become quiescent after the simulators have ended. What is said last waits a minute for its digest.
const QUIESCENCE: Duration = Duration::from_mins(3);
/// Time between two ticks of a simulator.
const INTERVAL: &str = "200ms";

/// The outcome of a seed.
#[derive(Debug, Clone, Default, Serialize)]
pub struct Outcome {
    /// The seed.
    pub seed: u64,
    /// Violated invariants.
    pub violations: Vec<Violation>,
    /// Incidents.
    pub incidents: usize,
    /// Different mails.
    pub mails: usize,
    /// Injected faults, by kind.
    #[serde(rename = "harm")]
    pub faults: BTreeMap<String, usize>,
    /// Processes that ended because of them.
    pub kills: usize,
    /// Events that were redelivered to a stage after it had handled them. Its inbox suppressed each.
    pub redeliveries: usize,
    /// Outbox rows, timers and partitions that another process took over from one that had ended.
    pub takeovers: usize,
    /// Records that are on the bus more than once, under one id.
    pub duplicates_suppressed: usize,
    /// Commands that were decided on.
    pub commands: usize,
    /// Those of them that were accepted.
    pub commands_accepted: usize,
    /// Copies of commands under an event id of their own, none of which may have an effect.
    pub command_copies: usize,
    /// Second copies of a mail, under one Message-ID, each explained by a crash.
    pub mail_copies: usize,
    /// Different effects at receivers that are reached by HTTP.
    pub deliveries: usize,
    /// Further requests with the same effect, under the same key, each explained by a crash or a broken connection.
    pub delivery_copies: usize,
    /// Requests that a receiver failed to answer as planned.
    pub disturbed: usize,
    /// Notifications that waited for a digest.
    pub held: usize,
    /// How long it took.
    pub seconds: f64,
}

/// Runs one seed with the binaries of a folder, which have failpoints compiled in. If an invariant is violated, what was
/// observed is written into `keep`.
pub async fn run(plan: &Plan, binaries: &Path, keep: &Path) -> Result<Outcome> {
    let begun = Instant::now();
    let options =
        Options { binaries: binaries.to_owned(), progress: Progress::Slow, ..Options::throw_away()? };
    let stack = Arc::new(Stack::start(options).await?);
    stack.seed().await?;
    receivers::route(&stack).await?;
    let receivers = Receivers::start(&plan.troubles).await?;
    let pool = AgentPool::start(Arc::clone(&stack), plan.clone(), receivers.settings())?;
    let supervision = tokio::spawn(Arc::clone(&pool).supervise());
    pool.ready(READY).await?;
    let simulators = plan.shops.iter().map(|shop| simulate(&stack, shop)).collect::<Result<Vec<_>>>()?;
    let operator = Operator::new(&stack, plan.seed)?;
    let (injected, asked) = tokio::join!(pool.inject_all(), operator.send_all(&plan.commands));
    injected?;
    asked?;
    for simulator in simulators {
        stack::parts::probe::until("the end of the simulators", SIMULATORS, async || {
            anyhow::ensure!(simulator.process().pid().is_none(), "{} still runs", simulator.name());
            Ok(())
        })
        .await?;
    }
    let quiescent = until_quiescent(&stack, &operator).await;
    let mut observed = Observations::collect(&stack, pool.log()).await?;
    observed.sent = operator.sent();
    observed.received = receivers.record();
    let mut outcome = tally(plan.seed, &observed);
    outcome.violations = invariants::violations(&observed);
    if let Err(pending) = quiescent {
        let detail = format!("the pipeline did not become quiescent: {pending:#}");
        outcome.violations.push(Violation { code: Code::NotQuiescent, detail });
    }
    outcome.seconds = begun.elapsed().as_secs_f64();
    supervision.abort();
    let _ = supervision.await;
    if !outcome.violations.is_empty() {
        write_report(&stack, plan, &outcome, &observed, keep).context("writing the report")?;
    }
    drop(pool);
    Ok(outcome)
}

fn simulate(stack: &Stack, shop: &Shop) -> Result<Arc<stack::Agent>> {
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

/// Waits until nothing is left to do at three checks in a row. Incidents that were opened again are resolved by a person.
async fn until_quiescent(stack: &Stack, operator: &Operator) -> Result<()> {
    let mut quiet = 0;
    stack::parts::probe::until("quiescence", QUIESCENCE, async || {
        operator.end_reopened().await?;
        let pending = pending(stack).await?;
        quiet = if pending.is_empty() { quiet + 1 } else { 0 };
        anyhow::ensure!(quiet > 2, "{}", pending.join(", "));
        tokio::time::sleep(Duration::from_millis(300)).await;
        Ok(())
    })
    .await
}

/// Counts the notifications that are still to come: those on record, and, on each channel, those of the five of each incident that
/// was neither merged nor muted.
fn mails_to_come() -> String {
    let five: Vec<String> =
        NotificationKind::LIFECYCLE.iter().map(|kind| format!("'{}'", kind.name())).collect();
    let channels: Vec<String> =
        Receiver::ALL.iter().map(|receiver| format!("'{}'", receiver.channel())).collect();
    format!(
        "select (select count(*) from notifications where state not in ('sent', 'summarized')) + (select count(*) \
         from incidents, unnest(array[{}]) kind, unnest(array['email', {}]) channel where {STANDS} \
         and not exists (select from commands c where c.incident_id = incidents.incident_id \
            and c.verb = 'mute' and c.outcome = 'accepted') \
         and not exists (select from notifications n where n.incident_id = incidents.incident_id and n.kind = kind \
            and n.channel = channel))",
        five.join(", "),
        channels.join(", ")
    )
}

async fn pending(stack: &Stack) -> Result<Vec<String>> {
    let timers = format!("select count(*) from timers where {UNFINISHED_TIMERS}");
    let mails = mails_to_come();
    let counts = [
        (
            "rows in the outbox",
            "select count(*) from outbox where published_at is null and rejected_at is null",
        ),
        ("timers", &timers),
        ("incidents that are not closed", "select count(*) from incidents where state <> 'closed'"),
        ("notifications to come", &mails),
    ];
    quiescence::pending(stack, &counts).await
}

/// Counts what happened. A run in which nothing was redelivered or taken over proves nothing.
fn tally(seed: u64, observed: &Observations) -> Outcome {
    let mut outcome = Outcome { seed, incidents: observed.incidents.len(), ..Outcome::default() };
    for fault in &observed.injected {
        *outcome.faults.entry(fault.kind.name().to_owned()).or_default() += 1;
        outcome.kills += usize::from(fault.ended.is_some());
    }
    outcome.redeliveries = observed.logs.iter().filter(|line| line.contains(REDELIVERED)).count();
    let ended: Vec<_> =
        observed.injected.iter().filter_map(|fault| fault.ended).map(|pid| format!("-{pid}\"")).collect();
    let from_ended =
        |line: &&String| line.contains(TAKEN_OVER) && ended.iter().any(|pid| line.contains(pid.as_str()));
    outcome.takeovers = observed.logs.iter().filter(from_ended).count();
    for (topic, lines) in &observed.records {
        let mut ids = BTreeSet::new();
        if !matches!(topic, Topic::DeadLetters(_)) {
            let known = lines.iter().filter_map(|line| header(&line.headers, "ce_id"));
            outcome.duplicates_suppressed += known.filter(|id| !ids.insert(*id)).count();
        }
    }
    let ids: BTreeSet<_> = observed.mails.iter().map(|accepted| &accepted.mail.id).collect();
    outcome.mails = ids.len();
    outcome.mail_copies = observed.mails.len() - ids.len();
    tally_deliveries(&mut outcome, observed);
    outcome.commands = observed.decisions.len();
    outcome.commands_accepted = observed.decisions.iter().filter(|one| one.is_accepted).count();
    let commands = observed.records.get(&Topic::OperatorCommands).into_iter().flatten();
    let events: BTreeSet<_> = commands.filter_map(|line| header(&line.headers, "ce_id")).collect();
    outcome.command_copies = events.len().saturating_sub(observed.sent.len());
    outcome
}

fn tally_deliveries(outcome: &mut Outcome, observed: &Observations) {
    let received = &observed.received;
    let effects: BTreeSet<_> = received.accepted.iter().map(|one| (one.receiver, &one.key)).collect();
    outcome.deliveries = effects.len();
    let sent = observed.notifications.iter().filter(|one| Receiver::of(&one.channel).is_some());
    let recorded = sent.filter(|one| one.effect.is_some()).count();
    outcome.delivery_copies = received.accepted.len().saturating_sub(recorded);
    outcome.disturbed = received.disturbed;
    outcome.held = observed.notifications.iter().filter(|one| one.is_held).count();
    for trouble in &received.troubles {
        *outcome.faults.entry(trouble.kind.name().to_owned()).or_default() += 1;
    }
}

/// Writes what explains a violation into a folder of the seed.
fn write_report(
    stack: &Stack,
    plan: &Plan,
    outcome: &Outcome,
    observed: &Observations,
    keep: &Path,
) -> Result<()> {
    let folder: PathBuf = keep.join(format!("seed-{}", plan.seed));
    std::fs::create_dir_all(&folder)?;
    std::fs::write(folder.join("incidents.json"), serde_json::to_vec_pretty(&observed.incidents)?)?;
    let undisturbed = observed.undisturbed.iter().map(describe).collect::<String>();
    std::fs::write(folder.join("anomalies-undisturbed.txt"), undisturbed)?;
    let emitted = observed.events(Topic::Anomalies).map(|anomaly| describe(&anomaly)).collect::<String>();
    std::fs::write(folder.join("anomalies-emitted.txt"), emitted)?;
    let audit: Vec<_> = observed
        .audit
        .iter()
        .map(|line| {
            let Entry { incident, at, actor, action, event, summary, .. } = line;
            format!("{incident} {at} {actor} {action} by event {event}: {summary}\n")
        })
        .collect();
    std::fs::write(folder.join("audit.txt"), audit.concat())?;
    let commands: Vec<_> = observed.decisions.iter().map(|one| format!("{one:?}\n")).collect();
    let sent: Vec<_> = observed.sent.iter().map(|one| format!("{one:?}\n")).collect();
    std::fs::write(folder.join("commands.txt"), [sent.concat(), commands.concat()].join("\n"))?;
    let accepted = observed.received.accepted.iter().map(|one| format!("{one:?}\n"));
    let rows = observed.notifications.iter().map(|one| format!("{one:?}\n"));
    std::fs::write(folder.join("deliveries.txt"), accepted.chain(rows).collect::<String>())?;
    let faults: Vec<_> = observed.injected.iter().map(|fault| format!("{fault:?}\n")).collect();
    std::fs::write(folder.join("faults.txt"), faults.concat())?;
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

/// Returns one line about a revision of an anomaly, with the fields that decisions depend on.
fn describe(anomaly: &Anomaly) -> String {
    let Anomaly { anomaly_id, revision, status, environment, service, metric, observed, evidence, .. } =
        anomaly;
    let (started, seen, center) = (anomaly.started_at, anomaly.observed_at, anomaly.expected.center);
    format!(
        "{seen} {environment} {service} {metric} {status:?} revision {revision} since {started}: observed {observed}, \
         expected {center}, evidence {evidence}, {anomaly_id}\n"
    )
}
