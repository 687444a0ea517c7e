//! What must be true of the evidence, whatever was done. Pure.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::bus::dead_letter::header as letter;
use shared::bus::reader::Line;
use shared::events::anomaly::Status;
use shared::events::envelope::header;
use shared::events::fault::Phase;
use shared::events::incident::State;
use shared::events::{Anomaly, Incident, Topic};
use stack::story::MAILS;

use super::evidence::Evidence;
use super::harm::{Harm, KAFKA, POISON};

/// Topics that exact stages write.
const EXACT: [Topic; 6] = [
    Topic::IncidentsOpened,
    Topic::IncidentsUpdated,
    Topic::IncidentsResolved,
    Topic::RcaCompleted,
    Topic::Plans,
    Topic::Postmortems,
];

/// Returns everything that is not as it must be, one sentence each.
pub fn violations(evidence: &Evidence) -> Vec<String> {
    let mut found = Vec::new();
    detection(evidence, &mut found);
    faults(evidence, &mut found);
    members(evidence, &mut found);
    outbox(evidence, &mut found);
    inbox(evidence, &mut found);
    lives(evidence, &mut found);
    timelines(evidence, &mut found);
    mails(evidence, &mut found);
    letters(evidence, &mut found);
    quiet(evidence, &mut found);
    found
}

/// The anomalies on the bus are those of the undisturbed log: none is lost, none made up, none told in two ways.
fn detection(evidence: &Evidence, found: &mut Vec<String>) {
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
    let expected: BTreeMap<_, _> = evidence
        .undisturbed
        .iter()
        .map(|anomaly| ((anomaly.anomaly_id, anomaly.revision), anomaly))
        .collect();
    let mut seen = BTreeSet::new();
    // a regression rests on raw.deployments as well, and the order between topics is not part of the log
    let of_metrics = |anomaly: &Anomaly| anomaly.detector != detection::service::regression::DETECTOR;
    for anomaly in evidence.events::<Anomaly>(Topic::Anomalies).filter(of_metrics) {
        let which = (anomaly.anomaly_id, anomaly.revision);
        let name = || {
            format!(
                "revision {} of {} of {} in {}",
                anomaly.revision, anomaly.metric, anomaly.service, anomaly.environment
            )
        };
        match expected.get(&which) {
            None => found.push(format!("detection made up {} ({:?})", name(), anomaly.status)),
            Some(undisturbed) if core(undisturbed) != core(&anomaly) => {
                found.push(format!("detection tells {} in two ways", name()));
            }
            Some(_) => _ = seen.insert(which),
        }
    }
    for (which, anomaly) in expected {
        if !seen.contains(&which) {
            found.push(format!(
                "detection lost revision {} of {} of {} in {} ({:?})",
                anomaly.revision, anomaly.metric, anomaly.service, anomaly.environment, anomaly.status
            ));
        }
    }
}

/// Each fault that detection saw has exactly one incident.
fn faults(evidence: &Evidence, found: &mut Vec<String>) {
    for fault in evidence.faults.iter().filter(|fault| fault.phase == Phase::Started) {
        let ended = evidence
            .faults
            .iter()
            .find(|other| other.phase == Phase::Ended && other.environment == fault.environment)
            .map_or(Timestamp::MAX, |ended| ended.at);
        let during = |at: Timestamp| (fault.at..ended).contains(&at);
        let was_seen = evidence.undisturbed.iter().any(|anomaly| {
            anomaly.status == Status::Firing
                && anomaly.environment == fault.environment
                && during(anomaly.started_at)
        });
        let incidents: Vec<_> = evidence
            .incidents
            .iter()
            .filter(|incident| incident.environment == fault.environment && during(incident.opened_at))
            .map(|incident| {
                let until = incident.resolved_at.map_or_else(|| "now".to_owned(), |at| at.to_string());
                format!("{} ({}, {} to {until})", incident.number, incident.title, incident.opened_at)
            })
            .collect();
        if was_seen && incidents.len() != 1 {
            found.push(format!(
                "{} in {} from {} to {ended} has {} incidents: {}",
                fault.scenario,
                fault.environment,
                fault.at,
                incidents.len(),
                incidents.join(", ")
            ));
        }
    }
}

/// Each episode that fired belongs to one incident, of its own environment, and is cleared by the end.
fn members(evidence: &Evidence, found: &mut Vec<String>) {
    let fired: BTreeMap<_, _> = evidence
        .undisturbed
        .iter()
        .filter(|anomaly| anomaly.status == Status::Firing)
        .map(|anomaly| (anomaly.anomaly_id.to_string(), anomaly))
        .collect();
    for (id, anomaly) in fired {
        let home = evidence.members.iter().find(|member| member.anomaly == id);
        let name = format!("{} of {} in {}", anomaly.metric, anomaly.service, anomaly.environment);
        match home.and_then(|home| home.incident.as_ref()) {
            None => found.push(format!("{name} fired and belongs to no incident")),
            Some(incident) => {
                let of = evidence.incidents.iter().find(|of| of.incident_id.to_string() == *incident);
                if of.is_none_or(|of| of.environment != anomaly.environment) {
                    found.push(format!("{name} belongs to an incident of another environment"));
                }
            }
        }
        let cleared =
            |other: &&Anomaly| other.anomaly_id == anomaly.anomaly_id && other.status == Status::Cleared;
        if !evidence.undisturbed.iter().any(|other| cleared(&other)) {
            found.push(format!("{name} never cleared: the run ended too early to prove anything"));
        }
    }
}

