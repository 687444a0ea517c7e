//! The stage over real Kafka, PostgreSQL and embedding model, with the shipped knowledge.

use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use catalogue::Content;
use shared::agent::Agent;
use shared::calls::Calls;
use shared::events::evidence;
use shared::events::rca::{Relation, Verdict};
use shared::events::{Category, Incident, Kind, RootCause, Topic};
use shared::graph::Callee;
use shared::ids::{EventId, IncidentId};
use shared::knowledge::postgres::PostgresIndex;
use shared::knowledge::{Chunk, Options};
use shared::lifecycle::Change;
use shared::service::{Config, Deps, Readiness};
use shared::stage::Effects;
use shared::store::{ArtifactKind, EdgeCalls, Write};
use stack::testing::bench::{Bench, until};
use tokio::sync::Mutex;
use tokio_util::sync::CancellationToken;

use crate::scene::{at, incident, signal, sources, suspect};

/// Replicas of the stage are of one group: two tests at once would read each other's events.
pub(crate) static TURN: Mutex<()> = Mutex::const_new(());

/// Stores an incident with its members as correlation does, and publishes it.
async fn announce(bench: &Bench, id: IncidentId, incident: &Incident) {
    bench.record(id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let environment = &incident.environment;
    let writes = incident.signals.iter().map(|signal| Write::Signal {
        environment: environment.clone(),
        signal: Arc::new(signal.clone()),
        incident_id: Some(id),
    });
    bench.apply(id, "members", Effects { writes: writes.collect(), ..Effects::none() }).await.unwrap();
    let stored = bench.store.reads().incident(id).await.unwrap().unwrap();
    bench
        .send(Topic::IncidentsOpened, &stored, EventId::of("opened", &id.to_string(), 1), stored.opened_at)
        .await
        .unwrap();
}

async fn cause_of(bench: &Bench, id: IncidentId) -> RootCause {
    let read = async || {
        let reads = bench.store.reads();
        reads.artifact::<RootCause>(id, ArtifactKind::RootCause).await.unwrap().ok_or("no cause yet")
    };
    until(Duration::from_mins(1), read).await.unwrap()
}

/// Checks that what a result quotes is on record, with what its sources held.
async fn are_on_record(bench: &Bench, id: IncidentId, cause: &RootCause) {
    let records = bench.store.reads().evidence_of(id).await.unwrap();
    for piece in &cause.evidence {
        let record = records.iter().find(|record| Some(record.id) == piece.record).unwrap();
        assert_eq!(record.source, piece.source);
        let read = bench.store.reads().evidence(record.id).await.unwrap();
        assert_eq!(read.as_ref(), Some(record));
    }
    let edge = records.iter().find_map(|record| match &record.content {
        evidence::Content::Edge(figures) => Some(figures),
        _ => None,
    });
    assert_eq!(edge.and_then(|figures| figures.last_seen), Some(at(0)), "{records:#?}");
}

#[tokio::test(flavor = "multi_thread")]
async fn causes_rest_on_what_is_stored_and_on_past_incidents_that_are_alike() {
    let _turn = TURN.lock().await;
    let topics = [
        Topic::IncidentsOpened,
        Topic::IncidentsUpdated,
        Topic::RcaCompleted,
        Topic::DeadLetters(Agent::Investigation),
    ];
    let mut bench = Bench::open(&topics).await.unwrap();
    bench.common.knowledge =
        Options { model_dir: stack::testing::model().await.unwrap(), ..Options::default() };
    let content = Content::load(&Path::new(env!("CARGO_MANIFEST_DIR")).join("../../knowledge"));
    let content = content.unwrap_or_else(|problems| panic!("{problems}"));
    let chunks: Vec<Chunk> = content.chunks();
    let embedder = bench.common.knowledge.embedder().await.unwrap();
    let index = PostgresIndex::new(bench.store.clone());
    catalogue::seed::seed(&chunks, &embedder, &index, true).await.unwrap();

    // payment runs out of connections after a change
    let known = sources();
    let id = bench.incident("pool");
    let seen = EdgeCalls { kind: Callee::Service, first_seen: at(-600), calls: Calls::default() };
    let edge = Write::Edge {
        environment: "production".into(),
        caller: "order".into(),
        callee: "payment".into(),
        last_seen: at(0),
        seen: Box::new(seen),
    };
    let change = Write::Deployment(known.changes[0].clone());
    bench.apply(id, "around", Effects { writes: vec![edge, change], ..Effects::none() }).await.unwrap();
    announce(&bench, id, &Incident { incident_id: id, ..incident(&known) }).await;
    // user serves a little more than usual: its traffic was never multiplied
    let other = bench.incident("traffic");
    let mut more = incident(&known);
    more.signals = vec![signal("user", "request_rate", Kind::Traffic, 0, 40.0)];
    more.signals[0].unit = "1/s".into();
    more.suspects = vec![suspect("user", Category::Traffic, 0.6)];
    announce(&bench, other, &Incident { incident_id: other, ..more }).await;

    let shutdown = CancellationToken::new();
    let deps = Deps { process: "investigation-test".into(), readiness: Readiness::default() };
    let config = Config::of("investigation", bench.common.clone(), investigation::Options::default());
    let running = tokio::spawn(investigation::run(config, deps, shutdown.clone()));
    let cause = cause_of(&bench, id).await;
    let traffic = cause_of(&bench, other).await;
    shutdown.cancel();
    running.await.unwrap().unwrap();

    assert_eq!(cause.verdict, Verdict::Cause);
    assert_eq!(cause.claims_verified, cause.claims_total, "{cause:#?}");
    let first = &cause.candidates[0];
    let has = |fits: fn(&Relation) -> bool| first.claims.iter().flat_map(|claim| &claim.relations).any(fits);
    assert!(has(|relation| matches!(relation, Relation::Outside { .. })), "{first:#?}");
    assert!(has(|relation| matches!(relation, Relation::Repeated { .. })), "{first:#?}");
    assert!(has(|relation| matches!(relation, Relation::Before { .. })), "{first:#?}");
    assert!(has(|relation| matches!(relation, Relation::Calls { .. })), "{first:#?}");
    assert!(has(|relation| matches!(relation, Relation::SameCause { .. })), "{first:#?}");
    assert!(has(|relation| matches!(relation, Relation::KnownFailure { .. })), "{first:#?}");
    let past = &first.similar_incidents[0];
    assert!(past.alike.iter().any(|item| item.contains("kind of cause")), "{past:#?}");
    // every piece is cited, and every citation is there
    let cited = first.claims.iter().chain(&cause.exclusions).flat_map(|claim| &claim.evidence);
    assert!(cited.clone().all(|id| cause.evidence.iter().any(|piece| piece.id == *id)));

    are_on_record(&bench, id, &cause).await;

    let first = &traffic.candidates[0];
    assert!(first.similar_incidents.is_empty(), "{first:#?}");
    assert!(traffic.missing.iter().any(|line| line.contains("similar")), "{:?}", traffic.missing);
    assert!(traffic.ruled_out[0].starts_with("No deployment of user"), "{:?}", traffic.ruled_out);
}
