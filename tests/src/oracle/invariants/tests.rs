//! Each check can fail.

mod commands;
mod receivers;

use serde_json::json;
use shared::clock::from_ms;
use shared::events::Fault;
use shared::events::incident::{Link, Relation};
use shared::store::NotificationKind;
use stack::parts::mailbox::Mail;

use super::super::fault_injector::{FaultKind, InjectedFault};
use super::super::observations::{Accepted, Member, Notification};
use super::super::receivers::{Acceptance, Receiver};
use super::*;

const ANOMALY: &str = "00000000-0000-0000-0000-00000000000a";
const INCIDENT: &str = "00000000-0000-0000-0000-00000000000b";
const OTHER: &str = "00000000-0000-0000-0000-00000000000c";

fn time(second: i64) -> Timestamp {
    from_ms(1_767_600_000_000 + second * 1_000)
}

fn anomaly(revision: u32, status: &str, second: i64) -> Anomaly {
    let anomaly = json!({
        "anomaly_id": ANOMALY, "revision": revision, "status": status, "kind": "latency",
        "environment": "production", "service": "payment", "metric": "latency_p99_ms", "severity": "sev2",
        "evidence": 6.0, "direction": "up", "observed": 900.0,
        "expected": {"lower": 100.0, "center": 120.0, "upper": 140.0},
        "started_at": time(10), "observed_at": time(second), "interval_ms": 1_000,
        "detector": "baseline/1", "explanation": "slow",
    });
    decode(anomaly.to_string().as_bytes()).unwrap()
}

fn incident(revision: u32, state: &str) -> Incident {
    let over = matches!(state, "resolved" | "closed").then(|| time(30));
    let incident = json!({
        "incident_id": INCIDENT, "number": 1, "revision": revision, "state": state, "severity": "sev2",
        "title": "payment: requests are slow", "environment": "production", "suspects": [], "members": [ANOMALY],
        "affected_services": ["payment"], "blast_radius": {"callers": [], "share": 0.0}, "signals": [],
        "started_at": time(10), "opened_at": time(11), "resolved_at": over,
    });
    decode(incident.to_string().as_bytes()).unwrap()
}

fn line(payload: Vec<u8>, id: &str) -> Line {
    Line {
        partition: 0,
        offset: 0,
        timestamp_ms: Some(time(40).as_millisecond()),
        key: None,
        headers: vec![("ce_id".to_owned(), id.to_owned())],
        payload: Some(payload),
    }
}

/// Returns what a run without violations leaves.
fn sound() -> Observations {
    let mut observed = Observations::default();
    let anomalies = [anomaly(1, "firing", 11), anomaly(2, "cleared", 30)];
    let lines = anomalies.iter().map(|anomaly| line(serde_json::to_vec(anomaly).unwrap(), "an anomaly"));
    observed.records.insert(Topic::Anomalies, lines.collect());
    observed.undisturbed = anomalies.to_vec();
    for (phase, second) in [(Phase::Started, 10), (Phase::Ended, 29)] {
        observed.faults.push(Fault {
            fault: 1,
            scenario: shared::events::fault::Scenario::LatencySpike,
            service: "payment".to_owned(),
            phase,
            at: time(second),
            environment: "production".to_owned(),
        });
    }
    observed.members.push(Member {
        anomaly: ANOMALY.to_owned(),
        incident: Some(INCIDENT.to_owned()),
        environment: "production".to_owned(),
    });
    observed.incidents.push(incident(7, "closed"));
    for (topic, revision, state) in
        [(Topic::IncidentsOpened, 2, "correlating"), (Topic::IncidentsResolved, 6, "resolved")]
    {
        publish(&mut observed, topic, serde_json::to_vec(&incident(revision, state)).unwrap());
    }
    let postmortem = json!({ "incident_id": INCIDENT }).to_string();
    publish(&mut observed, Topic::Postmortems, postmortem.into_bytes());
    for (action, second) in [("opened", 11), ("announced", 12), ("resolved", 30)] {
        observed.audit.push(entry(INCIDENT, action, second));
    }
    for kind in ["root_cause", "plan", "postmortem"] {
        observed.artifacts.push((INCIDENT.to_owned(), kind.to_owned(), 1));
    }
    for (number, kind) in NotificationKind::LIFECYCLE.into_iter().enumerate() {
        observed.mails.push(mail(&number.to_string(), 50));
        observed
            .notifications
            .push(Notification { message_id: number.to_string(), ..notification(INCIDENT, kind) });
    }
    for kind in NotificationKind::LIFECYCLE {
        send_to_all(&mut observed, INCIDENT, kind, (&format!("{kind} of {INCIDENT}"), 50));
    }
    observed.notifications[0].escalates = Some(0);
    observed.escalations.push((INCIDENT.to_owned(), 0));
    observed
}

