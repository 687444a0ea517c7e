//! Checks of commands, and of what follows from them.

use shared::events::Severity;
use shared::events::command::Action;
use shared::events::incident::{Mute, SeverityOverride, Statement};
use shared::ids::{CommandId, IncidentId, derive};

use super::*;
use crate::oracle::observations::DecidedCommand;
use crate::oracle::operator::{SentCommand, person};

fn command(name: &str, action: Action) -> Command {
    let command_id = CommandId(derive(&[name]));
    Command {
        command_id,
        environment: "production".to_owned(),
        incident_id: Some(INCIDENT.parse().unwrap()),
        by: person(command_id),
        origin: "test".to_owned(),
        at: time(20),
        action,
    }
}

/// Sends a command, with its outcome and, where it is accepted, its line in the trail.
fn ask(observed: &mut Observations, command: &Command, line: Option<&str>) {
    observed.sent.push(SentCommand { command: command.clone(), acknowledged: 2 });
    let id = command.command_id.to_string();
    observed.decisions.push(DecidedCommand {
        id: id.clone(),
        incident: Some(INCIDENT.to_owned()),
        is_accepted: line.is_some(),
        answer: String::new(),
    });
    if let Some(action) = line {
        let line = Entry {
            command: Some(id),
            summary: "looks like the pool".to_owned(),
            ..entry(INCIDENT, action, 20)
        };
        observed.audit.push(line);
    }
}

fn said(command: &Command) -> Statement {
    Statement { by: command.by.clone(), at: command.at, reason: "because".to_owned() }
}

fn comment() -> Command {
    command("comment", Action::Comment { text: "the pool".to_owned() })
}

/// A run in which people acknowledged, assigned, commented and set the severity of the incident.
fn stated() -> Observations {
    let mut observed = sound();
    let ack = command("ack", Action::Acknowledge);
    let assign = command("assign", Action::Assign { to: "joe".to_owned() });
    let severe = command(
        "severe",
        Action::OverrideSeverity { severity: Some(Severity::Sev1), reason: "x".to_owned() },
    );
    ask(&mut observed, &comment(), Some("commented"));
    ask(&mut observed, &ack, Some("acknowledged"));
    ask(&mut observed, &assign, Some("assigned"));
    ask(&mut observed, &severe, Some("severity_overridden"));
    let incident = &mut observed.incidents[0];
    incident.acknowledged = Some(said(&ack));
    incident.assignee = Some("joe".to_owned());
    incident.severity_override =
        Some(SeverityOverride { computed: Severity::Sev2, statement: said(&severe) });
    incident.severity = Severity::Sev1;
    observed
}

#[track_caller]
fn finds_in(run: fn() -> Observations, break_it: impl FnOnce(&mut Observations), expected: Code) {
    let mut observed = run();
    assert_eq!(violations(&observed), Vec::new(), "the run is sound before it is broken");
    break_it(&mut observed);
    let found = violations(&observed);
    assert!(found.iter().any(|violation| violation.code == expected), "{expected:?} is not in {found:#?}");
}

#[test]
fn a_command_that_was_acknowledged_has_one_outcome() {
    finds_in(stated, |observed| _ = observed.decisions.remove(0), Code::CommandUndecided);
    finds_in(
        stated,
        |observed| observed.decisions.push(observed.decisions[0].clone()),
        Code::CommandDuplicate,
    );
    finds_in(stated, |observed| _ = observed.sent.remove(0), Code::CommandUnknown);
    let mut lost = sound();
    lost.sent.push(SentCommand { command: comment(), acknowledged: 0 });
    assert_eq!(violations(&lost), Vec::new(), "nobody knows whether Kafka has it");
}

#[test]
fn an_accepted_command_has_one_line_and_its_effect() {
    let line =
        |observed: &Observations| observed.audit.iter().position(|line| line.action == "commented").unwrap();
    finds_in(
        stated,
        |observed| {
            let again = observed.audit[line(observed)].clone();
            observed.audit.push(again);
        },
        Code::CommandTrail,
    );
    finds_in(
        stated,
        |observed| {
            let place = line(observed);
            observed.audit.remove(place);
        },
        Code::CommandTrail,
    );
    finds_in(
        stated,
        |observed| {
            let place = line(observed);
            observed.audit[place].command = None;
        },
        Code::CommandTrail,
    );
    finds_in(
        stated,
        |observed| {
            let place = line(observed);
            observed.audit[place].summary.clear();
        },
        Code::CommandEffect,
    );
    finds_in(stated, |observed| observed.incidents[0].acknowledged = None, Code::CommandEffect);
    finds_in(stated, |observed| observed.incidents[0].assignee = None, Code::CommandEffect);
    finds_in(stated, |observed| observed.incidents[0].severity = Severity::Sev3, Code::CommandEffect);
    finds_in(stated, |observed| observed.incidents[0].severity_override = None, Code::CommandEffect);
    for (name, action, line) in [
        ("resolve", Action::Resolve { reason: "x".to_owned() }, "resolved"),
        ("reopen", Action::Reopen { reason: "x".to_owned() }, "reopened"),
        ("merge", Action::Merge { into: OTHER.parse().unwrap(), reason: String::new() }, "merged"),
        ("split", Action::Split { services: vec!["payment".to_owned()], reason: String::new() }, "split"),
    ] {
        finds(|observed| ask(observed, &command(name, action), Some(line)), Code::CommandEffect);
    }
}

