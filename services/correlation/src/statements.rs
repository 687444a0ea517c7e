//! What people say of an incident and what follows, where nothing but the incident matters for it.

use jiff::Timestamp;
use shared::audit::AuditAction;
use shared::events::command::Action;
use shared::events::incident::{Incident, Mute, State, Statement};
use shared::events::{Severity, Topic};
use shared::lifecycle::Change;
use shared::stage::command::{Asked, Done, Outcome};
use shared::stage::{Effects, IncidentChange};
use shared::text::format;
use shared::text::sanitize::{NAME, one_line};

/// Decides on a statement about an incident as it stands.
pub fn state(asked: &Asked<'_>, incident: &Incident) -> Outcome {
    let number = incident.number;
    match &asked.command.action {
        Action::Acknowledge => {
            open(incident)?;
            if let Some(Statement { by, .. }) = &incident.acknowledged {
                return Err(format!("incident {number} is acknowledged by {by} already"));
            }
            let statement = asked.statement("");
            let said = format!("incident {number} is acknowledged by {}", statement.by);
            Ok(changed(asked, incident, Change::Acknowledged(statement), AuditAction::Acknowledged, said))
        }
        Action::Assign { to } => {
            if incident.state == State::Closed {
                return Err(over(incident));
            }
            let to = one_line(to, NAME);
            if incident.assignee.as_ref() == Some(&to) {
                return Err(format!("incident {number} is assigned to {to} already"));
            }
            let said = format!("incident {number} is assigned to {to} by {}", asked.by());
            Ok(changed(asked, incident, Change::Assigned { to }, AuditAction::Assigned, said))
        }
        Action::Comment { text } => {
            let text = asked.text(text);
            if text.is_empty() {
                return Err("the comment is empty".to_owned());
            }
            let line =
                asked.line(incident, AuditAction::Commented, format!("Comment by {}: {text}", asked.by()));
            let effects = Effects { audit: vec![line], ..Effects::none() };
            Ok(Done { answer: format!("the comment is in the timeline of incident {number}"), effects })
        }
        Action::OverrideSeverity { severity, reason } => {
            override_severity(asked, incident, *severity, reason)
        }
        Action::Mute { until } => mute(asked, incident, *until),
        Action::Unmute => {
            open(incident)?;
            if incident.mute.is_none() {
                return Err(format!("incident {number} is not muted"));
            }
            let said = format!("incident {number} is not muted any more, by {}", asked.by());
            Ok(changed(asked, incident, Change::Muted(None), AuditAction::Unmuted, said))
        }
        other => Err(format!("{} is not about one incident alone", other.verb())),
    }
}

fn override_severity(
    asked: &Asked<'_>,
    incident: &Incident,
    severity: Option<Severity>,
    reason: &str,
) -> Outcome {
    open(incident)?;
    let number = incident.number;
    let statement = asked.statement(reason);
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
    Ok(changed(asked, incident, change, AuditAction::SeverityOverridden, said))
}

fn mute(asked: &Asked<'_>, incident: &Incident, until: Option<Timestamp>) -> Outcome {
    open(incident)?;
    if until.is_some_and(|until| until <= asked.command.at) {
        return Err("the end of the mute is in the past".to_owned());
    }
    let until_words =
        until.map_or_else(|| "until it is over".to_owned(), |at| format!("until {}", format::clock(at)));
    let said = format!("incident {} is muted {until_words} by {}", incident.number, asked.by());
    let mute = Mute { statement: asked.statement(""), until };
    Ok(changed(asked, incident, Change::Muted(Some(mute)), AuditAction::Muted, said))
}

fn changed(
    asked: &Asked<'_>,
    incident: &Incident,
    change: Change,
    action: AuditAction,
    said: String,
) -> Done {
    let mut summary = said.clone();
    if let Some(first) = summary.get_mut(..1) {
        first.make_ascii_uppercase();
    }
    let effects = Effects {
        audit: vec![asked.line(incident, action, summary + ".")],
        incidents: vec![IncidentChange {
            incident_id: incident.incident_id,
            change,
            publish: (incident.state != State::Detecting).then_some(Topic::IncidentsUpdated),
        }],
        ..Effects::none()
    };
    Done { answer: said, effects }
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
