//! Which members leave an incident because they are of another fault than the one that it turned out to be about.
//!
//! Members join what explains them. When another hypothesis becomes the first suspect, some may be left that it does not
//! explain. They leave if a fault elsewhere explains them, if nothing that could be the first suspect explains all, and, once people
//! know of the incident, if that has lasted.

use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::events::anomaly::Status;
use shared::events::incident::{Incident, Relation, Signal, State};
use shared::events::{Category, Kind};
use shared::ids::IncidentId;
use shared::lifecycle::Assessment;
use shared::store::Neighbourhood;

use crate::assessment::{assess, surroundings};
use crate::explanation::{Root, share_a_change};
use crate::hypotheses::{self, WEAK_NATS};
use crate::options::Options;
use crate::standing;

/// A part of an incident that becomes an incident of its own.
#[derive(Debug, Clone, PartialEq)]
pub struct Split {
    /// The new incident.
    pub incident: IncidentId,
    /// Its first assessment.
    pub assessment: Assessment,
    /// Its members, which leave the other one.
    pub members: Vec<Arc<Signal>>,
}

impl Split {
    /// Whether a signal is one of those that leave.
    pub fn has(&self, signal: &Signal) -> bool {
        self.members.iter().any(|member| member.anomaly_id == signal.anomaly_id)
    }
}

/// Returns the part that leaves `incident`, whose members `assessment` is about, when `signal` is decided on.
pub fn of(
    incident: &Incident,
    assessment: &Assessment,
    signal: &Signal,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> Option<Split> {
    let members = leaving(incident, assessment, neighbourhood, signal.observed_at, options);
    (!members.is_empty()).then(|| Split {
        incident: IncidentId::split_from(incident.incident_id, signal.anomaly_id, signal.revision),
        assessment: assess(members.clone(), neighbourhood, None, signal.observed_at, options),
        members,
    })
}

/// Returns the members that leave, at event time `at`; none if it is not to be split.
fn leaving(
    incident: &Incident,
    assessment: &Assessment,
    neighbourhood: &Neighbourhood,
    at: Timestamp,
    options: &Options,
) -> Vec<Arc<Signal>> {
    let group = assessment.signals.as_slice();
    let Some(first) = assessment.suspects.first() else { return Vec::new() };
    // what was merged stays together, so that incidents are not split and merged again and again
    let was_merged = incident.links.iter().any(|link| link.relation == Relation::Absorbed);
    if incident.storm || was_merged || assessment.challenger.is_some() {
        return Vec::new();
    }
    let is_known = incident.state != State::Detecting;
    let least = if is_known { standing::hold(group, options) } else { SignedDuration::ZERO };
    let lasts = |member: &Arc<Signal>| {
        member.status == Status::Firing
            && member.evidence > WEAK_NATS
            && at.duration_since(member.started_at) >= least
    };
    let surroundings = surroundings(neighbourhood, options);
    let root = Root::of(first, group, surroundings);
    // traffic that changes at several services comes from whoever calls them, also where that one is not watched
    let is_traffic =
        |member: &Arc<Signal>| first.category == Category::Traffic && member.kind == Kind::Traffic;
    let is_other = |member: &&Arc<Signal>| {
        !root.explains(member)
            && !is_traffic(member)
            && !share_a_change(&first.service, &member.service, &neighbourhood.deployments)
    };
    if !group.iter().filter(is_other).any(lasts) {
        return Vec::new();
    }
    let all = hypotheses::all(group, surroundings);
    if hypotheses::leading(&all, options.cause_lead_nats)
        .any(|one| Root::of(one, group, surroundings).explains_all(group))
    {
        return Vec::new();
    }
    let unexplained: Vec<Arc<Signal>> = group.iter().filter(is_other).cloned().collect();
    let best = hypotheses::all(&unexplained, surroundings).into_iter().next();
    let Some(best) = best.filter(|best| best.service != first.service) else { return Vec::new() };
    let other = Root::of(&best, &unexplained, surroundings);
    let others: Vec<Arc<Signal>> =
        unexplained.iter().filter(|member| other.explains(member)).cloned().collect();
    let leaves = |member: &Arc<Signal>| others.iter().any(|other| other.anomaly_id == member.anomaly_id);
    let stays =
        |member: &Arc<Signal>| member.evidence > WEAK_NATS && root.explains(member) && !leaves(member);
    if !others.iter().any(lasts) || !group.iter().any(stays) {
        return Vec::new();
    }
    others
}
