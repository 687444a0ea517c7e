//! The stage over a real Kafka and a real PostgreSQL, with the shipped runbooks in the index.

use std::time::{Duration, Instant};

use shared::bus::reader::{From, Reader};
use shared::bus::{self, Producer};
use shared::events::incident::State;
use shared::events::rca::Verdict;
use shared::events::{Category, Outgoing, Plan, RootCause, Topic, decode};
use shared::ids::{EventId, IncidentId, derive};
use shared::knowledge::Index as _;
use shared::knowledge::postgres::PostgresIndex;
use shared::service::config::Nothing;
use shared::service::{Common, Config, Deps, Readiness};
use shared::stage::{Effects, IncidentChange};
use shared::store::apply::Cause;
use shared::store::lifecycle::{Assessment, Change};
use shared::store::{self, ArtifactKind, Store};
use tokio_util::sync::CancellationToken;

use crate::case::{CONTENT, Shelf, candidate, incident, ranking};

/// Puts an incident on record up to a ranked cause, as correlation and investigation do.
async fn record(store: &Store, id: IncidentId) {
    let incident = incident();
    let assessment = Box::new(Assessment {
        title: incident.title,
        severity: incident.severity,
        suspects: incident.suspects,
        signals: incident.signals,
        blast_radius: incident.blast_radius,
        deployment: incident.deployment,
    });
    let opened = Change::Opened { environment: incident.environment, at: incident.opened_at, assessment };
    let changes = [opened, Change::Announced, Change::InvestigationStarted, Change::CauseRanked];
    let incidents =
        changes.map(|change| IncidentChange { incident_id: id, change, publish: None }).into_iter().collect();
    let cause = Cause::Event(EventId(derive(&["recorded", &id.to_string()])));
    store.apply("correlation", cause, None, &Effects { incidents, ..Effects::default() }).await.unwrap();
}

async fn shelve(store: &Store) {
    let index = PostgresIndex::new(store.clone());
    index.prepare(2).await.unwrap();
    let chunks: Vec<_> =
        Shelf::shipped().0.unwrap_or_default().into_iter().map(|chunk| (chunk, vec![1.0, 0.0])).collect();
    index.upsert(&chunks).await.unwrap();
    shared::knowledge::catalogue::replace(store, &CONTENT.catalogue).await.unwrap();
}

async fn publish(producer: &Producer, cause: &RootCause) {
    let id = EventId::of(Topic::RcaCompleted.name(), &cause.incident_id.to_string(), cause.revision);
    let outgoing = Outgoing::new(Topic::RcaCompleted, cause, id, "test", cause.completed_at, None).unwrap();
    let headers = outgoing.envelope.to_headers();
    producer.send(Topic::RcaCompleted, Some(&outgoing.key), &headers, &outgoing.payload).await.unwrap();
}

/// Returns the plans of an incident that are on the bus.
async fn published(kafka: bus::Options, id: IncidentId) -> Vec<Plan> {
    let lines = tokio::task::spawn_blocking(move || {
        Reader::open(&kafka, Topic::Plans, None, From::Beginning, Duration::from_secs(10))
            .and_then(|reader| reader.to_end(Duration::from_secs(20)))
    });
    let key = id.to_string();
    let lines = lines.await.unwrap().unwrap().into_iter().filter(|line| line.key.as_ref() == Some(&key));
    lines.map(|line| decode(&line.payload.unwrap()).unwrap()).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ranking_leads_to_one_plan_and_another_cause_to_the_next_revision() {
    let database = stack::testing::postgres().await.unwrap();
    let kafka = bus::Options {
        brokers: stack::testing::kafka().await.unwrap(),
        session_timeout_ms: 6_000,
        drain_timeout_ms: 3_000,
        ..bus::Options::default()
    };
    let topics = [Topic::RcaCompleted, Topic::Plans, Topic::DeadLetters("remediation")];
    bus::admin::Admin::new(&kafka).unwrap().provision(&topics).await.unwrap();
    let producer = Producer::connect(&kafka).unwrap();
    let store = database.store().unwrap();
    let id = IncidentId(derive(&["remediation", &database.url()]));
    record(&store, id).await;
    shelve(&store).await;

    let postgres = store::Options { url: database.url(), ..store::Options::default() };
    let common = Common { kafka: kafka.clone(), postgres, ..Common::default() };
    let shutdown = CancellationToken::new();
    let deps = Deps { process: "remediation-test".into(), readiness: Readiness::default() };
    let config = Config::of("remediation", common, Nothing {});
    let running = tokio::spawn(remediation::run(config, deps, shutdown.clone()));

    let of = |revision, category| RootCause {
        incident_id: id,
        revision,
        ..ranking(Verdict::Likely, vec![candidate("payment", category, &[])])
    };
    publish(&producer, &of(1, Category::Pool)).await;
    publish(&producer, &of(1, Category::Pool)).await;
    publish(&producer, &of(2, Category::Pool)).await;
    publish(&producer, &of(3, Category::Code)).await;

    let deadline = Instant::now() + Duration::from_mins(1);
    loop {
        let timeline = store.timeline(id).await.unwrap();
        let mut actions: Vec<&str> = timeline.iter().map(|entry| entry.action.as_str()).collect();
        actions.sort_unstable();
        if actions == ["plan_proposed", "plan_proposed", "plan_unchanged"] {
            break;
        }
        assert!(actions.len() < 3 && Instant::now() < deadline, "saw {timeline:#?}");
        tokio::time::sleep(Duration::from_millis(50)).await;
    }
    shutdown.cancel();
    running.await.unwrap().unwrap();

    assert_eq!(store.incident(id).await.unwrap().unwrap().state, State::Remediating);
    let last: Plan = store.artifact(id, ArtifactKind::Plan).await.unwrap().unwrap();
    let plans = published(kafka, id).await;
    assert_eq!(plans.iter().map(|plan| plan.revision).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(plans[1], last);
    let sources: Vec<&str> =
        plans.iter().map(|plan| plan.steps[0].source.split('#').next().unwrap_or_default()).collect();
    assert_eq!(sources, ["runbook/db-connections", "runbook/error-rate"]);
}
