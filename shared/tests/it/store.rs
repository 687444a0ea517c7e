//! Exactly one effect: what one transaction promises, over a real PostgreSQL and a real Kafka.

use serde_json::json;
use shared::audit::AuditAction;
use shared::bus::reader::{From, Reader};
use shared::bus::{self, Producer};
use shared::clock::from_ms;
use shared::events::remediation::ActionResult;
use shared::events::{Outgoing, Topic};
use shared::ids::{EventId, IncidentId, PlanId, derive};
use shared::stage::{Audit, Effects, Guard, Timer};
use shared::store::apply::{Applied, Cause};
use shared::store::{Error, Options, Store};
use shared::testing;
use std::time::Duration;

fn incident(seed: &str) -> IncidentId {
    IncidentId(derive(&["incident", seed]))
}

fn event(seed: &str) -> EventId {
    EventId(derive(&["event", seed]))
}

fn audit(incident_id: IncidentId) -> Audit {
    Audit {
        incident_id,
        at: from_ms(1),
        action: AuditAction::PlanProposed,
        summary: "seen".into(),
        detail: json!({}),
    }
}

fn action(incident_id: IncidentId, order: u32) -> Outgoing {
    let result = ActionResult {
        incident_id,
        plan_id: PlanId(derive(&["plan"])),
        order,
        outcome: format!("step {order}"),
        at: from_ms(1),
    };
    let id = EventId::of("test", &incident_id.to_string(), order);
    Outgoing::new(Topic::Actions, &result, id, "remediation", from_ms(1), None).unwrap()
}

async fn audited(store: &Store, id: IncidentId) -> usize {
    store.reads().timeline(id).await.unwrap().len()
}

/// Opens the same database as another process would.
fn other_process(database: &stack::testing::Database, name: &str) -> Store {
    Store::new(&Options { url: database.url(), ..Options::default() }, name).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_that_is_applied_by_ten_replicas_at_once_has_one_effect() {
    let database = stack::testing::postgres().await.unwrap();
    let id = incident("ten");
    let effects = Effects { audit: vec![audit(id)], publish: vec![action(id, 1)], ..Effects::none() };
    let mut replicas = tokio::task::JoinSet::new();
    for replica in 0..10 {
        let (store, effects) = (other_process(&database, &format!("replica-{replica}")), effects.clone());
        replicas.spawn(async move {
            testing::apply(&store, "remediation", Cause::Event(event("ten")), &effects).await
        });
    }
    let outcomes: Vec<Applied> = replicas.join_all().await.into_iter().map(Result::unwrap).collect();
    assert_eq!(outcomes.iter().filter(|outcome| **outcome == Applied::Committed).count(), 1, "{outcomes:?}");
    let store = database.store().unwrap();
    assert_eq!(audited(&store, id).await, 1);
    assert_eq!(testing::outbox_depth(&store, "remediation").await.unwrap(), 1);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_decision_on_what_has_moved_on_is_refused_whole() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let seen = store.reads().neighbourhood("production", from_ms(0), from_ms(0)).await.unwrap().version;
    let decided = |seed: &str| Effects {
        guard: Some(Guard::new("production", seen)),
        audit: vec![audit(incident(seed))],
        ..Effects::none()
    };
    testing::apply(&store, "correlation", Cause::Event(event("first")), &decided("first")).await.unwrap();
    let outcome =
        testing::apply(&store, "correlation", Cause::Event(event("second")), &decided("second")).await;
    assert!(matches!(outcome, Err(Error::Conflict { .. })), "{outcome:?}");
    assert_eq!(audited(&store, incident("second")).await, 0);
    // nothing of the refused decision stays, the inbox row neither: it can be made again
    let again = Effects { guard: None, ..decided("second") };
    assert_eq!(
        testing::apply(&store, "correlation", Cause::Event(event("second")), &again).await.unwrap(),
        Applied::Committed
    );
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_of_a_dead_process_are_published_by_another_in_order_and_once() {
    let database = stack::testing::postgres().await.unwrap();
    let brokers = stack::testing::kafka().await.unwrap();
    let options = bus::Options { brokers, ..bus::Options::default() };
    shared::bus::admin::Admin::new(&options).unwrap().provision(&[Topic::Actions]).await.unwrap();
    let id = incident(&format!("relay-{}", database.url()));
    let dead = other_process(&database, "dead");
    for order in 1..=20 {
        let effects = Effects { publish: vec![action(id, order)], ..Effects::none() };
        testing::apply(&dead, "remediation", Cause::Event(event(&format!("{id}-{order}"))), &effects)
            .await
            .unwrap();
    }
    drop(dead);
    let mut relays = tokio::task::JoinSet::new();
    for replica in 0..4 {
        let store = other_process(&database, &format!("relay-{replica}"));
        let producer = Producer::connect(&options).unwrap();
        relays.spawn(async move {
            let (mut published, mut taken_over) = (0, 0);
            while testing::outbox_depth(&store, "remediation").await.unwrap() > 0 {
                let turn = testing::relay(&store, "remediation", &producer).await.unwrap();
                published += turn.published;
                taken_over += turn.taken_over;
            }
            (published, taken_over)
        });
    }
    let turns = relays.join_all().await;
    assert_eq!(turns.iter().map(|turn| turn.0).sum::<usize>(), 20, "{turns:?}");
    assert_eq!(turns.iter().map(|turn| turn.1).sum::<usize>(), 20, "{turns:?}");
    let lines = tokio::task::spawn_blocking(move || {
        Reader::open(&options, Topic::Actions, None, From::Beginning, Duration::from_secs(10))
            .and_then(|reader| reader.to_end(Duration::from_secs(20)))
    })
    .await
    .unwrap()
    .unwrap();
    let orders: Vec<u32> = lines
        .iter()
        .filter(|line| line.key.as_deref() == Some(&id.to_string()))
        .map(|line| serde_json::from_slice::<ActionResult>(line.payload.as_ref().unwrap()).unwrap().order)
        .collect();
    assert_eq!(orders, (1..=20).collect::<Vec<u32>>());
}

#[tokio::test(flavor = "multi_thread")]
async fn several_processes_can_migrate_at_once() {
    let database = stack::testing::postgres().await.unwrap();
    let mut processes = tokio::task::JoinSet::new();
    for process in 0..6 {
        let options = Options { url: database.url(), schema: "fresh".into(), ..Options::default() };
        processes.spawn(async move {
            testing::migrate(&Store::new(&options, &format!("process-{process}")).unwrap()).await
        });
    }
    for outcome in processes.join_all().await {
        outcome.unwrap();
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_timer_set_twice_is_one_timer() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let timer = || Timer::named("settle", "a", &["1"], from_ms(1), json!({}));
    for seed in ["one", "two"] {
        let effects = Effects { timers: vec![timer()], ..Effects::none() };
        testing::apply(&store, "correlation", Cause::Event(event(seed)), &effects).await.unwrap();
    }
    let client = testing::client(&store).await.unwrap();
    let row = client.query_one("select count(*) from timers", &[]).await.unwrap();
    assert_eq!(row.try_get::<_, i64>(0).unwrap(), 1);
}
