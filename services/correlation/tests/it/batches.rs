//! Decisions that are made together are those that are made one by one, over the real database, whoever makes them.

use std::sync::Arc;

use correlation::input::Input;
use correlation::{Correlation, Options};
use shared::agent::Agent;
use shared::calls::Calls;
use shared::clock::ManualClock;
use shared::events::anomaly::{Anomaly, Ended, FailedRequest, Status};
use shared::events::incident::{Incident, Relation};
use shared::events::{Kind, Severity};
use shared::graph::Callee;
use shared::ids::{EventId, IncidentId, RequestId, derive};
use shared::lifecycle::Change;
use shared::stage::{Context, Effects, IncidentChange, Stage as _, Timer};
use shared::store::apply::Applied;
use shared::store::{self, EdgeCalls, Store, Write};
use shared::testing;
use stack::testing::Database;

use crate::shop::{anomaly, at, deployment};

/// Series of a service, with when they leave their band.
fn fault(service: &str, tick: i64) -> Vec<Anomaly> {
    vec![
        anomaly(service, "latency_p99_ms", Kind::Latency, tick),
        anomaly(service, "error_rate", Kind::Errors, tick + 1),
        anomaly(service, "request_rate", Kind::Traffic, tick + 2),
    ]
}

fn weak(service: &str, tick: i64) -> Anomaly {
    Anomaly {
        status: Status::Suspect,
        severity: Severity::Sev4,
        evidence: 2.5,
        ..anomaly(service, "cpu_percent", Kind::Cpu, tick)
    }
}

fn revised(anomaly: &Anomaly, revision: u32, tick: i64) -> Anomaly {
    Anomaly { revision, evidence: anomaly.evidence + 1.0, observed_at: at(tick), ..anomaly.clone() }
}

fn cleared(anomaly: &Anomaly, tick: i64) -> Anomaly {
    let revision = anomaly.revision + 5;
    Anomaly { status: Status::Cleared, ended: Some(Ended::Recovered), ..revised(anomaly, revision, tick) }
}

/// A database that begins to fail, its callers, a fault elsewhere, a suspicion that is adopted and one that clears, revisions,
/// a change, the recovery, an old revision, and the first fault once more.
fn events() -> Vec<Input> {
    let (first, second) = (fault("payment", 10), fault("order", 10));
    let other = anomaly("notification", "cpu_percent", Kind::Cpu, 11);
    let loose = [weak("payment", 9), weak("user", 9)];
    let change = deployment("payment", "2", 9);
    let mut all: Vec<Anomaly> = loose.to_vec();
    all.extend([&second[0], &first[0], &first[1], &other, &second[1]].into_iter().cloned());
    all.push(cleared(&loose[1], 14));
    all.extend(first.iter().map(|one| revised(one, 2, 15)));
    all.push(anomaly("api-gateway", "error_rate", Kind::Errors, 12));
    all.push(first[0].clone());
    all.extend(second.iter().chain(&first).chain([&other]).map(|one| cleared(one, 30)));
    all.push(cleared(&all[11].clone(), 31));
    all.push(revised(&cleared(&loose[1], 14), 9, 32));
    all.extend(fault("payment", 33));
    // no call is known between these two
    for service in ["ledger", "statement"] {
        let mut errors = anomaly(service, "error_rate", Kind::Errors, 34);
        errors.context.requests =
            ["one", "two"].map(|id| FailedRequest { id: RequestId(derive(&[id])), at: at(34) }).to_vec();
        all.push(errors);
    }
    let anomalies = all.into_iter().map(|anomaly| Input::Anomaly(Box::new(anomaly)));
    std::iter::once(Input::Deployment(change)).chain(anomalies).collect()
}

/// What is left in the database, table by table.
type Left = Vec<Vec<String>>;

const ROWS: [&str; 5] = [
    "select number || ' ' || state || ' ' || body::text from incidents order by number",
    "select anomaly_id || ' ' || coalesce(incident_id::text, '') || ' ' || status || revision || body::text \
     || context::text from signals order by 1",
    "select incident_id || ' ' || action || ' ' || summary || detail::text || event_id || ' ' || ordinal \
     from audit order by id",
    "select name || ' ' || key || ' ' || due || payload::text from timers order by 1",
    "select event_id::text from processed_events order by processed_at",
];

async fn left(store: &Store) -> Left {
    let client = testing::client(store).await.unwrap();
    let mut rows = Vec::new();
    for statement in ROWS {
        let found = client.query(statement, &[]).await.unwrap();
        rows.push(found.iter().map(|row| row.try_get(0).unwrap()).collect());
    }
    rows
}

