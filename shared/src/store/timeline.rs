//! The timeline of an incident for people: comments, commands, notifications and lines of the system in one order. Plain functions
//! over what is on record; texts are as they were stored, and whoever prints them escapes them.

use std::collections::BTreeSet;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use strum::{Display, IntoStaticStr};

use super::commands::{self, Decided};
use super::{Notification, TimelineEntry};
use crate::agent::Agent;
use crate::audit::AuditAction;
use crate::events::incident::State;
use crate::events::{Incident, Severity};
use crate::ids::IncidentId;
use crate::text::format::{counted, moment};
use crate::text::markup::{row, text};
use crate::text::sanitize::{NAME, SENTENCE};

/// Name of the exported shape.
pub const FORMAT: &str = "firewatch.timeline.v1";

/// What an entry is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Kind {
    /// A remark of a person.
    Comment,
    /// Something else that a person asked for or did.
    Command,
    /// A message to people.
    Notification,
    /// Anything else that is on record.
    System,
}

/// What became of a command or a notification.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Outcome {
    /// The command was carried out.
    Accepted,
    /// The command changed nothing.
    Refused,
    /// The notification waits to be sent.
    Pending,
    /// The channel has accepted the notification.
    Sent,
    /// The attempt failed, and another one follows.
    Delayed,
    /// The notification was given up.
    Failed,
    /// A silence hid the notification.
    Silenced,
    /// The notification waits for a summary.
    Held,
    /// The notification was sent in a summary, or needed not be sent any more.
    Summarized,
    /// The incident was muted.
    Muted,
    /// People were notified of it before.
    NotRepeated,
}

/// One entry.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// When: event time, for commands the time of the sender.
    pub at: Timestamp,
    /// Milliseconds since the incident was opened; negative before that.
    pub offset_ms: i64,
    /// What it is.
    pub kind: Kind,
    /// Person, or agent.
    pub actor: String,
    /// From where a command came (`cli`, `slack`, ...), or the channel of a notification.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub origin: Option<String>,
    /// Verb of a command, kind of an audit line, or kind of a notification that waits; for programs.
    pub action: String,
    /// One sentence.
    pub what: String,
    /// What became of it, where something can.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub outcome: Option<Outcome>,
    /// The command, where there is one.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub command_id: Option<String>,
}

impl Entry {
    /// Returns whether a person said or did it.
    pub fn is_of_person(&self) -> bool {
        matches!(self.kind, Kind::Comment | Kind::Command)
    }
}

/// What is on record of an incident.
#[derive(Debug, Clone, Copy)]
pub struct Sources<'a> {
    /// When it was opened.
    pub opened_at: Timestamp,
    /// Its audit trail, in order.
    pub trail: &'a [TimelineEntry],
    /// Commands about it that were decided on.
    pub commands: &'a [Decided],
    /// Notifications that wait to be sent; what became of the others is in the trail.
    pub waiting: &'a [Notification],
}

/// Returns what is on record in order of time. What happened at the same time stays as it was recorded.
///
/// A command that left a line in the trail is that line, with who asked and from where.
pub fn entries(sources: &Sources<'_>) -> Vec<Entry> {
    let offset = |at: Timestamp| at.as_millisecond().saturating_sub(sources.opened_at.as_millisecond());
    let mut entries: Vec<Entry> = sources.trail.iter().map(|line| of_line(line, offset(line.at))).collect();
    let recorded: BTreeSet<String> = entries.iter().filter_map(|entry| entry.command_id.clone()).collect();
    let missing = sources
        .commands
        .iter()
        .filter(|one| !recorded.contains(&one.decision.command.command_id.to_string()));
    entries.extend(missing.map(|decided| of_command(decided, offset(decided.decision.command.at))));
    entries.extend(sources.waiting.iter().map(|one| of_waiting(one, offset(one.created_at))));
    entries.sort_by_key(|entry| entry.at);
    entries
}

