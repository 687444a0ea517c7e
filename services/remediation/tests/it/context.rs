//! What plans are made from: the shipped content, an index that holds it, one incident and one ranking.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::LazyLock;

use async_trait::async_trait;
use catalogue::Content;
use jiff::Timestamp;
use shared::events::anomaly::{Band, Direction, Status};
use shared::events::incident::{BlastRadius, Change, Incident, Signal, State, Suspect};
use shared::events::rca::{Candidate, Claim, Evidence, Method, Reference, Source, Verdict};
use shared::events::{Category, Kind, Plan, RootCause, Severity};
use shared::ids::{AnomalyId, IncidentId};
use shared::knowledge::{Chunk, Error, Hit, Index, Query};

use remediation::context::PlanContext;
use remediation::lookup::{self, Found};
use remediation::plan;
use remediation::target::Target;

/// What is shipped under `knowledge`.
pub(crate) static CONTENT: LazyLock<Content> = LazyLock::new(|| {
    let directory = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge");
    Content::load(&directory).unwrap_or_else(|problems| panic!("{problems}"))
});

/// An index in memory that can be searched by facets only, or is down.
pub(crate) struct Shelf(pub(crate) Option<Vec<Chunk>>);

impl Shelf {
    pub(crate) fn shipped() -> Self {
        Self(Some(CONTENT.runbooks.iter().flat_map(catalogue::runbook::Runbook::chunks).collect()))
    }
}

#[async_trait]
impl Index for Shelf {
    async fn prepare(&self, _: usize) -> Result<(), Error> {
        unimplemented!("nothing is written")
    }

    async fn upsert(&self, _: &[(Chunk, Vec<f32>)]) -> Result<(), Error> {
        unimplemented!("nothing is written")
    }

    async fn remove(&self, _: &[uuid::Uuid]) -> Result<(), Error> {
        unimplemented!("nothing is written")
    }

    async fn hashes(&self) -> Result<BTreeMap<uuid::Uuid, String>, Error> {
        unimplemented!("nothing is written")
    }

    async fn nearest(&self, _: &[f32], _: &Query) -> Result<Vec<Hit>, Error> {
        unimplemented!("nothing is embedded")
    }

    async fn document(&self, _: &str) -> Result<Vec<Chunk>, Error> {
        unimplemented!("runbooks are found by their kind of cause")
    }

    async fn scan(&self, query: &Query) -> Result<Vec<Chunk>, Error> {
        match &self.0 {
            Some(chunks) => Ok(chunks.iter().filter(|chunk| query.admits(chunk)).cloned().collect()),
            None => Err(Error::Unavailable(anyhow::anyhow!("connection refused"))),
        }
    }
}

pub(crate) fn at(text: &str) -> Timestamp {
    format!("2026-03-14T{text}Z").parse().unwrap()
}

/// Payment has run out of database connections; a version went out 23 minutes before.
#[expect(clippy::too_many_lines, reason = "data, written out")]
pub(crate) fn incident() -> Incident {
    let pool = Signal {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode("production", "payment", "db_connections", 0),
        revision: 2,
        service: "payment".into(),
        metric: "db_connections".into(),
        unit: "count".into(),
        kind: Kind::Pool,
        severity: Severity::Sev2,
        status: Status::Firing,
        evidence: 6.0,
        direction: Direction::Up,
        observed: 91.0,
        expected: Band { lower: 25.4, center: 30.0, upper: 34.6 },
        started_at: at("09:26:50"),
        observed_at: at("09:28:10"),
        cleared_at: None,
        ended: None,
        interval_ms: 10_000,
        explanation: "db_connections of payment is 91, expected 25.4 to 34.6".into(),
        burn_rate: None,
        impact: None,
        samples: vec![],
        siblings: vec![],
        logs: vec![],
        requests: vec![],
        complaints: vec![],
        sealed: vec![],
    };
    let errors = Signal {
        anomaly_id: AnomalyId::of_episode("production", "api-gateway", "error_rate", 0),
        service: "api-gateway".into(),
        metric: "error_rate".into(),
        unit: "%".into(),
        kind: Kind::Errors,
        evidence: 4.1,
        observed: 12.8,
        expected: Band { lower: 0.1, center: 0.5, upper: 0.92 },
        started_at: at("09:27:40"),
        ..pool.clone()
    };
    Incident {
        incident_id: IncidentId::opened_by(pool.anomaly_id),
        number: 12,
        revision: 3,
        state: State::RcaComplete,
        severity: Severity::Sev2,
        title: "payment: the connection pool is running out".into(),
        environment: "production".into(),
        suspects: vec![Suspect {
            service: "payment".into(),
            category: Category::Pool,
            score: 9.4,
            posterior: 0.93,
            service_posterior: None,
            reasons: vec![],
        }],
        challenger: None,
        members: vec![pool.anomaly_id, errors.anomaly_id],
        affected_services: vec!["api-gateway".into(), "payment".into()],
        blast_radius: BlastRadius { callers: vec!["api-gateway".into(), "order".into()], share: 0.5 },
        impact: None,
        signals: vec![pool, errors],
        deployment: Some(Change {
            service: "payment".into(),
            version: "v3.18.0".into(),
            at: at("09:03:40"),
            change_type: "deploy".into(),
            git_sha: None,
            deployed_by: Some("jo@shop.example".into()),
            description: None,
            known_risks: vec![],
        }),
        started_at: at("09:26:50"),
        opened_at: at("09:27:40"),
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
    }
}

pub(crate) fn candidate(service: &str, category: Category, runbooks: &[&str]) -> Candidate {
    Candidate {
        service: service.into(),
        cause: format!("{service} has {}.", category.words()),
        category,
        confidence: 0.91,
        claims: vec![Claim {
            text: "It was first.".into(),
            evidence: vec!["E1".into()],
            relations: Vec::new(),
        }],
        similar_incidents: vec![],
        runbooks: runbooks
            .iter()
            .map(|slug| Reference {
                doc_id: format!("runbook/{slug}"),
                title: format!("About {slug}"),
                section: "Symptoms".into(),
                score: 0.8,
                alike: Vec::new(),
                different: Vec::new(),
            })
            .collect(),
    }
}

pub(crate) fn ranking(verdict: Verdict, candidates: Vec<Candidate>) -> RootCause {
    let incident = incident();
    RootCause {
        incident_id: incident.incident_id,
        number: incident.number,
        revision: 1,
        incident_revision: incident.revision,
        environment: incident.environment,
        verdict,
        candidates,
        evidence: vec![Evidence {
            id: "E1".into(),
            source: Source::Edge { caller: "order".into(), callee: "payment".into() },
            quote: "order calls payment".into(),
            record: None,
        }],
        exclusions: Vec::new(),
        ruled_out: vec!["cpu_percent of payment stayed inside its band: 22, expected 18 to 26.".into()],
        missing: vec!["No warnings or errors of payment were logged, or its logs are not sent.".into()],
        method: Method::Deterministic,
        claims_verified: 1,
        claims_total: 1,
        tokens: 0,
        cost_microdollars: 0,
        completed_at: at("09:28:11"),
        corrected_at: None,
        queries: 0,
    }
}

/// Finds a runbook and writes the first plan.
pub(crate) async fn planned(shelf: &Shelf, cause: &RootCause) -> (Found, Plan) {
    let incident = incident();
    let target = Target::of(cause, &incident);
    let found = lookup::find(shelf, &target, &CONTENT.catalogue).await;
    let case = PlanContext { cause, incident: &incident, catalogue: &CONTENT.catalogue };
    let plan = plan::write(case, &target, &found, 1);
    (found, plan)
}
