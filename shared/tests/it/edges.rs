//! The service graph over a real PostgreSQL: what replicas see is added up, a far end becomes a service, rows are bounded.

use jiff::{SignedDuration, Timestamp};
use shared::calls::Calls;
use shared::catalogue::{Catalogue, Service};
use shared::clock::from_ms;
use shared::events::rca::Source;
use shared::graph::Callee;
use shared::ids::{EventId, derive};
use shared::stage::Effects;
use shared::store::apply::Cause;
use shared::store::edges::{MAX_EDGES, ServiceGraph};
use shared::store::{EdgeCalls, Store, Write};
use shared::{knowledge, testing};

const NOW_S: i64 = 1_800_000_000;
const ENVIRONMENT: &str = "production";

fn at(second: i64) -> Timestamp {
    from_ms((NOW_S + second) * 1_000)
}

/// Calls of 10 ms from `first` to `last`, seconds before or after now; one in ten fails.
fn edge(caller: &str, callee: &str, kind: Callee, (first, last): (i64, i64), number: i64) -> Write {
    let mut calls = Calls::default();
    for call in 0..number {
        calls.add(10.0, call % 10 == 0);
        calls.add_self(4.0);
    }
    Write::Edge {
        environment: ENVIRONMENT.into(),
        caller: caller.into(),
        callee: callee.into(),
        last_seen: at(last),
        seen: Box::new(EdgeCalls { kind, first_seen: at(first), calls }),
    }
}

async fn write(store: &Store, seed: &str, writes: Vec<Write>) {
    let cause = Cause::Event(EventId(derive(&["edges", seed])));
    testing::apply(store, "correlation", cause, &Effects { writes, ..Effects::none() }).await.unwrap();
}

async fn read(store: &Store, window_min: i64) -> ServiceGraph {
    let window = SignedDuration::from_mins(window_min);
    store.reads().service_graph(ENVIRONMENT, at(-604_800), window, at(0)).await.unwrap().unwrap()
}

async fn number(store: &Store, statement: &str) -> i64 {
    testing::client(store).await.unwrap().query_one(statement, &[]).await.unwrap().try_get(0).unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_of_a_service_are_told_apart_by_the_minute_of_a_time() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let kind = Callee::Service;
    // the time lies 20 s into its minute, and what is before it in that minute counts as since
    let parts = [
        edge("order", "payment", kind, (-3_600, -3_000), 7),
        edge("order", "payment", kind, (-900, -600), 50),
        edge("order", "payment", kind, (-30, -30), 40),
        edge("order", "payment", kind, (120, 120), 3),
        edge("payment", "vault", Callee::FarEnd, (-600, -600), 9),
        edge("user", "ledger", kind, (-600, -600), 5),
    ];
    write(&store, "times", parts.to_vec()).await;
    let (from, onset, until) = (at(-1_800), at(-40), at(0));
    let times = store.reads().edge_times(ENVIRONMENT, &["payment"], from, onset, until).await.unwrap();
    let calls: Vec<_> = times
        .iter()
        .map(|(source, times)| {
            let Source::EdgeTimes { caller, callee, .. } = source else { panic!("{source:?}") };
            (caller.as_str(), callee.as_str(), times.before.calls, times.since.calls)
        })
        .collect();
    assert_eq!(
        calls,
        [("order", "payment", Some(50), Some(40)), ("payment", "vault", Some(9), None)],
        "{times:#?}"
    );
    let first = times.values().next().unwrap();
    assert_eq!((first.since.latency_mean_ms, first.since.self_mean_ms), (Some(10.0), Some(4.0)));
}

