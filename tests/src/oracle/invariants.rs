//! What must be true of a run, whatever was injected. Pure.

mod commands;
mod mails;
mod receivers;
mod violation;

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use shared::agent::Agent;
use shared::audit::AuditAction;
use shared::bus::dead_letter::header as dead_letter;
use shared::bus::reader::Line;
use shared::events::anomaly::Status;
use shared::events::envelope::header;
use shared::events::fault::Phase;
use shared::events::incident::State;
use shared::events::{Anomaly, Command, Incident, Topic, decode};

use violation::Found;
pub use violation::{Code, Violation};

use super::fault_injector::POISON;
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
    mails::mails(observed, &mut found);
    mails::notifications(observed, &mut found);
    receivers::deliveries(observed, &mut found);
    receivers::order(observed, &mut found);
    receivers::digests(observed, &mut found);
    commands::commands(observed, &mut found);
    commands::kept_open(observed, &mut found);
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

/// Each fault that detection found has exactly one incident, besides those that ended in it and those that people made of it.
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
        let fits = match incidents.len() {
            0 => false,
            1 => true,
            _ => commands::is_rearranged(&fault.environment, observed),
        };
        if was_detected && !fits {
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

    /// Returns how often its end may be looked back at, where it opened again `reopened` times: an end that did not last may have
    /// been too short for that.
    fn postmortems(self, reopened: usize) -> std::ops::RangeInclusive<usize> {
        match self {
            Self::Followed => 1..=reopened + 1,
            Self::Merged => 0..=reopened,
            Self::MergedUnseen => 0..=0,
        }
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
        // an incident that opens again begins anew
        let states: Vec<_> = revisions.values().map(|incident| (incident.reopened, incident.state)).collect();
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
        let reopened = incident.reopened as usize;
        let times = outcome.announcements() + reopened;
        for (topic, expected) in [
            (Topic::IncidentsOpened, times..=times),
            (Topic::IncidentsResolved, times..=times),
            (Topic::Postmortems, outcome.postmortems(reopened)),
        ] {
            let rows = observed.outbox.iter().filter(|row| row.topic == topic.name());
            let events = rows.filter(|row| subject(row).as_ref() == Some(&id)).count();
            if !expected.contains(&events) {
                found.add(
                    Code::EventCount,
                    format!("incident {number} has {events} events on {topic} instead of {expected:?}"),
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
        // a person may say so while a member fires
        let by_telemetry = outcome == Outcome::Followed && incident.resolved_by.is_none();
        if by_telemetry && incident.resolved_at < last {
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
    let postmortems = outcome.postmortems(incident.reopened as usize);
    for (kind, expected) in [
        ("root_cause", outcome.findings()),
        ("plan", outcome.findings()),
        ("postmortem", (*postmortems.start()).min(1)..=(*postmortems.end()).min(1)),
    ] {
        let revisions = kinds.get(kind).cloned().unwrap_or_default();
        let in_sequence = match kind {
            // numbered by the ends of the incident, some of which were too short
            "postmortem" => {
                revisions.first().is_none_or(|first| *first == 1) && revisions.is_sorted_by(|a, b| a < b)
            }
            _ => revisions.iter().zip(1..).all(|(revision, expected)| *revision == expected),
        };
        if !expected.contains(&usize::from(!revisions.is_empty())) || !in_sequence {
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
        // the time of a command is that of its sender, by another clock than that of the telemetry
        let times = |action: &str| -> Vec<(usize, Option<Timestamp>)> {
            let lines = own.iter().enumerate().filter(|(_, line)| line.action == action);
            lines.map(|(order, line)| (order, line.command.is_none().then_some(line.at))).collect()
        };
        let outcome = Outcome::of(incident, observed);
        for (action, expected) in [
            ("opened", 1),
            ("announced", outcome.announcements()),
            ("reopened", incident.reopened as usize),
            ("resolved", usize::from(outcome == Outcome::Followed) + incident.reopened as usize),
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
                && (before.0 > after.0 || matches!((before.1, after.1), (Some(a), Some(b)) if a > b))
            {
                found.add(
                    Code::TimelineOrder,
                    format!("incident {} was {} before it was {}", incident.number, pair[1], pair[0]),
                );
            }
        }
    }
}

/// Each record that cannot be parsed has a dead letter of each stage that reads its topic. No other record has one.
fn dead_letters(observed: &Observations, found: &mut Found) {
    let is_unreadable = |topic: Topic, line: &Line| {
        let payload = line.payload.as_deref().unwrap_or_default();
        payload == POISON || (topic == Topic::OperatorCommands && decode::<Command>(payload).is_err())
    };
    let readers = |topic| Agent::ALL.iter().filter(move |agent| agent.inputs().contains(&topic));
    let mut expected = BTreeSet::new();
    for (topic, lines) in &observed.records {
        for line in lines.iter().filter(|line| is_unreadable(*topic, line)) {
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
