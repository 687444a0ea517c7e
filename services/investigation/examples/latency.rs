//! Prints how long an investigation takes over real PostgreSQL and the real embedding model, from the incident to the rows of
//! its result: `make score-investigation`. No query of another system is part of it.

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Result, anyhow};
use catalogue::Content;
use investigation::investigator::{Investigator, Outcome};
use investigation::query::Asked;
use investigation::sources::Members;
use jiff::{SignedDuration, Timestamp};
use serde_json::json;
use shared::calls::Calls;
use shared::clock::{Clock as _, SystemClock};
use shared::events::anomaly::{Band, Direction, LogTemplate, Point, Status};
use shared::events::incident::{Incident, Signal, Suspect};
use shared::events::raw::Level;
use shared::events::{Category, Kind, Severity, Topic};
use shared::graph::Callee;
use shared::ids::{AnomalyId, IncidentId};
use shared::knowledge::Options;
use shared::knowledge::postgres::PostgresIndex;
use shared::lifecycle::{Assessment, Change};
use shared::stage::{Effects, IncidentChange};
use shared::store::{ArtifactKind, EdgeCalls, Write};
use stack::testing::bench::Bench;
use stack::testing::durations::Durations;

/// Investigations that are timed.
const INCIDENTS: usize = 300;
/// Investigations before them, which fill caches and the pool.
const WARM_UP: usize = 20;
/// Where the figures are written.
const FIGURES: &str = "target/score/latency.jsonl";
const SERVICES: [&str; 4] = ["payment", "order", "api-gateway", "user"];
const CATEGORIES: [Category; 4] = [Category::Pool, Category::Memory, Category::Code, Category::Cpu];
const METRICS: [(&str, Kind); 3] =
    [("latency_p99_ms", Kind::Latency), ("error_rate", Kind::Errors), ("pool_percent", Kind::Pool)];
const MEMBERS: usize = SERVICES.len() * METRICS.len();

fn signal(service: &str, metric: &str, kind: Kind, began: Timestamp) -> Signal {
    let point = |second: i64| Point {
        ts_ms: began.as_millisecond() + second * 1_000,
        value: if second < 0 { 20.0 } else { 80.0 + (second % 7) as f64 },
    };
    let log = LogTemplate {
        level: Level::Error,
        template: "no connection within <*> ms".into(),
        count: 42,
        example: "no connection within 5000 ms".into(),
        last_seen: began + SignedDuration::from_secs(20),
    };
    Signal {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode("production", service, metric, began.as_millisecond()),
        revision: 1,
        service: service.into(),
        metric: metric.into(),
        unit: "%".into(),
        kind,
        severity: Severity::Sev2,
        status: Status::Firing,
        evidence: 6.0,
        direction: Direction::Up,
        observed: 83.0,
        expected: Band { lower: 0.0, center: 20.0, upper: 30.0 },
        started_at: began,
        observed_at: began + SignedDuration::from_secs(30),
        cleared_at: None,
        ended: None,
        interval_ms: 1_000,
        explanation: format!("{metric} of {service} is 83 %, above its band of 0 to 30 %"),
        burn_rate: None,
        impact: None,
        samples: (-90..30).map(point).collect(),
        siblings: Vec::new(),
        logs: vec![log],
        requests: Vec::new(),
        complaints: Vec::new(),
        sealed: Vec::new(),
    }
}

fn suspect(service: &str, category: Category, posterior: f64) -> Suspect {
    Suspect {
        service: service.into(),
        category,
        score: 8.0,
        posterior,
        service_posterior: Some(posterior),
        reasons: Vec::new(),
    }
}