#[tokio::test(flavor = "multi_thread")]
async fn what_replicas_see_of_an_edge_is_added_up() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let mut replicas = tokio::task::JoinSet::new();
    for replica in 0..6 {
        let store = store.clone();
        replicas.spawn(async move {
            let part = edge("order", "payment", Callee::Service, (-20 - replica, -replica), 20);
            write(&store, &format!("replica {replica}"), vec![part]).await;
        });
    }
    replicas.join_all().await;
    let graph = read(&store, 15).await;
    let [edge] = &graph.edges[..] else { panic!("{graph:?}") };
    let seen = edge.seen.as_ref().unwrap();
    assert_eq!((seen.calls.calls, seen.calls.failed, seen.calls.self_calls), (120, 12, 120));
    assert_eq!(seen.calls.latency_buckets.iter().sum::<i64>(), 120);
    assert_eq!((seen.calls.mean_latency_ms(), seen.calls.mean_self_ms()), (Some(10.0), Some(4.0)));
    assert_eq!((seen.observed_s, seen.last, graph.until), (25.0, at(0), at(0)));
    assert_eq!(seen.calls_per_s(), 120.0 / 25.0);
}

#[tokio::test(flavor = "multi_thread")]
async fn figures_are_those_of_the_window() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    for (seed, last) in [("old", -3_000), ("new", -10)] {
        write(&store, seed, vec![edge("order", "payment", Callee::Service, (last - 5, last), 60)]).await;
    }
    write(&store, "idle", vec![edge("user", "order", Callee::Service, (-3_010, -3_000), 60)]).await;
    let calls = async |window_min| {
        let graph = read(&store, window_min).await;
        let of = |edge: &shared::store::edges::Edge| edge.seen.as_ref().map(|seen| seen.calls.calls);
        graph.edges.iter().map(of).collect::<Vec<_>>()
    };
    assert_eq!(calls(5).await, [Some(60), Some(0)]);
    assert_eq!(calls(120).await, [Some(120), Some(60)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_far_end_is_no_service_until_it_sends_spans_or_is_in_the_catalogue() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let far_end = |name: &str| edge("order", name, Callee::FarEnd, (-5, 0), 1);
    write(&store, "far", vec![far_end("ledger"), far_end("payment"), far_end("user")]).await;
    let graph = async || store.reads().graph(ENVIRONMENT, at(-604_800)).await.unwrap();
    let first = graph().await;
    assert_eq!(first.services().collect::<Vec<_>>(), ["order"]);
    assert_eq!(first.far_ends().collect::<Vec<_>>(), ["ledger", "payment", "user"]);
    let around = store.reads().neighbourhood(ENVIRONMENT, at(-1), at(-604_800)).await.unwrap();
    assert_eq!(around.graph, first);

    write(&store, "figures", vec![far_end("ledger")]).await;
    assert_eq!(graph().await.version(), first.version(), "figures are no change of the structure");

    let (environment, service) = (ENVIRONMENT.to_owned(), "payment".to_owned());
    write(&store, "span", vec![Write::SpanService { environment, service, last_seen: at(0) }]).await;
    let second = graph().await;
    assert_eq!(second.far_ends().collect::<Vec<_>>(), ["ledger", "user"]);
    assert!(second.has_edge("order", "payment") && second.version() != first.version());

    knowledge::catalogue::replace(&store, &Catalogue::new([service_of_catalogue("user")])).await.unwrap();
    let third = graph().await;
    assert_eq!(third.far_ends().collect::<Vec<_>>(), ["ledger"]);
    assert!(third.has_edge("order", "user") && third.version() != second.version());

    // a call that was answered makes it one as well, and what is old is gone
    write(&store, "answered", vec![edge("order", "ledger", Callee::Service, (0, 1), 1), far_end("ledger")])
        .await;
    assert_eq!(graph().await.far_ends().count(), 0);
    let later = store.reads().graph(ENVIRONMENT, at(10)).await.unwrap();
    assert_eq!(
        later.edges().collect::<Vec<_>>(),
        [("user", "mail", Callee::Service)],
        "that of the catalogue"
    );
}

fn service_of_catalogue(name: &str) -> Service {
    serde_json::from_value(serde_json::json!({
        "name": name, "description": "", "team": "t", "tier": 2, "slo": 99.9, "latency_slo_ms": 100.0,
        "language": "rust", "oncall": "a@example.com", "contact": "a@example.com", "depends_on": ["mail"],
    }))
    .unwrap()
}

#[tokio::test(flavor = "multi_thread")]
async fn edges_of_the_catalogue_alone_have_no_figures_and_no_environment_is_invented() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    knowledge::catalogue::replace(&store, &Catalogue::new([service_of_catalogue("user")])).await.unwrap();
    let window = SignedDuration::from_mins(5);
    let unknown = store.reads().service_graph(ENVIRONMENT, at(0), window, at(0)).await.unwrap();
    assert!(unknown.is_none() && store.reads().environments().await.unwrap().is_empty());
    write(&store, "one", vec![edge("order", "user", Callee::Service, (-5, 0), 1)]).await;
    assert_eq!(store.reads().environments().await.unwrap(), [ENVIRONMENT]);
    let graph = read(&store, 5).await;
    let sources: Vec<_> = graph
        .edges
        .iter()
        .map(|edge| (&*edge.caller, &*edge.callee, edge.is_in_catalogue, edge.seen.is_some()))
        .collect();
    assert_eq!(sources, [("order", "user", false, true), ("user", "mail", true, false)]);
}

