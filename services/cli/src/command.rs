//! `firewatch ack`, `resolve`, `merge` and the other commands that change something: they are sent on `operator.commands`, and the
//! stage that owns what is changed answers on record.

pub mod arguments;

use std::time::{Duration, Instant};

use jiff::SignedDuration;
use shared::bus::Producer;
use shared::events::command::Action;
use shared::events::{Command, Envelope, Incident, Topic, encode};
use shared::ids::{CommandId, EventId, IncidentId};
use shared::store::commands::{Decided, Outcome};
use shared::store::{Reads, Store};
use shared::text::sanitize::{NAME, one_line};

use crate::failure::CliError;
use crate::incidents::{failed, find, open_store};
use crate::settings::Settings;
use crate::terminal::{self, Screen};
use arguments::{OfIncident, Request, Sender};

/// Longest pause between two looks for the outcome.
const LONGEST_PAUSE: Duration = Duration::from_millis(500);

/// Runs one of the commands.
///
/// # Errors
/// If it is refused, not answered in time, or cannot be sent.
pub async fn run(request: Request, settings: &Settings, screen: &Screen) -> Result<(), CliError> {
    let store = open_store(settings)?;
    let (command, sender) = command(request, store.reads(), settings, screen).await?;
    send(&command, &sender, &store, settings).await
}

/// Returns the command that was typed, with its sender.
async fn command(
    request: Request,
    reads: &Reads,
    settings: &Settings,
    screen: &Screen,
) -> Result<(Command, Sender), CliError> {
    let mut about: Option<Incident> = None;
    let mut of = async |OfIncident { incident, sender }| -> Result<Sender, CliError> {
        about = Some(find(reads, incident, settings).await?);
        Ok(sender)
    };
    let (action, sender) = match request {
        Request::Ack(request) => (Action::Acknowledge, of(request).await?),
        Request::Assign(request) => (Action::Assign { to: request.to }, of(request.of).await?),
        Request::Comment(request) => (Action::Comment { text: request.text }, of(request.of).await?),
        Request::Severity(request) => {
            let action = Action::OverrideSeverity { severity: request.severity.0, reason: request.reason };
            (action, of(request.of).await?)
        }
        Request::Resolve(request) => (Action::Resolve { reason: request.reason }, of(request.of).await?),
        Request::Reopen(request) => (Action::Reopen { reason: request.reason }, of(request.of).await?),
        Request::Merge(request) => {
            let into = find(reads, request.into, settings).await?.incident_id;
            (Action::Merge { into, reason: request.reason }, of(request.of).await?)
        }
        Request::Split(request) => {
            (Action::Split { services: request.services, reason: request.reason }, of(request.of).await?)
        }
        Request::Mute(request) => {
            let until = request.until.map(|until| until.seen_from(screen.now));
            (Action::Mute { until }, of(request.of).await?)
        }
        Request::Unmute(request) => (Action::Unmute, of(request).await?),
        Request::Retire(request) => {
            let action = Action::Retire { service: request.service, reason: request.reason };
            return Ok((asked(action, None, request.environment, &request.sender, screen), request.sender));
        }
    };
    let (id, environment) = about.map(|incident| (incident.incident_id, incident.environment)).unzip();
    let command = asked(action, id, environment.unwrap_or_default(), &sender, screen);
    Ok((command, sender))
}

/// Returns a command of this moment.
pub(crate) fn asked(
    action: Action,
    incident_id: Option<IncidentId>,
    environment: String,
    sender: &Sender,
    screen: &Screen,
) -> Command {
    Command {
        command_id: sender.command_id.unwrap_or_else(CommandId::random),
        environment,
        incident_id,
        by: one_line(&sender.by, NAME),
        origin: "cli".to_owned(),
        at: screen.now,
        action,
    }
}

/// Sends a command, waits for its outcome and prints that.
///
/// # Errors
/// If it is refused, not answered in time, or cannot be sent.
pub(crate) async fn send(
    command: &Command,
    sender: &Sender,
    store: &Store,
    settings: &Settings,
) -> Result<(), CliError> {
    let id = command.command_id;
    // one that was sent before is answered already
    let known = store.reads().command(id).await.map_err(|error| failed(settings, &error))?;
    if known.is_none() {
        publish(command, settings).await?;
    }
    let decided = outcome(id, sender.wait, store.reads(), settings).await?;
    let Some(Decided { decision, .. }) = &decided else {
        let wait = crate::figures::duration(sender.wait);
        return Err(CliError::Unanswered(format!(
            "no outcome after {wait}: the command is queued and will be decided once the agent that owns this runs \
             (`--command-id {id}` asks for the outcome)"
        )));
    };
    if sender.json {
        terminal::print(&terminal::json(&decided, true)?)?;
    } else if decision.outcome == Outcome::Accepted {
        terminal::print(&format!("{}\n", terminal::clean(&decision.answer, 2_000)))?;
    }
    match decision.outcome {
        Outcome::Accepted => Ok(()),
        Outcome::Refused => Err(CliError::Refused(decision.answer.clone())),
    }
}

async fn publish(command: &Command, settings: &Settings) -> Result<(), CliError> {
    let payload = encode(command).map_err(|refusal| CliError::Usage(refusal.to_string()))?;
    let event = EventId(command.command_id.0);
    let envelope = Envelope::of(command, event, "cli", command.at, None);
    let kafka = &settings.common.kafka;
    let unreachable = |why: &dyn std::fmt::Display| {
        settings.unreachable("Kafka", &kafka.brokers, "FIREWATCH_KAFKA__BROKERS", &why.to_string())
    };
    let producer = Producer::connect(kafka).map_err(|error| unreachable(&error))?;
    producer
        .send(Topic::OperatorCommands, Some(&envelope.subject), &envelope.to_headers(), &payload)
        .await
        .map_err(|error| unreachable(&error))
}

/// Waits for the outcome of a command; returns nothing where there is none in time.
async fn outcome(
    id: CommandId,
    wait: SignedDuration,
    reads: &Reads,
    settings: &Settings,
) -> Result<Option<Decided>, CliError> {
    let deadline = Instant::now() + wait.unsigned_abs();
    let mut pause = Duration::from_millis(20);
    loop {
        let decided = reads.command(id).await.map_err(|error| failed(settings, &error))?;
        let left = deadline.saturating_duration_since(Instant::now());
        if decided.is_some() || left.is_zero() {
            return Ok(decided);
        }
        tokio::time::sleep(pause.min(left)).await;
        pause = (pause * 2).min(LONGEST_PAUSE);
    }
}