#[test]
fn a_refused_command_changes_nothing() {
    fn refused() -> Observations {
        let mut observed = sound();
        ask(&mut observed, &command("mute", Action::Mute { until: None }), None);
        observed
    }
    let mute = command("mute", Action::Mute { until: None });
    finds_in(
        refused,
        |observed| {
            let id = Some(mute.command_id.to_string());
            observed.audit.push(Entry { command: id, ..entry(INCIDENT, "muted", 20) });
        },
        Code::CommandRefused,
    );
    let mute = Mute { statement: said(&mute), until: None };
    finds_in(refused, |observed| observed.incidents[0].mute = Some(mute.clone()), Code::CommandRefused);
    finds_in(
        refused,
        |observed| {
            let incident = Incident { mute: Some(mute), ..incident(4, "investigating") };
            publish(observed, Topic::IncidentsUpdated, serde_json::to_vec(&incident).unwrap());
        },
        Code::CommandRefused,
    );
}

#[test]
fn an_incident_that_was_muted_needs_no_mails_but_those_of_its_end() {
    fn muted() -> Observations {
        let mut observed = sound();
        ask(&mut observed, &command("mute", Action::Mute { until: None }), Some("muted"));
        let keep = |id: &str| !matches!(id, "1" | "2" | "4");
        observed.mails.retain(|mail| keep(&mail.mail.id));
        observed.notifications.retain(|mail| keep(&mail.message_id));
        observed
    }
    finds_in(muted, |observed| observed.notifications.retain(|one| one.kind != "resolved"), Code::MailCount);
    finds_in(muted, |observed| observed.decisions[0].is_accepted = false, Code::MailCount);
}

/// A run in which a person resolved the incident, and another one opened it again.
fn reopened() -> Observations {
    let mut observed = sound();
    let end = command("resolve", Action::Resolve { reason: "x".to_owned() });
    let again = command("reopen", Action::Reopen { reason: "x".to_owned() });
    // the first end was that of telemetry
    ask(&mut observed, &again, Some("reopened"));
    ask(&mut observed, &end, Some("resolved"));
    let mut open = Incident { reopened: 1, kept_open: Some(said(&again)), ..incident(8, "correlating") };
    open.resolved_at = None;
    let over = Incident { reopened: 1, resolved_by: Some(said(&end)), ..incident(9, "resolved") };
    for (topic, incident) in [(Topic::IncidentsOpened, open), (Topic::IncidentsResolved, over.clone())] {
        let payload = serde_json::to_vec(&incident).unwrap();
        let mut row = observed.outbox[0].clone();
        (row.topic, row.id, row.payload) = (topic.name().to_owned(), format!("again {topic}"), payload);
        observed.records.get_mut(&topic).unwrap().push(line(row.payload.clone(), &row.id));
        observed.outbox.push(row);
    }
    for kind in [NotificationKind::Opened, NotificationKind::Resolved] {
        let message_id = format!("{kind} again");
        observed.mails.push(mail(&message_id, 50));
        send_to_all(&mut observed, INCIDENT, kind, (&message_id, 50));
        observed.notifications.push(Notification { message_id, ..notification(INCIDENT, kind) });
    }
    observed.incidents[0] = Incident { state: State::Closed, revision: 10, ..over };
    observed
}

#[test]
fn an_incident_that_was_opened_again_opens_and_ends_once_more() {
    finds_in(
        reopened,
        |observed| observed.outbox.retain(|row| !row.id.starts_with("again")),
        Code::EventCount,
    );
    finds_in(
        reopened,
        |observed| observed.audit.retain(|line| line.action != "reopened"),
        Code::TimelineCount,
    );
    finds_in(reopened, |observed| _ = observed.mails.pop(), Code::MailCount);
    finds_in(
        reopened,
        |observed| observed.audit.last_mut().expect("a resolution").command = None,
        Code::ReopenIgnored,
    );
    finds_in(reopened, |observed| _ = observed.notifications.pop(), Code::MailCount);
    finds_in(reopened, |observed| observed.incidents[0].reopened = 0, Code::EventCount);
}

#[test]
fn a_fault_has_several_incidents_only_where_people_made_them() {
    fn several() -> Observations {
        let mut observed = reopened();
        let mut other = incident(7, "closed");
        (other.incident_id, other.number) = (OTHER.parse::<IncidentId>().unwrap(), 2);
        observed.incidents.push(other);
        observed
    }
    let counts = |observed: &Observations| {
        violations(observed).iter().filter(|one| one.code == Code::FaultIncidents).count()
    };
    let mut observed = several();
    assert_eq!(counts(&observed), 0);
    observed.decisions.clear();
    assert_eq!(counts(&observed), 1);
}
