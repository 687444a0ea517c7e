//! What must be true of a run, whatever was injected. Pure.

mod violation;

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::bus::dead_letter::header as dead_letter;
use shared::bus::reader::Line;
use shared::events::anomaly::Status;
use shared::events::envelope::header;
use shared::events::fault::Phase;
use shared::events::incident::State;
use shared::events::{Anomaly, Incident, Topic};
use shared::store::NotificationKind;

use violation::Found;
pub use violation::{Code, Violation};

use super::fault_injector::{FaultKind, InjectedFault, POISON};
use super::observations::{Entry, Observations, Outgoing};

/// Topics that stages publish to by an outbox.
const EXACT: [Topic; 6] = [
    Topic::IncidentsOpened,
    Topic::IncidentsUpdated,
    Topic::IncidentsResolved,
    Topic::RcaCompleted,
    Topic::Plans,
    Topic::Postmortems,
];

/// Returns all violations.
pub fn violations(observed: &Observations) -> Vec<Violation> {
    let mut found = Found::default();
    detection(observed, &mut found);
    faults(observed, &mut found);
    members(observed, &mut found);
    outbox(observed, &mut found);
    inbox(observed, &mut found);
    lifecycles(observed, &mut found);
    evidence(observed, &mut found);
    timelines(observed, &mut found);
    mails(observed, &mut found);
    dead_letters(observed, &mut found);
    quiescence(observed, &mut found);
    found.0
}

/// The anomalies on the bus are those of the undisturbed log: none is missing, none is surplus, none differs.
fn detection(observed: &Observations, found: &mut Found) {
    let core = |anomaly: &Anomaly| {
        (
            anomaly.status,
            anomaly.started_at,
            anomaly.observed_at,
            anomaly.severity,
            anomaly.observed.to_bits(),
            anomaly.evidence.to_bits(),
            anomaly.expected.center.to_bits(),
        )
    };
    let expected: BTreeMap<_, _> = observed
        .undisturbed
        .iter()
        .map(|anomaly| ((anomaly.anomaly_id, anomaly.revision), anomaly))
        .collect();
    let mut seen = BTreeSet::new();
    // a regression depends on raw.deployments as well, and the order between topics is not part of the log
    let of_metrics = |anomaly: &Anomaly| anomaly.detector != detection::service::regression::DETECTOR;
    for anomaly in observed.events::<Anomaly>(Topic::Anomalies).filter(of_metrics) {
        let which = (anomaly.anomaly_id, anomaly.revision);
        let name = || {
            format!(
                "revision {} of {} of {} in {}",
                anomaly.revision, anomaly.metric, anomaly.service, anomaly.environment
            )
        };
        match expected.get(&which) {
            None => found.add(
                Code::AnomalyUnexpected,
                format!(
                    "detection published {} ({:?}), which the undisturbed log does not give",
                    name(),
                    anomaly.status
                ),
            ),
            Some(undisturbed) if core(undisturbed) != core(&anomaly) => {
                found.add(
                    Code::AnomalyDiffers,
                    format!(
                        "detection published {} with other values than the undisturbed log gives",
                        name()
                    ),
                );
            }
            Some(_) => _ = seen.insert(which),
        }
    }
    for (which, anomaly) in expected {
        if !seen.contains(&which) {
            found.add(
                Code::AnomalyMissing,
                format!(
                    "detection did not publish revision {} of {} of {} in {} ({:?})",
                    anomaly.revision, anomaly.metric, anomaly.service, anomaly.environment, anomaly.status
                ),
            );
        }
    }
}

