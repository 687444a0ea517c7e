//! What follows from time alone for an open incident: members that are not seen any more, an age at which a person is
//! asked, and its end. The decisions are in [`crate::endings`].

use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::json;
use shared::audit::AuditAction;
use shared::events::Topic;
use shared::events::incident::{Incident, Signal, State};
use shared::ids::IncidentId;
use shared::lifecycle::{Assessment, Change};
use shared::stage::{Audit, Effects, Error, IncidentChange, Timer, TimerPayload};
use shared::store::{Neighbourhood, Write};

use super::lines::suspect_line;
use super::{Resolve, announce};
use crate::assessment::assess;
use crate::endings::{self, Asked};
use crate::grouping;
use crate::options::Options;

/// Waits of an incident are counted on from this many for each time that it was opened again: each has a number of its own.
const ROUNDS: u32 = 1_000_000;

/// Members of an open incident are asked about: has anything come of them?
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Unseen {
    pub(super) incident_id: IncidentId,
    pub(super) environment: String,
    /// Counts the waits of the incident.
    round: u32,
    /// Members that are waited for, as they stood.
    asked: Vec<Asked>,
}

impl TimerPayload for Unseen {
    const NAME: &'static str = "unseen";
}

/// An incident has reached the age at which a person is asked to look at it.
#[derive(Debug, Serialize, Deserialize)]
pub(super) struct Overdue {
    pub(super) incident_id: IncidentId,
    pub(super) environment: String,
}

impl TimerPayload for Overdue {
    const NAME: &'static str = "overdue";
}

/// Returns the timers of an incident that opens, or opens again for the `reopened`th time: there is one of each at any time,
/// until it is over.
pub(super) fn timers(
    incident: IncidentId,
    environment: &str,
    members: &[Arc<Signal>],
    reopened: u32,
    now: Timestamp,
    options: &Options,
) -> Result<[Timer; 2], Error> {
    let payload = Overdue { incident_id: incident, environment: environment.to_owned() };
    let again = reopened.to_string();
    let seed: &[&str] = if reopened > 0 { &[&again] } else { &[] };
    let overdue = Timer::new(incident.to_string(), seed, now + endings::max_age(options), &payload)?;
    let round = reopened.saturating_mul(ROUNDS);
    Ok([next_wait(incident, environment, members, round, now, options)?, overdue])
}

fn next_wait(
    incident_id: IncidentId,
    environment: &str,
    members: &[Arc<Signal>],
    round: u32,
    now: Timestamp,
    options: &Options,
) -> Result<Timer, Error> {
    let endings::Wait { asked, wait } = endings::wait(members, options);
    let payload = Unseen { incident_id, environment: environment.to_owned(), round, asked };
    Timer::new(incident_id.to_string(), &[&round.to_string()], now + wait, &payload)
}

/// Returns the timer after which an incident is over, if its members are still clear then.
pub(super) fn resolve_timer(
    incident: &Incident,
    members: &[Arc<Signal>],
    cleared_at: Timestamp,
    seed: &[&str],
    now: Timestamp,
    options: &Options,
) -> Result<Timer, Error> {
    let hold = members.iter().map(|signal| signal.interval_ms).max().unwrap_or(0);
    let payload = Resolve {
        incident_id: incident.incident_id,
        environment: incident.environment.clone(),
        cleared_at,
        reopened: Some(incident.reopened),
    };
    Timer::new(incident.incident_id.to_string(), seed, now + options.hold_of(incident, hold), &payload)
}

/// Ends the members of which nothing has come since they were asked about, and asks about the others again.
pub(super) fn on_unseen(
    incident: &Incident,
    timer: &Unseen,
    neighbourhood: &Neighbourhood,
    now: Timestamp,
    options: &Options,
    effects: &mut Effects,
) -> Result<(), Error> {
    if !incident.state.is_open() {
        return Ok(());
    }
    let mut members = grouping::members(incident.incident_id, neighbourhood);
    let gone = endings::unseen(&members, &timer.asked, options);
    let round = timer.round.saturating_add(1);
    if let Some(at) = gone.iter().filter_map(|member| member.cleared_at).max() {
        for member in &mut members {
            if let Some(ended) = gone.iter().find(|ended| ended.anomaly_id == member.anomaly_id) {
                member.clone_from(ended);
            }
        }
        effects.audit.extend(gone.iter().map(|member| unseen_line(incident, member)));
        effects.writes.extend(gone.iter().map(|member| Write::Signal {
            environment: incident.environment.clone(),
            signal: Arc::clone(member),
            incident_id: Some(incident.incident_id),
        }));
        if let Some((cleared_at, _)) = grouping::all_clear(&members) {
            let seed = ["unseen", &round.to_string()];
            effects.timers.push(resolve_timer(incident, &members, cleared_at, &seed, now, options)?);
        }
        let assessment = assess(members.clone(), neighbourhood, Some(incident), at, options);
        reassess(incident, assessment, at, effects);
    }
    let environment = &incident.environment;
    effects.timers.push(next_wait(incident.incident_id, environment, &members, round, now, options)?);
    Ok(())
}

