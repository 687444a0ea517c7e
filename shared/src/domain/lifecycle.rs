//! The life of an incident as a type: what can happen to it, and what cannot.
//!
//! ```text
//! detecting -> correlating -> investigating -> rca_complete -> remediating -> resolved -> closed
//!      \____________\______________\________________\______________________/
//! ```
//!
//! An incident may resolve from any open state, and close from any of them where it is merged into another one. A fault that
//! comes back opens its incident again, as one that was announced. Knowledge that arrives late (a cause or a plan after the fault is
//! over) is recorded and moves nothing.

use std::collections::BTreeSet;
use std::sync::Arc;

use jiff::Timestamp;
use strum::IntoStaticStr;

use crate::events::Severity;
use crate::events::anomaly::Ended;
use crate::events::incident::{
    BlastRadius, Challenger, Change as Trigger, Impact, Incident, Link, Mute, Relation, SeverityOverride,
    Signal, State, Statement, Suspect,
};
use crate::ids::IncidentId;

/// Most members an incident carries; further ones are listed by id.
pub const MAX_SIGNALS: usize = 40;
/// Most members whose ids an incident lists, those of its first members. All are with the signals themselves.
pub const MAX_MEMBERS: usize = 2_000;
/// Most services an incident names as affected, and as callers. A name may have 256 bytes, and an incident must fit on
/// the bus.
pub const MAX_SERVICES: usize = 400;
/// Most members it carries with samples, siblings and logs. All of that stays with the signals themselves.
pub const MAX_FULL_SIGNALS: usize = 12;
/// Most context of one incident, bytes of JSON: with all else that an incident holds it stays below the largest payload.
pub const MAX_CONTEXT: usize = 160 * 1024;

/// Most links to other incidents that an incident carries.
pub const MAX_LINKS: usize = 20;

/// What correlation holds to be true of an incident, recomputed as a whole whenever a member changes.
#[derive(Debug, Clone, PartialEq)]
pub struct Assessment {
    /// One line for people.
    pub title: String,
    /// How bad it is now; the record keeps the worst.
    pub severity: Severity,
    /// Hypotheses, best first.
    pub suspects: Vec<Suspect>,
    /// Hypothesis that leads over the first, if one does clearly.
    pub challenger: Option<Challenger>,
    /// Members, strongest first.
    pub signals: Vec<Arc<Signal>>,
    /// Who is hurt.
    pub blast_radius: BlastRadius,
    /// What users and the business lose now, where it is known; the record keeps the worst.
    pub impact: Option<Impact>,
    /// Likeliest trigger.
    pub deployment: Option<Trigger>,
    /// Whether it collects what broke while too many incidents opened at once.
    pub storm: bool,
}

/// What can happen to an incident.
#[derive(Debug, Clone, PartialEq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Change {
    /// A first anomaly opens it.
    Opened {
        /// Environment.
        environment: String,
        /// Event time of the anomaly.
        at: Timestamp,
        /// First assessment.
        assessment: Box<Assessment>,
    },
    /// A member joined, changed or cleared.
    Reassessed(Box<Assessment>),
    /// The group has settled.
    Announced,
    /// The search for the cause has begun.
    InvestigationStarted,
    /// A ranked cause is on record.
    CauseRanked,
    /// A plan is with the people who act on it.
    PlanProposed,
    /// No member has been firing for long enough.
    Resolved {
        /// When the last member cleared.
        at: Timestamp,
        /// Why it is over.
        reason: Ended,
        /// Who says so; none where telemetry does.
        by: Option<Statement>,
    },
    /// The postmortem is written.
    Closed {
        /// Event time.
        at: Timestamp,
    },
    /// The fault came back, or a person says that it is not over.
    Reopened {
        /// Assessment as it now stands.
        assessment: Box<Assessment>,
        /// Who says so; none where telemetry does.
        by: Option<Statement>,
    },
    /// Members left it, for they are of another fault. The assessment is of those that stay.
    Split(Box<Assessment>),
    /// Another incident belongs to this one.
    Linked(Link),
    /// It turned out to be of the same fault as another incident, in which it ends.
    Merged {
        /// The other incident.
        into: IncidentId,
        /// Its number.
        number: i64,
        /// Event time.
        at: Timestamp,
        /// Who asked for it; none where it was decided from telemetry.
        by: Option<String>,
    },
    /// A person works on it.
    Acknowledged(Statement),
    /// It has an owner.
    Assigned {
        /// Who works on it.
        to: String,
    },
    /// A person sets the severity; none: it is computed again.
    SeverityOverridden {
        /// The severity.
        severity: Option<Severity>,
        /// Who, and why.
        statement: Statement,
    },
    /// Nothing is sent about it for a time; none: updates are sent again.
    Muted(Option<Mute>),
}

