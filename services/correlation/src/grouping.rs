//! Which incident an anomaly belongs to, when one opens and when it is over. Pure: reads a [`Neighbourhood`], returns
//! what is to be done.

use std::borrow::Borrow;
use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use jiff::{SignedDuration, Timestamp};
use shared::events::anomaly::{Anomaly, Ended, Status};
use shared::events::incident::{Link, Relation, Signal, Suspect};
use shared::events::{Category, Incident, Kind, Severity};
use shared::ids::{AnomalyId, IncidentId};
use shared::lifecycle::Assessment;
use shared::store::Neighbourhood;
use shared::text::sanitize;

use crate::assessment::{assess, surroundings};
use crate::endings::absorbs;
use crate::explanation::{Root, share_a_change};
use crate::hypotheses::{self, WEAK_NATS};
use crate::options::Options;
use crate::sampling;
use crate::shared_complaints;
use crate::split::{self, Split};
use crate::storm::{self, Place};

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
        adopted: Vec<Arc<Signal>>,
        /// The last incident that was over shortly before, on the same call path.
        follows: Option<Link>,
    },
    /// The fault of an incident that is over has come back soon after.
    Reopen {
        /// The incident as it stands.
        incident: Box<Incident>,
        /// Assessment with what has come back.
        assessment: Assessment,
        /// Loose signals that join with it.
        adopted: Vec<Arc<Signal>>,
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
        /// Other open incidents that turn out to be of the same fault, and their members, which join as well.
        absorbed: Vec<Absorbed>,
        /// Members that leave it, for they turn out to be of another fault.
        split: Option<Box<Split>>,
    },
}

/// An open incident that ends in another one of the same fault.
#[derive(Debug, Clone, PartialEq)]
pub struct Absorbed {
    /// The incident as it stands.
    pub incident: Incident,
    /// Its members.
    pub members: Vec<Arc<Signal>>,
}

/// A decision on one anomaly.
#[derive(Debug, Clone, PartialEq)]
pub struct Decision {
    /// The signal to keep.
    pub signal: Arc<Signal>,
    /// An incident that was over before this anomaly began, and when.
    pub over: Option<(IncidentId, Timestamp)>,
    /// What the anomaly means.
    pub grouping: Grouping,
}

/// Decides on one anomaly.
pub fn decide(anomaly: &Anomaly, neighbourhood: &Neighbourhood, options: &Options) -> Decision {
    let known = neighbourhood.signals.iter().find(|(signal, _)| signal.anomaly_id == anomaly.anomaly_id);
    let before = known.map(|(signal, _)| &**signal);
    if before.is_some_and(|before| before.revision >= anomaly.revision) {
        let signal = Signal::from_anomaly(anomaly, before);
        return Decision { signal: Arc::new(signal), over: None, grouping: Grouping::Stale };
    }
    let signal = Arc::new(kept(anomaly, before, neighbourhood, options));
    let belonged = known.and_then(|(_, incident)| *incident);
    let own = neighbourhood.signals.iter().map(|(signal, _)| signal).chain([&signal]);
    let root = Root::new(&anomaly.service, None, own, surroundings(neighbourhood, options));
    let mut over = None;
    let belongs_to = belonged.and_then(|id| neighbourhood.incidents.iter().find(|one| one.incident_id == id));
    let ended = || before.and_then(|before| still_over(before, &signal, options));
    if let Some(signal) = belongs_to.is_none().then(ended).flatten() {
        return Decision { signal: Arc::new(signal), over: None, grouping: Grouping::Unassigned };
    }
    let homes = match belongs_to {
        Some(incident) => {
            let caused = of_one_fault(&signal, &root, incident, neighbourhood, options);
            Homes { home: Some(incident), caused }
        }
        None => homes(&signal, &root, &by_incident(neighbourhood), neighbourhood, options, &mut over),
    };
    if let Some(incident) = homes.home {
        let grouping = join(&signal, incident, &homes.caused, neighbourhood, options);
        return Decision { signal, over, grouping };
    }
    if anomaly.status == Status::Cleared {
        return Decision { signal, over, grouping: Grouping::Unassigned };
    }
    if let Some(incident) = neighbourhood
        .past
        .iter()
        .find(|past| was_open(past, &signal, belonged, &root, neighbourhood, options))
    {
        let grouping = Grouping::LateJoin { incident: Box::new(incident.clone()) };
        return Decision { signal, over, grouping };
    }
    let adopted = loose(&signal, neighbourhood, &root, options);
    let mut group = adopted.clone();
    group.push(signal.clone());
    let together = group.len() > 1
        && hypotheses::rank(&group, surroundings(neighbourhood, options))
            .first()
            .is_some_and(|suspect| suspect.score >= options.open_nats);
    if !together && (anomaly.status != Status::Firing || is_slight(anomaly, options)) {
        return Decision { signal, over, grouping: Grouping::Unassigned };
    }
    if let Some(incident) = come_back(&signal, belonged, neighbourhood, options) {
        let grouping = reopen(&signal, incident, adopted, neighbourhood, options);
        return Decision { signal, over, grouping };
    }
    let storm = storm::place(&signal, neighbourhood, options);
    if let Place::Joins(incident) = storm {
        let grouping = join(&signal, incident, &[], neighbourhood, options);
        return Decision { signal, over, grouping };
    }
    let assessment = assess(group, neighbourhood, None, anomaly.observed_at, options);
    let grouping = Grouping::Open {
        // an episode that outlives its incident opens another one
        incident: match belonged {
            None => IncidentId::opened_by(anomaly.anomaly_id),
            Some(past) => IncidentId::reopened_by(past, anomaly.anomaly_id, anomaly.revision),
        },
        assessment: if matches!(storm, Place::Storm) { storm::begin(assessment) } else { assessment },
        adopted,
        follows: follows(&signal, &root, neighbourhood, options),
    };
    Decision { signal, over, grouping }
}

