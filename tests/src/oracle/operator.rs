//! Sends the commands of a plan, as people would: each names an incident that is on record by then.

use std::collections::BTreeSet;
use std::sync::{Mutex, PoisonError};
use std::time::Duration;

use anyhow::{Context, Result};
use jiff::Timestamp;
use shared::bus::{self, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::anomaly::Status;
use shared::events::command::Action;
use shared::events::envelope::Envelope;
use shared::events::{Command, Incident, Topic, encode};
use shared::ids::{CommandId, EventId, IncidentId, derive};
use shared::store::{Incidents, Store};
use stack::Stack;
use tokio::time::Instant;

use super::plan::commands::{Moment, PlannedCommand, Verb};

/// Time between two looks at the incidents.
const LOOK: Duration = Duration::from_millis(50);
/// Longest time for the moment of a command to come. One whose moment does not come is not sent.
const MOMENT: Duration = Duration::from_mins(3);
/// Most incidents that are looked at.
const MAX_INCIDENTS: i64 = 1_000;

/// A command that was sent once or more often.
#[derive(Debug, Clone)]
pub struct SentCommand {
    /// The command.
    pub command: Command,
    /// Copies that Kafka acknowledged.
    pub acknowledged: u32,
}

/// Sends commands and remembers which.
pub struct Operator {
    seed: u64,
    store: Store,
    producer: Producer,
    sent: Mutex<Vec<SentCommand>>,
    ended: Mutex<BTreeSet<(IncidentId, u32)>>,
}

impl Operator {
    /// Connects to a pipeline.
    pub fn new(stack: &Stack, seed: u64) -> Result<Self> {
        let options = bus::Options {
            brokers: stack.brokers().to_owned(),
            delivery_timeout_ms: 60_000,
            ..bus::Options::default()
        };
        let producer = Producer::connect(&options)?;
        Ok(Self { seed, store: stack.store()?, producer, sent: Mutex::default(), ended: Mutex::default() })
    }

    /// Sends all commands, each at its moment.
    pub async fn send_all(&self, commands: &[PlannedCommand]) -> Result<()> {
        let all = commands.iter().enumerate().map(async |(place, planned)| {
            self.send(place, planned).await.with_context(|| format!("{planned:?}"))
        });
        futures::future::try_join_all(all).await?;
        Ok(())
    }

    /// Resolves incidents that were opened again: they are over when a person says so, or after a time that is too long for a run.
    pub async fn end_reopened(&self) -> Result<()> {
        for incident in self.incidents().await? {
            let which = (incident.incident_id, incident.reopened);
            if incident.reopened == 0 || !incident.state.is_open() || lock(&self.ended).contains(&which) {
                continue;
            }
            let name = format!("end {} {}", incident.incident_id, incident.reopened);
            let action = Action::Resolve { reason: "the run is over".to_owned() };
            let command = self.command(&name, &incident, action);
            self.copy(&command, EventId(command.command_id.0)).await?;
            lock(&self.ended).insert(which);
        }
        Ok(())
    }

    /// Returns what was sent so far.
    pub fn sent(&self) -> Vec<SentCommand> {
        lock(&self.sent).clone()
    }

    async fn send(&self, place: usize, planned: &PlannedCommand) -> Result<()> {
        if !self.moment(planned).await {
            return Ok(());
        }
        tokio::time::sleep(Duration::from_millis(planned.delay_ms)).await;
        let Ok(known) = self.incidents().await else { return Ok(()) };
        let known: Vec<Incident> =
            known.into_iter().filter(|incident| incident.environment == planned.environment).collect();
        let Some((incident, action)) = choose(planned, &known) else { return Ok(()) };
        let command = self.command(&place.to_string(), incident, action);
        tokio::time::sleep(Duration::from_millis(planned.held_ms)).await;
        if planned.verb == Verb::Unknown {
            return self.malformed(&command).await;
        }
        let own = EventId(command.command_id.0);
        self.copy(&command, own).await?;
        for (number, repeat) in planned.repeats.iter().enumerate() {
            tokio::time::sleep(Duration::from_millis(repeat.after_ms)).await;
            let another = EventId(derive(&["copy", &command.command_id.to_string(), &number.to_string()]));
            self.copy(&command, if repeat.same_event { own } else { another }).await?;
        }
        Ok(())
    }

    /// Waits for the moment of a command. Returns whether it has come.
    async fn moment(&self, planned: &PlannedCommand) -> bool {
        let deadline = Instant::now() + MOMENT;
        while Instant::now() < deadline {
            // the database may be down
            let known = self.incidents().await.unwrap_or_default();
            let mut own = known.iter().filter(|incident| incident.environment == planned.environment);
            if own.any(|incident| is_at(incident, planned.moment)) {
                return true;
            }
            tokio::time::sleep(LOOK).await;
        }
        false
    }

    async fn incidents(&self) -> Result<Vec<Incident>> {
        let mut known = self.store.reads().incidents(Incidents::All, None, MAX_INCIDENTS).await?.incidents;
        known.sort_by_key(|incident| incident.number);
        Ok(known)
    }

    /// Builds a command. Who asks is named after it, so that its trace can be found.
    fn command(&self, name: &str, about: &Incident, action: Action) -> Command {
        let command_id = CommandId(derive(&["oracle", &self.seed.to_string(), name]));
        Command {
            command_id,
            environment: about.environment.clone(),
            incident_id: Some(about.incident_id),
            by: person(command_id),
            origin: "oracle".to_owned(),
            at: now(),
            action,
        }
    }

    async fn copy(&self, command: &Command, event: EventId) -> Result<()> {
        let is_acknowledged = self.write(command, event, &encode(command)?).await;
        let mut sent = lock(&self.sent);
        let id = command.command_id;
        let place = sent.iter().position(|one| one.command.command_id == id).unwrap_or_else(|| {
            sent.push(SentCommand { command: command.clone(), acknowledged: 0 });
            sent.len() - 1
        });
        sent[place].acknowledged += u32::from(is_acknowledged);
        Ok(())
    }

    /// Writes a command with a verb that does not exist.
    async fn malformed(&self, command: &Command) -> Result<()> {
        let text = String::from_utf8(encode(command)?)?.replace("\"comment\"", "\"explode\"");
        self.write(command, EventId(command.command_id.0), text.as_bytes()).await;
        Ok(())
    }

    /// Returns whether Kafka acknowledged it.
    async fn write(&self, command: &Command, event: EventId, payload: &[u8]) -> bool {
        let envelope = Envelope::of(command, event, "oracle", command.at, None);
        let (key, headers) = (Some(envelope.subject.as_str()), envelope.to_headers());
        self.producer.send(Topic::OperatorCommands, key, &headers, payload).await.is_ok()
    }
}

/// Returns the name of the person who sends a command: no other command has it.
pub fn person(command: CommandId) -> String {
    format!("person-{command}")
}

fn is_at(incident: &Incident, moment: Moment) -> bool {
    match moment {
        Moment::Known => true,
        Moment::AllClear => {
            incident.state.is_open() && incident.signals.iter().all(|one| one.status == Status::Cleared)
        }
        Moment::Over => !incident.state.is_open(),
    }
}

/// Chooses the incident that a command is about from those of its environment, and what it asks for.
fn choose<'a>(planned: &PlannedCommand, known: &'a [Incident]) -> Option<(&'a Incident, Action)> {
    let choice = planned.choice as usize;
    let fits: Vec<&Incident> = known
        .iter()
        .filter(|one| match planned.verb {
            Verb::Reopen => !one.state.is_open(),
            Verb::Merge | Verb::Split | Verb::Resolve => one.state.is_open(),
            _ => true,
        })
        .collect();
    // without one that fits the command is sent all the same, and refused
    let among = if fits.is_empty() { known.iter().collect() } else { fits };
    let incident = *among.get(choice.checked_rem(among.len())?)?;
    let reason = || format!("planned as {choice}");
    let action = match planned.verb {
        Verb::Acknowledge => Action::Acknowledge,
        Verb::Comment | Verb::Unknown => Action::Comment { text: format!("remark {choice}") },
        Verb::Assign => Action::Assign { to: format!("owner-{choice}") },
        Verb::OverrideSeverity(severity) => {
            Action::OverrideSeverity { severity: Some(severity), reason: reason() }
        }
        Verb::ComputeSeverity => Action::OverrideSeverity { severity: None, reason: reason() },
        Verb::Mute => Action::Mute { until: None },
        Verb::Unmute => Action::Unmute,
        Verb::Resolve => Action::Resolve { reason: reason() },
        Verb::Reopen => Action::Reopen { reason: reason() },
        Verb::Merge => {
            let other = among.iter().find(|other| other.incident_id != incident.incident_id);
            let into = other.map_or(incident.incident_id, |other| other.incident_id);
            Action::Merge { into, reason: reason() }
        }
        Verb::Split => {
            let services = &incident.affected_services;
            let place = choice.checked_rem(services.len()).unwrap_or(0);
            Action::Split { services: services.get(place).cloned().into_iter().collect(), reason: reason() }
        }
    };
    Some((incident, action))
}

fn now() -> Timestamp {
    SystemClock.now()
}

fn lock<T>(mutex: &Mutex<T>) -> std::sync::MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}
