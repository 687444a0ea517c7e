//! Decisions of the stage as plain functions: what is announced to whom, and what follows from an attempt.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use shared::audit::AuditAction;
use shared::events::Incident;
use shared::ids::{EventId, IncidentId};
use shared::stage::{Audit, Effects, Error, Timer, TimerPayload};
use shared::store::{Attempt, Notification, NotificationState, Write};

use crate::channel::{Address, Channels, Failure, Receipt};
use crate::content::{AddressClass, Kind, LifecycleEvent, NotificationContent, notification_id, qualifier};
use crate::escalation::Call;
use crate::options::Options;
use crate::recipients;

/// Longest pause that a channel can ask for.
const MAX_PAUSE: SignedDuration = SignedDuration::from_hours(1);

/// Payload of the timer that sends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Send {
    /// What is sent.
    pub notification_id: EventId,
    /// To whom.
    #[serde(default)]
    pub part: Part,
}

/// Which recipients a timer sends to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Part {
    /// All of them. Messages of one thread wait for it.
    #[default]
    All,
    /// Those that refused it for now while others have it. Nothing waits for it.
    Rest,
}

impl TimerPayload for Send {
    const NAME: &'static str = "send";
}

/// The messages about an incident on one channel, to all of its addresses or to one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Name of the channel.
    pub channel: &'static str,
    /// Which addresses its messages go to.
    pub class: AddressClass,
    /// The addresses as they are stored; never empty.
    pub recipients: Vec<String>,
    /// Subject of the first message; none where the thread has not begun.
    pub subject: Option<String>,
}

impl Thread {
    /// Adds recipients that it does not have, as far as a message can have them.
    pub fn reach(&mut self, others: &[String]) {
        for other in others {
            let is_known = self.recipients.iter().any(|known| known.eq_ignore_ascii_case(other));
            if !is_known && self.recipients.len() < recipients::MAX {
                self.recipients.push(other.clone());
            }
        }
    }

    /// Returns the thread of one address, not begun.
    pub fn of_one(channel: &'static str, address: &Address) -> Self {
        Self {
            channel,
            class: AddressClass::One(address.identity().to_owned()),
            recipients: vec![address.as_str().to_owned()],
            subject: None,
        }
    }

    /// Returns the thread that a notification belongs to; none if its channel or address is not known any more.
    pub fn of(notification: &Notification, channels: &Channels) -> Option<Self> {
        let channel = channels.get(notification.channel.as_str())?;
        if channel.one_message_for_all() {
            return Some(Self {
                channel: channel.name(),
                class: AddressClass::All,
                recipients: notification.recipients.clone(),
                subject: None,
            });
        }
        let address = channel.address(notification.recipients.first()?)?;
        Some(Self::of_one(channel.name(), &address))
    }

    /// Returns whether both have the same channel and class of addresses.
    pub fn is(&self, other: &Self) -> bool {
        self.channel == other.channel && self.class == other.class
    }

    /// Returns the id of its one notification of an event.
    pub fn id(&self, event: &LifecycleEvent) -> EventId {
        notification_id(event.incident_id(), event.kind(), event.occurrence(), self.channel, &self.class)
    }

    /// Returns the id of its first notification.
    pub fn opening_id(&self, incident: IncidentId) -> EventId {
        notification_id(incident, Kind::Opened, 0, self.channel, &self.class)
    }
}

