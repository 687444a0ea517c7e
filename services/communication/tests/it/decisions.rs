use std::time::Duration;

use communication::channel::{Failure, Receipt};
use communication::content::{IncidentSummary, Kind, LifecycleEvent, NotificationContent};
use communication::notifications;
use communication::options::Options;
use communication::recipients::Directory;
use communication::stage::Input;
use jiff::{SignedDuration, Timestamp};
use serde_json::Map;
use shared::catalogue::Catalogue;
use shared::events::Topic;
use shared::oncall::Roster;
use shared::stage::{Effects, Stage as _};
use shared::store::{NotificationState, Write};

use crate::mails::{announced, channels, notification};
use crate::scenario;

const NOW: Timestamp = Timestamp::UNIX_EPOCH;

fn announce(content: &NotificationContent) -> Effects {
    let (options, catalogue) = (Options::default(), Catalogue::default());
    let channels = channels(&options);
    let directory = Directory {
        options: &options,
        catalogue: &catalogue,
        channels: &channels,
        roster: &Roster::default(),
        routes: None,
        at: Timestamp::UNIX_EPOCH,
    };
    announced(directory, content, Some("[SEV2] #12 base"), NOW)
}

fn attempt(effects: &Effects) -> (NotificationState, String) {
    match effects.writes.as_slice() {
        [Write::Attempt(attempt)] => (attempt.state, attempt.outcome.clone()),
        other => panic!("not one attempt but {other:?}"),
    }
}

#[test]
fn the_same_event_makes_the_same_notification() {
    for content in scenario::thread() {
        let (first, second) = (announce(&content), announce(&content));
        assert_eq!(first, second);
        assert_eq!(first.timers[0].key, content.incident.incident_id.to_string(), "one queue per incident");
    }
}

#[test]
fn five_kinds_are_five_mails_and_a_revision_is_none() {
    let mails: Vec<_> = scenario::thread().iter().map(notification).collect();
    for (mail, kind) in mails.iter().zip(Kind::LIFECYCLE) {
        let id = format!("{}.{}@firewatch.local", kind.name(), mail.incident_id);
        assert_eq!(mail.envelope["message_id"], id);
        assert_eq!(mail.subject.starts_with("Re: "), kind != Kind::Opened);
    }
    let mut again = scenario::root_cause();
    again.revision = 2;
    let again = LifecycleEvent::RootCause(Box::new(again));
    assert_eq!(notification(&scenario::content(again.clone())).id, mails[1].id);
    let effects = notifications::not_repeated(&again);
    assert!(effects.writes.is_empty() && effects.timers.is_empty());
    assert_eq!(effects.audit[0].action.name(), "mail_not_repeated");
}

#[test]
fn what_is_stored_renders_to_the_same_mail() {
    for content in scenario::thread() {
        let stored = notification(&content).event;
        let read: NotificationContent = serde_json::from_value(stored).unwrap();
        assert_eq!(read, content);
    }
}

#[test]
fn a_title_without_its_service_gets_it() {
    let subject = |title: &str| {
        IncidentSummary { title: title.into(), ..IncidentSummary::of(&scenario::opened()) }.subject()
    };
    assert_eq!(subject("payment: connections exhausted"), "[SEV2] #12 payment: connections exhausted");
    assert_eq!(subject("connections exhausted"), "[SEV2] #12 payment: connections exhausted");
}

#[test]
fn the_picture_shows_the_first_suspect_even_if_another_signal_is_stronger() {
    let mut incident = scenario::opened();
    incident.signals[2].evidence = 100.0;
    let signal = IncidentSummary::of(&incident).signal.unwrap();
    assert_eq!((signal.service.as_str(), signal.metric.as_str()), ("payment", "db_connections"));
}

#[test]
fn an_accepted_mail_is_on_record_with_its_refused_recipients() {
    let mail = notification(&scenario::thread()[0]);
    let receipt = Receipt {
        answer: "250 ok".into(),
        refused: vec!["x@example.com: 550 unknown".into()],
        envelope: Map::from_iter([("queued".to_owned(), "42".into())]),
    };
    let effects = notifications::sent(&mail, &receipt, NOW);
    let (state, outcome) = attempt(&effects);
    assert_eq!(state, NotificationState::Sent);
    assert!(outcome.contains("250 ok") && outcome.contains("x@example.com: 550 unknown"), "{outcome}");
    assert!(matches!(&effects.writes[0], Write::Attempt(attempt) if attempt.receipt == receipt.envelope));
    assert_eq!(effects.audit[0].action.name(), "mail_sent");
    assert_eq!(effects.again, None);
}

