//! What must be true of receivers that are reached by HTTP, and of digests.

use std::collections::BTreeMap;

use shared::store::NotificationKind;

use super::commands;
use super::mails::excuses;
use super::violation::{Code, Found};
use crate::oracle::fault_injector::FaultKind;
use crate::oracle::observations::Observations;
use crate::oracle::receivers::{Acceptance, Receiver};

/// Each effect that is on record was accepted, and nothing else. One is accepted again only where the connection broke before the
/// answer, or an agent or the database crashed between the acceptance and the commit of the stage: under the same key, by which a
/// receiver knows it. Slack has no key; the id of the notification in the metadata of a message stands for one.
pub(super) fn deliveries(observed: &Observations, found: &mut Found) {
    let mut effects: BTreeMap<(Receiver, &str), (usize, Vec<&Acceptance>)> = BTreeMap::new();
    for one in observed.notifications.iter().filter(|one| one.state == "sent") {
        if let (Some(receiver), Some(effect)) = (Receiver::of(&one.channel), &one.effect) {
            effects.entry((receiver, effect)).or_default().0 += 1;
        }
    }
    for accepted in &observed.received.accepted {
        effects.entry((accepted.receiver, &accepted.key)).or_default().1.push(accepted);
    }
    for ((receiver, key), (recorded, accepted)) in &effects {
        let name = format!("{key} at {}", receiver.channel());
        if *recorded == 0 {
            found.add(Code::DeliveryUnknown, format!("{name} was accepted and is not on record as sent"));
            continue;
        }
        if accepted.len() < *recorded {
            let times = accepted.len();
            found.add(
                Code::DeliveryMissing,
                format!("{name} is on record {recorded} times and was accepted {times} times"),
            );
        }
        let repeats = accepted.windows(2).filter(|pair| is_explained(pair[0], pair[1], observed)).count();
        if accepted.len() - repeats > *recorded {
            let times: Vec<String> = accepted.iter().map(|one| one.at.to_string()).collect();
            found.add(
                Code::DeliveryDuplicate,
                format!("{name} is on record {recorded} times and was accepted at {}", times.join(", ")),
            );
        }
    }
    for (receiver, reason) in &observed.received.refused {
        found.add(Code::DeliveryInvalid, format!("{} refused a request: {reason}", receiver.channel()));
    }
}

fn is_explained(accepted: &Acceptance, again: &Acceptance, observed: &Observations) -> bool {
    let crashed = observed
        .injected
        .iter()
        .filter(|fault| fault.kind != FaultKind::MailRefused)
        .any(|fault| excuses(fault, accepted.at, again.at));
    !accepted.is_answered || crashed
}

/// A receiver has the opening of an incident before all other news of it, where it can be told which is which.
pub(super) fn order(observed: &Observations, found: &mut Found) {
    let mut first = BTreeMap::new();
    for accepted in &observed.received.accepted {
        first.entry((accepted.receiver, accepted.key.as_str())).or_insert(accepted.at);
    }
    for receiver in [Receiver::Webhook, Receiver::Slack] {
        let own = observed.notifications.iter().filter(|one| one.channel == receiver.channel());
        let mut openings = BTreeMap::new();
        let mut others = BTreeMap::new();
        for one in own {
            let Some(at) = first.get(&(receiver, one.message_id.as_str())) else { continue };
            let is_opening = one.kind == NotificationKind::Opened.name();
            let earliest = if is_opening { &mut openings } else { &mut others };
            let known = earliest.entry(one.incident.as_str()).or_insert(*at);
            *known = (*known).min(*at);
        }
        for (incident, at) in others {
            if openings.get(incident).is_none_or(|opened| *opened > at) {
                let name = receiver.channel();
                found.add(Code::DeliveryOrder, format!("{name} had news of {incident} before its opening"));
            }
        }
    }
}

/// What waited of an incident is said in one digest. Of one that was muted, what is not news any more is not said at all.
pub(super) fn digests(observed: &Observations, found: &mut Found) {
    for incident in &observed.incidents {
        let (id, number) = (incident.incident_id.to_string(), incident.number);
        let held = observed.notifications.iter().filter(|one| one.is_held && one.incident == id);
        let held = i64::try_from(held.count()).unwrap_or(i64::MAX);
        let said: i64 = observed.digested.iter().filter(|one| one.number == number).map(|one| one.said).sum();
        let least = if commands::was_muted(incident, observed) { 0 } else { held };
        if !(least..=held).contains(&said) {
            found.add(
                Code::DigestCount,
                format!("digests say {said} of {held} notifications of incident {number} that waited"),
            );
        }
    }
}