fn entry(incident: &str, action: &str, second: i64) -> Entry {
    Entry {
        incident: incident.to_owned(),
        actor: "correlation".to_owned(),
        action: action.to_owned(),
        at: time(second),
        summary: String::new(),
        command: None,
        event: action.to_owned(),
        transaction: "1".to_owned(),
        inbox: Some("1".to_owned()),
    }
}

fn notification(incident: &str, kind: NotificationKind) -> Notification {
    Notification {
        incident: incident.to_owned(),
        kind: kind.name().to_owned(),
        state: "sent".to_owned(),
        message_id: format!("{kind} of {incident}"),
        channel: "email".to_owned(),
        is_held: false,
        effect: None,
        created_ms: Some(time(12).as_millisecond()),
        escalates: None,
    }
}

/// Sends a notification of that name to each receiver that is reached by HTTP.
fn send_to_all(
    observed: &mut Observations,
    incident: &str,
    kind: NotificationKind,
    (name, second): (&str, i64),
) {
    for receiver in Receiver::ALL {
        let id = format!("{name} by {}", receiver.channel());
        let effect = match (receiver, kind) {
            (Receiver::Webhook | Receiver::Slack, _) => Some(id.clone()),
            (_, NotificationKind::Opened) => Some(format!("{incident}/trigger")),
            (_, NotificationKind::Resolved) => Some(format!("{incident}/resolve")),
            // a pager needs no event
            _ => None,
        };
        observed.received.accepted.extend(effect.clone().map(|key| accepted(receiver, &key, second)));
        let channel = receiver.channel().to_owned();
        observed.notifications.push(Notification {
            message_id: id,
            channel,
            effect,
            ..notification(incident, kind)
        });
    }
}

fn accepted(receiver: Receiver, key: &str, second: i64) -> Acceptance {
    Acceptance { at: time(second), receiver, key: key.to_owned(), is_answered: true }
}

/// Adds an incident of the same fault that was merged into the first one, announced before or not.
fn merge_another(observed: &mut Observations, is_announced: bool) {
    let mut other = incident(4, "closed");
    other.incident_id = OTHER.parse().unwrap();
    (other.number, other.resolved_at) = (2, Some(time(13)));
    let link = Link::new(INCIDENT.parse().unwrap(), 1, Relation::MergedInto);
    other.links.push(link);
    // what absorbed it names it: its events are not those of the other one
    let link = Link::new(other.incident_id, 2, Relation::Absorbed);
    observed.incidents[0].links.push(link);
    observed.audit.push(entry(OTHER, "opened", 11));
    if is_announced {
        for topic in [Topic::IncidentsOpened, Topic::IncidentsResolved] {
            let payload = serde_json::to_vec(&other).unwrap();
            let mut row = observed.outbox[0].clone();
            (row.topic, row.id, row.payload) = (topic.name().to_owned(), format!("other {topic}"), payload);
            observed.records.get_mut(&topic).unwrap().push(line(row.payload.clone(), &row.id));
            observed.outbox.push(row);
        }
        observed.audit.push(entry(OTHER, "announced", 12));
        for kind in [NotificationKind::Opened, NotificationKind::Resolved] {
            observed.mails.push(mail(&format!("{kind} of {OTHER}"), 13));
            observed.notifications.push(notification(OTHER, kind));
            send_to_all(observed, OTHER, kind, (&format!("{kind} of {OTHER}"), 13));
        }
    }
    observed.audit.push(entry(OTHER, "merged", 13));
    observed.audit.push(entry(INCIDENT, "merged", 13));
    observed.incidents.push(other);
}

fn publish(observed: &mut Observations, topic: Topic, payload: Vec<u8>) {
    observed.outbox.push(Outgoing {
        stage: "a stage".to_owned(),
        topic: topic.name().to_owned(),
        id: topic.name().to_owned(),
        payload: payload.clone(),
        created_ms: time(39).as_millisecond(),
        published: true,
    });
    observed.records.entry(topic).or_default().push(line(payload, topic.name()));
}

fn mail(id: &str, second: i64) -> Accepted {
    let mail = Mail {
        received_at: time(second),
        kind: None,
        id: id.to_owned(),
        in_reply_to: None,
        references: Vec::new(),
        to: Vec::new(),
        subject: String::new(),
        text: String::new(),
        html: String::new(),
        pictures: Vec::new(),
    };
    Accepted { at: time(second), mail }
}

fn fault(kind: FaultKind, agent: Option<&'static str>, second: i64) -> InjectedFault {
    InjectedFault { at: time(second), until: time(second), kind, agent, ended: None }
}

#[track_caller]
fn finds(break_it: impl FnOnce(&mut Observations), expected: Code) {
    let mut observed = sound();
    break_it(&mut observed);
    let found = violations(&observed);
    assert!(found.iter().any(|violation| violation.code == expected), "{expected:?} is not in {found:#?}");
}