/// Stores an incident with twelve members of four services, and returns it.
async fn store(bench: &Bench, number: usize) -> Result<Incident> {
    let began = SystemClock.now() - SignedDuration::from_secs(3_600 + number as i64);
    let id = bench.incident(&number.to_string());
    let signals: Vec<Arc<Signal>> = SERVICES
        .iter()
        .flat_map(|service| METRICS.map(|(metric, kind)| Arc::new(signal(service, metric, kind, began))))
        .collect();
    let category = CATEGORIES[number % CATEGORIES.len()];
    let assessment = Box::new(Assessment {
        title: "payment: requests are slow".into(),
        severity: Severity::Sev2,
        suspects: vec![
            suspect("payment", category, 0.8),
            suspect("order", Category::Code, 0.1),
            suspect("user", Category::Network, 0.03),
        ],
        challenger: None,
        signals: signals.clone(),
        blast_radius: shared::events::incident::BlastRadius::default(),
        impact: None,
        deployment: None,
        storm: false,
    });
    let opened = Change::Opened { environment: "production".into(), at: began, assessment };
    let changes = [opened, Change::Announced];
    let incidents = changes.map(|change| IncidentChange { incident_id: id, change, publish: None }).to_vec();
    bench.apply(id, "opened", Effects { incidents, ..Effects::none() }).await?;
    let writes = signals.into_iter().map(|signal| Write::Signal {
        environment: "production".into(),
        signal,
        incident_id: Some(id),
    });
    bench.apply(id, "members", Effects { writes: writes.collect(), ..Effects::none() }).await?;
    bench.store.reads().incident(id).await?.ok_or_else(|| anyhow!("the incident is not stored"))
}

/// Investigates an incident and writes the result; returns the time for both and the number of records.
async fn timed(bench: &Bench, investigator: &Investigator, incident: &Incident) -> Result<(Duration, usize)> {
    let id: IncidentId = incident.incident_id;
    let begin = Instant::now();
    let found = investigator
        .investigate(incident, Members::OfIncident, 1, &Asked::default(), bench.store.reads())
        .await;
    let Outcome { result, records, .. } = found.map_err(|error| anyhow!("{error}"))?;
    let (body, number) = (serde_json::to_value(&result)?, records.len());
    let writes = vec![
        Write::Evidence { incident_id: id, revision: 1, records },
        Write::Artifact { incident_id: id, kind: ArtifactKind::RootCause, revision: 1, body },
    ];
    bench.apply(id, "cause", Effects { writes, ..Effects::none() }).await?;
    Ok((begin.elapsed(), number))
}

#[tokio::main]
async fn main() -> Result<()> {
    let bench = Bench::open(&[Topic::Actions]).await?;
    let knowledge = Options { model_dir: stack::testing::model().await?, ..Options::default() };
    let content = Content::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge"))?;
    let index = PostgresIndex::new(bench.store.clone());
    catalogue::seed::seed(&content.chunks(), &knowledge.embedder().await?, &index, true).await?;
    let edge = |caller: &str, callee: &str| Write::Edge {
        environment: "production".into(),
        caller: caller.into(),
        callee: callee.into(),
        last_seen: SystemClock.now(),
        seen: Box::new(EdgeCalls {
            kind: Callee::Service,
            first_seen: SystemClock.now(),
            calls: Calls::default(),
        }),
    };
    let writes = vec![edge("order", "payment"), edge("api-gateway", "order"), edge("api-gateway", "user")];
    bench.apply(bench.incident("edges"), "edges", Effects { writes, ..Effects::none() }).await?;

    let retrieval = knowledge.retrieval(bench.store.clone()).await?;
    let investigator = Investigator::new(investigation::Options::default(), Some(retrieval));
    let (mut times, mut records) = (Durations::default(), 0);
    for number in 0..WARM_UP + INCIDENTS {
        let incident = store(&bench, number).await?;
        let (time, number_of_records) = timed(&bench, &investigator, &incident).await?;
        if number >= WARM_UP {
            times.push(time);
            records += number_of_records;
        }
    }
    println!(
        "{INCIDENTS} investigations, {MEMBERS} members and {} records each: {times}",
        records / INCIDENTS
    );
    let at = |share: f64| times.percentile_ms(share);
    let figures = json!({ "investigations": INCIDENTS, "members": MEMBERS, "records": records / INCIDENTS,
        "p50_ms": at(0.5), "p95_ms": at(0.95), "p99_ms": at(0.99), "most_ms": at(1.0) });
    std::fs::create_dir_all("target/score")?;
    std::fs::write(FIGURES, format!("{figures}\n"))?;
    Ok(())
}
