//! Commands at a steady rate about many open incidents, and how long each takes until its outcome can be read.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use serde::Serialize;
use shared::bus::{Options, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::anomaly::Status;
use shared::events::command::Action;
use shared::events::{Command, Outgoing, Topic};
use shared::ids::{CommandId, EventId, IncidentId, derive};
use shared::store::Store;
use stack::Stack;
use stack::parts::probe;
use stack::testing::durations::Durations;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::burst::{Burst, METRICS, acknowledged};
use super::pace::{Series, write};
use crate::quiescence;

/// Begin of the names of the environments.
const ENVIRONMENT: &str = "commanded-";
/// Incidents of an environment. More in one would be a storm.
const SERVICES: u32 = 8;
/// Longest time until all incidents are open, and until all that follows from that is handled.
const OPENING: Duration = Duration::from_mins(10);
/// Time between two looks at the outcomes.
const LOOK: Duration = Duration::from_millis(20);
/// How many of the commands were refused.
const REFUSED: &str = "select count(*) from commands where origin = 'load' and outcome = 'refused'";
/// Longest time from the last command until its outcome.
pub const LAST: Duration = Duration::from_secs(30);

/// How many commands are sent.
#[derive(Debug, Clone, Copy)]
pub struct Commands {
    /// Open incidents.
    pub incidents: u32,
    /// Commands a second.
    pub per_second: u32,
    /// Seconds.
    pub seconds: u32,
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Commanded {
    /// Open incidents.
    pub incidents: u32,
    /// Commands a second, as they were sent.
    pub per_second: f64,
    /// Commands sent.
    pub commands: u32,
    /// Of these, the ones whose outcome was read in time.
    pub decided: usize,
    /// Of these, the ones that were refused.
    pub refused: i64,
    /// Time from sending a command until its outcome was read, milliseconds; outcomes are looked for every 20 ms.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// Opens incidents, waits until all that follows from that is handled, sends commands at the rate, and reads the outcomes.
pub async fn run(stack: &Stack, burst: Burst, size: Commands, broker: &Options) -> Result<Commanded> {
    let producer = Producer::connect(broker)?;
    let mut pending = Vec::new();
    for number in 0..size.incidents {
        let (environment, service) = place(number);
        for metric in METRICS {
            let series = Series { environment: &environment, service: &service, metric };
            pending.push(write(&producer, burst, series, 1, Status::Firing).await?.1);
        }
    }
    acknowledged(pending).await?;
    let store = stack.store()?;
    let incidents = opened(stack, &store, size.incidents).await?;
    let (sender, mut sent) = unbounded_channel();
    let sending = tokio::spawn(send_all(producer, incidents, size, sender));
    let (mut waiting, mut took) = (HashMap::new(), Vec::new());
    let mut deadline: Option<Instant> = None;
    while deadline.is_none_or(|deadline| Instant::now() < deadline && !waiting.is_empty()) {
        let looked = Instant::now();
        while let Ok((id, at)) = sent.try_recv() {
            waiting.insert(id, at);
        }
        let ids: Vec<CommandId> = waiting.keys().copied().collect();
        for id in store.reads().decided(&ids).await? {
            took.extend(waiting.remove(&id).map(|begun: Instant| begun.elapsed()));
        }
        if deadline.is_none() && sending.is_finished() && sent.is_empty() {
            deadline = Some(Instant::now() + LAST);
        }
        tokio::time::sleep(LOOK.saturating_sub(looked.elapsed())).await;
    }
    let took_in_all = sending.await??;
    let total = size.per_second * size.seconds;
    ensure!(!took.is_empty(), "no command was decided on");
    let mut times = Durations::default();
    for one in took {
        times.push(one);
    }
    Ok(Commanded {
        incidents: size.incidents,
        per_second: f64::from(total) / took_in_all.as_secs_f64(),
        commands: total,
        decided: times.number(),
        refused: super::count(stack, REFUSED).await?,
        p50_ms: times.percentile_ms(0.5),
        p99_ms: times.percentile_ms(0.99),
        max_ms: times.percentile_ms(1.0),
    })
}

fn place(number: u32) -> (String, String) {
    (format!("{ENVIRONMENT}{}", number / SERVICES), format!("commanded-{}", number % SERVICES))
}

/// Waits until the incidents are open and everything that follows is handled. Returns them with their environments.
async fn opened(stack: &Stack, store: &Store, number: u32) -> Result<Vec<(IncidentId, String)>> {
    let client = shared::testing::client(store).await?;
    let statement = format!(
        "select incident_id, environment from incidents where environment like '{ENVIRONMENT}%' \
         and state not in ('detecting', 'resolved', 'closed') order by incident_id"
    );
    let mut found = Vec::new();
    probe::until("the incidents that commands are about", OPENING, async || {
        let rows = client.query(&statement, &[]).await?;
        ensure!(rows.len() == number as usize, "{} of {number}", rows.len());
        Ok(())
    })
    .await?;
    for row in client.query(&statement, &[]).await? {
        found.push((IncidentId(row.try_get(0)?), row.try_get(1)?));
    }
    let pending = "what follows from the incidents";
    let calm = async || {
        let left = quiescence::pending(stack, &super::PENDING).await?;
        ensure!(left.is_empty(), "{}", left.join(", "));
        Ok(())
    };
    probe::until(pending, OPENING, calm).await?;
    Ok(found)
}

/// Sends commands at the rate, and sends on when each was. Returns how long all took.
async fn send_all(
    producer: Producer,
    incidents: Vec<(IncidentId, String)>,
    size: Commands,
    times: UnboundedSender<(CommandId, Instant)>,
) -> Result<Duration> {
    let begun = Instant::now();
    let mut pending = Vec::new();
    for number in 0..size.per_second * size.seconds {
        let due = begun + Duration::from_secs_f64(f64::from(number) / f64::from(size.per_second));
        tokio::time::sleep_until(due.into()).await;
        let place = number as usize % incidents.len();
        let (incident_id, environment) = incidents.get(place).context("no incident is open")?;
        let command = command(number, number as usize / incidents.len(), *incident_id, environment);
        let (id, at) = (EventId(command.command_id.0), command.at);
        let outgoing = Outgoing::new(Topic::OperatorCommands, &command, id, "load", at, None)?;
        times.send((command.command_id, Instant::now()))?;
        pending.push(crate::enqueue(&producer, &outgoing).await?);
    }
    acknowledged(pending).await?;
    Ok(begun.elapsed())
}

/// Returns the command of a round: what a person does with an incident, one after another.
fn command(number: u32, round: usize, incident_id: IncidentId, environment: &str) -> Command {
    // acknowledging again would be refused
    let action = match round {
        0 => Action::Acknowledge,
        _ if round % 2 == 1 => Action::Assign { to: format!("person-{number}") },
        _ => Action::Comment { text: format!("remark {number}") },
    };
    Command {
        command_id: CommandId(derive(&["load", &incident_id.to_string(), &number.to_string()])),
        environment: environment.to_owned(),
        incident_id: Some(incident_id),
        by: "load".to_owned(),
        origin: "load".to_owned(),
        at: SystemClock.now(),
        action,
    }
}