fn of_line(line: &TimelineEntry, offset_ms: i64) -> Entry {
    let detail = |name: &str| line.detail.get(name).and_then(Value::as_str).map(str::to_owned);
    let (action, command_id) = (line.action.parse().ok(), detail("command_id"));
    let mut entry = Entry {
        at: line.at,
        offset_ms,
        kind: Kind::System,
        actor: line.actor.clone(),
        origin: None,
        action: line.action.clone(),
        what: line.summary.clone(),
        outcome: None,
        command_id: None,
    };
    if command_id.is_some() || Agent::from_name(&line.actor).is_none() {
        entry.kind = if action == Some(AuditAction::Commented) { Kind::Comment } else { Kind::Command };
        entry.actor = command_id.as_ref().and_then(|_| detail("by")).unwrap_or(entry.actor);
        entry.origin = detail("origin");
        entry.outcome = Some(Outcome::Accepted);
        entry.command_id = command_id;
        if let Some(said) = entry.what.strip_prefix(&format!("Comment by {}: ", entry.actor)) {
            entry.what = said.to_owned();
        }
    } else if let Some(outcome) = action.and_then(delivery) {
        entry.kind = Kind::Notification;
        entry.origin = detail("channel");
        entry.outcome = Some(outcome);
    }
    entry
}

/// Returns what became of a notification, for lines that say so.
fn delivery(action: AuditAction) -> Option<Outcome> {
    match action {
        AuditAction::MailSent => Some(Outcome::Sent),
        AuditAction::MailDelayed => Some(Outcome::Delayed),
        AuditAction::MailFailed => Some(Outcome::Failed),
        AuditAction::MailNotRepeated => Some(Outcome::NotRepeated),
        AuditAction::NotificationMuted => Some(Outcome::Muted),
        AuditAction::NotificationSilenced => Some(Outcome::Silenced),
        AuditAction::NotificationHeld => Some(Outcome::Held),
        AuditAction::NotificationSummarized => Some(Outcome::Summarized),
        _ => None,
    }
}

fn of_command(decided: &Decided, offset_ms: i64) -> Entry {
    let commands::Decision { command, outcome, answer } = &decided.decision;
    let verb = command.action.verb();
    let (outcome, how) = match outcome {
        commands::Outcome::Accepted => (Outcome::Accepted, "accepted"),
        commands::Outcome::Refused => (Outcome::Refused, "refused"),
    };
    Entry {
        at: command.at,
        offset_ms,
        kind: Kind::Command,
        actor: command.by.clone(),
        origin: Some(command.origin.clone()),
        action: verb.to_owned(),
        what: format!("Command {:?} {how}: {answer}", verb.replace('_', " ")),
        outcome: Some(outcome),
        command_id: Some(command.command_id.to_string()),
    }
}

fn of_waiting(notification: &Notification, offset_ms: i64) -> Entry {
    Entry {
        at: notification.created_at,
        offset_ms,
        kind: Kind::Notification,
        actor: Agent::Communication.name().to_owned(),
        origin: Some(notification.channel.to_string()),
        action: notification.kind.name().to_owned(),
        what: format!("Not sent yet: {:?} by {}", notification.kind.words(), notification.channel),
        outcome: Some(Outcome::Pending),
        command_id: None,
    }
}

/// Returns an offset from the opening, e.g. `+00:03:12`, `-00:00:22` or `+2d 01:00:00`.
pub fn offset(offset_ms: i64) -> String {
    let sign = if offset_ms < 0 { '-' } else { '+' };
    let seconds = offset_ms.unsigned_abs() / 1_000;
    let (days, hours, minutes, rest) =
        (seconds / 86_400, seconds / 3_600 % 24, seconds / 60 % 60, seconds % 60);
    let days = if days == 0 { String::new() } else { format!("{days}d ") };
    format!("{sign}{days}{hours:02}:{minutes:02}:{rest:02}")
}

