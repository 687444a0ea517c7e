//! A shop of six services whose correlation state is kept in memory by applying verdicts as the store would.

use std::sync::Arc;

use correlation::Options;
use correlation::endings;
use correlation::grouping::{self, Grouping, decide};
use correlation::links;
use jiff::Timestamp;
use shared::catalogue::Catalogue;
use shared::events::anomaly::{Anomaly, Band, Context, Direction, Ended, Point, Status};
use shared::events::incident::{Incident, Link, Relation, Signal};
use shared::events::{Deployment, Kind, Severity};
use shared::graph::Graph;
use shared::ids::{AnomalyId, IncidentId};
use shared::lifecycle::{self, Assessment, Change};
use shared::store::Neighbourhood;

const INTERVAL_MS: i64 = 10_000;

pub(crate) fn at(tick: i64) -> Timestamp {
    shared::clock::from_ms(1_700_000_000_000 + tick * INTERVAL_MS)
}

pub(crate) fn graph() -> Graph {
    let mut graph = Graph::from_edges([
        ("api-gateway", "payment"),
        ("api-gateway", "order"),
        ("api-gateway", "user"),
        ("order", "payment"),
        ("order", "inventory"),
    ]);
    graph.add_service("notification");
    graph
}

pub(crate) fn anomaly(service: &str, metric: &str, kind: Kind, tick: i64) -> Anomaly {
    let environment = "production";
    Anomaly {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode(environment, service, metric, at(tick).as_millisecond()),
        revision: 1,
        status: Status::Firing,
        kind,
        environment: environment.into(),
        service: service.into(),
        metric: metric.into(),
        unit: String::new(),
        severity: Severity::Sev3,
        evidence: 6.0,
        direction: Direction::Up,
        observed: 90.0,
        expected: Band { lower: 20.0, center: 30.0, upper: 40.0 },
        started_at: at(tick),
        observed_at: at(tick + 1),
        interval_ms: INTERVAL_MS as u64,
        detector: "test".into(),
        explanation: format!("{metric} of {service} is 90"),
        ended: None,
        burn_rate: None,
        impact: None,
        context: Context {
            samples: vec![Point { ts_ms: at(tick).as_millisecond(), value: 90.0 }],
            ..Context::default()
        },
    }
}

pub(crate) fn deployment(service: &str, version: &str, tick: i64) -> Deployment {
    Deployment {
        service: service.into(),
        version: version.into(),
        ts_ms: at(tick).as_millisecond(),
        environment: "production".into(),
        change_type: "deploy".into(),
        git_sha: None,
        deployed_by: None,
        description: None,
        known_risks: Vec::new(),
    }
}

#[derive(Default)]
pub(crate) struct Shop {
    pub(crate) signals: Vec<(Arc<Signal>, Option<IncidentId>)>,
    pub(crate) incidents: Vec<Incident>,
    pub(crate) deployments: Vec<Deployment>,
    /// Calls besides those of the shop.
    pub(crate) edges: Vec<(&'static str, &'static str)>,
    /// Calls to far ends that are not instrumented.
    pub(crate) far_ends: Vec<(&'static str, &'static str)>,
    /// What is known of services.
    pub(crate) catalogue: Catalogue,
}

impl Shop {
    pub(crate) fn neighbourhood(&self) -> Neighbourhood {
        Neighbourhood {
            version: 0,
            signals: self.signals.clone(),
            incidents: self.incidents.iter().filter(|incident| incident.state.is_open()).cloned().collect(),
            catalogue: self.catalogue.clone(),
            graph: self.graph(),
            deployments: self.deployments.clone(),
            past: self.incidents.iter().filter(|incident| !incident.state.is_open()).cloned().collect(),
        }
    }

    fn graph(&self) -> Graph {
        let mut graph = graph();
        for (caller, callee) in &self.edges {
            graph.add_edge((*caller).to_owned(), (*callee).to_owned());
        }
        for (caller, far_end) in &self.far_ends {
            graph.add_far_end((*caller).to_owned(), (*far_end).to_owned());
        }
        graph
    }

