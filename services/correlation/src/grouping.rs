//! Which incident an anomaly belongs to, when one opens and when it is over. Pure: reads a [`Neighbourhood`], returns
//! what is to be done.

use std::collections::BTreeSet;

use jiff::{SignedDuration, Timestamp};
use shared::events::Incident;
use shared::events::anomaly::{Anomaly, Status};
use shared::events::incident::Signal;
use shared::graph::Graph;
use shared::ids::{AnomalyId, IncidentId};
use shared::lifecycle::Assessment;
use shared::store::Neighbourhood;
use shared::text::sanitize;

use crate::assessment::{assess, surroundings};
use crate::endings::absorbs;
use crate::hypotheses;
use crate::options::Options;

/// How long before the first known symptom of an incident its cause may have shown, in samples of the cause.
const LEAD_INTERVALS: f64 = 60.0;
const LONGEST_LEAD: SignedDuration = SignedDuration::from_hours(24);

/// What an anomaly means for the open incidents of its environment.
#[derive(Debug, Clone, PartialEq)]
pub enum Grouping {
    /// A revision that is already known, or older than what is known.
    Stale,
    /// Kept, but it belongs to no incident (yet).
    Unassigned,
    /// It comes late: it was observed while an incident was open that is over by now, and would have belonged to it.
    LateJoin {
        /// The incident.
        incident: Box<Incident>,
    },
    /// It opens an incident, together with what was loose and related.
    Open {
        /// The new incident.
        incident: IncidentId,
        /// First assessment.
        assessment: Assessment,
        /// Loose signals that join with it.
        adopted: Vec<Signal>,
    },
    /// It belongs to an open incident.
    Join {
        /// The incident as it stands.
        incident: Box<Incident>,
        /// Assessment with the new revision.
        assessment: Assessment,
        /// Whether it is a new member.
        is_new: bool,
        /// When the last member cleared, if all have.
        all_clear: Option<Timestamp>,
    },
}

/// A decision on one anomaly.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The signal to keep.
    pub signal: Signal,
    /// An incident that was over before this anomaly began, and when.
    pub over: Option<(IncidentId, Timestamp)>,
    /// What the anomaly means.
    pub grouping: Grouping,
}

/// Decides on one anomaly.
pub fn decide(anomaly: &Anomaly, neighbourhood: &Neighbourhood, options: &Options) -> Decision {
    let known = neighbourhood.signals.iter().find(|(signal, _)| signal.anomaly_id == anomaly.anomaly_id);
    let before = known.map(|(signal, _)| signal);
    let mut signal = Signal::from_anomaly(anomaly, before);
    // anyone may write an anomaly, and an incident carries many
    signal.explanation = sanitize::one_line(&signal.explanation, sanitize::SENTENCE);
    signal.unit = sanitize::one_line(&signal.unit, sanitize::NAME);
    if before.is_some_and(|before| before.revision >= anomaly.revision) {
        return Decision { signal, over: None, grouping: Grouping::Stale };
    }
    let belonged = known.and_then(|(_, incident)| *incident);
    let mut over = None;
    let related = related(&anomaly.service, &neighbourhood.graph);
    let home = belonged.filter(|id| is_open(*id, neighbourhood)).or_else(|| {
        for incident in neighbourhood.incidents.iter().filter(|incident| near(incident, anomaly, &related)) {
            // all members were clear for longer than the hold when this began: that one is over, whatever the clock says
            match all_clear(&members(incident.incident_id, neighbourhood)) {
                Some((at, hold)) if anomaly.started_at > at + options.hold(hold) => {
                    over = over.or(Some((incident.incident_id, at)));
                }
                _ if absorbs(incident, anomaly, neighbourhood, options) => return Some(incident.incident_id),
                _ => {}
            }
        }
        None
    });
    if let Some(incident) =
        home.and_then(|id| neighbourhood.incidents.iter().find(|incident| incident.incident_id == id))
    {
        let mut group = members(incident.incident_id, neighbourhood);
        let is_new = !group.iter().any(|member| member.anomaly_id == anomaly.anomaly_id);
        group.retain(|member| member.anomaly_id != anomaly.anomaly_id);
        group.push(signal.clone());
        let all_clear = all_clear(&group).map(|(at, _)| at);
        let assessment = assess(group, neighbourhood, Some(incident), anomaly.observed_at, options);
        return Decision {
            signal,
            over,
            grouping: Grouping::Join { incident: Box::new(incident.clone()), assessment, is_new, all_clear },
        };
    }
    if anomaly.status == Status::Cleared {
        return Decision { signal, over, grouping: Grouping::Unassigned };
    }
    if let Some(incident) =
        neighbourhood.past.iter().find(|past| was_open(past, anomaly, belonged, &related, options))
    {
        return Decision {
            signal,
            over,
            grouping: Grouping::LateJoin { incident: Box::new(incident.clone()) },
        };
    }
    let adopted = loose(anomaly, neighbourhood, &related);
    let mut group = adopted.clone();
    group.push(signal.clone());
    let together = group.len() > 1
        && hypotheses::rank(&group, surroundings(neighbourhood, options))
            .first()
            .is_some_and(|suspect| suspect.score >= options.open_nats);
    let grouping = if anomaly.status == Status::Firing || together {
        Grouping::Open {
            // an episode that outlives its incident opens another one
            incident: match belonged {
                None => IncidentId::opened_by(anomaly.anomaly_id),
                Some(past) => IncidentId::reopened_by(past, anomaly.anomaly_id, anomaly.revision),
            },
            assessment: assess(group, neighbourhood, None, anomaly.observed_at, options),
            adopted,
        }
    } else {
        Grouping::Unassigned
    };
    Decision { signal, over, grouping }
}

