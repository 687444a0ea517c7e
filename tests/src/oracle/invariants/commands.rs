//! What must be true of commands: each is decided once, and its effect is there exactly if it was accepted.

use std::collections::BTreeMap;

use shared::events::command::Action;
use shared::events::incident::Relation;
use shared::events::{Command, Incident, Topic};
use shared::ids::IncidentId;

use super::violation::{Code, Found};
use crate::oracle::observations::{DecidedCommand, Entry, Observations};

/// Returns the commands that were accepted.
pub(super) fn accepted(observed: &Observations) -> impl Iterator<Item = &Command> {
    let is_accepted = |id: &str| observed.decisions.iter().any(|one| one.id == id && one.is_accepted);
    let commands = observed.sent.iter().map(|sent| &sent.command);
    commands.filter(move |command| is_accepted(&command.command_id.to_string()))
}

/// Returns whether an incident was muted at any time: then nothing but its end has to be sent.
pub(super) fn was_muted(incident: &Incident, observed: &Observations) -> bool {
    accepted(observed).any(|command| {
        command.incident_id == Some(incident.incident_id) && matches!(command.action, Action::Mute { .. })
    })
}

/// Returns whether people have changed which incidents an environment has.
pub(super) fn is_rearranged(environment: &str, observed: &Observations) -> bool {
    accepted(observed).filter(|command| command.environment == environment).any(|command| {
        matches!(
            command.action,
            Action::Resolve { .. } | Action::Reopen { .. } | Action::Merge { .. } | Action::Split { .. }
        )
    })
}

/// Checks all commands.
pub(super) fn commands(observed: &Observations, found: &mut Found) {
    let decisions: BTreeMap<&str, &DecidedCommand> =
        observed.decisions.iter().map(|one| (one.id.as_str(), one)).collect();
    if decisions.len() != observed.decisions.len() {
        found.add(Code::CommandDuplicate, "a command has two outcomes".to_owned());
    }
    for sent in &observed.sent {
        let command = &sent.command;
        let id = command.command_id.to_string();
        let name = format!("{} {id}", command.action.verb());
        match decisions.get(id.as_str()) {
            None if sent.acknowledged > 0 => {
                found.add(Code::CommandUndecided, format!("{name} was acknowledged and has no outcome"));
            }
            None => {}
            Some(decision) if decision.is_accepted => {
                trail(command, &name, observed, found);
                effect(command, &name, observed, found);
            }
            Some(decision) => {
                if let Some(place) = trace(command, observed) {
                    let answer = &decision.answer;
                    found.add(
                        Code::CommandRefused,
                        format!("{name} was refused ({answer}) and is in {place}"),
                    );
                }
            }
        }
    }
    let sent = |id: &str| observed.sent.iter().any(|sent| sent.command.command_id.to_string() == id);
    for decision in observed.decisions.iter().filter(|one| !sent(&one.id)) {
        found.add(Code::CommandUnknown, format!("nobody has sent the command {}", decision.id));
    }
}

/// An incident that a person opened again is not resolved for what it showed before: a member joins, or clears, in between.
pub(super) fn kept_open(observed: &Observations, found: &mut Found) {
    for (place, line) in observed.audit.iter().enumerate() {
        if line.action != "reopened" || line.command.is_none() {
            continue;
        }
        let mut after = observed.audit[place + 1..].iter().filter(|next| next.incident == line.incident);
        let next =
            after.find(|next| matches!(next.action.as_str(), "joined" | "cleared" | "resolved" | "merged"));
        if next.is_some_and(|next| next.action == "resolved" && next.command.is_none()) {
            found.add(
                Code::ReopenIgnored,
                format!("incident {} was resolved without news after a person had opened it", line.incident),
            );
        }
    }
}

/// An accepted command has exactly one line of its kind in the trail of its incident.
fn trail(command: &Command, name: &str, observed: &Observations, found: &mut Found) {
    let lines =
        lines_of(command, observed).filter(|line| line.action == recorded_as(&command.action)).count();
    if lines != 1 {
        found.add(Code::CommandTrail, format!("{name} was accepted and has {lines} lines in the trail"));
    }
}

fn lines_of<'a>(command: &Command, observed: &'a Observations) -> impl Iterator<Item = &'a Entry> {
    let id = command.command_id.to_string();
    let incident = command.incident_id.map(|id| id.to_string()).unwrap_or_default();
    observed.audit.iter().filter(move |line| line.command.as_ref() == Some(&id) && line.incident == incident)
}

