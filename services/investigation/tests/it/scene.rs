//! An incident whose claims can be made: payment runs out of connections, its caller fails, a version went out before.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use investigation::check::{Flaw, check};
use investigation::documents::Documents;
use investigation::ledger::Ledger;
use investigation::query::{Asked, findings};
use investigation::records::Records;
use investigation::sources::Sources;
use jiff::Timestamp;
use shared::clock::{Clock as _, SystemClock};
use shared::events::anomaly::{Band, Direction, Ended, LogTemplate, Point, Sibling, Status};
use shared::events::evidence::{EdgeFigures, EdgeTimes};
use shared::events::incident::{BlastRadius, Incident, Signal, State, Suspect};
use shared::events::raw::Level;
use shared::events::rca::{Candidate, Claim, Evidence, Source};
use shared::events::{Category, Deployment, Kind, Severity};
use shared::graph::Graph;
use shared::ids::{AnomalyId, IncidentId};
use shared::knowledge::retrieval::Found;
use shared::knowledge::{Chunk, DocumentKind, YES, facet};

/// Yesterday at 09:26:40 UTC: what is older than some weeks is deleted.
static BEGAN: LazyLock<i64> =
    LazyLock::new(|| (SystemClock.now().as_second() / 86_400 - 1) * 86_400 + 34_000);

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(*BEGAN + second).unwrap()
}

/// A series that leaves its band of 0 to 30 at `began` and reaches `peak` 20 s later.
pub(crate) fn signal(service: &str, metric: &str, kind: Kind, began: i64, peak: f64) -> Signal {
    let value = |second: i64| {
        if second < began {
            20.0
        } else if second < began + 20 {
            40.0
        } else {
            peak
        }
    };
    let seconds = (began - 30..=began + 60).step_by(10);
    let point = |second| Point { ts_ms: at(second).as_millisecond(), value: value(second) };
    Signal {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode("production", service, metric, at(began).as_millisecond()),
        revision: 2,
        service: service.into(),
        metric: metric.into(),
        unit: "%".into(),
        kind,
        severity: Severity::Sev2,
        status: Status::Firing,
        evidence: 6.0,
        direction: Direction::Up,
        observed: peak,
        expected: Band { lower: 0.0, center: 20.0, upper: 30.0 },
        started_at: at(began),
        observed_at: at(began + 60),
        cleared_at: None,
        ended: None,
        interval_ms: 10_000,
        explanation: format!("{metric} of {service} is {peak} %, above its band of 0 to 30 %"),
        burn_rate: None,
        impact: None,
        samples: seconds.map(point).collect(),
        siblings: Vec::new(),
        logs: Vec::new(),
        requests: Vec::new(),
        complaints: Vec::new(),
        sealed: Vec::new(),
    }
}

/// The same once it is over: the last samples lie inside the band again.
pub(crate) fn over(mut signal: Signal) -> Signal {
    let ends = signal.observed_at;
    for later in 1..=5 {
        let ts_ms = ends.as_millisecond() + later * 10_000;
        signal.samples.push(Point { ts_ms, value: 20.0 });
    }
    (signal.status, signal.cleared_at, signal.ended) = (Status::Cleared, Some(ends), Some(Ended::Recovered));
    (signal.observed, signal.observed_at) = (20.0, ends + jiff::SignedDuration::from_secs(50));
    signal
}

pub(crate) fn suspect(service: &str, category: Category, posterior: f64) -> Suspect {
    Suspect {
        service: service.into(),
        category,
        score: 8.0,
        posterior,
        service_posterior: Some(posterior),
        reasons: Vec::new(),
    }
}

pub(crate) fn change(service: &str, version: &str, second: i64) -> Deployment {
    Deployment {
        service: service.into(),
        version: version.into(),
        ts_ms: at(second).as_millisecond(),
        environment: "production".into(),
        change_type: "deploy".into(),
        git_sha: None,
        deployed_by: None,
        description: None,
        known_risks: Vec::new(),
    }
}

pub(crate) fn sources() -> Sources {
    let mut pool = signal("payment", "pool_percent", Kind::Pool, 0, 98.5);
    pool.logs.push(LogTemplate {
        level: Level::Error,
        template: "no connection within <*>".into(),
        count: 42,
        example: "no connection within 5000 ms".into(),
        last_seen: at(55),
    });
    let inside = Band { lower: 18.0, center: 22.0, upper: 26.0 };
    pool.siblings.push(Sibling {
        metric: "cpu_percent".into(),
        unit: Some("%".into()),
        observed: 22.4,
        expected: inside,
    });
    let errors = signal("payment", "error_rate", Kind::Errors, 20, 63.5);
    let felt = signal("order", "error_rate", Kind::Errors, 30, 51.5);
    Sources {
        signals: vec![pool, errors, felt],
        changes: vec![change("payment", "2.4.1", -600), change("order", "7.0.0", -9_000)],
        changes_since: at(-3_600),
        graph: Graph::from_edges([("order", "payment"), ("api-gateway", "order")]),
        sections: [past(), page()]
            .map(|chunk| ((chunk.doc_id.clone(), chunk.section.clone()), chunk))
            .into_iter()
            .collect(),
        answers: BTreeMap::new(),
        edge_times: edge_times(),
    }
}