/// The incident that a timeline is of.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Subject {
    /// Incident.
    pub incident_id: IncidentId,
    /// Its number.
    pub number: i64,
    /// Title.
    pub title: String,
    /// Severity.
    pub severity: Severity,
    /// State.
    pub state: State,
    /// Environment.
    pub environment: String,
    /// When it was opened.
    pub opened_at: Timestamp,
    /// When it was over.
    pub resolved_at: Option<Timestamp>,
    /// Number of the incident that it ended in, where both turned out to be of the same fault.
    pub merged_into: Option<i64>,
}

/// A timeline as it is exported.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Timeline {
    /// [`FORMAT`].
    pub format: &'static str,
    /// Whose it is.
    pub incident: Subject,
    /// Entries, earliest first.
    pub entries: Vec<Entry>,
    /// Later lines of the audit trail that are not in it.
    pub left_out: usize,
}

impl Timeline {
    /// Puts the timeline of an incident together.
    pub fn of(incident: &Incident, entries: Vec<Entry>, left_out: usize) -> Self {
        let incident = Subject {
            incident_id: incident.incident_id,
            number: incident.number,
            title: incident.title.clone(),
            severity: incident.severity,
            state: incident.state,
            environment: incident.environment.clone(),
            opened_at: incident.opened_at,
            resolved_at: incident.resolved_at,
            merged_into: incident.merged_into().map(|link| link.number),
        };
        Self { format: FORMAT, incident, entries, left_out }
    }

    /// Returns where an incident went that ended in another one.
    pub fn went_to(&self) -> Option<String> {
        let into = self.incident.merged_into?;
        Some(format!("This incident ended in incident #{into}, which has what followed."))
    }

    /// Writes it as Markdown: a heading and one table. Text of others is shown, never interpreted.
    pub fn to_markdown(&self) -> String {
        let of = &self.incident;
        let mut out = format!("# Timeline of incident #{}: {}\n\n", of.number, text(&of.title, SENTENCE));
        let end = of.resolved_at.map_or_else(String::new, |at| format!(" · over {}", moment(at)));
        let _ = writeln!(
            out,
            "{} · {} · {} · opened {}{end}\n",
            of.severity.label(),
            of.state,
            text(&of.environment, NAME),
            moment(of.opened_at),
        );
        if let Some(went) = self.went_to() {
            let _ = writeln!(out, "{went}\n");
        }
        out.push_str(&row(["Time (UTC)", "Since the opening", "Kind", "Who", "What", "Outcome"]));
        out.push_str("|---|---:|---|---|---|---|\n");
        for entry in &self.entries {
            let (time, since) = (entry.at.strftime("%Y-%m-%d %H:%M:%S").to_string(), offset(entry.offset_ms));
            let (who, what) = (who(entry), text(&entry.what, LONGEST));
            let outcome = entry.outcome.map_or_else(String::new, |outcome| words(outcome).to_owned());
            out.push_str(&row([&time, &since, entry.kind.into(), &text(&who, 2 * NAME), &what, &outcome]));
        }
        if let Some(left_out) = self.left_out() {
            let _ = writeln!(out, "\n{left_out}");
        }
        out
    }

    /// Says how much is not in it, where something is not.
    pub fn left_out(&self) -> Option<String> {
        (self.left_out > 0).then(|| format!("{} after these left out.", counted(self.left_out, "line")))
    }
}

/// Longest sentence, characters: a comment has at most 1,000.
pub const LONGEST: usize = 1_100;

/// Returns who it was and from where, e.g. `jane (cli)`.
pub fn who(entry: &Entry) -> String {
    match &entry.origin {
        Some(origin) if entry.is_of_person() => format!("{} ({origin})", entry.actor),
        _ => entry.actor.clone(),
    }
}

/// Returns an outcome for people.
pub fn words(outcome: Outcome) -> &'static str {
    match outcome {
        Outcome::NotRepeated => "not repeated",
        other => other.into(),
    }
}

#[cfg(test)]
mod tests;