/// Returns whether a person has said that two incidents are of different faults. A part names the whole at once, and the whole the
/// part once that is announced.
fn were_parted(one: &Incident, other: &Incident) -> bool {
    one.was_parted_from(other.incident_id) || other.was_parted_from(one.incident_id)
}

/// Returns a signal as it stays over, because a person resolved its incident a short while ago and it is no worse since.
fn still_over(before: &Signal, signal: &Signal, options: &Options) -> Option<Signal> {
    let cleared_at = before.cleared_at.filter(|_| before.ended == Some(Ended::Manual))?;
    let hold = SignedDuration::from_mins(i64::from(options.manual_hold_min));
    let is_over = signal.status != Status::Cleared
        && signal.severity <= before.severity
        && signal.observed_at < cleared_at.saturating_add(hold).unwrap_or(Timestamp::MAX);
    is_over.then(|| Signal {
        status: Status::Cleared,
        ended: Some(Ended::Manual),
        cleared_at: Some(cleared_at),
        severity: before.severity.max(signal.severity),
        ..signal.clone()
    })
}

/// Returns the signal to keep of an anomaly, fit to be shown: anyone may write an anomaly, and an incident carries many.
fn kept(
    anomaly: &Anomaly,
    before: Option<&Signal>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> Signal {
    let mut signal = Signal::from_anomaly(anomaly, before);
    signal.complaints = shared_complaints::of(anomaly, before, &neighbourhood.graph, &options.log_terms);
    options.redactor.anomaly(&mut signal.explanation, &mut signal.logs, &mut signal.sealed);
    signal.explanation = sanitize::one_line(&signal.explanation, sanitize::SENTENCE);
    signal.unit = sanitize::one_line(&signal.unit, sanitize::NAME);
    signal
}

/// Returns whether an anomaly that nothing else speaks for may still be a moment of noise: slight, not severe and short so
/// far. Lines of a log are no noise, and CPU use may be what the next symptom follows from without a
/// call between them.
fn is_slight(anomaly: &Anomaly, options: &Options) -> bool {
    let lasted_ms = anomaly.observed_at.duration_since(anomaly.started_at).as_millis();
    let least_ms = anomaly.interval_ms as f64 * options.slight_intervals;
    !matches!(anomaly.kind, Kind::Logs | Kind::Cpu)
        && anomaly.severity <= Severity::Sev3
        && anomaly.evidence < options.slight_nats
        && (lasted_ms as f64) < least_ms
}

fn reopen(
    signal: &Arc<Signal>,
    incident: &Incident,
    adopted: Vec<Arc<Signal>>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> Grouping {
    let mut group = members(incident.incident_id, neighbourhood);
    group.extend(incident.signals.iter().cloned().map(Arc::new));
    group.extend(adopted.iter().cloned());
    put(&mut group, signal);
    once(&mut group);
    let assessment = assess(group, neighbourhood, Some(incident), signal.observed_at, options);
    Grouping::Reopen { incident: Box::new(incident.clone()), assessment, adopted }
}

/// Puts a signal in the place of its earlier revision. Returns whether there was none.
fn put(group: &mut Vec<Arc<Signal>>, signal: &Arc<Signal>) -> bool {
    let before = group.len();
    group.retain(|member| member.anomaly_id != signal.anomaly_id);
    let is_new = group.len() == before;
    group.push(signal.clone());
    is_new
}

/// Keeps the last of each member.
fn once(group: &mut Vec<Arc<Signal>>) {
    let mut known = BTreeSet::new();
    group.reverse();
    group.retain(|member| known.insert(member.anomaly_id));
    group.reverse();
}

/// Returns the incident that is over and whose fault has come back with `signal`: the same series of the service that was
/// suspected, soon after.
fn come_back<'a>(
    signal: &Arc<Signal>,
    belonged: Option<IncidentId>,
    neighbourhood: &'a Neighbourhood,
    options: &Options,
) -> Option<&'a Incident> {
    neighbourhood.past.iter().find(|past| {
        let was_suspected = past.suspect().is_some_and(|suspect| suspect.service == signal.service);
        let same_series = |member: &Signal| member.is_same_series(signal) && member.evidence > WEAK_NATS;
        // its episode never ended: a person said that the incident was over
        if belonged == Some(past.incident_id) && past.resolved_by.is_some() {
            return past.merged_into().is_none();
        }
        past.merged_into().is_none()
            && !past.storm
            && was_suspected
            && past.signals.iter().any(same_series)
            && past.resolved_at.is_some_and(|at| {
                let gap = signal.started_at.duration_since(at);
                gap >= SignedDuration::ZERO && gap <= options.flap_window(past.reopened)
            })
    })
}