pub(crate) struct Replica {
    pub(crate) stage: Correlation,
    pub(crate) store: Store,
}

impl Replica {
    pub(crate) fn new(database: &Database) -> Self {
        Self { stage: Correlation::new(Options::default()), store: database.store().unwrap() }
    }

    pub(crate) fn context(&self, event: EventId) -> Context {
        let clock = Arc::new(ManualClock::starting_at(at(0)));
        testing::context(&self.store, Agent::Correlation, event, clock)
    }

    pub(crate) async fn decide(&self, events: &[(EventId, Input)]) -> Vec<(EventId, Effects)> {
        let contexts: Vec<Context> = events.iter().map(|(id, _)| self.context(*id)).collect();
        let asked: Vec<(&Input, &Context)> =
            events.iter().zip(&contexts).map(|((_, input), context)| (input, context)).collect();
        let all = self.stage.handle_all(&asked).await.unwrap();
        events.iter().zip(all).map(|((id, _), effects)| (*id, effects)).collect()
    }

    /// Decides on the first of the events, at most so many, and returns how many were applied.
    async fn take(&self, events: &[(EventId, Input)], most: usize) -> usize {
        let decided = self.decide(&events[..most.min(events.len())]).await;
        let applied = testing::apply_all(&self.store, "correlation", &decided).await.unwrap();
        assert_eq!(applied, Applied::Committed);
        decided.len()
    }
}

fn numbered() -> Vec<(EventId, Input)> {
    let id = |place: usize| EventId(derive(&["batches", &place.to_string()]));
    events().into_iter().enumerate().map(|(place, input)| (id(place), input)).collect()
}

/// Takes all events in batches of these sizes, by so many replicas in turn.
async fn outcome(sizes: &[usize], replicas: usize) -> Left {
    let database = stack::testing::postgres().await.unwrap();
    let replicas: Vec<Replica> = (0..replicas).map(|_| Replica::new(&database)).collect();
    let events = numbered();
    let (mut done, mut turn) = (0, 0);
    while done < events.len() {
        done += replicas[turn % replicas.len()].take(&events[done..], sizes[turn % sizes.len()]).await;
        turn += 1;
    }
    left(&replicas[0].store).await
}

#[tokio::test]
async fn decisions_made_together_are_those_made_one_by_one_whoever_makes_them() {
    let alone = outcome(&[1], 1).await;
    assert!(alone[0].len() >= 2 && alone[3].len() >= 6, "{alone:#?}");
    let of_requests = alone[0].iter().filter(|row| row.contains("ledger") && row.contains("statement"));
    assert_eq!(of_requests.count(), 1, "one incident of both: {:#?}", alone[0]);
    for (sizes, replicas) in [(&[100][..], 1), (&[3, 1, 7], 1), (&[1], 2), (&[2, 5, 1], 2)] {
        assert_eq!(outcome(sizes, replicas).await, alone, "batches of {sizes:?} by {replicas}");
    }
}

#[tokio::test]
async fn a_batch_that_lost_against_another_replica_leaves_nothing_and_is_decided_anew() {
    let database = stack::testing::postgres().await.unwrap();
    let (one, other) = (Replica::new(&database), Replica::new(&database));
    let events = numbered();
    let mut done = 0;
    let stale = loop {
        let decided = one.decide(&events[done..]).await;
        if decided.len() > 3 {
            break decided;
        }
        done += one.take(&events[done..], 1).await;
    };
    let late = done;
    done += other.take(&events[done..], 3).await;
    let refused = testing::apply_all(&one.store, "correlation", &stale).await;
    assert!(matches!(refused, Err(store::Error::Conflict { .. })), "{refused:?}");
    // one of them was handled already: the whole is refused, and not only that one
    let again = one.decide(&events[late..]).await;
    let refused = testing::apply_all(&one.store, "correlation", &again).await;
    assert!(matches!(refused, Err(store::Error::Conflict { .. })), "{refused:?}");
    while done < events.len() {
        done += one.take(&events[done..], 100).await;
    }
    assert_eq!(left(&one.store).await, outcome(&[1], 1).await);
}

