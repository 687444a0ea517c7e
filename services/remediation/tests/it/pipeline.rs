//! The stage over a real Kafka and a real PostgreSQL, with the shipped runbooks in the index.

use std::time::Duration;

use shared::agent::Agent;
use shared::events::incident::State;
use shared::events::rca::Verdict;
use shared::events::{Category, Plan, RootCause, Topic};
use shared::ids::EventId;
use shared::knowledge::Index as _;
use shared::knowledge::postgres::PostgresIndex;
use shared::lifecycle::Change;
use shared::service::config::NoOptions;
use shared::service::{Config, Deps, Readiness};
use shared::store::{ArtifactKind, Store};
use stack::testing::bench::{Bench, until};
use tokio_util::sync::CancellationToken;

use crate::context::{CONTENT, Shelf, candidate, incident, ranking};

async fn shelve(store: &Store) {
    let index = PostgresIndex::new(store.clone());
    index.prepare(2).await.unwrap();
    let chunks: Vec<_> =
        Shelf::shipped().0.unwrap_or_default().into_iter().map(|chunk| (chunk, vec![1.0, 0.0])).collect();
    index.upsert(&chunks).await.unwrap();
    shared::knowledge::catalogue::replace(store, &CONTENT.catalogue).await.unwrap();
}

async fn publish(bench: &Bench, cause: &RootCause) {
    let id = EventId::of(Topic::RcaCompleted.name(), &cause.incident_id.to_string(), cause.revision);
    bench.send(Topic::RcaCompleted, cause, id, cause.completed_at).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_ranking_leads_to_one_plan_and_another_cause_to_the_next_revision() {
    let topics = [Topic::RcaCompleted, Topic::Plans, Topic::DeadLetters(Agent::Remediation)];
    let bench = Bench::open(&topics).await.unwrap();
    let store = &bench.store;
    let id = bench.incident("remediation");
    let ranked = vec![Change::Announced, Change::InvestigationStarted, Change::CauseRanked];
    bench.record(id, incident(), ranked).await.unwrap();
    shelve(store).await;

    let shutdown = CancellationToken::new();
    let deps = Deps { process: "remediation-test".into(), readiness: Readiness::default() };
    let config = Config::of("remediation", bench.common.clone(), NoOptions {});
    let running = tokio::spawn(remediation::run(config, deps, shutdown.clone()));

    let of = |revision, category| RootCause {
        incident_id: id,
        revision,
        ..ranking(Verdict::Likely, vec![candidate("payment", category, &[])])
    };
    publish(&bench, &of(1, Category::Pool)).await;
    publish(&bench, &of(1, Category::Pool)).await;
    publish(&bench, &of(2, Category::Pool)).await;
    publish(&bench, &of(3, Category::Code)).await;

    let settled = until(Duration::from_mins(1), async || {
        let timeline = store.reads().timeline(id).await.unwrap();
        let mut actions: Vec<&str> = timeline.iter().map(|entry| entry.action.as_str()).collect();
        actions.sort_unstable();
        if actions == ["plan_proposed", "plan_proposed", "plan_unchanged"] { Ok(()) } else { Err(timeline) }
    });
    settled.await.unwrap();
    shutdown.cancel();
    running.await.unwrap().unwrap();

    assert_eq!(store.reads().incident(id).await.unwrap().unwrap().state, State::Remediating);
    let last: Plan = store.reads().artifact(id, ArtifactKind::Plan).await.unwrap().unwrap();
    let plans: Vec<Plan> = bench.events(Topic::Plans, id).await.unwrap();
    assert_eq!(plans.iter().map(|plan| plan.revision).collect::<Vec<_>>(), [1, 2]);
    assert_eq!(plans[1], last);
    let sources: Vec<&str> =
        plans.iter().map(|plan| plan.steps[0].source.split('#').next().unwrap_or_default()).collect();
    assert_eq!(sources, ["runbook/db-connections", "runbook/error-rate"]);
}