    /// Resolves what has been clear for long enough at `tick`.
    pub(crate) fn pass(&mut self, tick: i64) {
        let neighbourhood = self.neighbourhood();
        for incident in self.incidents.iter_mut().filter(|incident| incident.state.is_open()) {
            let members = grouping::members(incident.incident_id, &neighbourhood);
            if let Some((cleared, hold)) = grouping::all_clear(&members)
                && at(tick) >= cleared + Options::default().hold_of(incident, hold)
            {
                let resolved = Change::resolved(cleared, endings::resolution(&members));
                *incident = lifecycle::apply(Some(incident.clone()), incident.incident_id, resolved).unwrap();
            }
        }
    }

    pub(crate) fn deploy(&mut self, service: &str, version: &str, tick: i64) {
        self.deployments.push(deployment(service, version, tick));
    }

    /// Applies a change to every open incident.
    pub(crate) fn change(&mut self, change: &Change) {
        for incident in self.incidents.iter_mut().filter(|incident| incident.state.is_open()) {
            *incident =
                lifecycle::apply(Some(incident.clone()), incident.incident_id, change.clone()).unwrap();
        }
    }

    /// Resolves every open incident.
    pub(crate) fn resolve(&mut self, tick: i64) {
        self.change(&Change::resolved(at(tick), Ended::Recovered));
    }

    fn adopt(&mut self, adopted: &[Arc<Signal>], incident: IncidentId) {
        for (signal, of) in &mut self.signals {
            if adopted.iter().any(|joined| joined.anomaly_id == signal.anomaly_id) {
                *of = Some(incident);
            }
        }
    }

    /// Applies a change to one incident.
    fn change_one(&mut self, id: IncidentId, change: Change) {
        let incident = self.incidents.iter_mut().find(|known| known.incident_id == id).unwrap();
        *incident = lifecycle::apply(Some(incident.clone()), id, change).unwrap();
    }

    fn open(&mut self, anomaly: &Anomaly, id: IncidentId, assessment: Assessment) {
        let change = Change::Opened {
            environment: anomaly.environment.clone(),
            at: anomaly.observed_at,
            assessment: Box::new(assessment),
        };
        let mut opened = lifecycle::apply(None, id, change).unwrap();
        opened.number = self.incidents.len() as i64 + 1;
        self.incidents.push(opened);
    }

    pub(crate) fn take(&mut self, anomaly: &Anomaly) {
        let mut neighbourhood = self.neighbourhood();
        links::connect(&mut neighbourhood, Some(anomaly), &Options::default().log_terms);
        let decision = decide(anomaly, &neighbourhood, &Options::default());
        let home = match decision.grouping {
            Grouping::Stale => return,
            Grouping::Unassigned => None,
            Grouping::LateJoin { incident } => Some(incident.incident_id),
            Grouping::Reopen { incident, assessment, adopted } => {
                let id = incident.incident_id;
                self.change_one(id, Change::reopened(assessment));
                self.adopt(&adopted, id);
                Some(id)
            }
            Grouping::Open { incident, assessment, adopted, follows } => {
                self.open(anomaly, incident, assessment);
                if let Some(link) = follows {
                    self.change_one(incident, Change::Linked(link));
                }
                self.adopt(&adopted, incident);
                Some(incident)
            }
            Grouping::Join { incident, assessment, absorbed, split, .. } => {
                let id = incident.incident_id;
                let assessment = Box::new(assessment);
                let change =
                    if split.is_some() { Change::Split(assessment) } else { Change::Reassessed(assessment) };
                self.change_one(id, change);
                let home =
                    split.as_ref().filter(|split| split.has(&decision.signal)).map(|split| split.incident);
                if let Some(split) = split {
                    self.open(anomaly, split.incident, split.assessment);
                    self.adopt(&split.members, split.incident);
                }
                for other in absorbed {
                    self.adopt(&other.members, id);
                    let Incident { incident_id, number, .. } = other.incident;
                    self.change_one(incident_id, Change::merged(id, 0, anomaly.observed_at));
                    let link = Link::new(incident_id, number, Relation::Absorbed);
                    self.change_one(id, Change::Linked(link));
                }
                Some(home.unwrap_or(id))
            }
        };
        self.signals.retain(|(known, _)| known.anomaly_id != decision.signal.anomaly_id);
        self.signals.push((decision.signal, home));
    }
}