#[test]
fn a_sound_run_has_no_violations() {
    assert_eq!(violations(&sound()), Vec::new());
}

#[test]
fn detection_publishes_the_anomalies_of_the_undisturbed_log() {
    let anomalies = |observed: &mut Observations, change: fn(&mut Anomaly)| {
        let line = &mut observed.records.get_mut(&Topic::Anomalies).unwrap()[0];
        let mut anomaly = anomaly(1, "firing", 11);
        change(&mut anomaly);
        line.payload = Some(serde_json::to_vec(&anomaly).unwrap());
    };
    finds(
        |observed| _ = observed.records.get_mut(&Topic::Anomalies).unwrap().remove(0),
        Code::AnomalyMissing,
    );
    finds(|observed| anomalies(observed, |anomaly| anomaly.revision = 9), Code::AnomalyUnexpected);
    finds(|observed| anomalies(observed, |anomaly| anomaly.observed = 1.0), Code::AnomalyDiffers);
}

#[test]
fn a_fault_has_one_incident_and_each_episode_belongs_to_one() {
    finds(|observed| observed.incidents[0].opened_at = time(5), Code::FaultIncidents);
    finds(|observed| observed.incidents.push(incident(7, "closed")), Code::FaultIncidents);
    finds(|observed| observed.incidents.push(incident(7, "closed")), Code::NumberDuplicate);
    finds(|observed| observed.members[0].incident = None, Code::EpisodeUnassigned);
    finds(|observed| observed.incidents[0].environment = "staging".to_owned(), Code::EpisodeMisassigned);
    finds(|observed| _ = observed.undisturbed.pop(), Code::EpisodeNotCleared);
}

#[test]
fn an_incident_that_was_merged_leaves_an_end_where_it_was_announced_and_nothing_more() {
    for is_announced in [true, false] {
        let mut observed = sound();
        merge_another(&mut observed, is_announced);
        assert_eq!(violations(&observed), Vec::new(), "announced: {is_announced}");
        let finds = |break_it: fn(&mut Observations), expected: Code| {
            finds(
                |observed| {
                    merge_another(observed, is_announced);
                    break_it(observed);
                },
                expected,
            );
        };
        finds(|observed| observed.members[0].incident = Some(OTHER.to_owned()), Code::EpisodeMisassigned);
        finds(
            |observed| observed.artifacts.push((OTHER.to_owned(), "postmortem".to_owned(), 1)),
            Code::ArtifactRevisions,
        );
        finds(|observed| observed.audit.push(entry(OTHER, "resolved", 14)), Code::TimelineCount);
        finds(|observed| observed.audit.retain(|line| line.action != "merged"), Code::TimelineCount);
        finds(
            |observed| {
                let postmortem = json!({ "incident_id": OTHER }).to_string();
                publish(observed, Topic::Postmortems, postmortem.into_bytes());
            },
            Code::EventCount,
        );
        finds(
            |observed| {
                observed.mails.push(mail("surplus", 14));
                observed.notifications.push(notification(OTHER, NotificationKind::Postmortem));
            },
            Code::MailCount,
        );
        finds(|observed| observed.incidents[1].links.clear(), Code::FaultIncidents);
    }
    finds(
        |observed| {
            merge_another(observed, true);
            observed.audit.retain(|line| line.action != "announced" || line.incident == INCIDENT);
        },
        Code::EventCount,
    );
}

#[test]
fn records_are_those_of_the_outboxes() {
    finds(|observed| observed.outbox[0].published = false, Code::OutboxUnpublished);
    finds(
        |observed| {
            let again = observed.outbox[0].clone();
            observed.outbox.push(again);
        },
        Code::OutboxDuplicate,
    );
    finds(|observed| _ = observed.outbox.remove(0), Code::RecordUnknown);
    finds(|observed| observed.outbox[0].payload.push(b' '), Code::RecordDiffers);
    finds(|observed| observed.outbox[0].created_ms += 5_000, Code::RecordEarly);
    finds(|observed| observed.records.get_mut(&Topic::IncidentsOpened).unwrap().clear(), Code::RecordMissing);
}

#[test]
fn an_event_has_its_effects_in_one_transaction() {
    finds(|observed| observed.audit[1].transaction = "2".to_owned(), Code::EffectsSplit);
}

