//! What must be true of notifications on all channels, and of mails.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::store::NotificationKind;

use super::violation::{Code, Found};
use super::{Outcome, commands};
use crate::oracle::fault_injector::{FaultKind, InjectedFault};
use crate::oracle::observations::{Notification, Observations};
use crate::oracle::receivers::Receiver;

/// The channel of mails.
const MAIL: &str = "email";

/// Each incident has the notifications of its lifecycle on each channel, five if it was followed to its end once; each mail is there under
/// one Message-ID. A second copy is allowed only where an agent, the database or the mail server crashed between the acceptance of the mail and the commit of the
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
    let mails = observed.notifications.iter().filter(|one| one.channel == MAIL && !one.is_held).count();
    if copies.len() != mails {
        found.add(Code::MailCount, format!("{} different mails of {mails} notifications", copies.len()));
    }
    lifecycles(observed, found);
    let is_over = |one: &Notification| one.state == if one.is_held { "summarized" } else { "sent" };
    for one in observed.notifications.iter().filter(|one| !is_over(one)) {
        let Notification { kind, incident, channel, state, .. } = one;
        found.add(Code::MailUnsent, format!("the {kind} notification of {incident} by {channel} is {state}"));
    }
}

/// On each channel: all of them are notified of every incident.
fn lifecycles(observed: &Observations, found: &mut Found) {
    let channels: Vec<&str> = Receiver::ALL.map(Receiver::channel).into_iter().chain([MAIL]).collect();
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
            for channel in &channels {
                let own =
                    observed.notifications.iter().filter(|one| one.incident == id && one.channel == *channel);
                let count = own.filter(|one| one.kind == kind.name()).count();
                if !(least..=*expected.end()).contains(&count) {
                    let number = incident.number;
                    found.add(
                        Code::MailCount,
                        format!("incident {number} has {count} notifications by {channel} about its {kind}"),
                    );
                }
            }
        }
    }
}

/// A notification is on record before it is sent, and an opening that is escalated has the timer of its first step. News between the
/// five of every incident come any number of times, each of them once.
pub(super) fn notifications(observed: &Observations, found: &mut Found) {
    let mut ids = BTreeSet::new();
    for notification in &observed.notifications {
        let Notification { kind, incident, channel, .. } = notification;
        let name = format!("the {kind} notification of {incident} by {channel}");
        if !ids.insert(&notification.message_id) {
            found.add(Code::NotificationDuplicate, format!("{name} has two notifications"));
        }
        let mut sent = times(notification, observed);
        match notification.created_ms {
            // a timer for its address and time writes the summary: without one it waits on
            None if notification.is_held => {}
            None => found.add(Code::TimerMissing, format!("no timer sends {name}")),
            Some(created) if sent.any(|at| at.as_millisecond() < created) => {
                found.add(Code::MailEarly, format!("{name} was sent before it was on record"));
            }
            Some(_) => {}
        }
        if let Some(reopened) = notification.escalates {
            // one that begins a thread for later news says nothing of a reopening, whose escalation is the one that counts
            let begun = |(of, times): &(String, u32)| *of == notification.incident && *times >= reopened;
            if !observed.escalations.iter().any(begun) {
                found.add(Code::TimerMissing, format!("no timer escalates what {name} opens"));
            }
        }
    }
}

/// Returns when a notification arrived, where its copies can be told from other notifications.
fn times<'a>(notification: &'a Notification, observed: &'a Observations) -> impl Iterator<Item = Timestamp> {
    let id = &notification.message_id;
    let mails = observed.mails.iter().filter(move |mail| mail.mail.id == *id).map(|mail| mail.at);
    let accepted = observed.received.accepted.iter();
    mails.chain(accepted.filter(move |one| one.key == *id).map(|one| one.at))
}

/// Returns whether `fault` may have happened between the acceptance of a mail, stored at `accepted`, and the commit of the
/// stage.
pub(super) fn excuses(fault: &InjectedFault, accepted: Timestamp, again: Timestamp) -> bool {
    // the server stores a mail shortly before or after its answer
    let slack = SignedDuration::from_millis(500);
    let matters =
        fault.agent.is_none_or(|agent| agent == "communication") && fault.kind != FaultKind::KafkaRestarted;
    matters && fault.at <= again && fault.until + slack >= accepted
}
