//! What people say of an incident and what follows, where nothing but the incident matters for it.

use jiff::Timestamp;
use serde_json::json;
use shared::audit::AuditAction;
use shared::events::command::Action;
use shared::events::incident::{Incident, Mute, State, Statement};
use shared::events::{Command, Severity, Topic};
use shared::lifecycle::Change;
use shared::stage::{Audit, Effects, IncidentChange};
use shared::text::format;
use shared::text::sanitize::{NAME, one_line};
use shared::text::secrets::Redactor;

/// Longest remark or reason that is kept, characters.
const REMARK: usize = 1_000;

/// What a command comes to: the answer for the sender with what follows, or why nothing does.
pub type Outcome = Result<Done, String>;

/// A command that is carried out.
#[derive(Debug, Clone, PartialEq)]
pub struct Done {
    /// What was done, in one sentence for the sender.
    pub answer: String,
    /// What follows.
    pub effects: Effects,
}

/// A command with its texts fit to be kept and shown.
#[derive(Debug, Clone, Copy)]
pub struct Asked<'a> {
    /// The command.
    pub command: &'a Command,
    /// What is replaced in texts.
    pub redactor: &'a Redactor,
}

impl Asked<'_> {
    /// Returns who asks.
    pub fn by(&self) -> String {
        one_line(&self.command.by, NAME)
    }

    /// Returns a remark or reason.
    pub fn text(&self, text: &str) -> String {
        let mut text = one_line(text, REMARK);
        self.redactor.apply(&mut text);
        text
    }

    /// Returns what a person states, with a reason where there is one.
    pub fn statement(&self, reason: &str) -> Statement {
        Statement { by: self.by(), at: self.command.at, reason: self.text(reason) }
    }

    /// Returns a line of the audit trail of an incident.
    pub fn line(&self, incident: &Incident, action: AuditAction, summary: String) -> Audit {
        let (incident_id, at) = (incident.incident_id, self.command.at);
        self.signed(Audit { incident_id, at, action, summary, detail: json!({}) })
    }

    /// Returns a line that names the command it goes back to.
    pub fn signed(&self, mut line: Audit) -> Audit {
        let Command { command_id, origin, .. } = self.command;
        line.detail["command_id"] = json!(command_id);
        line.detail["by"] = json!(self.by());
        line.detail["origin"] = json!(one_line(origin, NAME));
        line
    }

    /// Decides on a statement about an incident as it stands.
    pub fn state(&self, incident: &Incident) -> Outcome {
        let number = incident.number;
        match &self.command.action {
            Action::Acknowledge => {
                open(incident)?;
                if let Some(Statement { by, .. }) = &incident.acknowledged {
                    return Err(format!("incident {number} is acknowledged by {by} already"));
                }
                let statement = self.statement("");
                let said = format!("incident {number} is acknowledged by {}", statement.by);
                Ok(self.change(incident, Change::Acknowledged(statement), AuditAction::Acknowledged, said))
            }
            Action::Assign { to } => {
                if incident.state == State::Closed {
                    return Err(over(incident));
                }
                let to = one_line(to, NAME);
                if incident.assignee.as_ref() == Some(&to) {
                    return Err(format!("incident {number} is assigned to {to} already"));
                }
                let said = format!("incident {number} is assigned to {to} by {}", self.by());
                Ok(self.change(incident, Change::Assigned { to }, AuditAction::Assigned, said))
            }
            Action::Comment { text } => {
                let text = self.text(text);
                if text.is_empty() {
                    return Err("the comment is empty".to_owned());
                }
                let line =
                    self.line(incident, AuditAction::Commented, format!("Comment by {}: {text}", self.by()));
                let effects = Effects { audit: vec![line], ..Effects::none() };
                Ok(Done { answer: format!("the comment is in the timeline of incident {number}"), effects })
            }
            Action::OverrideSeverity { severity, reason } => {
                self.override_severity(incident, *severity, reason)
            }
            Action::Mute { until } => self.mute(incident, *until),
            Action::Unmute => {
                open(incident)?;
                if incident.mute.is_none() {
                    return Err(format!("incident {number} is not muted"));
                }
                let said = format!("incident {number} is not muted any more, by {}", self.by());
                Ok(self.change(incident, Change::Muted(None), AuditAction::Unmuted, said))
            }
            other => Err(format!("{} is not about one incident alone", other.verb())),
        }
    }

    fn override_severity(&self, incident: &Incident, severity: Option<Severity>, reason: &str) -> Outcome {
        open(incident)?;
        let number = incident.number;
        let statement = self.statement(reason);
        if statement.reason.is_empty() {
            return Err("a reason is needed to set the severity".to_owned());
        }
        let (before, by) = (incident.severity.label(), statement.by.clone());
        let said = match severity {
            Some(severity) if incident.severity_override.is_some() && severity == incident.severity => {
                return Err(format!("incident {number} is set to {before} already"));
            }
            Some(severity) => format!(
                "the severity of incident {number} is {}, before it was {before}: set by {by} ({})",
                severity.label(),
                statement.reason
            ),
            None if incident.severity_override.is_none() => {
                return Err(format!("the severity of incident {number} is computed already"));
            }
            None => format!(
                "the severity of incident {number} is computed again, on request of {by} ({})",
                statement.reason
            ),
        };
        let change = Change::SeverityOverridden { severity, statement };
        Ok(self.change(incident, change, AuditAction::SeverityOverridden, said))
    }

    fn mute(&self, incident: &Incident, until: Option<Timestamp>) -> Outcome {
        open(incident)?;
        if until.is_some_and(|until| until <= self.command.at) {
            return Err("the end of the mute is in the past".to_owned());
        }
        let until_words =
            until.map_or_else(|| "until it is over".to_owned(), |at| format!("until {}", format::clock(at)));
        let said = format!("incident {} is muted {until_words} by {}", incident.number, self.by());
        let mute = Mute { statement: self.statement(""), until };
        Ok(self.change(incident, Change::Muted(Some(mute)), AuditAction::Muted, said))
    }

    fn change(&self, incident: &Incident, change: Change, action: AuditAction, said: String) -> Done {
        let mut summary = said.clone();
        if let Some(first) = summary.get_mut(..1) {
            first.make_ascii_uppercase();
        }
        let effects = Effects {
            audit: vec![self.line(incident, action, summary + ".")],
            incidents: vec![IncidentChange {
                incident_id: incident.incident_id,
                change,
                publish: (incident.state != State::Detecting).then_some(Topic::IncidentsUpdated),
            }],
            ..Effects::none()
        };
        Done { answer: said, effects }
    }
}

/// Returns whether a command says something of one incident, whatever else there is.
pub fn is_statement(action: &Action) -> bool {
    matches!(
        action,
        Action::Acknowledge
            | Action::Assign { .. }
            | Action::Comment { .. }
            | Action::OverrideSeverity { .. }
            | Action::Mute { .. }
            | Action::Unmute
    )
}

/// Refuses what can be asked of open incidents only.
pub fn open(incident: &Incident) -> Result<(), String> {
    if incident.state.is_open() { Ok(()) } else { Err(over(incident)) }
}

/// Says that an incident is over.
pub fn over(incident: &Incident) -> String {
    match incident.merged_into() {
        Some(into) => format!("incident {} was merged into incident {}", incident.number, into.number),
        None => format!("incident {} is {} already", incident.number, incident.state),
    }
}