/// What the stages have published is what their outbox holds: each row once on record, all of it on the bus, nothing
/// else, and nothing before it was on record.
fn outbox(evidence: &Evidence, found: &mut Vec<String>) {
    let mut rows = BTreeMap::new();
    for row in &evidence.outbox {
        if rows.insert((row.topic.as_str(), row.id.as_str()), row).is_some() {
            found.push(format!("{} wrote {} twice to its outbox for {}", row.stage, row.id, row.topic));
        }
        if !row.published {
            found.push(format!("{} never published {} to {}", row.stage, row.id, row.topic));
        }
    }
    let mut published = BTreeSet::new();
    for topic in EXACT {
        for line in evidence.records.get(&topic).into_iter().flatten() {
            if line.payload.as_deref() == Some(POISON) {
                continue;
            }
            let id = header(&line.headers, "ce_id").unwrap_or_default();
            let Some(row) = rows.get(&(topic.name(), id)) else {
                found.push(format!("{topic} holds {id}, which no stage has on record"));
                continue;
            };
            if line.payload.as_deref() != Some(row.payload.as_slice()) {
                found.push(format!("{topic} holds {id} with another payload than is on record"));
            }
            if line.timestamp_ms.is_some_and(|at| at < row.created_ms) {
                found.push(format!("{id} was on {topic} before it was on record"));
            }
            published.insert((topic.name(), id));
        }
    }
    for (topic, id) in rows.into_keys().filter(|row| !published.contains(row)) {
        found.push(format!("{id} is marked as published and is not on {topic}"));
    }
}

/// The effects of an event were written in the one transaction that wrote its inbox row.
fn inbox(evidence: &Evidence, found: &mut Vec<String>) {
    for line in &evidence.audit {
        if line.inbox.as_ref().is_some_and(|inbox| *inbox != line.transaction) {
            found.push(format!("{} had two effects of event {}: {}", line.actor, line.event, line.action));
        }
    }
}

/// Each incident ran through its life once: revisions and states only grow, each artifact is there once, all is told.
fn lives(evidence: &Evidence, found: &mut Vec<String>) {
    let mut published: BTreeMap<_, BTreeMap<u32, Incident>> = BTreeMap::new();
    for topic in [Topic::IncidentsOpened, Topic::IncidentsUpdated, Topic::IncidentsResolved] {
        for incident in evidence.events::<Incident>(topic) {
            let revisions = published.entry(incident.incident_id).or_default();
            if let Some(other) = revisions.insert(incident.revision, incident.clone())
                && other != incident
            {
                found.push(format!("incident {} has two revisions {}", incident.number, incident.revision));
            }
        }
    }
    for (id, revisions) in &published {
        let states: Vec<_> = revisions.values().map(|incident| incident.state).collect();
        if !states.is_sorted() {
            found.push(format!("incident {id} moved backwards: {states:?}"));
        }
    }
    let mut numbers = BTreeSet::new();
    for incident in &evidence.incidents {
        let (number, id) = (incident.number, incident.incident_id.to_string());
        if !numbers.insert(number) {
            found.push(format!("two incidents have the number {number}"));
        }
        if incident.state != State::Closed {
            found.push(format!("incident {number} is {} and not closed", incident.state));
        }
        let count = |topic: Topic| {
            let rows = evidence.outbox.iter().filter(|row| row.topic == topic.name());
            let own = rows.filter(|row| String::from_utf8_lossy(&row.payload).contains(&id));
            own.count()
        };
        for topic in [Topic::IncidentsOpened, Topic::IncidentsResolved, Topic::Postmortems] {
            let events = count(topic);
            if events != 1 {
                found.push(format!("incident {number} has {events} events on {topic}"));
            }
        }
        let mut kinds: BTreeMap<&str, Vec<i32>> = BTreeMap::new();
        for (_, kind, revision) in evidence.artifacts.iter().filter(|(of, _, _)| *of == id) {
            kinds.entry(kind).or_default().push(*revision);
        }
        for kind in ["root_cause", "plan", "postmortem"] {
            let revisions = kinds.get(kind).cloned().unwrap_or_default();
            if revisions.is_empty()
                || revisions.iter().zip(1..).any(|(revision, expected)| *revision != expected)
            {
                found.push(format!("incident {number} has the revisions {revisions:?} of its {kind}"));
            }
        }
        let last = evidence
            .undisturbed
            .iter()
            .filter(|anomaly| incident.members.contains(&anomaly.anomaly_id))
            .filter(|anomaly| anomaly.status == Status::Firing)
            .map(|anomaly| anomaly.observed_at)
            .max();
        if incident.resolved_at < last {
            found.push(format!("incident {number} was over while a member still fired"));
        }
    }
}

