//! The second look over real Kafka and PostgreSQL: it corrects the first result, once, and survives a restart; without sources
//! it is there only for calls that are not stored yet.

use std::sync::Arc;
use std::time::Duration;

use investigation::Investigation;
use jiff::{SignedDuration, Timestamp};
use shared::agent::Agent;
use shared::calls::Calls;
use shared::clock::{Clock as _, ManualClock, SystemClock};
use shared::events::incident::{Incident, Suspect};
use shared::events::rca::{Relation, RootCause, Verdict};
use shared::events::{Category, Kind, Topic};
use shared::graph::Callee;
use shared::ids::{AnomalyId, EventId, IncidentId};
use shared::knowledge::Options as Knowledge;
use shared::lifecycle::{Assessment, Change};
use shared::service::{Deps, Readiness};
use shared::stage::run::{self, StageDeps};
use shared::stage::{Effects, IncidentChange};
use shared::store::{ArtifactKind, EdgeCalls, Write};
use shared::text::secrets::Redactor;
use stack::testing::bench::{Bench, until};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use crate::double::{Double, Reply, Request, matrix, prometheus_at};
use crate::scene::{at, incident, signal, sources, suspect};
use crate::stage::TURN;

const TOPICS: [Topic; 4] = [
    Topic::IncidentsOpened,
    Topic::IncidentsUpdated,
    Topic::RcaCompleted,
    Topic::DeadLetters(Agent::Investigation),
];

async fn bench() -> Bench {
    let mut bench = Bench::open(&TOPICS).await.unwrap();
    let model_dir = stack::testing::model().await.unwrap();
    bench.common.knowledge = Knowledge { model_dir, ..Knowledge::default() };
    bench
}

/// Stores an incident that looks as if payment were down, and publishes it.
async fn announce(bench: &Bench, id: IncidentId) {
    announce_at(bench, id, SignedDuration::ZERO).await;
}

/// The same, so much later.
async fn announce_at(bench: &Bench, id: IncidentId, later: SignedDuration) {
    let mut known = sources();
    let mut errors = signal("payment", "error_rate", Kind::Errors, 0, 63.5);
    // an episode is a member of one incident only
    errors.anomaly_id = AnomalyId::of_episode("production", "payment", &id.to_string(), 0);
    (errors.started_at, errors.observed_at) = (errors.started_at + later, errors.observed_at + later);
    for point in &mut errors.samples {
        point.ts_ms += later.as_millis() as i64;
    }
    known.signals = vec![errors];
    let suspects = vec![suspect("payment", Category::Down, 0.6), suspect("payment", Category::Memory, 0.3)];
    let incident = incident(&known);
    let (started_at, opened_at) = (incident.started_at + later, incident.opened_at + later);
    let incident = Incident { incident_id: id, suspects, started_at, opened_at, ..incident };
    bench.record(id, incident.clone(), vec![Change::Announced]).await.unwrap();
    let writes = incident.signals.iter().map(|signal| Write::Signal {
        environment: incident.environment.clone(),
        signal: Arc::new(signal.clone()),
        incident_id: Some(id),
    });
    bench.apply(id, "members", Effects { writes: writes.collect(), ..Effects::none() }).await.unwrap();
    let stored = bench.store.reads().incident(id).await.unwrap().unwrap();
    let event = EventId::of("opened", &id.to_string(), 1);
    bench.send(Topic::IncidentsOpened, &stored, event, stored.opened_at).await.unwrap();
}

/// A running stage.
struct Running {
    task: JoinHandle<anyhow::Result<()>>,
    shutdown: CancellationToken,
}

impl Running {
    /// Starts a replica that asks Prometheus at `url`; with an empty one it asks nothing.
    async fn start(bench: &Bench, url: &str, clock: &ManualClock) -> Self {
        let shutdown = CancellationToken::new();
        let deps = Deps { process: format!("investigation-{url}"), readiness: Readiness::default() };
        let clock = Arc::new(clock.clone());
        let base = StageDeps::connect(&bench.common, &deps, clock, &shutdown).await.unwrap().unwrap();
        let options =
            investigation::Options { queries: prometheus_at(url), ..investigation::Options::default() };
        let looker = options.looker(&Redactor::default()).unwrap();
        let retrieval = bench.common.knowledge.retrieval(bench.store.clone()).await.unwrap();
        let task = tokio::spawn(run::run(Investigation::new(options, retrieval, looker), base));
        Self { task, shutdown }
    }