/// Says that a person should look at an incident, if it is still open.
pub(super) fn on_overdue(
    incident: &Incident,
    neighbourhood: &Neighbourhood,
    options: &Options,
    effects: &mut Effects,
) {
    if !incident.state.is_open() {
        return;
    }
    let members = grouping::members(incident.incident_id, neighbourhood);
    let at = incident.opened_at.saturating_add(endings::max_age(options)).unwrap_or(Timestamp::MAX);
    effects.audit.push(Audit {
        incident_id: incident.incident_id,
        at,
        action: AuditAction::Overdue,
        summary: endings::overdue_sentence(incident, &members, options),
        detail: json!({ "opened_at": incident.opened_at, "max_age_hours": options.max_age_hours }),
    });
    let assessment = assess(members, neighbourhood, Some(incident), at, options);
    reassess(incident, assessment, at, effects);
}

fn reassess(incident: &Incident, assessment: Assessment, at: Timestamp, effects: &mut Effects) {
    effects.audit.extend(suspect_line(incident, &assessment, at));
    effects.incidents.push(IncidentChange {
        incident_id: incident.incident_id,
        change: Change::Reassessed(Box::new(assessment)),
        publish: (incident.state != State::Detecting).then_some(Topic::IncidentsUpdated),
    });
}

fn unseen_line(incident: &Incident, member: &Signal) -> Audit {
    Audit {
        incident_id: incident.incident_id,
        at: member.cleared_at.unwrap_or(member.observed_at),
        action: AuditAction::Unseen,
        summary: endings::unseen_sentence(member),
        detail: json!({
            "anomaly_id": member.anomaly_id,
            "service": member.service,
            "metric": member.metric,
            "observed_at": member.observed_at,
            "ended": member.ended,
        }),
    }
}

/// Ends an incident, whose last member cleared at `at`, for the reason for which its members ended.
pub(super) fn resolve(incident: &Incident, members: &[Arc<Signal>], at: Timestamp, effects: &mut Effects) {
    if incident.state == State::Detecting {
        // over before anyone was notified: it is announced first, so that people get both in order
        announce(incident, effects);
    }
    let reason = endings::resolution(members);
    effects.audit.push(Audit {
        incident_id: incident.incident_id,
        at,
        action: AuditAction::Resolved,
        summary: endings::sentence(incident, members, at),
        detail: json!({ "cleared_at": at, "reason": reason }),
    });
    effects.incidents.push(IncidentChange {
        incident_id: incident.incident_id,
        change: Change::resolved(at, reason),
        publish: Some(Topic::IncidentsResolved),
    });
}

#[cfg(test)]
mod tests {
    use jiff::SignedDuration;
    use shared::catalogue::Catalogue;
    use shared::clock::from_ms;
    use shared::events::anomaly::{Anomaly, Band, Context, Direction, Ended, Status};
    use shared::events::{Kind, Severity};
    use shared::graph::Graph;
    use shared::ids::AnomalyId;
    use shared::lifecycle;

    use super::*;

    const MINUTE_MS: i64 = 60_000;

    fn member(metric: &str, revision: u32) -> Arc<Signal> {
        let anomaly = Anomaly {
            dimensions: std::collections::BTreeMap::new(),
            anomaly_id: AnomalyId::of_episode("production", "payment", metric, 0),
            revision,
            status: Status::Firing,
            kind: Kind::Latency,
            environment: "production".into(),
            service: "payment".into(),
            metric: metric.into(),
            unit: "ms".into(),
            severity: Severity::Sev3,
            evidence: 6.0,
            direction: Direction::Up,
            observed: 820.0,
            expected: Band { lower: 200.0, center: 240.0, upper: 280.0 },
            started_at: from_ms(0),
            observed_at: from_ms(i64::from(revision) * MINUTE_MS),
            interval_ms: 10_000,
            detector: "test".into(),
            explanation: String::new(),
            ended: None,
            burn_rate: None,
            impact: None,
            context: Context::default(),
        };
        Arc::new(Signal::from_anomaly(&anomaly, None))
    }