/// Each fault that detection found has exactly one incident, besides those that ended in it.
fn faults(observed: &Observations, found: &mut Found) {
    for fault in observed.faults.iter().filter(|fault| fault.phase == Phase::Started) {
        let ended = observed
            .faults
            .iter()
            .find(|other| other.phase == Phase::Ended && other.environment == fault.environment)
            .map_or(Timestamp::MAX, |ended| ended.at);
        let during = |at: Timestamp| (fault.at..ended).contains(&at);
        let was_detected = observed.undisturbed.iter().any(|anomaly| {
            anomaly.status == Status::Firing
                && anomaly.environment == fault.environment
                && during(anomaly.started_at)
        });
        let incidents: Vec<_> = observed
            .incidents
            .iter()
            .filter(|incident| incident.environment == fault.environment && during(incident.opened_at))
            .filter(|incident| incident.merged_into().is_none())
            .map(|incident| {
                let until = incident.resolved_at.map_or_else(|| "now".to_owned(), |at| at.to_string());
                format!("{} ({}, {} to {until})", incident.number, incident.title, incident.opened_at)
            })
            .collect();
        if was_detected && incidents.len() != 1 {
            found.add(
                Code::FaultIncidents,
                format!(
                    "{} in {} from {} to {ended} has {} incidents: {}",
                    fault.scenario,
                    fault.environment,
                    fault.at,
                    incidents.len(),
                    incidents.join(", ")
                ),
            );
        }
    }
}

/// Each episode that fired belongs to one incident, of its own environment and not merged into another one, and is cleared by
/// the end.
fn members(observed: &Observations, found: &mut Found) {
    let fired: BTreeMap<_, _> = observed
        .undisturbed
        .iter()
        .filter(|anomaly| anomaly.status == Status::Firing)
        .map(|anomaly| (anomaly.anomaly_id.to_string(), anomaly))
        .collect();
    for (id, anomaly) in fired {
        let member = observed.members.iter().find(|member| member.anomaly == id);
        let name = format!("{} of {} in {}", anomaly.metric, anomaly.service, anomaly.environment);
        match member.and_then(|member| member.incident.as_ref()) {
            None => found.add(Code::EpisodeUnassigned, format!("{name} fired and belongs to no incident")),
            Some(incident) => {
                let of = observed.incidents.iter().find(|of| of.incident_id.to_string() == *incident);
                if of.is_none_or(|of| of.environment != anomaly.environment) {
                    found.add(
                        Code::EpisodeMisassigned,
                        format!("{name} belongs to an incident of another environment"),
                    );
                }
                if let Some(link) = of.and_then(Incident::merged_into) {
                    found.add(
                        Code::EpisodeMisassigned,
                        format!("{name} stayed in an incident that was merged into {}", link.number),
                    );
                }
            }
        }
        let cleared =
            |other: &&Anomaly| other.anomaly_id == anomaly.anomaly_id && other.status == Status::Cleared;
        if !observed.undisturbed.iter().any(|other| cleared(&other)) {
            found.add(
                Code::EpisodeNotCleared,
                format!("{name} did not clear: the run ended too early to prove anything"),
            );
        }
    }
}

/// The records of the stages are those of their outboxes: each event has one row, each row one payload on the bus, no
/// record is without a row, and none is older than its row.
fn outbox(observed: &Observations, found: &mut Found) {
    let mut rows = BTreeMap::new();
    for row in &observed.outbox {
        if rows.insert((row.topic.as_str(), row.id.as_str()), row).is_some() {
            found.add(
                Code::OutboxDuplicate,
                format!("{} wrote {} twice to its outbox for {}", row.stage, row.id, row.topic),
            );
        }
        if !row.published {
            found.add(
                Code::OutboxUnpublished,
                format!("{} did not publish {} to {}", row.stage, row.id, row.topic),
            );
        }
    }
    let mut published = BTreeSet::new();
    for topic in EXACT {
        for line in observed.records.get(&topic).into_iter().flatten() {
            if line.payload.as_deref() == Some(POISON) {
                continue;
            }
            let id = header(&line.headers, "ce_id").unwrap_or_default();
            let Some(row) = rows.get(&(topic.name(), id)) else {
                found.add(Code::RecordUnknown, format!("{topic} holds {id}, which is in no outbox"));
                continue;
            };
            if line.payload.as_deref() != Some(row.payload.as_slice()) {
                found.add(
                    Code::RecordDiffers,
                    format!("{topic} holds {id} with another payload than the outbox"),
                );
            }
            if line.timestamp_ms.is_some_and(|at| at < row.created_ms) {
                found.add(Code::RecordEarly, format!("{id} was on {topic} before it was in the outbox"));
            }
            published.insert((topic.name(), id));
        }
    }
    for (topic, id) in rows.into_keys().filter(|row| !published.contains(row)) {
        found.add(Code::RecordMissing, format!("{id} is marked as published and is not on {topic}"));
    }
}

