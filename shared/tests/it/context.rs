//! What signals carry to be shown, over a real PostgreSQL: stored once, absent from decisions, there for readers.

use std::sync::Arc;

use shared::clock::from_ms;
use shared::events::anomaly::{Anomaly, Band, Context, Direction, Point, Status};
use shared::events::incident::{BlastRadius, Signal};
use shared::events::{Incident, Kind, Severity, Topic, decode};
use shared::ids::{AnomalyId, EventId, IncidentId, derive};
use shared::lifecycle::{Assessment, Change};
use shared::stage::{Effects, IncidentChange};
use shared::store::apply::Cause;
use shared::store::{Store, Write};
use shared::testing;

const ENVIRONMENT: &str = "production";

fn signal(metric: &str, points: usize) -> Signal {
    let anomaly = Anomaly {
        dimensions: std::collections::BTreeMap::new(),
        anomaly_id: AnomalyId::of_episode(ENVIRONMENT, "payment", metric, 1),
        revision: 1,
        status: Status::Firing,
        kind: Kind::Latency,
        environment: ENVIRONMENT.into(),
        service: "payment".into(),
        metric: metric.into(),
        unit: "ms".into(),
        severity: Severity::Sev3,
        evidence: 6.0,
        direction: Direction::Up,
        observed: 90.0,
        expected: Band { lower: 20.0, center: 30.0, upper: 40.0 },
        started_at: from_ms(1),
        observed_at: from_ms(2),
        interval_ms: 1_000,
        detector: "test".into(),
        explanation: format!("{metric} is 90"),
        ended: None,
        burn_rate: None,
        impact: None,
        context: Context { samples: vec![Point { ts_ms: 1, value: 90.0 }; points], ..Context::default() },
    };
    Signal::from_anomaly(&anomaly, None)
}

fn kept(signal: &Signal, incident_id: Option<IncidentId>) -> Write {
    Write::Signal { environment: ENVIRONMENT.into(), signal: Arc::new(signal.clone()), incident_id }
}

/// Opens an incident with these members.
pub(super) fn opened(signals: Vec<Signal>) -> Change {
    let assessment = Assessment {
        challenger: None,
        title: "payment: requests are slow".into(),
        severity: Severity::Sev3,
        suspects: Vec::new(),
        signals: signals.into_iter().map(Arc::new).collect(),
        blast_radius: BlastRadius::default(),
        impact: None,
        deployment: None,
        storm: false,
    };
    Change::Opened { environment: ENVIRONMENT.into(), at: from_ms(2), assessment: Box::new(assessment) }
}

async fn apply(store: &Store, seed: &str, effects: Effects) {
    let event = EventId(derive(&["event", seed]));
    testing::apply(store, "correlation", Cause::Event(event), &effects).await.unwrap();
}

async fn members(store: &Store) -> Vec<Signal> {
    let around = store.reads().neighbourhood(ENVIRONMENT, from_ms(0), from_ms(0)).await.unwrap();
    around.signals.into_iter().map(|(signal, _)| Signal::clone(&signal)).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_reads_signals_without_context_and_people_read_incidents_with_it() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let (loose, own) = (signal("error_rate", 7), signal("latency_p99_ms", 9));
    apply(&store, "loose", Effects { writes: vec![kept(&loose, None)], ..Effects::none() }).await;
    // what a decision knows of the loose signal is what it read
    let bare = members(&store).await.remove(0);
    assert_eq!((bare.samples.len(), &bare.explanation), (0, &loose.explanation));

    let id = IncidentId::opened_by(own.anomaly_id);
    let change = opened(vec![own.clone(), bare.clone()]);
    let opens = Effects {
        incidents: vec![IncidentChange { incident_id: id, change, publish: None }],
        writes: vec![kept(&own, Some(id)), kept(&bare, Some(id))],
        ..Effects::none()
    };
    apply(&store, "opens", opens).await;
    assert!(members(&store).await.iter().all(|member| member.samples.is_empty()));

    let announced =
        IncidentChange { incident_id: id, change: Change::Announced, publish: Some(Topic::IncidentsOpened) };
    apply(&store, "announced", Effects { incidents: vec![announced], ..Effects::none() }).await;
    let client = testing::client(&store).await.unwrap();
    let payload: Vec<u8> =
        client.query_one("select payload from outbox", &[]).await.unwrap().try_get(0).unwrap();
    let published: Incident = decode(&payload).unwrap();
    assert_eq!(published.signals, [own.clone(), loose.clone()], "joining has not cost the context");
    assert_eq!(store.reads().incident(id).await.unwrap().unwrap(), published);
    assert_eq!(store.reads().signals_of(id).await.unwrap(), [loose.clone(), own.clone()]);
    let known = store.reads().signals(&[loose.anomaly_id]).await.unwrap();
    assert_eq!(known, [(Arc::new(loose), Some(id))]);
}