    fn place(members: &[Arc<Signal>]) -> (Incident, Neighbourhood) {
        let id = IncidentId::opened_by(members[0].anomaly_id);
        let mut neighbourhood = Neighbourhood {
            version: 0,
            signals: members.iter().map(|member| (member.clone(), Some(id))).collect(),
            incidents: Vec::new(),
            catalogue: Catalogue::default(),
            graph: Graph::default(),
            deployments: Vec::new(),
            past: Vec::new(),
        };
        let at = from_ms(MINUTE_MS);
        let assessment = assess(members.to_vec(), &neighbourhood, None, at, &Options::default());
        let opened =
            Change::Opened { environment: "production".into(), at, assessment: Box::new(assessment) };
        let incident = lifecycle::apply(None, id, opened).expect("it opens");
        neighbourhood.incidents.push(incident.clone());
        (incident, neighbourhood)
    }

    fn fire(members: &[Arc<Signal>], asked: &[Arc<Signal>]) -> Effects {
        let (incident, neighbourhood) = place(members);
        let asked = asked.iter().map(|one| Asked { anomaly_id: one.anomaly_id, revision: one.revision });
        let timer = Unseen {
            incident_id: incident.incident_id,
            environment: incident.environment.clone(),
            round: 0,
            asked: asked.collect(),
        };
        let (mut effects, now) = (Effects::none(), from_ms(60 * MINUTE_MS));
        let options = Options::default();
        on_unseen(&incident, &timer, &neighbourhood, now, &options, &mut effects).expect("it decides");
        effects
    }

    fn names(effects: &Effects) -> Vec<&str> {
        effects.timers.iter().map(|timer| timer.name.as_str()).collect()
    }

    #[test]
    fn a_member_of_which_nothing_came_ends_and_its_incident_resolves_for_that_reason() {
        let members = [member("latency", 1)];
        let effects = fire(&members, &members);
        assert_eq!(names(&effects), ["resolve", "unseen"]);
        assert_eq!(effects.audit.iter().map(|line| line.action).collect::<Vec<_>>(), [AuditAction::Unseen]);
        let [Write::Signal { signal, .. }] = &effects.writes[..] else { panic!("{:?}", effects.writes) };
        assert_eq!(
            (signal.status, signal.ended, signal.revision),
            (Status::Cleared, Some(Ended::SourceGone), 1)
        );
        let [IncidentChange { change: Change::Reassessed(after), .. }] = &effects.incidents[..] else {
            panic!("{:?}", effects.incidents)
        };
        assert_eq!(endings::resolution(&after.signals), Ended::SourceGone);
        let resolve_at: Resolve = effects.timers[0].read().expect("a payload");
        assert_eq!(resolve_at.cleared_at, from_ms(31 * MINUTE_MS));
    }

    #[test]
    fn members_that_were_repeated_are_asked_about_again() {
        let effects = fire(&[member("latency", 2)], &[member("latency", 1)]);
        assert_eq!((names(&effects), effects.audit.len(), effects.writes.len()), (vec!["unseen"], 0, 0));
        let timer: Unseen = effects.timers[0].read().expect("a payload");
        assert_eq!((timer.round, timer.asked[0].revision), (1, 2));
        let due = from_ms(60 * MINUTE_MS) + SignedDuration::from_mins(30);
        assert_eq!(effects.timers[0].due, due);
    }

    #[test]
    fn an_incident_resolves_with_its_reason_and_is_said_to_be_overdue_only_while_it_is_open() {
        let mut ended = Signal::clone(&member("latency", 1));
        (ended.status, ended.ended) = (Status::Cleared, Some(Ended::NewLevel));
        let members = [Arc::new(ended)];
        let (incident, neighbourhood) = place(&members);
        let mut effects = Effects::none();
        resolve(&incident, &members, from_ms(90 * MINUTE_MS), &mut effects);
        let change = effects.incidents.last().expect("it resolves").change.clone();
        assert!(matches!(change, Change::Resolved { reason: Ended::NewLevel, .. }), "{change:?}");

        let overdue = |incident: &Incident| {
            let mut effects = Effects::none();
            on_overdue(incident, &neighbourhood, &Options::default(), &mut effects);
            effects.audit.iter().map(|line| line.action).collect::<Vec<_>>()
        };
        assert_eq!(overdue(&incident), [AuditAction::Overdue]);
        let id = incident.incident_id;
        let resolved = lifecycle::apply(Some(incident), id, change).expect("it resolves");
        assert_eq!(resolved.resolution, Some(Ended::NewLevel));
        assert_eq!(overdue(&resolved), []);
    }
}