/// The effects of an event were written in the one transaction that wrote its inbox row.
fn inbox(observed: &Observations, found: &mut Found) {
    for line in &observed.audit {
        if line.inbox.as_ref().is_some_and(|inbox| *inbox != line.transaction) {
            found.add(
                Code::EffectsSplit,
                format!("{} applied event {} in two transactions: {}", line.actor, line.event, line.action),
            );
        }
    }
}

/// What an incident leaves by its end: how often it is announced, and whether it has a cause, a plan, a postmortem and the
/// mails about them. The order in which partitions are read is not set, so a fault may begin as two incidents. One of them ends
/// in the other: unseen if it was not announced, with one event and one mail if it was.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Outcome {
    /// It went through its whole lifecycle.
    Followed,
    /// It was announced, and merged into another one later.
    Merged,
    /// It was merged into another one before it was announced.
    MergedUnseen,
}

impl Outcome {
    fn of(incident: &Incident, observed: &Observations) -> Self {
        let id = incident.incident_id.to_string();
        let is_announcement =
            |line: &Entry| line.incident == id && line.action == AuditAction::Announced.name();
        if incident.merged_into().is_none() {
            Self::Followed
        } else if observed.audit.iter().any(is_announcement) {
            Self::Merged
        } else {
            Self::MergedUnseen
        }
    }

    /// Returns how often it opens and ends for people.
    fn announcements(self) -> usize {
        usize::from(self != Self::MergedUnseen)
    }

    /// Returns how often a cause, a plan and the mails about them may be there.
    fn findings(self) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Followed => 1..=1,
            Self::Merged => 0..=1,
            Self::MergedUnseen => 0..=0,
        }
    }

    /// Returns how often its end is looked back at.
    fn postmortems(self) -> usize {
        usize::from(self == Self::Followed)
    }
}

/// Each incident went through its lifecycle once: revisions and states only grow, each revision of an artifact is there
/// once, and each end of the lifecycle is published once.
fn lifecycles(observed: &Observations, found: &mut Found) {
    let mut published: BTreeMap<_, BTreeMap<u32, Incident>> = BTreeMap::new();
    for topic in [Topic::IncidentsOpened, Topic::IncidentsUpdated, Topic::IncidentsResolved] {
        for incident in observed.events::<Incident>(topic) {
            let revisions = published.entry(incident.incident_id).or_default();
            if let Some(other) = revisions.insert(incident.revision, incident.clone())
                && other != incident
            {
                found.add(
                    Code::RevisionDiffers,
                    format!("incident {} has two revisions {}", incident.number, incident.revision),
                );
            }
        }
    }
    for (id, revisions) in &published {
        let states: Vec<_> = revisions.values().map(|incident| incident.state).collect();
        if !states.is_sorted() {
            found.add(Code::StateBackwards, format!("the state of incident {id} went backwards: {states:?}"));
        }
    }
    let mut numbers = BTreeSet::new();
    for incident in &observed.incidents {
        let (number, id) = (incident.number, incident.incident_id.to_string());
        if !numbers.insert(number) {
            found.add(Code::NumberDuplicate, format!("two incidents have the number {number}"));
        }
        if incident.state != State::Closed {
            found.add(
                Code::IncidentNotClosed,
                format!("incident {number} is {} and not closed", incident.state),
            );
        }
        let outcome = Outcome::of(incident, observed);
        for (topic, expected) in [
            (Topic::IncidentsOpened, outcome.announcements()),
            (Topic::IncidentsResolved, outcome.announcements()),
            (Topic::Postmortems, outcome.postmortems()),
        ] {
            let rows = observed.outbox.iter().filter(|row| row.topic == topic.name());
            let events = rows.filter(|row| subject(row).as_ref() == Some(&id)).count();
            if events != expected {
                found.add(
                    Code::EventCount,
                    format!("incident {number} has {events} events on {topic} instead of {expected}"),
                );
            }
        }
        artifacts(incident, outcome, observed, found);
        let last = observed
            .undisturbed
            .iter()
            .filter(|anomaly| incident.members.contains(&anomaly.anomaly_id))
            .filter(|anomaly| anomaly.status == Status::Firing)
            .map(|anomaly| anomaly.observed_at)
            .max();
        if outcome == Outcome::Followed && incident.resolved_at < last {
            found.add(Code::ResolvedEarly, format!("incident {number} was resolved while a member fired"));
        }
    }
}