    async fn stop(self) {
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Waits for a revision of the cause.
async fn revision(bench: &Bench, id: IncidentId, revision: u32) -> RootCause {
    let read = async || {
        let found = bench.store.reads().artifact::<RootCause>(id, ArtifactKind::RootCause).await.unwrap();
        let seen = found.as_ref().map(|found| found.revision);
        found.filter(|found| found.revision >= revision).ok_or(seen)
    };
    let found = until(Duration::from_mins(1), read).await.unwrap();
    assert_eq!(found.revision, revision);
    found
}

async fn published(bench: &Bench, id: IncidentId) -> Vec<u32> {
    let events: Vec<RootCause> = bench.events(Topic::RcaCompleted, id).await.unwrap();
    events.iter().map(|event| event.revision).collect()
}

/// Memory ran out, and nothing restarted.
fn memory(request: &Request) -> Reply {
    let onset = at(0).as_second();
    let is_memory = request.query["query"].contains("memory_working_set");
    matrix(request, onset, 40.0, if is_memory { 97.0 } else { 40.0 })
}

fn clock() -> ManualClock {
    let now: Timestamp = SystemClock.now();
    ManualClock::starting_at(now)
}

#[tokio::test(flavor = "multi_thread")]
async fn answers_correct_the_first_result_once() {
    let _turn = TURN.lock().await;
    let bench = bench().await;
    let (id, clock) = (bench.incident("memory"), clock());
    let double = Double::serve(memory).await;
    announce(&bench, id).await;
    let running = Running::start(&bench, &double.url, &clock).await;
    let corrected = revision(&bench, id, 2).await;
    running.stop().await;

    let first = &corrected.candidates[0];
    assert_eq!((first.category, corrected.verdict), (Category::Memory, Verdict::Cause), "{corrected:#?}");
    assert_eq!(corrected.corrected_at, Some(clock.now()));
    assert_eq!(corrected.queries as usize, double.requests().len());
    assert_eq!(corrected.claims_verified, corrected.claims_total, "{corrected:#?}");
    let claims = |claims: &[shared::events::rca::Claim]| -> Vec<String> {
        let compared =
            |claim: &&shared::events::rca::Claim| matches!(claim.relations[..], [Relation::Compared { .. }]);
        claims.iter().filter(compared).map(|claim| claim.text.clone()).collect()
    };
    assert!(
        claims(&first.claims)[0]
            .starts_with("Memory usage of payment rose from 40 % in the hour before 09:26:40 UTC to 97 %"),
        "{first:#?}"
    );
    assert!(claims(&corrected.exclusions)[0].ends_with("(Prometheus)."), "{:?}", corrected.exclusions);
    let records = bench.store.reads().evidence_of(id).await.unwrap();
    for piece in &corrected.evidence {
        assert!(
            records.iter().any(|record| Some(record.id) == piece.record && record.source == piece.source)
        );
    }
    let reads = bench.store.reads();
    assert_eq!(reads.incident(id).await.unwrap().unwrap().state.to_string(), "rca_complete");
    assert_eq!(published(&bench, id).await, [1, 2]);

    // what correlation says again is no news, and what is known is not asked again
    let asked = double.requests().len();
    let stored = reads.incident(id).await.unwrap().unwrap();
    let again = Incident { revision: stored.revision + 10, ..stored };
    let event = EventId::of("updated", &id.to_string(), 2);
    bench.send(Topic::IncidentsUpdated, &again, event, again.opened_at).await.unwrap();
    clock.advance_ms(600_000);
    let running = Running::start(&bench, &double.url, &clock).await;
    let other = bench.incident("other");
    announce(&bench, other).await;
    revision(&bench, other, 2).await;
    running.stop().await;
    assert_eq!(revision(&bench, id, 2).await, corrected);
    assert_eq!(double.requests().len(), 2 * asked, "only the other incident was asked about");
}

#[tokio::test(flavor = "multi_thread")]
async fn a_source_that_is_down_is_reported_and_asked_a_minute_later_by_another_replica() {
    let _turn = TURN.lock().await;
    let bench = bench().await;
    let (id, clock) = (bench.incident("down"), clock());
    announce(&bench, id).await;
    let running = Running::start(&bench, "http://127.0.0.1:1", &clock).await;
    let reported = revision(&bench, id, 2).await;
    running.stop().await;
    assert_eq!(reported.candidates[0].category, Category::Down, "{reported:#?}");
    assert!(
        reported.missing.iter().any(|line| line == "Prometheus could not be reached."),
        "{:?}",
        reported.missing
    );
    let first_at = clock.now();

    let double = Double::serve(memory).await;
    clock.advance_ms(59_000);
    let running = Running::start(&bench, &double.url, &clock).await;
    // the look is not due yet: an incident that comes later is looked at before it
    let other = bench.incident("meanwhile");
    announce(&bench, other).await;
    revision(&bench, other, 2).await;
    assert_eq!(published(&bench, id).await, [1, 2]);
    clock.advance_ms(1_000);
    let corrected = revision(&bench, id, 3).await;
    running.stop().await;
    assert_eq!(corrected.candidates[0].category, Category::Memory);
    assert!(
        corrected.missing.iter().all(|line| !line.contains("Prometheus could not")),
        "{:?}",
        corrected.missing
    );
    assert_eq!(corrected.corrected_at.unwrap().duration_since(first_at).as_secs(), 60);
    assert_eq!(published(&bench, id).await, [1, 2, 3]);
}

#[tokio::test(flavor = "multi_thread")]
async fn without_sources_there_is_no_second_look() {
    let _turn = TURN.lock().await;
    let bench = bench().await;
    let (id, clock) = (bench.incident("none"), clock());
    announce(&bench, id).await;
    let running = Running::start(&bench, "", &clock).await;
    let first = revision(&bench, id, 1).await;
    running.stop().await;
    assert_eq!((first.candidates[0].category, first.corrected_at), (Category::Down, None));
    // a replica that has sources finds nothing that is due
    let double = Double::serve(memory).await;
    clock.advance_ms(600_000);
    let running = Running::start(&bench, &double.url, &clock).await;
    let other = bench.incident("with");
    announce(&bench, other).await;
    revision(&bench, other, 2).await;
    running.stop().await;
    assert_eq!(published(&bench, id).await, [1]);
}

/// Changes the suspects of an incident as correlation does, and publishes it.
async fn reassess(bench: &Bench, id: IncidentId, suspects: Vec<Suspect>) {
    let stored = bench.store.reads().incident(id).await.unwrap().unwrap();
    let assessment = Assessment {
        title: stored.title,
        severity: stored.severity,
        suspects,
        challenger: None,
        signals: stored.signals.into_iter().map(Arc::new).collect(),
        blast_radius: stored.blast_radius,
        impact: None,
        deployment: None,
        storm: false,
    };
    let change = Change::Reassessed(Box::new(assessment));
    let incidents = vec![IncidentChange { incident_id: id, change, publish: None }];
    bench.apply(id, "reassessed", Effects { incidents, ..Effects::none() }).await.unwrap();
    let stored = bench.store.reads().incident(id).await.unwrap().unwrap();
    let event = EventId::of("updated", &id.to_string(), 2);
    bench.send(Topic::IncidentsUpdated, &stored, event, stored.opened_at).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn another_suspect_is_told_at_once_and_looked_at_a_minute_after_the_last_correction() {
    let _turn = TURN.lock().await;
    let bench = bench().await;
    let (id, clock) = (bench.incident("changed"), clock());
    let double = Double::serve(memory).await;
    announce(&bench, id).await;
    let running = Running::start(&bench, &double.url, &clock).await;
    let corrected = revision(&bench, id, 2).await;
    clock.advance_ms(10_000);
    let suspects = vec![suspect("payment", Category::Disk, 0.9), suspect("payment", Category::Memory, 0.01)];
    reassess(&bench, id, suspects).await;
    let told = revision(&bench, id, 3).await;
    // what was answered counts for the other suspects as well
    assert_eq!((told.candidates[0].category, told.corrected_at), (Category::Disk, corrected.corrected_at));
    assert!(told.candidates[1].confidence > 0.01, "{told:#?}");
    let other = bench.incident("beside");
    announce(&bench, other).await;
    revision(&bench, other, 2).await;
    assert_eq!(published(&bench, id).await, [1, 2, 3]);
    clock.advance_ms(50_000);
    let again = revision(&bench, id, 4).await;
    running.stop().await;
    assert!(
        again.exclusions.iter().any(|claim| claim.text.starts_with("Disk usage of payment stayed")),
        "{again:#?}"
    );
    assert!(again.corrected_at.unwrap().duration_since(corrected.corrected_at.unwrap()).as_secs() >= 60);
    assert!(again.queries > told.queries);
}

#[tokio::test(flavor = "multi_thread")]
async fn a_look_that_learns_nothing_publishes_nothing_and_is_repeated() {
    let _turn = TURN.lock().await;
    let bench = bench().await;
    let (id, clock) = (bench.incident("nothing"), clock());
    let empty = serde_json::json!({ "status": "success", "data": { "resultType": "matrix", "result": [] } });
    let double = Double::serve(move |_| Reply::Json(empty.clone())).await;
    announce(&bench, id).await;
    let running = Running::start(&bench, &double.url, &clock).await;
    let asked = async |more: usize| {
        let look =
            async || Some(double.requests().len()).filter(|seen| *seen >= more).ok_or(double.requests());
        until(Duration::from_secs(30), look).await.unwrap()
    };
    // instances and the use of memory: without these, restarts alone could change nothing
    asked(2).await;
    clock.advance_ms(60_000);
    asked(4).await;
    let other = bench.incident("another");
    announce(&bench, other).await;
    revision(&bench, other, 1).await;
    running.stop().await;
    let last = bench.store.reads().artifact::<RootCause>(id, ArtifactKind::RootCause).await.unwrap().unwrap();
    assert_eq!((published(&bench, id).await, last.revision), (vec![1], 1), "{last:#?}");
}

/// Stores calls from order to payment at a time, with this mean latency.
async fn calls(bench: &Bench, id: IncidentId, seed: &str, time: Timestamp, ms: f64) {
    let mut calls = Calls::default();
    for _ in 0..60 {
        calls.add(ms, false);
        calls.add_self(ms - 1.0);
    }
    let edge = Write::Edge {
        environment: "production".into(),
        caller: "order".into(),
        callee: "payment".into(),
        last_seen: time,
        seen: Box::new(EdgeCalls { kind: Callee::Service, first_seen: time, calls }),
    };
    bench.apply(id, seed, Effects { writes: vec![edge], ..Effects::none() }).await.unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn calls_that_are_stored_after_the_first_result_are_named_by_a_look_without_sources() {
    let _turn = TURN.lock().await;
    let bench = bench().await;
    let (id, clock) = (bench.incident("calls"), clock());
    // calls are kept for two hours
    let later = clock.now().duration_since(at(0)) - SignedDuration::from_mins(5);
    calls(&bench, id, "before", at(-600) + later, 15.0).await;
    announce_at(&bench, id, later).await;
    let running = Running::start(&bench, "", &clock).await;
    let first = revision(&bench, id, 1).await;
    let took = |result: &RootCause| -> Vec<String> {
        let all = result.candidates.iter().flat_map(|one| &one.claims);
        let took = all.filter(|claim| matches!(claim.relations[..], [Relation::Took { .. }]));
        took.map(|claim| claim.text.clone()).collect()
    };
    assert!(took(&first).is_empty(), "{first:#?}");
    calls(&bench, id, "since", at(10) + later, 450.0).await;
    clock.advance_ms(60_000);
    let corrected = revision(&bench, id, 2).await;
    let said = took(&corrected);
    assert_eq!(said.len(), 2, "both hypotheses are about payment: {said:?}");
    assert!(
        said[0].starts_with("Calls from order to payment became slow: 450 ms on average since "),
        "{said:?}"
    );
    assert!(
        said[0].ends_with("UTC, 15 ms in the half hour before; self time of payment 449 ms, 14 ms before."),
        "{said:?}"
    );
    assert_eq!(corrected.claims_verified, corrected.claims_total, "{corrected:#?}");
    assert_eq!(corrected.queries, 0);
    // nothing is awaited any more: there is no further look
    clock.advance_ms(600_000);
    let other = bench.incident("after");
    announce(&bench, other).await;
    revision(&bench, other, 1).await;
    running.stop().await;
    assert_eq!(published(&bench, id).await, [1, 2]);
}