/// Calls to payment became slow, by payment itself; those that it makes to vault did not.
pub(crate) fn edge_times() -> BTreeMap<Source, EdgeTimes> {
    let figures = |calls: i64, mean_ms: f64, own_ms: f64| EdgeFigures {
        calls: Some(calls),
        latency_mean_ms: Some(mean_ms),
        self_mean_ms: Some(own_ms),
        ..EdgeFigures::default()
    };
    let edge = |caller: &str, callee: &str| Source::EdgeTimes {
        caller: caller.into(),
        callee: callee.into(),
        from: at(-1_840),
        onset: at(-40),
        to: at(20),
    };
    let of = |before, since| EdgeTimes { before, since };
    BTreeMap::from([
        (edge("order", "payment"), of(figures(1_800, 15.25, 12.5), figures(75, 490.5, 470.25))),
        (edge("payment", "vault"), of(figures(1_700, 4.25, 4.25), figures(70, 4.5, 4.5))),
        // too few to tell
        (edge("payment", "audit"), of(figures(1_700, 4.0, 4.0), figures(7, 400.0, 400.0))),
    ])
}

pub(crate) fn past() -> Chunk {
    Chunk {
        doc_id: "incident/INC-1107".into(),
        kind: DocumentKind::Incident,
        title: "Payment lost its connections".into(),
        section: "summary".into(),
        ordinal: 0,
        text: "SEV1 at payment: exhausted pool. 42 minutes.\n\n- the pool was full".into(),
        facets: BTreeMap::from([
            ("service".into(), "payment".into()),
            ("kind".into(), "pool".into()),
            (facet("category", "pool"), YES.into()),
            (facet("service", "payment"), YES.into()),
            (facet("service", "order"), YES.into()),
        ]),
    }
}

/// The page of payment.
pub(crate) fn page() -> Chunk {
    Chunk {
        doc_id: "service/payment".into(),
        kind: DocumentKind::Service,
        title: "payment".into(),
        section: "service".into(),
        ordinal: 0,
        text: "Charges cards.\n\nKnown failures:\n- a slow network: retries\n\
            - an exhausted connection pool: charges wait for a connection\n\nRunbooks: none."
            .into(),
        facets: BTreeMap::from([("service".into(), "payment".into())]),
    }
}

pub(crate) fn incident(sources: &Sources) -> Incident {
    Incident {
        incident_id: IncidentId::opened_by(sources.signals[0].anomaly_id),
        number: 7,
        revision: 1,
        state: State::Correlating,
        severity: Severity::Sev2,
        title: "payment: the connection pool is running out".into(),
        environment: "production".into(),
        suspects: vec![suspect("payment", Category::Pool, 0.93), suspect("order", Category::Code, 0.02)],
        challenger: None,
        members: sources.signals.iter().map(|signal| signal.anomaly_id).collect(),
        affected_services: vec!["order".into(), "payment".into()],
        blast_radius: BlastRadius { callers: vec!["api-gateway".into(), "order".into()], share: 0.5 },
        impact: None,
        signals: sources.signals.clone(),
        deployment: None,
        started_at: at(0),
        opened_at: at(10),
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

/// What was investigated: the first candidate, the findings against other causes, and the evidence of both.
pub(crate) struct Investigated {
    pub(crate) candidate: Candidate,
    pub(crate) exclusions: Vec<Claim>,
    pub(crate) evidence: Vec<Evidence>,
    pub(crate) records: Records,
}

impl Investigated {
    pub(crate) fn claims(&self) -> impl Iterator<Item = &Claim> {
        self.candidate.claims.iter().chain(&self.exclusions)
    }

    /// Checks a claim with this evidence against sources.
    pub(crate) fn check(&self, claim: &Claim, sources: &Sources) -> Result<(), Flaw> {
        check(claim, &self.evidence, &self.records, sources)
    }
}

pub(crate) fn documents() -> Documents {
    let found = Found { chunk: past(), score: 1.0, similarity: Some(0.8) };
    Documents { incidents: vec![found], runbooks: Vec::new(), page: Some(page()) }
}

pub(crate) fn investigate(sources: &Sources, incident: &Incident) -> Investigated {
    investigate_with(sources, incident, &Asked::default())
}

/// Investigates with the answers of queried systems.
pub(crate) fn investigate_with(sources: &Sources, incident: &Incident, asked: &Asked) -> Investigated {
    let documents = documents();
    let records = Records::of(incident, sources, std::slice::from_ref(&documents), &[])
        .and_then(|records| records.with_answers(incident, &asked.answers))
        .unwrap();
    let mut ledger = Ledger::new(&records);
    let first = &incident.suspects[0];
    let mut candidate = investigation::claims::candidate(incident, first, sources, &documents, &mut ledger);
    let mut exclusions = investigation::claims::exclusions(incident, sources, &mut ledger);
    findings::add(asked, std::slice::from_mut(&mut candidate), &mut exclusions, &mut ledger);
    let evidence = ledger.pieces().to_vec();
    Investigated { candidate, exclusions, evidence, records }
}