/// Returns the last incident that was over shortly before on the same call path.
fn follows(
    signal: &Arc<Signal>,
    root: &Root<'_>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> Option<Link> {
    let soon = |past: &&Incident| {
        past.merged_into().is_none()
            && near(past, root)
            && past.resolved_at.is_some_and(|at| {
                let gap = signal.started_at.duration_since(at);
                gap >= SignedDuration::ZERO && gap <= options.flap_window(0)
            })
    };
    let past = neighbourhood.past.iter().find(soon)?;
    Some(Link::new(past.incident_id, past.number, Relation::Follows))
}

/// Open incidents that an anomaly may belong to.
struct Homes<'a> {
    /// The one it joins.
    home: Option<&'a Incident>,
    /// Others that a fault of its service explains as well.
    caused: Vec<&'a Incident>,
}

/// Returns where an anomaly belongs: to the incident whose first suspect explains it (of several, the one whose
/// suspect showed its first symptom first), or else to those that a fault of its own service explains.
fn homes<'a>(
    signal: &Arc<Signal>,
    root: &Root<'_>,
    by_incident: &BTreeMap<IncidentId, Vec<&Arc<Signal>>>,
    neighbourhood: &'a Neighbourhood,
    options: &Options,
    over: &mut Option<(IncidentId, Timestamp)>,
) -> Homes<'a> {
    let mut explained: Option<(Timestamp, &str, &Incident)> = None;
    let mut caused = Vec::new();
    for incident in &neighbourhood.incidents {
        let members: &[&Arc<Signal>] = by_incident.get(&incident.incident_id).map_or(&[], Vec::as_slice);
        let by_suspect = explains(incident, members.iter().copied(), signal, neighbourhood, options)
            || share_a_callee(incident, members, signal, neighbourhood, options)
            || share_a_caller(incident, members, signal, neighbourhood);
        let by_root =
            !members.is_empty() && near(incident, root) && root.explains_all(members.iter().copied());
        if !by_suspect && !by_root {
            continue;
        }
        // all members were clear for longer than the hold when this began: that one is over, whatever the clock says
        if let Some((at, hold)) = all_clear(members.iter().copied())
            && signal.started_at > at + options.hold_of(incident, hold)
            && incident.kept_open.is_none()
        {
            *over = over.or(Some((incident.incident_id, at)));
            continue;
        }
        if !absorbs(incident, signal, neighbourhood, options) {
            continue;
        }
        if by_suspect {
            let suspect = incident.suspect().map_or("", |suspect| &suspect.service);
            let onset = hypotheses::onset(members.iter().copied(), suspect).unwrap_or(incident.started_at);
            if explained.is_none_or(|(first, name, _)| (onset, suspect) < (first, name)) {
                explained = Some((onset, suspect, incident));
            }
        }
        if by_root && !incident.storm && (by_suspect || could_lead(signal, members, neighbourhood, options)) {
            caused.push(incident);
        }
    }
    // incidents are listed in the order of their numbers
    let home = explained.map(|(_, _, incident)| incident).or_else(|| caused.first().copied());
    caused.retain(|other| {
        home.is_some_and(|home| home.incident_id != other.incident_id && !were_parted(home, other))
    });
    Homes { home, caused }
}

