//! What people say of action items: done, open again, or not to be done.

use shared::audit::AuditAction;
use shared::events::Command;
use shared::events::command::Action;
use shared::events::incident::Incident;
use shared::ids::ActionItemId;
use shared::stage::Effects;
use shared::stage::command::{Asked, Done, Outcome};
use shared::store::Write;
use shared::store::action_items::{Change, Item, State};

/// Returns the item that a command is about, if it is about one.
pub fn item_of(command: &Command) -> Option<ActionItemId> {
    match &command.action {
        Action::CompleteActionItem { item_id, .. }
        | Action::ReopenActionItem { item_id, .. }
        | Action::DropActionItem { item_id, .. } => Some(*item_id),
        _ => None,
    }
}

/// Decides on a command about an action item of an incident, both as they are on record.
pub fn decide(asked: &Asked<'_>, incident: Option<&Incident>, item: Option<&Item>) -> Outcome {
    let (to, action, note) = match &asked.command.action {
        Action::CompleteActionItem { note, .. } => {
            (State::Done, AuditAction::ActionItemDone, note.as_deref())
        }
        Action::ReopenActionItem { note, .. } => {
            (State::Open, AuditAction::ActionItemReopened, note.as_deref())
        }
        Action::DropActionItem { reason, .. } => {
            (State::Dropped, AuditAction::ActionItemDropped, Some(reason.as_str()))
        }
        other => return Err(format!("{} is not about an action item", other.verb())),
    };
    let incident = incident.ok_or("the incident does not exist")?;
    let item = item.filter(|item| item.incident_id == incident.incident_id);
    let item = item.ok_or_else(|| {
        format!(
            "incident {} has no such action item; `firewatch actions list --incident {} --all` lists them",
            incident.number, incident.number
        )
    })?;
    let name = &item.name;
    if item.is_superseded {
        return Err(format!("action item {name} is superseded: the postmortem does not have it any more"));
    }
    if item.state == to {
        let by = item.changed.as_ref().map_or_else(String::new, |change| format!(" by {}", change.by));
        return Err(match to {
            State::Open => format!("action item {name} is open already"),
            State::Done => format!("action item {name} is marked as done{by} already"),
            State::Dropped => format!("action item {name} is dropped{by} already"),
        });
    }
    if to != State::Open && item.state != State::Open {
        let state = item.state.name();
        return Err(format!(
            "action item {name} is {state}; reopen it first (`firewatch actions reopen {name}`)"
        ));
    }
    let note = asked.text(note.unwrap_or_default());
    if to == State::Dropped && note.is_empty() {
        return Err("a reason is needed to drop an action item".to_owned());
    }
    let by = asked.by();
    let done = match to {
        State::Open => "open again",
        State::Done => "done",
        State::Dropped => "dropped",
    };
    let answer = format!("action item {name} is {done}: {}", item.title);
    let why = if note.is_empty() { String::new() } else { format!(" ({note})") };
    let summary = format!("Action item {name} is {done}, says {by}: {}{why}.", item.title);
    let change = Change { by, at: asked.command.at, note };
    let write = Write::ActionItemChange { item_id: item.item_id, from: item.state, to, change };
    let effects = Effects {
        writes: vec![write],
        audit: vec![asked.line(incident, action, summary)],
        ..Effects::none()
    };
    Ok(Done { answer, effects })
}

#[cfg(test)]
mod tests {
    use jiff::civil::date;
    use serde_json::{Value, from_value, json};
    use shared::clock::from_ms;
    use shared::events::postmortem::Priority;
    use shared::ids::{CommandId, IncidentId, derive};
    use shared::text::secrets::Redactor;

    use super::*;

    fn incident() -> Incident {
        let body: Value = json!({
            "incident_id": IncidentId(derive(&["tracking"])), "number": 12, "revision": 7, "state": "closed",
            "severity": "sev2", "title": "payment: the pool", "environment": "production", "suspects": [], "members": [],
            "affected_services": [], "blast_radius": {"callers": [], "share": 0.0}, "signals": [],
            "started_at": "2026-03-01T10:00:10Z", "opened_at": "2026-03-01T10:00:32Z",
        });
        from_value(body).unwrap()
    }