/// Decides that an event is announced in each of `threads`. `unusable` holds configured entries that could not be used; `now` is
/// the wall clock's time.
pub fn announce(
    channels: &Channels,
    content: &NotificationContent,
    threads: &[Thread],
    unusable: Vec<String>,
    now: Timestamp,
) -> anyhow::Result<Effects> {
    let NotificationContent { incident, event } = content;
    let kind = event.kind();
    let mut effects = Effects::none();
    let stored = written(content, now)?;
    for thread in threads {
        let Some(channel) = channels.get(thread.channel).filter(|_| !thread.recipients.is_empty()) else {
            continue;
        };
        let subject = thread.subject.clone().unwrap_or_else(|| content.subject());
        let id = thread.id(event);
        let notification = Notification {
            subject: if event.begins_thread() { subject } else { format!("Re: {subject}") },
            envelope: channel.envelope(incident.incident_id, kind, event.occurrence()),
            ..content.row(id, thread.channel, thread.recipients.clone(), stored.clone())
        };
        effects.writes.push(Write::Notification(Box::new(notification)));
        effects.timers.push(timer(incident.incident_id, event, thread, id, now)?);
    }
    if !effects.writes.is_empty() {
        effects.audit.extend(left_out(incident.incident_id, event, unusable));
    }
    Ok(effects)
}

/// Returns what a row keeps of a message that is written at that time, by the wall clock.
pub fn written(content: &NotificationContent, now: Timestamp) -> Result<Value, Error> {
    let mut stored = serde_json::to_value(content).map_err(Error::reject)?;
    stored[Notification::WRITTEN_AT] = serde_json::to_value(now).map_err(Error::reject)?;
    Ok(stored)
}

/// Sets the timer that sends. Messages of one thread are sent one after another.
fn timer(
    incident: IncidentId,
    event: &LifecycleEvent,
    thread: &Thread,
    id: EventId,
    now: Timestamp,
) -> Result<Timer, Error> {
    let qualifier = qualifier(thread.channel, &thread.class);
    let key = [&[incident.to_string().as_str()], &qualifier[..]].concat().join("/");
    let occurrence = (event.occurrence() > 0).then(|| format!("reopened-{}", event.occurrence()));
    let mut seed = vec![event.kind().name()];
    seed.extend(occurrence.as_deref());
    seed.extend(&qualifier);
    Timer::new(key, &seed, now, &Send { notification_id: id, part: Part::All })
}

fn left_out(incident_id: IncidentId, event: &LifecycleEvent, mut unusable: Vec<String>) -> Option<Audit> {
    unusable.dedup();
    let kind = event.kind();
    (!unusable.is_empty()).then(|| Audit {
        incident_id,
        at: event.at(),
        action: AuditAction::MailAddressUnusable,
        summary: format!("Skipped unusable addresses for {}: {}.", headed(kind.words()), unusable.join(", ")),
        detail: json!({ "kind": kind, "unusable": unusable }),
    })
}

/// Decides that a later revision of what has been announced is not announced.
pub fn not_repeated(event: &LifecycleEvent) -> Effects {
    let kind = event.kind();
    Effects {
        audit: vec![Audit {
            incident_id: event.incident_id(),
            at: event.at(),
            action: AuditAction::MailNotRepeated,
            summary: format!(
                "Recorded revision {} without another notification ({}).",
                event.revision(),
                kind.words().to_lowercase()
            ),
            detail: json!({ "kind": kind, "revision": event.revision() }),
        }],
        ..Effects::default()
    }
}

/// Payload of the timer that announces what is new once a mute is over.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct MuteOver {
    /// Incident of which something was not sent.
    pub incident_id: IncidentId,
}

impl TimerPayload for MuteOver {
    const NAME: &'static str = "mute_over";
}

/// Decides that nothing is sent of an event, because the incident is muted. What is new is looked at again when the mute is over.
pub fn muted(event: &LifecycleEvent, incident: &Incident) -> Result<Effects, Error> {
    let kind = event.kind();
    let by = incident.mute.as_ref().map_or("", |mute| &mute.statement.by);
    let until = incident.mute.as_ref().and_then(|mute| mute.until);
    let over = MuteOver { incident_id: event.incident_id() };
    let again = until.map(|until| {
        let key = format!("{}/mute/{until}", event.incident_id());
        Timer::new(key, &[], until, &over)
    });
    Ok(Effects {
        timers: again.transpose()?.into_iter().collect(),
        audit: vec![Audit {
            incident_id: event.incident_id(),
            at: event.at(),
            action: AuditAction::NotificationMuted,
            summary: format!("Not sent: {}; the incident is muted by {by}.", headed(kind.words())),
            detail: json!({ "kind": kind, "revision": event.revision(), "by": by }),
        }],
        ..Effects::default()
    })
}