/// Returns the open incidents that turn out to be of the same fault as the one that a signal belongs to: a hypothesis over
/// both that could be the first suspect explains all of both.
fn of_one_fault<'a>(
    signal: &Arc<Signal>,
    root: &Root<'_>,
    home: &Incident,
    neighbourhood: &'a Neighbourhood,
    options: &Options,
) -> Vec<&'a Incident> {
    let mut own = members(home.incident_id, neighbourhood);
    put(&mut own, signal);
    let is_of_it = |other: &&Incident| {
        // what a storm collects need not be of one fault
        let is_near =
            other.incident_id != home.incident_id && !other.storm && !home.storm && near(other, root);
        let is_near = is_near && !were_parted(home, other);
        if !is_near || !absorbs(other, signal, neighbourhood, options) {
            return false;
        }
        let theirs = members(other.incident_id, neighbourhood);
        // a symptom may be over before its cause is read: partitions do not wait for each other
        let is_over = all_clear(&theirs)
            .is_some_and(|(at, hold)| signal.started_at > at + options.hold_of(other, hold))
            && other.kept_open.is_none();
        if theirs.is_empty() || is_over {
            return false;
        }
        let both = [own.as_slice(), theirs.as_slice()].concat();
        let surroundings = surroundings(neighbourhood, options);
        // each by itself: what is certain in one must not hide that nothing is in the other
        let explains_both = |suspect: &Suspect| {
            let root = Root::of(suspect, &both, surroundings);
            root.explains_all(&own) && root.explains_all(&theirs)
        };
        let all = hypotheses::all(&both, surroundings);
        hypotheses::leading(&all, options.cause_lead_nats).any(explains_both)
    };
    neighbourhood.incidents.iter().filter(is_of_it).collect()
}