/// Returns the action of the line that a command leaves.
fn recorded_as(action: &Action) -> &'static str {
    match action {
        Action::Acknowledge => "acknowledged",
        Action::Assign { .. } => "assigned",
        Action::Comment { .. } => "commented",
        Action::OverrideSeverity { .. } => "severity_overridden",
        Action::Resolve { .. } => "resolved",
        Action::Reopen { .. } => "reopened",
        Action::Merge { .. } => "merged",
        Action::Split { .. } => "split",
        Action::Mute { .. } => "muted",
        Action::Unmute => "unmuted",
        other => other.verb(),
    }
}

/// What an accepted command asks for is visible in its incident, in the trail, or in what was published of it.
fn effect(command: &Command, name: &str, observed: &Observations, found: &mut Found) {
    let Some(id) = command.incident_id else { return };
    let Some(incident) = of(id, observed) else {
        found.add(Code::CommandEffect, format!("{name} was accepted and its incident does not exist"));
        return;
    };
    let by = command.by.as_str();
    let is_there = match &command.action {
        // an incident that opened again is not acknowledged
        Action::Acknowledge => {
            incident.reopened > 0 || incident.acknowledged.as_ref().is_some_and(|one| one.by == by)
        }
        Action::Assign { to } => {
            !is_last(command, observed) || incident.assignee.as_deref() == Some(to.as_str())
        }
        Action::Comment { text } => lines_of(command, observed).any(|line| line.summary.contains(text)),
        Action::OverrideSeverity { severity, .. } => {
            !is_last(command, observed)
                || match severity {
                    Some(severity) => {
                        let set = incident.severity_override.as_ref();
                        set.is_some_and(|set| set.statement.by == by) && incident.severity == *severity
                    }
                    None => incident.severity_override.is_none(),
                }
        }
        Action::Resolve { .. } => {
            let has = |one: &Incident| one.resolved_by.as_ref().is_some_and(|said| said.by == by);
            published(Topic::IncidentsResolved, id, observed, has) == 1
        }
        Action::Reopen { .. } => {
            let has = |one: &Incident| one.kept_open.as_ref().is_some_and(|said| said.by == by);
            published(Topic::IncidentsOpened, id, observed, has) == 1
        }
        Action::Merge { into, .. } => {
            let link = incident.merged_into();
            link.is_some_and(|link| link.incident_id == *into && link.by.as_deref() == Some(by))
        }
        Action::Split { .. } => {
            let part = of(IncidentId::split_by(id, command.command_id), observed);
            let names = |part: &Incident| {
                part.links.iter().any(|link| {
                    (link.relation, link.incident_id) == (Relation::SplitFrom, id)
                        && link.by.as_deref() == Some(by)
                })
            };
            part.is_some_and(names)
        }
        // over with the incident, and of several states in one transaction only the last is published
        _ => true,
    };
    if !is_there {
        found.add(Code::CommandEffect, format!("{name} was accepted and its effect is not on record"));
    }
}

fn of(id: IncidentId, observed: &Observations) -> Option<&Incident> {
    observed.incidents.iter().find(|incident| incident.incident_id == id)
}

/// Returns whether no later command of the kind was accepted for the incident.
fn is_last(command: &Command, observed: &Observations) -> bool {
    let (incident, id) = (command.incident_id.map(|id| id.to_string()), command.command_id.to_string());
    let kind = recorded_as(&command.action);
    let mut lines = observed.audit.iter().rev();
    let last = lines.find(|line| Some(&line.incident) == incident.as_ref() && line.action == kind);
    last.is_some_and(|line| line.command.as_ref() == Some(&id))
}

/// Counts the revisions of an incident on a topic for which `has` holds.
fn published(
    topic: Topic,
    id: IncidentId,
    observed: &Observations,
    has: impl Fn(&Incident) -> bool,
) -> usize {
    let own = observed.events::<Incident>(topic).filter(|one| one.incident_id == id && has(one));
    own.map(|one| one.revision).collect::<std::collections::BTreeSet<_>>().len()
}

/// Returns where a command has left a trace.
fn trace(command: &Command, observed: &Observations) -> Option<String> {
    let id = command.command_id.to_string();
    if let Some(line) = observed.audit.iter().find(|line| line.command.as_ref() == Some(&id)) {
        return Some(format!("the trail of {} ({})", line.incident, line.action));
    }
    let names = |payload: &[u8]| String::from_utf8_lossy(payload).contains(&command.by);
    // a postmortem lists what people asked for, whatever became of it
    let mut events = observed.outbox.iter().filter(|row| row.topic != Topic::Postmortems.name());
    if let Some(row) = events.find(|row| names(&row.payload)) {
        return Some(format!("an event on {}", row.topic));
    }
    let mut incidents = observed.incidents.iter();
    let incident = incidents.find(|one| serde_json::to_vec(one).is_ok_and(|payload| names(&payload)))?;
    Some(format!("incident {}", incident.number))
}