#[tokio::test(flavor = "multi_thread")]
async fn an_edge_of_an_earlier_release_stays_valid() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let old = format!(
        "insert into edges (environment, caller, callee, calls, last_seen) \
         values ('{ENVIRONMENT}', 'order', 'payment', 7, '{}')",
        at(-100)
    );
    testing::client(&store).await.unwrap().batch_execute(&old).await.unwrap();
    let graph = read(&store, 15).await;
    let seen = graph.edges[0].seen.as_ref().unwrap();
    assert_eq!((graph.edges[0].kind, seen.calls.calls, seen.last), (Callee::Service, 0, at(-100)));
    write(&store, "new", vec![edge("order", "payment", Callee::Service, (-1, 0), 3)]).await;
    assert_eq!(read(&store, 15).await.edges[0].seen.as_ref().unwrap().calls.calls, 3);
    assert_eq!(number(&store, "select calls from edges").await, 10);
}

#[tokio::test(flavor = "multi_thread")]
async fn rows_are_bounded_by_number_and_age() {
    let database = stack::testing::postgres().await.unwrap();
    let store = database.store().unwrap();
    let full = format!(
        "insert into edges (environment, caller, callee, calls, last_seen) \
         select '{ENVIRONMENT}', 'a', n::text, 1, now() - n * interval '1 hour' from generate_series(1, {MAX_EDGES}) n"
    );
    testing::client(&store).await.unwrap().batch_execute(&full).await.unwrap();
    write(&store, "one too many", vec![edge("a", "b", Callee::Service, (0, 0), 1)]).await;
    write(&store, "a known one", vec![edge("a", "7", Callee::Service, (0, 0), 1)]).await;
    assert_eq!(number(&store, "select count(*) from edges").await, MAX_EDGES);
    assert_eq!(number(&store, "select count(*) from edge_minutes").await, 1);
    let dropped = "firewatch_graph_rows_dropped_total{reason=\"environment_edges\"} 1";
    let metrics = shared::metrics::render();
    assert!(metrics.contains(dropped), "{metrics}");

    let outdated = "update edge_minutes set minute = now() - interval '3 hours'";
    testing::client(&store).await.unwrap().batch_execute(outdated).await.unwrap();
    testing::remove_old(&store).await.unwrap();
    assert_eq!(number(&store, "select count(*) from edge_minutes").await, 0);
    // 90 days, and the one that was seen again lies ahead
    assert_eq!(
        number(&store, "select count(*) from edges where last_seen < now() - interval '90 days'").await,
        0
    );
    assert_eq!(number(&store, "select count(*) from edges").await, 90 * 24 - 1);
}