/// Whether a fault of the signal's service could be the first suspect of a group. Otherwise the group has a cause of its own,
/// and the signal is of another fault.
fn could_lead(
    signal: &Arc<Signal>,
    members: &[&Arc<Signal>],
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> bool {
    let group: Vec<Arc<Signal>> = members.iter().copied().chain([signal]).map(Arc::clone).collect();
    let all = hypotheses::all(&group, surroundings(neighbourhood, options));
    hypotheses::leading(&all, options.cause_lead_nats).any(|one| one.service == signal.service)
}

/// Whether the first suspect of an incident explains a signal.
fn explains<'a, S: Borrow<Signal> + 'a>(
    incident: &Incident,
    members: impl IntoIterator<Item = &'a S, IntoIter: Clone>,
    signal: &Arc<Signal>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> bool {
    incident.suspect().is_some_and(|suspect| {
        let root = Root::of(suspect, members, surroundings(neighbourhood, options));
        root.explains(signal) || share_a_change(&suspect.service, &signal.service, &neighbourhood.deployments)
    })
}

/// Whether a service that shows nothing itself explains the incident and the signal: both call it, and both began to suffer at
/// nearly the same time.
fn share_a_callee(
    incident: &Incident,
    members: &[&Arc<Signal>],
    signal: &Arc<Signal>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> bool {
    let graph = &neighbourhood.graph;
    let Some(suspect) = incident.suspect().filter(|suspect| suspect.service != signal.service) else {
        return false;
    };
    let Some(onset) = hypotheses::onset(members.iter().copied(), &suspect.service) else { return false };
    let interval = members.iter().map(|member| member.interval_ms).fold(signal.interval_ms, u64::max);
    if !sampling::began_together(onset, signal.started_at, interval) {
        return false;
    }
    graph.callees(&suspect.service).filter(|callee| graph.has_edge(&signal.service, callee)).any(|callee| {
        let shows = neighbourhood.signals.iter().any(|(other, _)| other.service == callee);
        let root = Root::new(callee, None, &[] as &[Signal], surroundings(neighbourhood, options));
        !shows && root.explains(signal) && root.explains_all(members.iter().copied())
    })
}

/// Whether traffic changed in the same direction at the first suspect and at the signal's service, at nearly the same time, and
/// one service calls both: it sends both more or fewer requests, and its own traffic may only be known later.
fn share_a_caller(
    incident: &Incident,
    members: &[&Arc<Signal>],
    signal: &Arc<Signal>,
    neighbourhood: &Neighbourhood,
) -> bool {
    let graph = &neighbourhood.graph;
    let Some(suspect) = incident.suspect().filter(|suspect| suspect.category == Category::Traffic) else {
        return false;
    };
    let is_alike = |member: &&Arc<Signal>| {
        member.service == suspect.service
            && (member.kind, member.direction) == (Kind::Traffic, signal.direction)
            && sampling::began_together(
                member.started_at,
                signal.started_at,
                member.interval_ms.max(signal.interval_ms),
            )
    };
    signal.kind == Kind::Traffic
        && members.iter().any(is_alike)
        && graph
            .ancestors(&suspect.service)
            .iter()
            .any(|caller| graph.ancestors(&signal.service).contains(caller))
}

/// Whether a fault of `root` could have reached a service of the incident.
fn near(incident: &Incident, root: &Root<'_>) -> bool {
    incident.affected_services.iter().any(|service| root.reaches(service))
}

fn join(
    signal: &Arc<Signal>,
    incident: &Incident,
    caused: &[&Incident],
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> Grouping {
    let mut group = members(incident.incident_id, neighbourhood);
    let is_new = put(&mut group, signal);
    let absorbed: Vec<Absorbed> = caused
        .iter()
        .map(|other| Absorbed {
            incident: (*other).clone(),
            members: members(other.incident_id, neighbourhood),
        })
        .collect();
    group.extend(absorbed.iter().flat_map(|other| other.members.iter().cloned()));
    let at = signal.observed_at;
    let mut assessment = assess(group, neighbourhood, Some(incident), at, options);
    let split = if absorbed.is_empty() {
        split::of(incident, &assessment, signal, neighbourhood, options).map(Box::new)
    } else {
        None
    };
    if let Some(split) = &split {
        let mut staying = assessment.signals;
        staying.retain(|member| !split.has(member));
        assessment = assess(staying, neighbourhood, Some(incident), at, options);
    }
    let all_clear = all_clear(&assessment.signals).map(|(at, _)| at);
    Grouping::Join { incident: Box::new(incident.clone()), assessment, is_new, all_clear, absorbed, split }
}

/// Returns whether an anomaly that was read only now would have belonged to an incident, had it been read in the order of
/// event time: the partitions of a topic do not wait for each other.
fn was_open(
    past: &Incident,
    signal: &Arc<Signal>,
    belonged: Option<IncidentId>,
    root: &Root<'_>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> bool {
    let is_of_it = || {
        explains(past, &past.signals, signal, neighbourhood, options)
            || (near(past, root) && root.explains_all(&past.signals))
            || is_of_one_cause(past, signal, neighbourhood, options)
    };
    let own = belonged == Some(past.incident_id) || (belonged.is_none() && is_of_it());
    let hold = past.signals.iter().map(|signal| signal.interval_ms).max().unwrap_or(0);
    let until = past.resolved_at.map(|at| at + options.hold(hold));
    // the cause may be what is read late, and a cause shows before its symptoms
    let since = past.started_at - lead(signal.interval_ms);
    past.merged_into().is_none()
        && own
        && signal.observed_at >= since
        && until.is_some_and(|until| signal.observed_at <= until)
}

/// Whether the best hypothesis over what an incident had and an anomaly that was read only now explains both: without it another
/// service may have been suspected.
fn is_of_one_cause(
    past: &Incident,
    signal: &Arc<Signal>,
    neighbourhood: &Neighbourhood,
    options: &Options,
) -> bool {
    let mut group: Vec<Arc<Signal>> = past.signals.iter().cloned().map(Arc::new).collect();
    group.push(Arc::clone(signal));
    let best = hypotheses::rank(&group, surroundings(neighbourhood, options)).into_iter().next();
    best.is_some_and(|best| {
        let root = Root::of(&best, &group, surroundings(neighbourhood, options));
        root.explains(signal) && root.explains_all(&past.signals)
    })
}

fn is_open(id: IncidentId, neighbourhood: &Neighbourhood) -> bool {
    neighbourhood.incidents.iter().any(|incident| incident.incident_id == id)
}

/// Returns the members of an incident.
pub fn members(incident: IncidentId, neighbourhood: &Neighbourhood) -> Vec<Arc<Signal>> {
    neighbourhood
        .signals
        .iter()
        .filter(|(_, of)| *of == Some(incident))
        .map(|(signal, _)| Arc::clone(signal))
        .collect()
}

/// Returns the members of each incident.
fn by_incident(neighbourhood: &Neighbourhood) -> BTreeMap<IncidentId, Vec<&Arc<Signal>>> {
    let mut members: BTreeMap<IncidentId, Vec<&Arc<Signal>>> = BTreeMap::new();
    for (signal, incident) in &neighbourhood.signals {
        if let Some(incident) = incident {
            members.entry(*incident).or_default().push(signal);
        }
    }
    members
}

/// Returns when the last member cleared and the longest interval among the members, if none is still abnormal.
/// Weak members that never cleared do not hold an incident open.
pub fn all_clear<'a, S: Borrow<Signal> + 'a>(
    members: impl IntoIterator<Item = &'a S, IntoIter: Clone>,
) -> Option<(Timestamp, u64)> {
    let members = members.into_iter().map(Borrow::borrow);
    let hold = members.clone().map(|member| member.interval_ms).max()?;
    if members.clone().any(|member| member.status == Status::Firing) {
        return None;
    }
    members.filter_map(|member| member.cleared_at).max().map(|at| (at, hold))
}

/// Returns how long before its symptoms a cause may show in a series with a sample every `interval_ms`.
fn lead(interval_ms: u64) -> SignedDuration {
    SignedDuration::from_millis((interval_ms as f64 * LEAD_INTERVALS) as i64).min(LONGEST_LEAD)
}

/// Returns abnormal signals of no open incident that are of the same fault: those that the best hypothesis over all of
/// them explains, if it explains `signal` too, or else those that a fault of its own service explains.
fn loose(
    signal: &Arc<Signal>,
    neighbourhood: &Neighbourhood,
    root: &Root<'_>,
    options: &Options,
) -> Vec<Arc<Signal>> {
    let mut related: Vec<Arc<Signal>> = neighbourhood
        .signals
        .iter()
        .filter(|(other, incident)| {
            incident.is_none_or(|id| !is_open(id, neighbourhood))
                && other.anomaly_id != signal.anomaly_id
                && other.status != Status::Cleared
                && root.reaches(&other.service)
        })
        .map(|(other, _)| other.clone())
        .collect();
    if related.is_empty() {
        return related;
    }
    let mut group = related.clone();
    group.push(signal.clone());
    let best = hypotheses::rank(&group, surroundings(neighbourhood, options)).into_iter().next();
    let best = best.as_ref().map(|suspect| Root::of(suspect, &group, surroundings(neighbourhood, options)));
    let best = best.filter(|best| best.explains(signal));
    related.retain(|other| best.as_ref().unwrap_or(root).explains(other));
    related
}

/// Tells what readers of `incidents.updated` would care about: who is suspected, how bad it is, who belongs to it, and
/// whether members have cleared.
pub fn is_news(before: &Incident, after: &Assessment, anomaly: AnomalyId) -> bool {
    let head = |suspects: &[shared::events::incident::Suspect]| {
        suspects.first().map(|suspect| (suspect.service.clone(), suspect.category))
    };
    let before_status = before.signals.iter().find(|one| one.anomaly_id == anomaly).map(|one| one.status);
    let after_status = after.signals.iter().find(|one| one.anomaly_id == anomaly).map(|one| one.status);
    head(&before.suspects) != head(&after.suspects)
        || after.severity > before.severity
        || before_status != after_status
}