#[test]
fn an_incident_goes_through_its_lifecycle_once() {
    let publish_state = |observed: &mut Observations, revision: u32, state: &str| {
        publish(observed, Topic::IncidentsUpdated, serde_json::to_vec(&incident(revision, state)).unwrap());
    };
    finds(|observed| publish_state(observed, 7, "investigating"), Code::StateBackwards);
    finds(|observed| publish_state(observed, 2, "investigating"), Code::RevisionDiffers);
    finds(|observed| observed.incidents[0].state = State::Resolved, Code::IncidentNotClosed);
    finds(|observed| _ = observed.artifacts.remove(0), Code::ArtifactRevisions);
    finds(|observed| observed.artifacts[0].2 = 2, Code::ArtifactRevisions);
    finds(|observed| observed.unrecorded.push((INCIDENT.to_owned(), "E1".to_owned())), Code::EvidenceMissing);
    finds(|observed| observed.undisturbed[0].observed_at = time(31), Code::ResolvedEarly);
    finds(
        |observed| {
            let mut again = observed.outbox[0].clone();
            again.id = "again".to_owned();
            observed.outbox.push(again);
        },
        Code::EventCount,
    );
}

#[test]
fn a_timeline_is_in_order() {
    finds(|observed| observed.audit.swap(0, 1), Code::TimelineOrder);
    finds(|observed| observed.audit[2].at = time(11), Code::TimelineOrder);
    finds(|observed| _ = observed.audit.pop(), Code::TimelineCount);
}

#[test]
fn a_second_copy_of_a_mail_needs_a_crash_in_between() {
    let again = |observed: &mut Observations| observed.mails.insert(1, mail("0", 55));
    finds(again, Code::MailDuplicate);
    for (kind, agent) in [(FaultKind::MailRefused, None), (FaultKind::Kill, Some("communication"))] {
        let mut observed = sound();
        again(&mut observed);
        observed.injected.push(fault(kind, agent, 52));
        assert_eq!(violations(&observed), Vec::new());
    }
    for unrelated in [
        fault(FaultKind::Kill, Some("detection"), 52),
        fault(FaultKind::Kill, Some("communication"), 40),
        fault(FaultKind::KafkaRestarted, None, 52),
    ] {
        finds(
            |observed| {
                again(observed);
                observed.injected.push(unrelated);
            },
            Code::MailDuplicate,
        );
    }
    finds(|observed| observed.mails.push(mail("another", 51)), Code::MailCount);
    let pending = Notification {
        state: "pending".to_owned(),
        ..notification(INCIDENT, NotificationKind::SeverityChanged)
    };
    finds(|observed| observed.notifications.push(pending), Code::MailUnsent);
}

#[test]
fn news_come_any_number_of_times_and_each_once() {
    let mut observed = sound();
    for (number, kind) in NotificationKind::UPDATES.into_iter().cycle().take(12).enumerate() {
        let message_id = format!("update {number}");
        observed.mails.push(mail(&message_id, 20));
        observed.notifications.push(Notification { message_id, ..notification(INCIDENT, kind) });
    }
    assert_eq!(violations(&observed), Vec::new());
    finds(
        |observed| {
            let again = Notification { kind: "acknowledged".to_owned(), ..observed.notifications[0].clone() };
            observed.notifications.push(again);
        },
        Code::NotificationDuplicate,
    );
}

#[test]
fn a_notification_is_on_record_before_it_is_sent_and_has_its_timers() {
    finds(|observed| observed.notifications[2].created_ms = Some(time(51).as_millisecond()), Code::MailEarly);
    finds(|observed| observed.notifications[2].created_ms = None, Code::TimerMissing);
    finds(|observed| observed.escalations.clear(), Code::TimerMissing);
    finds(|observed| observed.notifications[0].escalates = Some(1), Code::TimerMissing);
}

#[test]
fn a_record_that_cannot_be_parsed_has_a_dead_letter_of_each_reader() {
    let poison = |observed: &mut Observations| {
        observed
            .records
            .get_mut(&Topic::Anomalies)
            .unwrap()
            .push(Line { offset: 9, ..line(POISON.to_vec(), "") });
    };
    finds(poison, Code::DeadLetterMissing);
    let mut letter = line(POISON.to_vec(), "");
    for (name, value) in [
        (dead_letter::TOPIC, "anomalies.detected"),
        (dead_letter::PARTITION, "0"),
        (dead_letter::OFFSET, "9"),
    ] {
        letter.headers.push((name.to_owned(), value.to_owned()));
    }
    finds(
        |observed| _ = observed.records.insert(Topic::DeadLetters(Agent::Correlation), vec![letter.clone()]),
        Code::DeadLetterUnexpected,
    );
    let mut observed = sound();
    poison(&mut observed);
    observed.records.insert(Topic::DeadLetters(Agent::Correlation), vec![letter.clone(), letter]);
    assert_eq!(violations(&observed), Vec::new(), "two dead letters of one record count as one");
}

#[test]
fn no_record_and_no_timer_is_pending() {
    finds(|observed| _ = observed.behind.insert(("correlation", Topic::Anomalies), 3), Code::RecordsPending);
    let timer = ("correlation".to_owned(), "settle".to_owned(), "waiting".to_owned());
    finds(|observed| observed.timers.push(timer), Code::TimerPending);
}