/// Lets an incident split in two, and returns the timers that this leaves.
async fn split(replica: &Replica) -> Vec<Timer> {
    let seen = EdgeCalls { kind: Callee::Service, first_seen: at(8), calls: Calls::default() };
    let edge = Write::Edge {
        environment: "production".into(),
        caller: "order".into(),
        callee: "payment".into(),
        last_seen: at(9),
        seen: Box::new(seen),
    };
    let id = |place: &str| EventId(derive(&["split", place]));
    let effects = vec![(id("edge"), Effects { writes: vec![edge], ..Effects::none() })];
    testing::apply_all(&replica.store, "correlation", &effects).await.unwrap();

    let slow = anomaly("payment", "latency_p99_ms", Kind::Latency, 10);
    let suspected = Anomaly { evidence: 2.9, ..anomaly("order", "error_rate", Kind::Errors, 10) };
    let fails = Anomaly { revision: 2, evidence: 20.0, ..suspected.clone() };
    let mut timers = Vec::new();
    for (place, anomaly) in [slow, suspected, fails].into_iter().enumerate() {
        let event = (id(&place.to_string()), Input::Anomaly(Box::new(anomaly)));
        let decided = replica.decide(&[event]).await;
        timers.extend(decided.iter().flat_map(|(_, effects)| effects.timers.clone()));
        testing::apply_all(&replica.store, "correlation", &decided).await.unwrap();
    }
    timers
}

/// Announces the incidents of these timers.
async fn settle(replica: &Replica, timers: &[Timer]) {
    for timer in timers.iter().filter(|timer| timer.name == "settle") {
        let id = EventId(derive(&["settle", &timer.key]));
        let effects = replica.stage.on_timer(timer, &replica.context(id)).await.unwrap();
        testing::apply_all(&replica.store, "correlation", &[(id, effects)]).await.unwrap();
    }
}

#[tokio::test]
async fn a_part_is_announced_though_the_incident_that_it_left_is_over() {
    let database = stack::testing::postgres().await.unwrap();
    let replica = Replica::new(&database);
    let timers = split(&replica).await;
    let rows = "select incident_id from incidents order by number";
    let client = testing::client(&replica.store).await.unwrap();
    let whole = IncidentId(client.query(rows, &[]).await.unwrap()[0].try_get(0).unwrap());
    let changes = [Change::Announced, Change::resolved(at(20), Ended::Recovered)];
    let incidents =
        changes.map(|change| IncidentChange { incident_id: whole, change, publish: None }).to_vec();
    let resolved = (EventId(derive(&["over"])), Effects { incidents, ..Effects::none() });
    testing::apply_all(&replica.store, "correlation", &[resolved]).await.unwrap();
    // as another replica would: it holds only what is open
    let other = Replica::new(&database);
    let of_part: Vec<Timer> = timers.into_iter().filter(|timer| timer.key != whole.to_string()).collect();
    settle(&other, &of_part).await;
    let announced = "select body->>'state' from incidents order by number";
    let states: Vec<String> =
        client.query(announced, &[]).await.unwrap().iter().map(|row| row.try_get(0).unwrap()).collect();
    assert_eq!(states, ["resolved", "correlating"]);
    let linked = "select body->'links'->0->>'relation' from incidents order by number";
    let links: Vec<String> =
        client.query(linked, &[]).await.unwrap().iter().map(|row| row.try_get(0).unwrap()).collect();
    assert_eq!(links, ["split_into", "split_from"]);
}

#[tokio::test]
async fn both_parts_of_a_split_incident_are_on_record_and_name_each_other() {
    let database = stack::testing::postgres().await.unwrap();
    let replica = Replica::new(&database);
    let timers = split(&replica).await;
    settle(&replica, &timers).await;

    let client = testing::client(&replica.store).await.unwrap();
    let texts = async |statement: &str| -> Vec<String> {
        client.query(statement, &[]).await.unwrap().iter().map(|row| row.try_get(0).unwrap()).collect()
    };
    let rows = texts("select body::text from incidents order by number").await;
    let incidents: Vec<Incident> = rows.iter().map(|row| serde_json::from_str(row).unwrap()).collect();
    let [whole, part] = &incidents[..] else { panic!("{incidents:#?}") };
    let links = |incident: &Incident| -> Vec<(IncidentId, i64, Relation)> {
        incident.links.iter().map(|link| (link.incident_id, link.number, link.relation)).collect()
    };
    assert_eq!(links(whole), [(part.incident_id, part.number, Relation::SplitInto)]);
    assert_eq!(links(part), [(whole.incident_id, whole.number, Relation::SplitFrom)]);
    assert_eq!(
        (&whole.affected_services[..], &part.affected_services[..]),
        (&["order".to_owned()][..], &["payment".to_owned()][..])
    );
    let both = [whole.incident_id.to_string(), part.incident_id.to_string()];
    assert_eq!(
        texts("select incident_id::text from audit where summary ~ 'another fault' order by id").await,
        both
    );
    assert_eq!(
        texts("select action from audit where action in ('opened', 'split') order by id").await,
        ["opened", "split", "opened"]
    );
    assert_eq!(texts("select incident_id::text from signals order by service").await, both);
}