#[test]
fn a_delayed_mail_keeps_its_place_and_is_retried_with_growing_pauses() {
    let options =
        Options { retry_initial_ms: 1_000, retry_max_ms: 60_000, max_attempts: 20, ..Options::default() };
    let mail = notification(&scenario::thread()[0]);
    let unreachable = Failure::Transient("connection refused".into());
    let pauses: Vec<i64> = (0..19)
        .map(|attempts| {
            let effects = notifications::failed(&options, &mail, &unreachable, attempts, NOW);
            assert_eq!(attempt(&effects), (NotificationState::Pending, "connection refused".into()));
            assert!(effects.timers.is_empty(), "the timer that failed stays first in its queue");
            assert_eq!(effects.audit.len(), usize::from(attempts == 0), "on record once");
            effects.again.unwrap().duration_since(NOW).as_secs()
        })
        .collect();
    assert_eq!(pauses[..8], [1, 2, 4, 8, 16, 32, 60, 60]);
    let last = notifications::failed(&options, &mail, &unreachable, 19, NOW);
    assert_eq!(attempt(&last).0, NotificationState::Failed);
    assert_eq!((last.again, last.audit[0].action.name()), (None, "mail_failed"));
    let busy = |seconds| Failure::Throttled { reason: "busy".into(), pause: Duration::from_secs(seconds) };
    let pause = |seconds, attempts| {
        let effects = notifications::failed(&options, &mail, &busy(seconds), attempts, NOW);
        effects.again.unwrap().duration_since(NOW).as_secs()
    };
    assert_eq!([pause(30, 0), pause(3, 6), pause(u64::MAX, 0)], [30, 60, 3_600]);
    let late =
        notifications::failed(&options, &mail, &unreachable, u32::MAX, NOW + SignedDuration::from_hours(1));
    assert_eq!(late.again, None);
}

#[test]
fn a_refused_mail_is_not_tried_again() {
    let mail = notification(&scenario::thread()[0]);
    let effects =
        notifications::failed(&Options::default(), &mail, &Failure::Permanent("550 no".into()), 0, NOW);
    assert_eq!(attempt(&effects), (NotificationState::Failed, "550 no".into()));
    assert_eq!((effects.again, effects.audit[0].action.name()), (None, "mail_failed"));
}

#[test]
fn every_topic_that_is_read_is_decoded() {
    use communication::Communication;
    let payload = |event: &LifecycleEvent| match event {
        LifecycleEvent::Opened(event) | LifecycleEvent::Resolved(event) => serde_json::to_vec(event),
        LifecycleEvent::RootCause(event) => serde_json::to_vec(event),
        LifecycleEvent::Plan(event) => serde_json::to_vec(event),
        LifecycleEvent::Postmortem(event) => serde_json::to_vec(event),
        LifecycleEvent::Update(_) => unreachable!("no topic carries it"),
    };
    let order = [
        Topic::IncidentsOpened,
        Topic::RcaCompleted,
        Topic::Plans,
        Topic::IncidentsResolved,
        Topic::Postmortems,
    ];
    let read = |topic: &Topic| {
        order.contains(topic) || [Topic::IncidentsUpdated, Topic::OperatorCommands].contains(topic)
    };
    assert!(Communication::TOPICS.iter().all(read));
    for (content, topic) in scenario::thread().into_iter().zip(order) {
        let bytes = payload(&content.event).unwrap();
        let Input::Event(event) = Communication::decode(topic, &bytes).unwrap() else { panic!("{topic}") };
        assert_eq!(event, content.event);
        assert!(Communication::decode(topic, b"{}").is_err());
    }
    let changed = serde_json::to_vec(&scenario::opened()).unwrap();
    let updated = Communication::decode(Topic::IncidentsUpdated, &changed).unwrap();
    assert!(matches!(updated, Input::Updated(_)));
}

/// Every sentence that this stage writes into the audit trail.
#[test]
fn audit_summaries() {
    let mut summaries = Vec::new();
    let mut add = |effects: Effects| {
        summaries
            .extend(effects.audit.into_iter().map(|entry| format!("{}: {}", entry.action, entry.summary)));
    };
    let content = scenario::thread().remove(1);
    let mail = notification(&content);
    let refused = vec!["x@example.com: 550 unknown".to_owned()];
    let unreachable = Failure::Transient("connection refused".into());
    add(notifications::sent(&mail, &Receipt { answer: "250 ok".into(), ..Receipt::default() }, NOW));
    add(notifications::sent(&mail, &Receipt { answer: "250 ok".into(), refused, ..Receipt::default() }, NOW));
    add(notifications::failed(&Options::default(), &mail, &unreachable, 0, NOW));
    add(notifications::failed(&Options::default(), &mail, &unreachable, 499, NOW));
    add(notifications::failed(&Options::default(), &mail, &Failure::Permanent("550 no".into()), 0, NOW));
    add(notifications::not_repeated(&content.event));
    let options = Options { commanders: vec!["no address".into()], ..Options::default() };
    let channels = channels(&options);
    let directory = Directory {
        options: &options,
        catalogue: &Catalogue::default(),
        channels: &channels,
        roster: &Roster::default(),
        routes: None,
        at: Timestamp::UNIX_EPOCH,
    };
    add(announced(directory, &content, None, NOW));
    insta::assert_snapshot!(summaries.join("\n"));
}