/// What the last cause of an incident cites is on record.
fn evidence(observed: &Observations, found: &mut Found) {
    for (incident, piece) in &observed.unrecorded {
        found.add(Code::EvidenceMissing, format!("{piece} of incident {incident} is not on record"));
    }
}

/// The revisions of a cause, a plan and a postmortem are there once each, and only where they belong.
fn artifacts(incident: &Incident, outcome: Outcome, observed: &Observations, found: &mut Found) {
    let (number, id) = (incident.number, incident.incident_id.to_string());
    let mut kinds: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
    for (_, kind, revision) in observed.artifacts.iter().filter(|(of, _, _)| *of == id) {
        kinds.entry(kind).or_default().push(*revision);
    }
    let postmortems = outcome.postmortems();
    for (kind, expected) in [
        ("root_cause", outcome.findings()),
        ("plan", outcome.findings()),
        ("postmortem", postmortems..=postmortems),
    ] {
        let revisions = kinds.get(kind).cloned().unwrap_or_default();
        if !expected.contains(&usize::from(!revisions.is_empty()))
            || revisions.iter().zip(1..).any(|(revision, expected)| *revision != expected)
        {
            found.add(
                Code::ArtifactRevisions,
                format!("incident {number} has the revisions {revisions:?} of its {kind}"),
            );
        }
    }
}

/// Returns the incident that an event is about.
fn subject(row: &Outgoing) -> Option<String> {
    let payload: serde_json::Value = serde_json::from_slice(&row.payload).ok()?;
    Some(payload.get("incident_id")?.as_str()?.to_owned())
}

/// The timeline of an incident has each step once, in the order of the lifecycle.
fn timelines(observed: &Observations, found: &mut Found) {
    for incident in &observed.incidents {
        let id = incident.incident_id.to_string();
        let own: Vec<_> = observed.audit.iter().filter(|line| line.incident == id).collect();
        let times = |action: &str| -> Vec<(usize, Timestamp)> {
            let lines = own.iter().enumerate().filter(|(_, line)| line.action == action);
            lines.map(|(order, line)| (order, line.at)).collect()
        };
        let outcome = Outcome::of(incident, observed);
        for (action, expected) in [
            ("opened", 1),
            ("announced", outcome.announcements()),
            ("resolved", usize::from(outcome == Outcome::Followed)),
        ] {
            let lines = times(action).len();
            if lines != expected {
                found.add(
                    Code::TimelineCount,
                    format!("incident {} was {action} {lines} times", incident.number),
                );
            }
        }
        if outcome != Outcome::Followed && times("merged").is_empty() {
            found.add(
                Code::TimelineCount,
                format!("incident {} has no line about its merge", incident.number),
            );
        }
        for pair in ["opened", "announced", "resolved"].windows(2) {
            if let (Some(before), Some(after)) = (times(pair[0]).first(), times(pair[1]).first())
                && (before.0 > after.0 || before.1 > after.1)
            {
                found.add(
                    Code::TimelineOrder,
                    format!("incident {} was {} before it was {}", incident.number, pair[1], pair[0]),
                );
            }
        }
    }
}

