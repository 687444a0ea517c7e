//! Topics change under a partitioned stage: they get more partitions, are missing, are made again, lose records, and hold
//! transactions. The stage goes on, or says what is to be done.

mod ground;

use std::collections::BTreeSet;
use std::time::Duration;

use rdkafka::producer::Producer as _;
use shared::agent::Agent;
use shared::bus::lag;
use shared::events::Topic;
use stack::testing::bench::until;

use ground::{Ground, STALL_AFTER, Stage, gauge};

/// Longest wait for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

#[tokio::test(flavor = "multi_thread")]
async fn partitions_that_are_added_are_read_and_have_a_state() {
    let ground =
        Ground::open(Agent::Detection, &[Topic::RawMetrics, Topic::RawLogs], Topic::DetectionState).await;
    ground.create(Topic::RawMetrics, 3).await;
    ground.create(Topic::RawLogs, 1).await;
    ground.create(Topic::DetectionState, 2).await;
    let stage = Stage::start(&ground);
    for partition in 0..3 {
        ground.write(Topic::RawMetrics, partition, &format!("m{partition}")).await;
    }
    ground.write(Topic::RawLogs, 0, "l0").await;
    stage.takes(&["m0", "m1", "m2", "l0"]).await;
    assert_eq!(ground.partitions(Topic::DetectionState).await, 3);
    ground.raise(Topic::RawMetrics, 5).await;
    for partition in [4, 0] {
        ground.write(Topic::RawMetrics, partition, &format!("later {partition}")).await;
    }
    stage.takes(&["m0", "m1", "m2", "l0", "later 4", "later 0"]).await;
    assert_eq!(ground.partitions(Topic::DetectionState).await, 5);
    stage.is_ready().await;
    stage.stop().await;
    // and more of one that does not lead than of the one that does
    ground.raise(Topic::RawLogs, 8).await;
    let (first, second) = (Stage::start(&ground), Stage::start(&ground));
    for partition in 0..8 {
        ground.write(Topic::RawLogs, partition, &format!("l{partition} again")).await;
    }
    let done = until(PATIENCE, async || {
        let (first, second) = (first.taken(), second.taken());
        let all: BTreeSet<String> = first.union(&second).cloned().collect();
        if all.len() == 8 { Ok(()) } else { Err((first, second)) }
    });
    done.await.unwrap();
    first.is_ready().await;
    second.is_ready().await;
    assert!(first.numbers().is_disjoint(&second.numbers()), "each partition has one owner");
    first.stop().await;
    second.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_missing_is_named_and_waited_for() {
    let ground = Ground::open(Agent::Remediation, &[Topic::RcaCompleted], Topic::Plans).await;
    let stage = Stage::start(&ground);
    stage.is_down(&["partitions: down", "rca.completed", "remediation.plans", "stack topics"]).await;
    ground.create(Topic::RcaCompleted, 2).await;
    stage.is_down(&["partitions: down", "topic remediation.plans is"]).await;
    ground.create(Topic::Plans, 2).await;
    ground.write(Topic::RcaCompleted, 1, "at last").await;
    stage.takes(&["at last"]).await;
    stage.is_ready().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_topic_that_is_made_again_is_read_from_its_beginning() {
    let ground = Ground::open(Agent::Correlation, &[Topic::RawSpans], Topic::Actions).await;
    ground.create(Topic::RawSpans, 1).await;
    ground.create(Topic::Actions, 1).await;
    let stage = Stage::start(&ground);
    for number in 0..20 {
        ground.write(Topic::RawSpans, 0, &format!("old {number}")).await;
    }
    stage.takes_last("old 19").await;
    ground.is_committed(Topic::RawSpans, 20).await;
    // while it is read
    ground.delete(Topic::RawSpans).await;
    ground.create(Topic::RawSpans, 1).await;
    for number in 0..5 {
        ground.write(Topic::RawSpans, 0, &format!("new {number}")).await;
    }
    stage.takes_last("new 4").await;
    assert!(stage.taken().contains("new 0"));
    ground.is_committed(Topic::RawSpans, 5).await;
    stage.is_ready().await;
    stage.stop().await;
    // while nobody reads it
    ground.delete(Topic::RawSpans).await;
    ground.create(Topic::RawSpans, 1).await;
    ground.write(Topic::RawSpans, 0, "newest").await;
    let stage = Stage::start(&ground);
    stage.takes(&["newest"]).await;
    stage.is_ready().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_compacted_input_is_read_again_where_the_state_was_lost() {
    let inputs = [Topic::Anomalies, Topic::CatalogueServices];
    let ground = Ground::open(Agent::Communication, &inputs, Topic::SimFaults).await;
    for topic in [Topic::Anomalies, Topic::CatalogueServices, Topic::SimFaults] {
        ground.create(topic, 1).await;
    }
    let stage = Stage::start(&ground);
    for (topic, value) in [
        (Topic::CatalogueServices, "stated"),
        (Topic::CatalogueServices, ""),
        (Topic::Anomalies, "read once"),
    ] {
        ground.write(topic, 0, value).await;
    }
    stage.takes(&["stated", "", "read once"]).await;
    ground.is_committed(Topic::CatalogueServices, 2).await;
    ground.is_committed(Topic::Anomalies, 1).await;
    stage.is_ready().await;
    stage.stop().await;
    // the state is there: nothing is read again
    let stage = Stage::start(&ground);
    ground.write(Topic::Anomalies, 0, "next").await;
    stage.takes(&["next"]).await;
    ground.is_committed(Topic::Anomalies, 2).await;
    stage.stop().await;
    ground.delete(Topic::SimFaults).await;
    ground.create(Topic::SimFaults, 1).await;
    let stage = Stage::start(&ground);
    stage.takes(&["stated", ""]).await;
    stage.is_ready().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn transactions_and_removed_records_leave_no_lag() {
    let topic = Topic::IncidentsResolved;
    let ground = Ground::open(Agent::Postmortem, &[topic], Topic::Postmortems).await;
    ground.create(topic, 1).await;
    ground.create(Topic::Postmortems, 1).await;
    let stage = Stage::start(&ground);
    ground.transaction(topic, &["kept 0", "kept 1"], true).await;
    ground.transaction(topic, &["aborted 0", "aborted 1", "aborted 2"], false).await;
    stage.takes(&["kept 0", "kept 1"]).await;
    let lag = || gauge("firewatch_consumer_lag", Agent::Postmortem, topic);
    let seen = until(PATIENCE, async || if lag() == Some(0.0) { Ok(()) } else { Err(lag()) });
    seen.await.unwrap();
    // markers and what was aborted lie behind the last record for longer than anything may wait
    tokio::time::sleep(STALL_AFTER * 3).await;
    stage.is_ready().await;
    let open = ground.begin_transaction(topic, &["pending"]).await;
    stage.is_down(&["progress: down", "incidents.resolved partition 0: a transaction"]).await;
    open.commit_transaction(PATIENCE).unwrap();
    stage.takes(&["kept 0", "kept 1", "pending"]).await;
    stage.is_ready().await;
    stage.stop().await;
    for number in 0..20 {
        ground.write(topic, 0, &format!("later {number}")).await;
    }
    ground.truncate(topic, 17).await;
    let stage = Stage::start(&ground);
    stage.takes_last("later 19").await;
    assert!(!stage.taken().contains("later 0"));
    let lost = || gauge("firewatch_records_lost_total", Agent::Postmortem, topic);
    let seen = until(PATIENCE, async || match lost() {
        Some(lost) if (5.0..=15.0).contains(&lost) => Ok(()),
        other => Err(other),
    });
    seen.await.unwrap();
    stage.is_ready().await;
    stage.stop().await;
}

#[tokio::test(flavor = "multi_thread")]
async fn a_stage_that_handles_nothing_is_not_ready_although_kafka_answers() {
    let ground = Ground::open(Agent::Investigation, &[Topic::IncidentsOpened], Topic::IncidentsUpdated).await;
    ground.create(Topic::IncidentsOpened, 2).await;
    ground.create(Topic::IncidentsUpdated, 2).await;
    let stage = Stage::start(&ground);
    ground.write(Topic::IncidentsOpened, 0, "first").await;
    stage.takes(&["first"]).await;
    tokio::time::sleep(STALL_AFTER * 2).await;
    stage.is_ready().await;
    stage.hold(true);
    ground.write(Topic::IncidentsOpened, 1, "held").await;
    stage.is_down(&["progress: down", "incidents.opened partition 1: 1 records wait"]).await;
    assert!(gauge("firewatch_stalled_seconds", Agent::Investigation, Topic::IncidentsOpened) > Some(0.0));
    stage.hold(false);
    stage.takes(&["first", "held"]).await;
    stage.is_ready().await;
    stage.stop().await;
    let extents = lag::extents(&ground.kafka, &[Topic::IncidentsOpened], PATIENCE);
    assert_eq!(extents.unwrap()[&Topic::IncidentsOpened].len(), 2);
}