    fn item(state: State) -> Item {
        let incident_id = incident().incident_id;
        let item_id = ActionItemId::of(incident_id, "Set a timeout");
        Item {
            item_id,
            name: item_id.name(12),
            incident_id,
            incident: 12,
            environment: "production".into(),
            service: "payment".into(),
            title: "Set a timeout".into(),
            owner: "Payments".into(),
            due: date(2026, 3, 8),
            priority: Priority::High,
            reason: "sessions held connections".into(),
            state,
            is_superseded: false,
            changed: (state != State::Open).then(|| Change {
                by: "joe".into(),
                at: from_ms(5),
                note: String::new(),
            }),
        }
    }

    fn complete(note: Option<&str>) -> Action {
        Action::CompleteActionItem { item_id: item(State::Open).item_id, note: note.map(str::to_owned) }
    }

    fn reopen() -> Action {
        Action::ReopenActionItem { item_id: item(State::Open).item_id, note: None }
    }

    fn drop(reason: &str) -> Action {
        Action::DropActionItem { item_id: item(State::Open).item_id, reason: reason.into() }
    }

    fn decided(action: Action, item: Option<&Item>) -> Outcome {
        let command = Command {
            command_id: CommandId(derive(&["tracking"])),
            environment: "production".into(),
            incident_id: Some(incident().incident_id),
            by: "ann\n\u{202E}".into(),
            origin: "cli".into(),
            at: from_ms(1_000),
            action,
        };
        decide(&Asked { command: &command, redactor: &Redactor::default() }, Some(&incident()), item)
    }

    #[test]
    fn each_state_allows_what_makes_sense_and_says_why_not_otherwise() {
        let answers: Vec<String> = [State::Open, State::Done, State::Dropped]
            .into_iter()
            .flat_map(|state| {
                [complete(None), reopen(), drop("no longer used")].map(|action| {
                    let verb = action.verb();
                    let outcome = decided(action, Some(&item(state)));
                    let answer = outcome.map_or_else(|why| format!("refused: {why}"), |done| done.answer);
                    let name = item(state).name;
                    format!("{state}, {verb}: {}", answer.replace(&name, "12-x"))
                })
            })
            .collect();
        insta::assert_snapshot!(answers.join("\n"));
    }

    #[test]
    fn who_when_and_why_are_on_record_with_the_command() {
        let done = decided(complete(Some("released\nin 2.4.2")), Some(&item(State::Open))).unwrap();
        let [Write::ActionItemChange { from, to, change, .. }] = &done.effects.writes[..] else {
            panic!("{:?}", done.effects)
        };
        assert_eq!((*from, *to), (State::Open, State::Done));
        let expected = Change { by: "ann".into(), at: from_ms(1_000), note: "released in 2.4.2".into() };
        assert_eq!(*change, expected);
        let [line] = &done.effects.audit[..] else { panic!("{:?}", done.effects.audit) };
        assert_eq!((line.action, line.at), (AuditAction::ActionItemDone, from_ms(1_000)));
        assert_eq!(line.detail["by"], json!("ann"));
        assert!(line.detail["command_id"].is_string());
    }

    #[test]
    fn what_is_superseded_unknown_or_of_another_incident_is_refused() {
        let gone = Item { is_superseded: true, ..item(State::Open) };
        assert!(decided(complete(None), Some(&gone)).unwrap_err().contains("superseded"));
        assert!(decided(complete(None), None).unwrap_err().contains("no such action item"));
        let other = Item { incident_id: IncidentId(derive(&["other"])), ..item(State::Open) };
        assert!(decided(complete(None), Some(&other)).unwrap_err().contains("no such action item"));
        assert!(decided(drop(" \n"), Some(&item(State::Open))).unwrap_err().contains("reason"));
        assert!(decided(Action::Acknowledge, Some(&item(State::Open))).is_err());
    }
}