/// Says that the next level was called.
pub fn escalated(event: &LifecycleEvent, call: &Call) -> Audit {
    let Call { level, round, minutes, .. } = *call;
    let again = if round > 0 { format!(", round {}", round + 1) } else { String::new() };
    Audit {
        incident_id: event.incident_id(),
        at: event.at(),
        action: AuditAction::Escalated,
        summary: format!("Escalated to level {level}{again}: not acknowledged for {minutes} minutes."),
        detail: json!({ "level": level, "round": round, "minutes": minutes }),
    }
}

/// Returns the name of an attempt in the journal: each may succeed with a part of the recipients.
pub fn step(attempts: u32) -> String {
    match attempts {
        0 => "deliver".to_owned(),
        again => format!("deliver, again {again}"),
    }
}

/// What follows from an attempt that the channel took, by a timer for `part` of the recipients; `attempts` counts those before it.
/// Recipients that it may accept later are tried again as long as attempts are left. Once another one has the message, that is by a
/// timer of their own: the next message of the thread does not wait for them.
pub fn sent(
    options: &Options,
    notification: &Notification,
    receipt: &Receipt,
    (part, attempts): (Part, u32),
    now: Timestamp,
) -> Result<Effects, Error> {
    let made = attempts.saturating_add(1);
    let is_partial = !receipt.later.is_empty() && made < options.max_attempts;
    let (refused, later) = if is_partial {
        (receipt.refused.clone(), receipt.later.as_slice())
    } else {
        (receipt.refused.iter().chain(&receipt.later).cloned().collect(), &[][..])
    };
    let count = notification.recipients.len().saturating_sub(refused.len() + later.len());
    let mut left = String::new();
    if !refused.is_empty() {
        left = format!("; {} refused: {}", refused.len(), refused.join("; "));
    }
    if !later.is_empty() {
        left = format!("{left}; to be tried again: {}", later.join("; "));
    }
    let outcome = format!("{}{left}", receipt.answer);
    if count == 0 && !is_partial && !receipt.later.is_empty() {
        return Ok(failed(options, notification, &Failure::Permanent(outcome), attempts, now));
    }
    let summary = match (is_partial, count) {
        (true, 0) => format!("Delayed {}: {}", what(notification), left.trim_start_matches("; ")),
        _ => format!("Sent {} to {}{left}", what(notification), reached(count)),
    };
    let (state, action) = if is_partial {
        (NotificationState::Pending, AuditAction::MailDelayed)
    } else {
        (NotificationState::Sent, AuditAction::MailSent)
    };
    let line = audit(notification, action, summary, now, &refused);
    let mut effects = Effects {
        writes: vec![attempt(notification, state, outcome, receipt.envelope.clone(), now)],
        ..Effects::default()
    };
    let due = after(now, pause(options, made));
    match (is_partial, part) {
        (false, _) => effects.audit.push(line),
        // one line in the trail is enough; each attempt has its row
        (true, Part::All) if count > 0 => {
            effects.timers.push(rest(notification, due)?);
            effects.audit.push(line);
        }
        (true, _) => {
            effects.again = Some(due);
            effects.audit.extend((part == Part::All && attempts == 0).then_some(line));
        }
    }
    Ok(effects)
}

/// Returns what became of an attempt, as its metric names it.
pub fn outcome(effects: &Effects) -> &'static str {
    let state = effects.writes.iter().find_map(|write| match write {
        Write::Attempt(attempt) => Some(attempt.state),
        _ => None,
    });
    match state {
        Some(NotificationState::Sent) => "sent",
        Some(NotificationState::Pending) => "again",
        _ => "failed",
    }
}