impl Change {
    /// Returns the end of an incident that telemetry shows.
    pub fn resolved(at: Timestamp, reason: Ended) -> Self {
        Self::Resolved { at, reason, by: None }
    }

    /// Returns the return of a fault that telemetry shows.
    pub fn reopened(assessment: Assessment) -> Self {
        Self::Reopened { assessment: Box::new(assessment), by: None }
    }

    /// Returns the end in another incident that telemetry shows.
    pub fn merged(into: IncidentId, number: i64, at: Timestamp) -> Self {
        Self::Merged { into, number, at, by: None }
    }

    /// Returns whether it is decided without a look at the rest of the environment: what a person states, and the end by a
    /// postmortem. Such a change is decided anew where the incident has moved on meanwhile.
    pub fn is_unguarded(&self) -> bool {
        self.is_stated() || matches!(self, Self::Closed { .. })
    }

    fn is_stated(&self) -> bool {
        matches!(
            self,
            Self::Acknowledged(_) | Self::Assigned { .. } | Self::SeverityOverridden { .. } | Self::Muted(_)
        )
    }

    /// Returns a short name for logs, metrics and errors.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// A change that an incident in that state cannot undergo.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("incident {incident_id} is {from} and cannot be {change}", from = .from.map_or_else(|| "unknown".to_owned(), |state| state.to_string()))]
pub struct IllegalTransition {
    /// Incident.
    pub incident_id: IncidentId,
    /// Where it stands; none if it does not exist.
    pub from: Option<State>,
    /// What was asked for.
    pub change: &'static str,
}

/// Applies a change to an incident as it stands (`None` before it is opened) and returns it as it then stands.
pub fn apply(
    before: Option<Incident>,
    id: IncidentId,
    change: Change,
) -> Result<Incident, IllegalTransition> {
    use State::{Closed, Correlating, Detecting, Investigating, RcaComplete, Remediating, Resolved};

    let illegal = IllegalTransition {
        incident_id: id,
        from: before.as_ref().map(|incident| incident.state),
        change: change.name(),
    };
    let Some(mut incident) = before else {
        return match change {
            Change::Opened { environment, at, assessment } => Ok(opened(id, environment, at, *assessment)),
            _ => Err(illegal),
        };
    };

    incident.state = match (incident.state, change) {
        (state, Change::Reassessed(assessment)) if state.is_open() => {
            reassess(&mut incident, *assessment);
            state
        }
        (state, Change::Split(assessment)) if state.is_open() => {
            (incident.members, incident.affected_services) = (Vec::new(), Vec::new());
            reassess(&mut incident, *assessment);
            state
        }
        (Detecting, Change::Announced) => Correlating,
        (state, Change::InvestigationStarted) if state >= Correlating => state.max(Investigating),
        (state @ (Correlating | Investigating | RcaComplete | Remediating), Change::CauseRanked) => {
            state.max(RcaComplete)
        }
        (state @ (RcaComplete | Remediating), Change::PlanProposed) => state.max(Remediating),
        // knowledge that comes late is recorded and moves nothing; a plan may be from before the incident opened again
        (state, Change::PlanProposed) if state >= Correlating && incident.reopened > 0 => state,
        (state @ (Resolved | Closed), Change::CauseRanked | Change::PlanProposed) => state,
        (state, Change::Resolved { at, reason, by }) if state.is_open() => {
            incident.resolved_at = Some(at.max(incident.started_at));
            (incident.resolution, incident.resolved_by) = (Some(reason), by);
            (incident.mute, incident.kept_open) = (None, None);
            Resolved
        }
        (Resolved, Change::Closed { at }) => {
            incident.closed_at = Some(at);
            Closed
        }
        (Resolved | Closed, Change::Reopened { assessment, by }) if incident.merged_into().is_none() => {
            reopen(&mut incident, *assessment, by);
            Correlating
        }
        (state, change) if is_statement_for(state, &change) => {
            put(&mut incident, change);
            state
        }
        (state, Change::Linked(link)) => {
            link_to(&mut incident, link);
            state
        }
        (state, Change::Merged { into, number, at, by }) if state.is_open() => {
            // it says where it ended, whatever else it was linked to
            incident.links.truncate(MAX_LINKS - 1);
            let relation = Relation::MergedInto;
            link_to(&mut incident, Link { incident_id: into, number, relation, by });
            incident.resolved_at = Some(at.max(incident.started_at));
            incident.closed_at = incident.resolved_at;
            Closed
        }
        _ => return Err(illegal),
    };
    incident.revision += 1;
    Ok(incident)
}

fn link_to(incident: &mut Incident, link: Link) {
    if incident.links.len() < MAX_LINKS && !incident.links.contains(&link) {
        incident.links.push(link);
    }
}

/// Opens an incident again. What a person said of the severity was said of what is over, unless a person opens it.
fn reopen(incident: &mut Incident, assessment: Assessment, by: Option<Statement>) {
    if by.is_none()
        && let Some(set) = incident.severity_override.take()
    {
        incident.severity = set.computed;
    }
    (incident.resolved_at, incident.resolution, incident.closed_at) = (None, None, None);
    (incident.resolved_by, incident.acknowledged, incident.kept_open) = (None, None, by);
    incident.reopened += 1;
    reassess(incident, assessment);
}

/// Returns whether a change is a person's statement that can be made of an incident in that state.
fn is_statement_for(state: State, change: &Change) -> bool {
    match change {
        Change::Assigned { .. } => state != State::Closed,
        change => change.is_stated() && state.is_open(),
    }
}

/// Puts a person's statement into an incident.
fn put(incident: &mut Incident, statement: Change) {
    match statement {
        Change::Acknowledged(statement) => incident.acknowledged = Some(statement),
        Change::Assigned { to } => incident.assignee = Some(to),
        Change::SeverityOverridden { severity, statement } => set_severity(incident, severity, statement),
        Change::Muted(mute) => incident.mute = mute,
        _ => {}
    }
}

/// Sets the severity that a person states, or the worst one that was computed where none is stated any more.
fn set_severity(incident: &mut Incident, severity: Option<Severity>, statement: Statement) {
    let computed = incident.severity_override.take().map_or(incident.severity, |set| set.computed);
    incident.severity = severity.unwrap_or(computed);
    incident.severity_override = severity.map(|_| SeverityOverride { computed, statement });
}

fn opened(id: IncidentId, environment: String, at: Timestamp, assessment: Assessment) -> Incident {
    let mut incident = Incident {
        incident_id: id,
        number: 0,
        revision: 1,
        state: State::Detecting,
        severity: assessment.severity,
        title: String::new(),
        environment,
        suspects: Vec::new(),
        challenger: None,
        members: Vec::new(),
        affected_services: Vec::new(),
        blast_radius: BlastRadius::default(),
        impact: None,
        signals: Vec::new(),
        deployment: None,
        started_at: at,
        opened_at: at,
        resolved_at: None,
        resolution: None,
        closed_at: None,
        reopened: 0,
        storm: false,
        links: Vec::new(),
        acknowledged: None,
        assignee: None,
        severity_override: None,
        mute: None,
        kept_open: None,
        resolved_by: None,
    };
    reassess(&mut incident, assessment);
    incident
}

fn reassess(incident: &mut Incident, assessment: Assessment) {
    let Assessment {
        title,
        severity,
        suspects,
        challenger,
        mut signals,
        blast_radius,
        impact,
        deployment,
        storm,
    } = assessment;
    let members = joined(&incident.members, signals.iter().map(|signal| signal.anomaly_id), MAX_MEMBERS);
    let services = signals.iter().map(|signal| signal.service.clone());
    let affected = joined(&incident.affected_services, services, MAX_SERVICES);
    let mut blast_radius = blast_radius;
    blast_radius.callers.truncate(MAX_SERVICES);
    incident.started_at = signals
        .iter()
        .map(|signal| signal.started_at)
        .chain([incident.started_at])
        .min()
        .unwrap_or(incident.started_at);
    signals.truncate(MAX_SIGNALS);
    let mut signals: Vec<Signal> = signals.into_iter().map(Arc::unwrap_or_clone).collect();
    for signal in &mut signals {
        signal.requests.clear();
        signal.complaints.clear();
        signal.sealed.clear();
    }
    for signal in signals.iter_mut().skip(MAX_FULL_SIGNALS) {
        signal.samples.clear();
        signal.siblings.clear();
        signal.logs.clear();
    }
    incident.title = title;
    match &mut incident.severity_override {
        Some(set) => set.computed = set.computed.max(severity),
        None => incident.severity = incident.severity.max(severity),
    }
    incident.suspects = suspects;
    incident.challenger = challenger;
    incident.members = members;
    incident.affected_services = affected;
    incident.blast_radius = blast_radius;
    incident.impact = [incident.impact.take(), impact].into_iter().flatten().reduce(Impact::worst);
    incident.signals = signals;
    incident.deployment = deployment;
    incident.storm = storm;
}

/// Returns what was listed and what is new, sorted; beyond `most`, what was listed first stays.
fn joined<T: Ord + Clone>(listed: &[T], new: impl Iterator<Item = T>, most: usize) -> Vec<T> {
    let mut joined: BTreeSet<T> = listed.iter().cloned().collect();
    for item in new {
        if joined.len() >= most {
            break;
        }
        joined.insert(item);
    }
    joined.into_iter().collect()
}

#[cfg(test)]
pub(crate) mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::clock::from_ms;
    use crate::events::Kind;
    use crate::events::anomaly::{Band, Direction, FailedRequest, MAX_REQUESTS, Status};
    use crate::events::incident::{Complaint, MAX_COMPLAINTS};
    use crate::ids::{AnomalyId, ComplaintId, RequestId, derive};

