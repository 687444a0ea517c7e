//! Checks of receivers that are reached by HTTP, and of digests.

use super::*;
use crate::oracle::observations::Digested;

const KEY: &str = "opened of 00000000-0000-0000-0000-00000000000b by webhook";

/// Lets a receiver accept the opening once more.
fn again(observed: &mut Observations, receiver: Receiver, second: i64) {
    let accepted = &mut observed.received.accepted;
    let place = accepted.iter().position(|one| one.receiver == receiver).unwrap();
    let copy = Acceptance { at: time(second), is_answered: true, ..accepted[place].clone() };
    accepted.push(copy);
}

fn without(observed: &mut Observations, receiver: Receiver) {
    observed.received.accepted.retain(|one| one.receiver != receiver);
}

#[test]
fn each_receiver_accepts_what_is_on_record_and_nothing_else() {
    for receiver in Receiver::ALL {
        finds(|observed| without(observed, receiver), Code::DeliveryMissing);
        finds(
            |observed| observed.received.accepted.push(accepted(receiver, "nobody/trigger", 50)),
            Code::DeliveryUnknown,
        );
        finds(|observed| again(observed, receiver, 55), Code::DeliveryDuplicate);
        finds(
            |observed| observed.received.refused.push((receiver, "the signature is wrong".to_owned())),
            Code::DeliveryInvalid,
        );
        finds(
            |observed| observed.notifications.retain(|one| one.channel != receiver.channel()),
            Code::MailCount,
        );
    }
}

#[test]
fn a_second_request_with_one_key_needs_a_crash_or_a_broken_connection_in_between() {
    for receiver in Receiver::ALL {
        let mut observed = sound();
        again(&mut observed, receiver, 55);
        observed.injected.push(fault(FaultKind::Kill, Some("communication"), 52));
        assert_eq!(violations(&observed), Vec::new());

        let mut observed = sound();
        let first = observed.received.accepted.iter().position(|one| one.receiver == receiver).unwrap();
        observed.received.accepted[first].is_answered = false;
        again(&mut observed, receiver, 55);
        assert_eq!(violations(&observed), Vec::new());
        // and that explains one repeat
        again(&mut observed, receiver, 56);
        assert_eq!(codes(&observed), [Code::DeliveryDuplicate]);
    }
    for unrelated in [
        fault(FaultKind::Kill, Some("detection"), 52),
        fault(FaultKind::Kill, Some("communication"), 40),
        fault(FaultKind::Kill, Some("communication"), 57),
        fault(FaultKind::KafkaRestarted, None, 52),
        fault(FaultKind::MailRefused, None, 52),
    ] {
        finds(
            |observed| {
                again(observed, Receiver::Webhook, 55);
                observed.injected.push(unrelated);
            },
            Code::DeliveryDuplicate,
        );
    }
}

#[test]
fn an_alert_that_is_raised_twice_on_record_is_raised_twice() {
    let raise = |observed: &mut Observations| {
        let row = Notification {
            channel: "pagerduty".to_owned(),
            effect: Some(format!("{INCIDENT}/trigger")),
            ..notification(INCIDENT, NotificationKind::SeverityChanged)
        };
        observed.notifications.push(row);
    };
    finds(raise, Code::DeliveryMissing);
    let mut observed = sound();
    raise(&mut observed);
    again(&mut observed, Receiver::PagerDuty, 55);
    assert_eq!(violations(&observed), Vec::new());
    again(&mut observed, Receiver::PagerDuty, 56);
    assert_eq!(codes(&observed), [Code::DeliveryDuplicate]);
}

#[test]
fn a_receiver_has_an_incident_in_order_and_after_it_is_on_record() {
    let accept_at = |observed: &mut Observations, second: i64| {
        let accepted = &mut observed.received.accepted;
        accepted.iter_mut().find(|one| one.key == KEY).unwrap().at = time(second);
    };
    finds(|observed| accept_at(observed, 51), Code::DeliveryOrder);
    finds(|observed| accept_at(observed, 11), Code::MailEarly);
    finds(
        |observed| {
            let row = observed.notifications.iter_mut().find(|one| one.message_id == KEY).unwrap();
            row.state = "pending".to_owned();
        },
        Code::MailUnsent,
    );
}

/// Lets the mails of a run wait for a digest, and `said` of them be in it.
fn hold(observed: &mut Observations, said: i64) {
    for one in observed.notifications.iter_mut().filter(|one| one.channel == "email") {
        (one.is_held, one.created_ms) = (true, None);
        one.state = "summarized".to_owned();
    }
    observed.mails = vec![mail("digest", 60)];
    let digest = Notification {
        kind: "digest".to_owned(),
        message_id: "digest".to_owned(),
        ..notification(INCIDENT, NotificationKind::Opened)
    };
    observed.notifications.push(digest);
    observed.digested.push(Digested { number: 1, said });
}

#[test]
fn what_waits_is_said_in_one_digest() {
    let mut observed = sound();
    hold(&mut observed, 5);
    assert_eq!(violations(&observed), Vec::new());
    finds(|observed| hold(observed, 4), Code::DigestCount);
    finds(
        |observed| {
            hold(observed, 5);
            observed.digested.push(Digested { number: 1, said: 1 });
        },
        Code::DigestCount,
    );
    finds(
        |observed| {
            hold(observed, 5);
            observed.notifications[0].state = "held".to_owned();
        },
        Code::MailUnsent,
    );
    finds(
        |observed| {
            hold(observed, 5);
            observed.mails.clear();
        },
        Code::MailCount,
    );
}

fn codes(observed: &Observations) -> Vec<Code> {
    violations(observed).into_iter().map(|violation| violation.code).collect()
}