/// Each incident has the mails of its lifecycle, five if it was followed to its end, each under one Message-ID. A second copy is allowed only where an agent, the database or
/// the mail server crashed between the acceptance of the mail and the commit of the stage.
fn mails(observed: &Observations, found: &mut Found) {
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
        for kind in NotificationKind::LIFECYCLE {
            let expected = match kind {
                NotificationKind::Opened | NotificationKind::Resolved => {
                    outcome.announcements()..=outcome.announcements()
                }
                NotificationKind::RootCause | NotificationKind::Plan => outcome.findings(),
                NotificationKind::Postmortem => outcome.postmortems()..=outcome.postmortems(),
            };
            let own = observed.notifications.iter().filter(|mail| mail.incident == id);
            let mails = own.filter(|mail| mail.kind == kind.name()).count();
            if !expected.contains(&mails) {
                let number = incident.number;
                found.add(Code::MailCount, format!("incident {number} has {mails} mails about its {kind}"));
            }
        }
    }
    for mail in observed.notifications.iter().filter(|mail| mail.state != "sent") {
        found.add(Code::MailUnsent, format!("the {} mail of {} is {}", mail.kind, mail.incident, mail.state));
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

/// Each record that cannot be parsed has a dead letter of each stage that reads its topic. No other record has one.
fn dead_letters(observed: &Observations, found: &mut Found) {
    let readers = |topic: Topic| -> &[Agent] {
        match topic {
            Topic::Anomalies => &[Agent::Correlation],
            Topic::RawMetrics => &[Agent::Detection],
            Topic::RcaCompleted => &[Agent::Remediation, Agent::Communication],
            _ => &[],
        }
    };
    let mut expected = BTreeSet::new();
    for (topic, lines) in &observed.records {
        for line in lines.iter().filter(|line| line.payload.as_deref() == Some(POISON)) {
            for stage in readers(*topic) {
                expected.insert((
                    *stage,
                    topic.name().to_owned(),
                    line.partition.to_string(),
                    line.offset.to_string(),
                ));
            }
        }
    }
    let mut found_letters = BTreeSet::new();
    for (topic, lines) in &observed.records {
        if let Topic::DeadLetters(stage) = topic {
            found_letters.extend(lines.iter().map(|line| origin(*stage, line)));
        }
    }
    for missing in expected.difference(&found_letters) {
        found.add(Code::DeadLetterMissing, format!("{missing:?} cannot be parsed and has no dead letter"));
    }
    for surplus in found_letters.difference(&expected) {
        found.add(Code::DeadLetterUnexpected, format!("{surplus:?} has a dead letter and can be parsed"));
    }
}

fn origin(stage: Agent, line: &Line) -> (Agent, String, String, String) {
    let field = |name| header(&line.headers, name).unwrap_or_default().to_owned();
    (stage, field(dead_letter::TOPIC), field(dead_letter::PARTITION), field(dead_letter::OFFSET))
}

/// No record and no timer is pending.
fn quiescence(observed: &Observations, found: &mut Found) {
    for ((stage, topic), records) in &observed.behind {
        if *records > 0 && !matches!(topic, Topic::DetectionState) {
            found.add(Code::RecordsPending, format!("{stage} is {records} records behind on {topic}"));
        }
    }
    for (stage, name, state) in &observed.timers {
        found.add(Code::TimerPending, format!("timer {name} of {stage} is {state}"));
    }
}

#[cfg(test)]
mod tests;