/// The timeline of an incident begins with its opening; nothing comes before what it follows from.
fn timelines(evidence: &Evidence, found: &mut Vec<String>) {
    for incident in &evidence.incidents {
        let id = incident.incident_id.to_string();
        let own: Vec<_> = evidence.audit.iter().filter(|line| line.incident == id).collect();
        let times = |action: &str| -> Vec<(usize, Timestamp)> {
            let lines = own.iter().enumerate().filter(|(_, line)| line.action == action);
            lines.map(|(order, line)| (order, line.at)).collect()
        };
        for action in ["opened", "announced", "resolved"] {
            let lines = times(action).len();
            if lines != 1 {
                found.push(format!("incident {} was {action} {lines} times", incident.number));
            }
        }
        for pair in ["opened", "announced", "resolved"].windows(2) {
            if let (Some(before), Some(after)) = (times(pair[0]).first(), times(pair[1]).first())
                && (before.0 > after.0 || before.1 > after.1)
            {
                found.push(format!("incident {} was {} before it was {}", incident.number, pair[1], pair[0]));
            }
        }
    }
}

/// Each incident is told in five mails, each under one Message-ID. A second copy needs a crash (of an agent, the
/// database or the mail server) between the server's acceptance and our commit to excuse it.
fn mails(evidence: &Evidence, found: &mut Vec<String>) {
    let mut copies: BTreeMap<&str, Vec<Timestamp>> = BTreeMap::new();
    for accepted in &evidence.mails {
        copies.entry(&accepted.mail.id).or_default().push(accepted.at);
    }
    for (id, times) in &copies {
        for pair in times.windows(2) {
            if !evidence.harm.iter().any(|harm| tears(harm, pair[0], pair[1])) {
                found.push(format!(
                    "{id} was sent twice, at {} and {}, without a crash between",
                    pair[0], pair[1]
                ));
            }
        }
    }
    let expected = evidence.incidents.len() * MAILS;
    if copies.len() != expected {
        found.push(format!("{} different mails of {} incidents", copies.len(), evidence.incidents.len()));
    }
    for told in evidence.told.iter().filter(|told| told.state != "sent") {
        found.push(format!("the {} mail of {} is {}", told.kind, told.incident, told.state));
    }
}

/// Tells whether `harm` may have come between the acceptance of a mail, written down at `accepted`, and our commit.
fn tears(harm: &Harm, accepted: Timestamp, again: Timestamp) -> bool {
    // the server notes a mail a moment after it has answered, or before
    let slack = SignedDuration::from_millis(500);
    let hit = harm.agent.is_none_or(|agent| agent == "communication") && harm.what != KAFKA;
    hit && harm.at <= again && harm.until + slack >= accepted
}

/// Each record that nobody can read is a dead letter of each stage that reads it, and nothing else is.
fn letters(evidence: &Evidence, found: &mut Vec<String>) {
    let readers = |topic: Topic| -> &[&'static str] {
        match topic {
            Topic::Anomalies => &["correlation"],
            Topic::RawMetrics => &["detection"],
            Topic::RcaCompleted => &["remediation", "communication"],
            _ => &[],
        }
    };
    let mut expected = BTreeSet::new();
    for (topic, lines) in &evidence.records {
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
    let mut buried = BTreeSet::new();
    for (topic, lines) in &evidence.records {
        if let Topic::DeadLetters(stage) = topic {
            buried.extend(lines.iter().map(|line| origin(stage, line)));
        }
    }
    for missing in expected.difference(&buried) {
        found.push(format!("{missing:?} cannot be read and is no dead letter"));
    }
    for surplus in buried.difference(&expected) {
        found.push(format!("{surplus:?} is a dead letter and could be read"));
    }
}

fn origin(stage: &'static str, line: &Line) -> (&'static str, String, String, String) {
    let field = |name| header(&line.headers, name).unwrap_or_default().to_owned();
    (stage, field(letter::TOPIC), field(letter::PARTITION), field(letter::OFFSET))
}

/// Nothing is left to do.
fn quiet(evidence: &Evidence, found: &mut Vec<String>) {
    for ((stage, topic), records) in &evidence.behind {
        if *records > 0 && !matches!(topic, Topic::DetectionState) {
            found.push(format!("{stage} is {records} records behind on {topic}"));
        }
    }
    for (stage, name, state) in &evidence.timers {
        found.push(format!("a timer {name} of {stage} is {state}"));
    }
}

#[cfg(test)]
mod tests;
