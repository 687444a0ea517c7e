//! What must be true of notifications and mails.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::store::NotificationKind;

use super::violation::{Code, Found};
use super::{Outcome, commands};
use crate::oracle::fault_injector::{FaultKind, InjectedFault};
use crate::oracle::observations::Observations;

/// Each incident has the mails of its lifecycle, five if it was followed to its end once, each under one Message-ID. A second copy is
/// allowed only where an agent, the database or the mail server crashed between the acceptance of the mail and the commit of the
/// stage.
pub(super) fn mails(observed: &Observations, found: &mut Found) {
    let mut copies: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for accepted in &observed.mails {
        copies.entry(&accepted.mail.id).or_default().push(accepted.at);
    }
    for (id, times) in &copies {
        for pair in times.windows(2) {
            if !observed.injected.iter().any(|fault| excuses(fault, pair[0], pair[1])) {
                found.add(
                    Code::MailDuplicate,
                    format!("{id} was sent twice, at {} and {}, without a crash between", pair[0], pair[1]),
                );
            }
        }
    }
    if copies.len() != observed.notifications.len() {
        found.add(
            Code::MailCount,
            format!("{} different mails of {} notifications", copies.len(), observed.notifications.len()),
        );
    }
    for incident in &observed.incidents {
        let (id, outcome) = (incident.incident_id.to_string(), Outcome::of(incident, observed));
        let reopened = incident.reopened as usize;
        let times = outcome.announcements() + reopened;
        let postmortems = outcome.postmortems(reopened);
        let is_muted = commands::was_muted(incident, observed);
        for (kind, expected) in [
            (NotificationKind::Opened, times..=times),
            (NotificationKind::RootCause, outcome.findings()),
            (NotificationKind::Plan, outcome.findings()),
            (NotificationKind::Resolved, times..=times),
            (NotificationKind::Postmortem, (*postmortems.start()).min(1)..=(*postmortems.end()).min(1)),
        ] {
            let least = if is_muted && kind != NotificationKind::Resolved { 0 } else { *expected.start() };
            let own = observed.notifications.iter().filter(|mail| mail.incident == id);
            let mails = own.filter(|mail| mail.kind == kind.name()).count();
            if !(least..=*expected.end()).contains(&mails) {
                let number = incident.number;
                found.add(Code::MailCount, format!("incident {number} has {mails} mails about its {kind}"));
            }
        }
    }
    for mail in observed.notifications.iter().filter(|mail| mail.state != "sent") {
        found.add(Code::MailUnsent, format!("the {} mail of {} is {}", mail.kind, mail.incident, mail.state));
    }
}

/// A notification is on record before it is sent, and an opening that is escalated has the timer of its first step. News between the
/// five of every incident come any number of times, each of them once.
pub(super) fn notifications(observed: &Observations, found: &mut Found) {
    let mut ids = BTreeSet::new();
    for notification in &observed.notifications {
        let name = format!("the {} mail of {}", notification.kind, notification.incident);
        if !ids.insert(&notification.message_id) {
            found.add(Code::NotificationDuplicate, format!("{name} has two notifications"));
        }
        let mut sent = observed.mails.iter().filter(|mail| mail.mail.id == notification.message_id);
        match notification.created_ms {
            None => found.add(Code::TimerMissing, format!("no timer sends {name}")),
            Some(created) if sent.any(|mail| mail.at.as_millisecond() < created) => {
                found.add(Code::MailEarly, format!("{name} was sent before it was on record"));
            }
            Some(_) => {}
        }
        if let Some(reopened) = notification.escalates {
            let begun = |(of, times): &(String, u32)| *of == notification.incident && *times == reopened;
            if !observed.escalations.iter().any(begun) {
                found.add(Code::TimerMissing, format!("no timer escalates what {name} opens"));
            }
        }
    }
}

/// Returns whether `fault` may have happened between the acceptance of a mail, stored at `accepted`, and the commit of the
/// stage.
fn excuses(fault: &InjectedFault, accepted: Timestamp, again: Timestamp) -> bool {
    // the server stores a mail shortly before or after its answer
    let slack = SignedDuration::from_millis(500);
    let matters =
        fault.agent.is_none_or(|agent| agent == "communication") && fault.kind != FaultKind::KafkaRestarted;
    matters && fault.at <= again && fault.until + slack >= accepted
}