/// Sets the timer that sends to those recipients that refused a message for now.
fn rest(notification: &Notification, due: Timestamp) -> Result<Timer, Error> {
    let key = format!("{}/rest/{}", notification.incident_id, notification.id);
    Timer::new(key, &[], due, &Send { notification_id: notification.id, part: Part::Rest })
}

/// What follows from an attempt that failed; `attempts` counts those before it.
pub fn failed(
    options: &Options,
    notification: &Notification,
    failure: &Failure,
    attempts: u32,
    now: Timestamp,
) -> Effects {
    let made = attempts.saturating_add(1);
    let reason = failure.to_string();
    let give_up = |summary: String| Effects {
        writes: vec![attempt(notification, NotificationState::Failed, reason.clone(), Map::new(), now)],
        audit: vec![audit(notification, AuditAction::MailFailed, summary, now, &[])],
        ..Effects::default()
    };
    match failure {
        Failure::Permanent(reason) => give_up(format!("Failed to send {}: {reason}", what(notification))),
        Failure::Transient(reason) | Failure::Throttled { reason, .. } if made >= options.max_attempts => {
            give_up(format!("Failed to send {} after {made} attempts: {reason}", what(notification)))
        }
        Failure::Transient(reason) | Failure::Throttled { reason, .. } => {
            let delayed = format!("Delayed {}: {reason}", what(notification));
            let pause = asked(failure).max(pause(options, made));
            Effects {
                writes: vec![attempt(
                    notification,
                    NotificationState::Pending,
                    reason.clone(),
                    Map::new(),
                    now,
                )],
                // once is enough for the people who read the trail; each attempt has its row
                audit: if attempts == 0 {
                    vec![audit(notification, AuditAction::MailDelayed, delayed, now, &[])]
                } else {
                    Vec::new()
                },
                again: Some(after(now, pause)),
                ..Effects::default()
            }
        }
    }
}

/// Returns the pause after the `made`-th attempt: doubled each time, bounded. The attempts are counted in the timer's
/// row, so there is no iterator of delays to take the next one from.
fn pause(options: &Options, made: u32) -> SignedDuration {
    let doubled = options.retry_initial_ms.saturating_mul(1 << (made - 1).min(30));
    SignedDuration::from_millis(doubled.min(options.retry_max_ms) as i64)
}

fn after(now: Timestamp, pause: SignedDuration) -> Timestamp {
    now.saturating_add(pause).unwrap_or(now)
}

/// Returns the pause that the channel asks for.
fn asked(failure: &Failure) -> SignedDuration {
    match failure {
        Failure::Throttled { pause, .. } => {
            SignedDuration::try_from(*pause).unwrap_or(MAX_PAUSE).min(MAX_PAUSE)
        }
        Failure::Transient(_) | Failure::Permanent(_) => SignedDuration::ZERO,
    }
}

fn attempt(
    notification: &Notification,
    state: NotificationState,
    outcome: String,
    receipt: Map<String, Value>,
    at: Timestamp,
) -> Write {
    Write::Attempt(Attempt { notification_id: notification.id, state, outcome, receipt, at })
}

fn audit(
    notification: &Notification,
    action: AuditAction,
    summary: String,
    at: Timestamp,
    refused: &[String],
) -> Audit {
    let mut detail = notification.envelope.clone();
    for (name, value) in [
        ("kind", json!(notification.kind)),
        ("channel", json!(notification.channel)),
        ("recipients", json!(notification.recipients)),
        ("refused", json!(refused)),
    ] {
        detail.insert(name.to_owned(), value);
    }
    Audit { incident_id: notification.incident_id, at, action, summary, detail: detail.into() }
}

/// Returns what is sent, e.g. `notification "root cause" by email`.
fn what(notification: &Notification) -> String {
    format!("{} by {}", headed(notification.kind.words()), notification.channel)
}

/// Returns what is announced, as a sentence names it, e.g. `notification "root cause"`.
pub fn headed(words: &str) -> String {
    format!("notification \"{}\"", words.to_lowercase())
}

fn reached(count: usize) -> String {
    if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") }
}