    fn assessment() -> Assessment {
        Assessment {
            title: "payment: requests are slow".into(),
            severity: Severity::Sev3,
            suspects: Vec::new(),
            challenger: None,
            signals: Vec::new(),
            blast_radius: BlastRadius::default(),
            impact: None,
            deployment: None,
            storm: false,
        }
    }

    fn id() -> IncidentId {
        IncidentId(crate::ids::derive(&["test"]))
    }

    fn opened_change() -> Change {
        Change::Opened {
            environment: "production".into(),
            at: from_ms(1_000),
            assessment: Box::new(assessment()),
        }
    }

    fn resolved(ms: i64) -> Change {
        Change::resolved(from_ms(ms), Ended::Recovered)
    }

    fn walk(changes: impl IntoIterator<Item = Change>) -> Result<Incident, IllegalTransition> {
        let mut incident = None;
        for change in changes {
            incident = Some(apply(incident, id(), change)?);
        }
        Ok(incident.expect("at least one change"))
    }

    pub(crate) fn signal(number: usize) -> Signal {
        Signal {
            dimensions: std::collections::BTreeMap::new(),
            anomaly_id: AnomalyId(derive(&[&number.to_string()])),
            revision: 1,
            service: "payment".into(),
            metric: format!("metric-{number}"),
            unit: String::new(),
            kind: Kind::Other,
            severity: Severity::Sev3,
            status: Status::Firing,
            evidence: 6.0,
            direction: Direction::Up,
            observed: 1.0,
            expected: Band { lower: 0.0, center: 0.0, upper: 0.0 },
            started_at: from_ms(0),
            observed_at: from_ms(0),
            cleared_at: None,
            ended: None,
            interval_ms: 1_000,
            explanation: String::new(),
            burn_rate: None,
            impact: None,
            samples: Vec::new(),
            siblings: Vec::new(),
            logs: Vec::new(),
            requests: Vec::new(),
            complaints: Vec::new(),
            sealed: Vec::new(),
        }
    }

