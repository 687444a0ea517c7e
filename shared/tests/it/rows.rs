//! Rows that do not parse: each is reported with its name, and what is beside it goes on.

use std::time::Duration;

use serde_json::json;
use shared::clock::from_ms;
use shared::error::{self, Class};
use shared::events::Topic;
use shared::events::remediation::ActionResult;
use shared::ids::{EventId, IncidentId, PlanId, derive};
use shared::lifecycle::Change;
use shared::stage::{Effects, IncidentChange, Outgoing};
use shared::store::Incidents;
use shared::store::apply::Cause;
use shared::testing;
use stack::testing::bench::{Bench, until};

use super::context::opened;
use super::stage::{Place, TURN};

const LONG: Duration = Duration::from_secs(40);

async fn execute(bench: &Bench, statement: &str) {
    testing::client(&bench.store).await.unwrap().batch_execute(statement).await.unwrap();
}

async fn text(bench: &Bench, statement: &str) -> Option<String> {
    testing::client(&bench.store).await.unwrap().query_one(statement, &[]).await.unwrap().try_get(0).unwrap()
}

async fn open(bench: &Bench, id: IncidentId) {
    let incidents = vec![IncidentChange { incident_id: id, change: opened(Vec::new()), publish: None }];
    bench.apply(id, "opened", Effects { incidents, ..Effects::none() }).await.unwrap();
}

async fn break_incident(bench: &Bench, id: IncidentId) {
    execute(bench, &format!("update incidents set body = '{{\"number\": 1}}' where incident_id = '{id}'"))
        .await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_incident_is_rejected_by_name_and_the_others_of_its_environment_are_read() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    let (broken, whole) = (bench.incident("broken"), bench.incident("whole"));
    open(&bench, broken).await;
    open(&bench, whole).await;
    break_incident(&bench, broken).await;

    let reads = bench.store.reads();
    let error = error::Error::from(reads.incident(broken).await.unwrap_err());
    assert_eq!(error.class(), Class::Reject);
    assert!(error.to_string().contains(&format!("incidents {broken}")), "{error}");
    let around = reads.neighbourhood("production", from_ms(0), from_ms(0)).await.unwrap();
    assert_eq!(around.incidents.iter().map(|incident| incident.incident_id).collect::<Vec<_>>(), [whole]);

    let change = |incident_id| Effects {
        incidents: vec![IncidentChange { incident_id, change: Change::Announced, publish: None }],
        ..Effects::none()
    };
    let cause = |seed: &str| Cause::Event(EventId(derive(&[seed])));
    let refused = testing::apply(&bench.store, "correlation", cause("broken"), &change(broken)).await;
    assert_eq!(error::Error::from(refused.unwrap_err()).class(), Class::Reject);
    testing::apply(&bench.store, "correlation", cause("whole"), &change(whole)).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn incidents_are_listed_page_by_page_and_the_last_number_begins_the_next_page() {
    let bench = Bench::open(&[Topic::Actions]).await.unwrap();
    for seed in ["one", "two", "three"] {
        open(&bench, bench.incident(seed)).await;
    }
    let page = async |before| {
        let listed = bench.store.reads().incidents(Incidents::Open, before, 2).await.unwrap();
        (listed.incidents.iter().map(|incident| incident.number).collect::<Vec<_>>(), listed.unreadable)
    };
    assert_eq!(page(None).await, (vec![3, 2], 0));
    assert_eq!(page(Some(2)).await, (vec![1], 0));
    assert_eq!(page(Some(1)).await, (vec![], 0));
    break_incident(&bench, bench.incident("two")).await;
    assert_eq!(page(None).await, (vec![3], 1), "what cannot be read is counted");
}

#[tokio::test(flavor = "multi_thread")]
async fn an_event_about_a_broken_incident_is_a_dead_letter_and_the_next_one_is_handled() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let (broken, whole) = (place.0.incident("broken"), place.0.incident("whole"));
    open(&place.0, broken).await;
    break_incident(&place.0, broken).await;
    place.send(broken, 1, "look").await;
    place.send(whole, 1, "look").await;
    let (shutdown, running) = place.start("one").await;
    place.wait_for(whole, &["look"]).await;
    let letter = until(LONG, async || place.dead_letters(&broken.to_string()).await.pop().ok_or("no letter"));
    let (reason, _) = letter.await.unwrap();
    assert!(reason.contains(&format!("incidents {broken}")), "{reason}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_outbox_row_is_set_aside_and_those_behind_it_are_published() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    for (topic, headers) in [("no.such.topic", "[]"), ("remediation.actions", "{\"not\": \"headers\"}")] {
        let row = format!(
            "insert into outbox (stage, origin, topic, key, headers, payload) \
             values ('remediation', 'test', '{topic}', 'key', '{headers}', '')"
        );
        execute(&place.0, &row).await;
    }
    let id = place.0.incident("behind");
    let event = ActionResult {
        incident_id: id,
        plan_id: PlanId(derive(&["plan"])),
        order: 9,
        outcome: "published".to_owned(),
        at: from_ms(1),
    };
    let behind =
        Outgoing::new(Topic::Actions, &event, EventId(derive(&["behind"])), "remediation", from_ms(1), None);
    let effects = Effects { publish: vec![behind.unwrap()], ..Effects::none() };
    let cause = Cause::Event(EventId(derive(&["cause"])));
    testing::apply(&place.0.store, "remediation", cause, &effects).await.unwrap();

    let (shutdown, running) = place.start("one").await;
    place.wait_for(id, &["published"]).await;
    let rejected = "select string_agg(error, ' | ' order by id) from outbox where rejected_at is not null";
    let errors = text(&place.0, rejected).await.unwrap();
    assert!(
        errors.contains("outbox 1: unknown topic \"no.such.topic\"") && errors.contains("outbox 2"),
        "{errors}"
    );
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn a_broken_timer_is_given_up_with_its_name_and_the_others_fire() {
    let _turn = TURN.lock().await;
    let place = Place::open().await;
    let whole = place.0.incident("whole");
    let broken = derive(&["broken timer"]);
    for (id, key, due) in [
        (broken, "a".to_owned(), "-infinity"),
        (derive(&["strange timer"]), "no incident".to_owned(), "yesterday"),
        (derive(&["whole timer"]), whole.to_string(), "yesterday"),
    ] {
        let payload = json!({});
        let row = format!(
            "insert into timers (stage, id, key, name, due, payload) \
             values ('remediation', '{id}', '{key}', 'later', '{due}', '{payload}')"
        );
        execute(&place.0, &row).await;
    }
    let (shutdown, running) = place.start("one").await;
    place.wait_for(whole, &["attempt 1", "attempt 2"]).await;
    let failed = "select string_agg(last_error, ' | ' order by key) from timers where state = 'failed'";
    let errors =
        until(LONG, async || text(&place.0, failed).await.filter(|e| e.contains(" | ")).ok_or("one"))
            .await
            .unwrap();
    assert!(errors.contains(&format!("timers {broken}")), "{errors}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
