//! Decisions of the stage as plain functions: what is announced to whom, and what follows from an attempt.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::audit::AuditAction;
use shared::ids::{EventId, IncidentId};
use shared::stage::{Audit, Effects, Error, Timer, TimerPayload};
use shared::store::{Attempt, Notification, NotificationState, Write};

use crate::channel::{Failure, Receipt};
use crate::content::{AddressClass, LifecycleEvent, NotificationContent, notification_id, qualifier};
use crate::options::Options;
use crate::recipients::Directory;

/// Payload of the timer that sends.
#[derive(Debug, Serialize, Deserialize)]
pub struct Send {
    /// What is sent.
    pub notification_id: EventId,
}

impl TimerPayload for Send {
    const NAME: &'static str = "send";
}

/// The messages about an incident on one channel.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Thread {
    /// Name of the channel.
    pub channel: &'static str,
    /// Subject of the first message; none where the thread has not begun.
    pub subject: Option<String>,
}

/// A decision to announce something.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Announcement {
    /// What follows; nothing where no channel has a recipient.
    pub effects: Effects,
    /// How many configured addresses could not be used.
    pub unusable: usize,
}

/// Decides that an event is announced on each channel of `threads` that has a recipient. `now` is the wall clock's time.
pub fn announce(
    directory: &Directory<'_>,
    content: &NotificationContent,
    threads: &[Thread],
    now: Timestamp,
) -> anyhow::Result<Announcement> {
    let NotificationContent { incident, event } = content;
    let kind = event.kind();
    let chosen = directory.choose(incident.service.as_deref(), incident.severity, kind);
    let mut effects = Effects::none();
    for thread in threads {
        let recipients = chosen.addresses(thread.channel);
        let Some(channel) = directory.channels.get(thread.channel).filter(|_| !recipients.is_empty()) else {
            continue;
        };
        let subject = thread.subject.clone().unwrap_or_else(|| incident.subject());
        let occurrence = event.occurrence();
        let id = notification_id(incident.incident_id, kind, occurrence, thread.channel, AddressClass::All);
        let notification = Notification {
            id,
            incident_id: incident.incident_id,
            kind,
            channel: thread.channel.into(),
            recipients,
            subject: if event.is_first() { subject } else { format!("Re: {subject}") },
            severity: incident.severity,
            event: serde_json::to_value(content)?,
            created_at: event.at(),
            envelope: channel.envelope(incident.incident_id, kind, occurrence),
        };
        effects.writes.push(Write::Notification(Box::new(notification)));
        effects.timers.push(timer(incident.incident_id, event, thread.channel, id, now)?);
    }
    if effects.writes.is_empty() {
        return Ok(Announcement::default());
    }
    let unusable = chosen.unusable.len();
    effects.audit.extend(left_out(incident.incident_id, event, chosen.unusable));
    Ok(Announcement { effects, unusable })
}

/// Sets the timer that sends. Messages of one incident on one channel are sent one after another.
fn timer(
    incident: IncidentId,
    event: &LifecycleEvent,
    channel: &str,
    id: EventId,
    now: Timestamp,
) -> Result<Timer, Error> {
    let qualifier = qualifier(channel, AddressClass::All);
    let key = [&[incident.to_string().as_str()], &qualifier[..]].concat().join("/");
    let occurrence = (event.occurrence() > 0).then(|| format!("reopened-{}", event.occurrence()));
    let mut seed = vec![event.kind().name()];
    seed.extend(occurrence.as_deref());
    seed.extend(&qualifier);
    Timer::new(key, &seed, now, &Send { notification_id: id })
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

/// What follows from an attempt that the channel took.
pub fn sent(notification: &Notification, receipt: &Receipt, now: Timestamp) -> Effects {
    let reached = notification.recipients.len().saturating_sub(receipt.refused.len());
    let mut summary = format!("Sent {} to {}", what(notification), recipients(reached));
    let mut outcome = receipt.answer.clone();
    if !receipt.refused.is_empty() {
        summary = format!("{summary}; {} refused: {}", receipt.refused.len(), receipt.refused.join("; "));
        outcome = format!("{outcome}; refused: {}", receipt.refused.join("; "));
    }
    Effects {
        writes: vec![attempt(notification, NotificationState::Sent, outcome, now)],
        audit: vec![audit(notification, AuditAction::MailSent, summary, now, &receipt.refused)],
        ..Effects::default()
    }
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
        writes: vec![attempt(notification, NotificationState::Failed, reason.clone(), now)],
        audit: vec![audit(notification, AuditAction::MailFailed, summary, now, &[])],
        ..Effects::default()
    };
    match failure {
        Failure::Permanent(reason) => give_up(format!("Failed to send {}: {reason}", what(notification))),
        Failure::Transient(reason) if made >= options.max_attempts => {
            give_up(format!("Failed to send {} after {made} attempts: {reason}", what(notification)))
        }
        Failure::Transient(reason) => {
            let delayed = format!("Delayed {}: {reason}", what(notification));
            Effects {
                writes: vec![attempt(notification, NotificationState::Pending, reason.clone(), now)],
                // once is enough for the people who read the trail; each attempt has its row
                audit: if attempts == 0 {
                    vec![audit(notification, AuditAction::MailDelayed, delayed, now, &[])]
                } else {
                    Vec::new()
                },
                again: Some(now.saturating_add(pause(options, made)).unwrap_or(now)),
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

fn attempt(notification: &Notification, state: NotificationState, outcome: String, at: Timestamp) -> Write {
    Write::Attempt(Attempt { notification_id: notification.id, state, outcome, at })
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

fn headed(words: &str) -> String {
    format!("notification \"{}\"", words.to_lowercase())
}

fn recipients(count: usize) -> String {
    if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") }
}
