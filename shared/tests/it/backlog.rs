//! What waits in the database, and for how long.

use std::time::Duration;

use jiff::SignedDuration;
use serde_json::json;
use shared::clock::{Clock as _, ManualClock, SystemClock, from_ms};
use shared::events::remediation::ActionResult;
use shared::events::{Outgoing, Topic};
use shared::ids::{EventId, IncidentId, PlanId, derive};
use shared::stage::{Effects, Timer};
use shared::store::Store;
use shared::store::apply::Cause;
use shared::testing;

/// Applies effects of `remediation`: an event to publish, or a timer.
async fn apply(store: &Store, what: &str, effects: &Effects) {
    let cause = Cause::Event(EventId(derive(&["backlog", what])));
    testing::apply(store, "remediation", cause, effects).await.unwrap();
}

fn event() -> Outgoing {
    let incident_id = IncidentId(derive(&["backlog"]));
    let plan_id = PlanId(derive(&["backlog", "plan"]));
    let result = ActionResult { incident_id, plan_id, order: 1, outcome: "waits".to_owned(), at: from_ms(1) };
    let id = EventId::of("test", &incident_id.to_string(), 1);
    Outgoing::new(Topic::Actions, &result, id, "remediation", from_ms(1), None).unwrap()
}

#[tokio::test]
async fn the_oldest_row_and_the_latest_timer_of_a_stage_are_known() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let reads = store.reads();
    let nothing = reads.backlog(None, &SystemClock).await.unwrap();
    assert_eq!(
        (nothing.outbox_rows, nothing.outbox_age, nothing.timer_late),
        (0, Duration::ZERO, Duration::ZERO)
    );

    let now = SystemClock.now();
    let timer = |name: &'static str, key: &str, due_s: i64| {
        let due = now + SignedDuration::from_secs(due_s);
        Timer::named(name, key.to_owned(), &[&due_s.to_string()], due, json!({}))
    };
    apply(&store, "event", &Effects { publish: vec![event()], ..Effects::none() }).await;
    // the second one of `first` waits for the one before it, which is not due
    let timers = vec![timer("first", "a", 600), timer("first", "a", -900), timer("second", "a", -120)];
    apply(&store, "timers", &Effects { timers, ..Effects::none() }).await;
    let client = testing::client(&store).await.unwrap();
    client.batch_execute("update outbox set created_at = now() - interval '90 s'").await.unwrap();

    for stage in [None, Some("remediation")] {
        let found = reads.backlog(stage, &SystemClock).await.unwrap();
        assert_eq!(found.outbox_rows, 1);
        assert!((90..120).contains(&found.outbox_age.as_secs()), "{found:?}");
        assert!((120..150).contains(&found.timer_late.as_secs()), "{found:?}");
    }
    let other = reads.backlog(Some("correlation"), &SystemClock).await.unwrap();
    assert_eq!((other.outbox_rows, other.outbox_age, other.timer_late), (0, Duration::ZERO, Duration::ZERO));
}

#[tokio::test]
async fn a_clock_that_is_behind_that_of_the_database_is_seen() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let same = store.reads().backlog(None, &SystemClock).await.unwrap().clock_ahead;
    assert!(same.abs() < SignedDuration::from_secs(5), "{same:?}");
    let late = ManualClock::starting_at(SystemClock.now() - SignedDuration::from_secs(300));
    let ahead = store.reads().backlog(None, &late).await.unwrap().clock_ahead;
    assert!((290..310).contains(&ahead.as_secs()), "{ahead:?}");
}