    #[test]
    fn the_usual_life() {
        let incident = walk([
            opened_change(),
            Change::Announced,
            Change::InvestigationStarted,
            Change::CauseRanked,
            Change::PlanProposed,
            Change::resolved(from_ms(9_000), Ended::NewLevel),
            Change::Closed { at: from_ms(9_000) },
        ])
        .unwrap();
        assert_eq!((incident.state, incident.revision), (State::Closed, 7));
        assert_eq!(incident.resolution, Some(Ended::NewLevel), "the reason stays with the incident");
    }

    #[test]
    fn a_cause_that_comes_late_is_recorded_and_moves_nothing() {
        let incident =
            walk([opened_change(), Change::Announced, resolved(9_000), Change::CauseRanked]).unwrap();
        assert_eq!(incident.state, State::Resolved);
    }

    #[test]
    fn a_fault_that_comes_back_opens_its_incident_again() {
        let back = Change::reopened(assessment());
        for over in [vec![], vec![Change::Closed { at: from_ms(9_000) }]] {
            let mut changes =
                vec![opened_change(), Change::Announced, Change::resolved(from_ms(9_000), Ended::Recovered)];
            changes.extend(over);
            changes.push(back.clone());
            let incident = walk(changes).unwrap();
            assert_eq!((incident.state, incident.reopened), (State::Correlating, 1));
            assert_eq!((incident.resolved_at, incident.closed_at), (None, None));
        }
        assert!(walk([opened_change(), back]).is_err(), "it is still open");
    }