/// Returns whether an anomaly that was read only now would have belonged to an incident, had it been read in the order of
/// event time: the partitions of a topic do not wait for each other.
fn was_open(
    past: &Incident,
    anomaly: &Anomaly,
    belonged: Option<IncidentId>,
    related: &BTreeSet<String>,
    options: &Options,
) -> bool {
    let own = belonged == Some(past.incident_id) || (belonged.is_none() && near(past, anomaly, related));
    let hold = past.signals.iter().map(|signal| signal.interval_ms).max().unwrap_or(0);
    let until = past.resolved_at.map(|at| at + options.hold(hold));
    // the cause may be what is read late, and a cause shows before its symptoms
    let since = past.started_at - lead(anomaly.interval_ms);
    own && anomaly.observed_at >= since && until.is_some_and(|until| anomaly.observed_at <= until)
}

fn is_open(id: IncidentId, neighbourhood: &Neighbourhood) -> bool {
    neighbourhood.incidents.iter().any(|incident| incident.incident_id == id)
}

/// Returns the members of an incident.
pub fn members(incident: IncidentId, neighbourhood: &Neighbourhood) -> Vec<Signal> {
    neighbourhood
        .signals
        .iter()
        .filter(|(_, of)| *of == Some(incident))
        .map(|(signal, _)| signal.clone())
        .collect()
}

/// Returns when the last member cleared and the longest interval among the members, if none is still abnormal.
/// Weak members that never cleared do not hold an incident open.
pub fn all_clear(members: &[Signal]) -> Option<(Timestamp, u64)> {
    let hold = members.iter().map(|member| member.interval_ms).max()?;
    if members.iter().any(|member| member.status == Status::Firing) {
        return None;
    }
    members.iter().filter_map(|member| member.cleared_at).max().map(|at| (at, hold))
}

/// Returns how long before its symptoms a cause may show in a series with a sample every `interval_ms`.
fn lead(interval_ms: u64) -> SignedDuration {
    SignedDuration::from_millis((interval_ms as f64 * LEAD_INTERVALS) as i64).min(LONGEST_LEAD)
}

/// Returns whether an anomaly could be of the same fault: a member's own service, or on a call path with the first
/// suspect.
fn near(incident: &Incident, anomaly: &Anomaly, related: &BTreeSet<String>) -> bool {
    incident.affected_services.contains(&anomaly.service)
        || incident.suspect().is_some_and(|suspect| related.contains(&suspect.service))
}

/// Returns the services at which a fault of `service` could show, or whose fault could show there: see
/// [`Graph::related`].
fn related(service: &str, graph: &Graph) -> BTreeSet<String> {
    let mut related = graph.ancestors(service);
    related.extend(graph.descendants(service));
    related.insert(service.to_owned());
    related
}

/// Returns abnormal signals of no open incident that could be of the same fault.
fn loose(anomaly: &Anomaly, neighbourhood: &Neighbourhood, related: &BTreeSet<String>) -> Vec<Signal> {
    neighbourhood
        .signals
        .iter()
        .filter(|(signal, incident)| {
            incident.is_none_or(|id| !is_open(id, neighbourhood))
                && signal.anomaly_id != anomaly.anomaly_id
                && signal.status != Status::Cleared
                && related.contains(&signal.service)
        })
        .map(|(signal, _)| signal.clone())
        .collect()
}

/// Tells what readers of `incidents.updated` would care about: who is suspected, how bad it is, who belongs to it, and
/// whether members have cleared.
pub fn is_news(before: &Incident, after: &Assessment, anomaly: AnomalyId) -> bool {
    let head = |suspects: &[shared::events::incident::Suspect]| {
        suspects.first().map(|suspect| (suspect.service.clone(), suspect.category))
    };
    let status = |signals: &[Signal]| {
        signals.iter().find(|signal| signal.anomaly_id == anomaly).map(|signal| signal.status)
    };
    head(&before.suspects) != head(&after.suspects)
        || after.severity > before.severity
        || status(&before.signals) != status(&after.signals)
}
