//! Decisions of the stage as plain functions: what is to be told to whom, and what follows from an attempt.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::audit::AuditAction;
use shared::catalogue::Catalogue;
use shared::ids::EventId;
use shared::stage::{Audit, Effects, Timer, TimerPayload};
use shared::store::{Attempt, Notification, NotificationState, Write};

use crate::channel::{Email, Failure, Receipt};
use crate::occasion::{Kind, News, Occasion, message_id, notification_id};
use crate::options::Options;
use crate::recipients;

/// A notification is due to be sent.
#[derive(Debug, Serialize, Deserialize)]
pub struct Send {
    /// The notification.
    pub notification_id: EventId,
}

impl TimerPayload for Send {
    const NAME: &'static str = "send";
}

/// Decides that an occasion is to be told. `base` is the subject of the thread where it has begun, `now` the wall
/// clock's time.
pub fn announce(
    options: &Options,
    catalogue: &Catalogue,
    occasion: &Occasion,
    base: Option<&str>,
    now: Timestamp,
) -> anyhow::Result<Effects> {
    let Occasion { about, news } = occasion;
    let kind = news.kind();
    let base = base.map_or_else(|| about.subject(), str::to_owned);
    let told = recipients::choose(options, catalogue, about.service.as_deref(), about.severity, kind);
    let id = notification_id(about.incident_id, kind);
    let notification = Notification {
        id,
        incident_id: about.incident_id,
        kind: kind.name().to_owned(),
        channel: Email::NAME.to_owned(),
        recipients: told.addresses,
        message_id: message_id(about.incident_id, kind, &options.domain),
        subject: if kind == Kind::Opened { base } else { format!("Re: {base}") },
        severity: about.severity,
        event: serde_json::to_value(occasion)?,
        created_at: news.at(),
    };
    let mut audit = Vec::new();
    if !told.unusable.is_empty() {
        audit.push(Audit {
            incident_id: about.incident_id,
            at: news.at(),
            action: AuditAction::MailAddressUnusable,
            summary: format!(
                "left out of the {} mail: {}",
                kind.words().to_lowercase(),
                told.unusable.join(", ")
            ),
            detail: json!({ "kind": kind, "unusable": told.unusable }),
        });
    }
    Ok(Effects {
        writes: vec![Write::Notification(Box::new(notification))],
        timers: vec![Timer::new(
            about.incident_id.to_string(),
            &[kind.name()],
            now,
            &Send { notification_id: id },
        )?],
        audit,
        ..Effects::default()
    })
}

/// Decides that news of a kind that has been told before are not told again.
pub fn already_told(news: &News) -> Effects {
    let kind = news.kind();
    Effects {
        audit: vec![Audit {
            incident_id: news.incident_id(),
            at: news.at(),
            action: AuditAction::MailNotRepeated,
            summary: format!(
                "people were already told of this ({}); revision {} is on record only",
                kind.words().to_lowercase(),
                news.revision()
            ),
            detail: json!({ "kind": kind, "revision": news.revision() }),
        }],
        ..Effects::default()
    }
}

/// What follows from an attempt that the channel took.
pub fn sent(notification: &Notification, receipt: &Receipt, now: Timestamp) -> Effects {
    let reached = notification.recipients.len().saturating_sub(receipt.refused.len());
    let mut summary = format!("{} mail sent to {}", words(notification), people(reached));
    let mut outcome = receipt.answer.clone();
    if !receipt.refused.is_empty() {
        summary = format!("{summary}; refused: {}", receipt.refused.join("; "));
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
        Failure::Permanent(reason) => give_up(format!("{} mail was refused: {reason}", words(notification))),
        Failure::Transient(reason) if made >= options.max_attempts => {
            give_up(format!("{} mail given up after {made} attempts: {reason}", words(notification)))
        }
        Failure::Transient(reason) => {
            let delayed = format!("{} mail is delayed: {reason}", words(notification));
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

/// The pause after the `made`-th attempt: doubled each time, bounded.
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
    Audit {
        incident_id: notification.incident_id,
        at,
        action,
        summary,
        detail: json!({
            "kind": notification.kind,
            "channel": notification.channel,
            "message_id": notification.message_id,
            "recipients": notification.recipients,
            "refused": refused,
        }),
    }
}

fn words(notification: &Notification) -> String {
    Kind::ALL
        .into_iter()
        .find(|kind| kind.name() == notification.kind)
        .map_or_else(|| notification.kind.clone(), |kind| kind.words().to_lowercase())
}

fn people(count: usize) -> String {
    if count == 1 { "1 recipient".to_owned() } else { format!("{count} recipients") }
}