    #[test]
    fn what_was_merged_says_where_it_ended_and_stays_there() {
        let other = IncidentId(derive(&["other"]));
        let merged = Change::merged(other, 7, from_ms(5_000));
        let incident = walk([opened_change(), Change::Announced, merged.clone()]).unwrap();
        assert_eq!(incident.state, State::Closed);
        assert_eq!(incident.merged_into().map(|link| (link.incident_id, link.number)), Some((other, 7)));
        let back = Change::reopened(assessment());
        assert!(walk([opened_change(), merged.clone(), back]).is_err());
        assert!(walk([opened_change(), merged.clone(), merged]).is_err());
    }

    #[test]
    fn members_that_left_are_none_any_more() {
        let with = |signals: &[usize]| Assessment {
            signals: signals.iter().map(|number| Arc::new(signal(*number))).collect(),
            ..assessment()
        };
        let changes = [
            opened_change(),
            Change::Reassessed(Box::new(with(&[1, 2]))),
            Change::Announced,
            Change::Split(Box::new(with(&[1]))),
        ];
        let incident = walk(changes).unwrap();
        assert_eq!(incident.state, State::Correlating);
        assert_eq!(incident.members, [signal(1).anomaly_id]);
        assert_eq!(incident.affected_services, [signal(1).service]);
        assert!(walk([opened_change(), resolved(1), Change::Split(Box::new(with(&[1])))]).is_err());
    }

    fn statement() -> Statement {
        Statement { by: "jane".into(), at: from_ms(2_000), reason: "no users yet".into() }
    }

    #[test]
    fn what_people_say_holds_until_the_incident_is_over_or_opens_again() {
        let mute = Mute { statement: statement(), until: None };
        let severity = Some(Severity::Sev1);
        let open = walk([
            opened_change(),
            Change::Announced,
            Change::Acknowledged(statement()),
            Change::Muted(Some(mute)),
            Change::SeverityOverridden { severity, statement: statement() },
        ])
        .unwrap();
        assert_eq!((open.severity, open.state), (Severity::Sev1, State::Correlating));
        let by = Some(statement());
        let change = Change::Resolved { at: from_ms(9_000), reason: Ended::Manual, by };
        let over = apply(Some(open), id(), change).unwrap();
        assert_eq!((&over.mute, &over.resolved_by), (&None, &Some(statement())));
        let back = Change::Reopened { assessment: Box::new(assessment()), by: Some(statement()) };
        let again = apply(Some(over), id(), back).unwrap();
        assert_eq!((again.acknowledged, again.resolved_by), (None, None));
        assert_eq!(again.kept_open, Some(statement()));
    }

    #[test]
    fn links_are_bounded() {
        let links = (0..50).map(|number| {
            let incident_id = IncidentId(derive(&[&number.to_string()]));
            Change::Linked(Link::new(incident_id, number, Relation::Absorbed))
        });
        let incident = walk(std::iter::once(opened_change()).chain(links)).unwrap();
        assert_eq!(incident.links.len(), MAX_LINKS);
    }

    #[test]
    fn a_plan_for_a_cause_from_before_an_incident_opened_again_moves_nothing() {
        let reopened = Change::reopened(assessment());
        let changes = [
            opened_change(),
            Change::Announced,
            resolved(1),
            Change::CauseRanked,
            reopened,
            Change::PlanProposed,
        ];
        let after = walk(changes).unwrap();
        assert_eq!(after.state, State::Correlating);
    }

    #[test]
    fn what_cannot_be_is_refused() {
        for illegal in [
            vec![Change::Announced],
            vec![opened_change(), opened_change()],
            vec![opened_change(), Change::PlanProposed],
            vec![opened_change(), Change::Closed { at: from_ms(1) }],
            vec![opened_change(), resolved(1), resolved(2)],
            vec![opened_change(), resolved(1), Change::Acknowledged(statement())],
            vec![opened_change(), resolved(1), Change::Muted(None)],
            vec![
                opened_change(),
                resolved(1),
                Change::Closed { at: from_ms(2) },
                Change::Assigned { to: "joe".into() },
            ],
            vec![opened_change(), resolved(1), Change::Reassessed(Box::new(assessment()))],
        ] {
            assert!(walk(illegal.clone()).is_err(), "{illegal:?}");
        }
    }

    #[test]
    fn an_incident_of_any_number_of_members_fits_on_the_bus() {
        let signal_of = signal;
        let signal = |number: usize| Signal {
            service: format!("{number:0>256}"),
            metric: format!("{number:0>256}"),
            requests: vec![FailedRequest { id: RequestId(derive(&[])), at: from_ms(1) }; MAX_REQUESTS],
            complaints: vec![Complaint { id: ComplaintId(derive(&[])), is_named: true }; MAX_COMPLAINTS],
            ..signal_of(number)
        };
        let mut incident = None;
        for joined in [3_000, 6_000] {
            let callers = (0..5_000).map(|number| format!("{number:0>256}")).collect();
            let assessment = Assessment {
                signals: (0..joined).map(|number| Arc::new(signal(number))).collect(),
                blast_radius: BlastRadius { callers, share: 1.0 },
                ..assessment()
            };
            let change = if incident.is_none() {
                Change::Opened {
                    environment: "production".into(),
                    at: from_ms(1),
                    assessment: Box::new(assessment),
                }
            } else {
                Change::Reassessed(Box::new(assessment))
            };
            incident = Some(apply(incident, id(), change).unwrap());
        }
        let incident = incident.unwrap();
        assert_eq!((incident.members.len(), incident.affected_services.len()), (MAX_MEMBERS, MAX_SERVICES));
        // the rest is for the context of the strongest
        let size = crate::events::encode(&incident).unwrap().len();
        assert!(size + MAX_CONTEXT <= crate::events::MAX_PAYLOAD, "{size} bytes");
    }

    fn any_change() -> impl Strategy<Value = Change> {
        prop_oneof![
            Just(opened_change()),
            Just(Change::Reassessed(Box::new(assessment()))),
            Just(Change::Split(Box::new(assessment()))),
            Just(Change::Announced),
            Just(Change::InvestigationStarted),
            Just(Change::CauseRanked),
            Just(Change::PlanProposed),
            (0..99_000_i64).prop_map(resolved),
            (0..99_000_i64).prop_map(|ms| Change::Closed { at: from_ms(ms) }),
        ]
    }

    proptest! {
        #[test]
        fn no_sequence_moves_an_incident_backwards(changes in prop::collection::vec(any_change(), 0..30)) {
            let mut incident = apply(None, id(), opened_change()).unwrap();
            for change in changes {
                let before = incident.clone();
                if let Ok(after) = apply(Some(incident.clone()), id(), change) {
                    prop_assert!(after.state >= before.state);
                    prop_assert_eq!(after.revision, before.revision + 1);
                    prop_assert!(after.severity >= before.severity);
                    prop_assert!(after.resolved_at.is_none_or(|at| at >= after.started_at));
                    incident = after;
                }
            }
        }
    }
}
