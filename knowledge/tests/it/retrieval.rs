//! What an engineer, or the investigation, would ask, and what must come back.

use std::fmt::Write as _;
use std::sync::Arc;

use knowledge::seed::seed;
use shared::events::Category;
use shared::knowledge::postgres::PostgresIndex;
use shared::knowledge::retrieval::Retrieval;
use shared::knowledge::{DocumentKind, Query};

/// What is asked, the runbook that must come first, and the category of an incident that must be among the
/// first three: the seven scenarios of the simulator in the words of telemetry and of people, then the causes
/// it does not simulate.
const QUESTIONS: [(&str, &str, Category); 26] = [
    ("payment: latency_p99_ms is 6120 ms (expected 310 to 460)", "high-latency", Category::Network),
    ("payment latency_p99_ms far above its band, cpu ordinary", "high-latency", Category::Network),
    (
        "payment is slow, requests time out, api-gateway and order are slow too",
        "high-latency",
        Category::Network,
    ),
    ("order: error_rate is 38 % (expected 0 to 1.2)", "error-rate", Category::Code),
    ("order error_rate rose to 45 %, ERROR unhandled exception", "error-rate", Category::Code),
    (
        "checkout fails for many customers, the same exception again and again in the log",
        "error-rate",
        Category::Code,
    ),
    ("api-gateway: cpu_percent is 88 % (expected 24 to 36)", "cpu-saturation", Category::Cpu),
    ("api-gateway cpu_percent climbs to 97 %, latency follows", "cpu-saturation", Category::Cpu),
    ("the gateway burns all its processor time, health checks fail", "cpu-saturation", Category::Cpu),
    ("notification: memory_percent is 91 % (expected 52 to 58)", "memory-leak", Category::Memory),
    ("pods are OOMKilled again and again, heap grows", "memory-leak", Category::Memory),
    ("node process killed exit code 137", "memory-leak", Category::Memory),
    (
        "payment: db_connections is 100 (expected 25 to 35); error_rate is 29 %",
        "db-connections",
        Category::Pool,
    ),
    ("payment db_connections exhausted, error rate up", "db-connections", Category::Pool),
    ("timed out waiting for a connection from the pool", "db-connections", Category::Pool),
    ("order: consumer_lag is 31000 messages (expected 40 to 180)", "consumer-lag", Category::Lag),
    ("orders are stuck in processing, kafka consumers do not keep up", "consumer-lag", Category::Lag),
    ("events processed late, partition stuck", "consumer-lag", Category::Lag),
    (
        "user: error_rate is 40 %; latency_p99_ms is 1800 ms; deployment of user v2.4.1 4 minutes before",
        "bad-deployment",
        Category::Deployment,
    ),
    (
        "user error_rate and latency up right after deployment of a new version",
        "bad-deployment",
        Category::Deployment,
    ),
    ("sign-in broken since the last rollout ten minutes ago", "bad-deployment", Category::Deployment),
    ("disk_percent of inventory rising, no space left on device", "disk-full", Category::Disk),
    ("x509 certificate has expired", "certificate-expiry", Category::Certificate),
    ("mail provider refuses deliveries 503", "dependency-outage", Category::Dependency),
    ("acquirer answers 502, their status page reports an outage", "dependency-outage", Category::Dependency),
    ("request_rate tripled in minutes, bots signing in", "traffic-surge", Category::Traffic),
];

#[tokio::test]
async fn symptoms_find_their_runbook_first_and_a_past_incident_of_their_kind() {
    let embedder = super::embedder().await;
    let (index, _database) = super::index().await;
    seed(&super::content().chunks(), &embedder, &index, false).await.unwrap();
    let retrieval = Retrieval::new(Arc::new(embedder), Arc::new(index));

    let mut wrong = String::new();
    for (question, slug, category) in QUESTIONS {
        let query =
            |kind, limit| Query { text: question.to_owned(), kind: Some(kind), limit, ..Query::default() };
        let runbooks = retrieval.search(&query(DocumentKind::Runbook, 3)).await.unwrap();
        let incidents = retrieval.search(&query(DocumentKind::Incident, 3)).await.unwrap();
        assert_eq!((runbooks.len(), incidents.len()), (3, 3));
        let found = runbooks.iter().chain(&incidents);
        assert!(found.clone().all(|found| (0.0..=1.0).contains(&found.score)));
        if runbooks[0].chunk.doc_id != format!("runbook/{slug}")
            || !incidents.iter().any(|found| found.chunk.has_category(category))
        {
            let _ = writeln!(wrong, "{question:?} ({slug}, {category}) found:");
            for found in found {
                let (chunk, score) = (&found.chunk, found.score);
                let _ = writeln!(
                    wrong,
                    "  {score:.3} {:?} {} / {} / {}",
                    found.similarity, chunk.doc_id, chunk.title, chunk.section
                );
            }
        }
    }
    assert!(wrong.is_empty(), "{wrong}");
}

#[tokio::test]
async fn the_same_question_gets_the_same_answer_whoever_asks() {
    let embedder = super::embedder().await;
    let (index, database) = super::index().await;
    seed(&super::content().chunks(), &embedder, &index, false).await.unwrap();
    let query = Query { text: "slow and failing".into(), limit: 10, ..Query::default() };
    let mut answers = Vec::new();
    for _ in 0..2 {
        let index = PostgresIndex::new(database.store().unwrap());
        answers
            .push(Retrieval::new(Arc::new(embedder.clone()), Arc::new(index)).search(&query).await.unwrap());
    }
    assert_eq!(answers[0].len(), 10);
    assert_eq!(answers[0], answers[1]);
}

#[tokio::test]
async fn a_question_can_be_narrowed_to_a_kind_of_cause() {
    let embedder = super::embedder().await;
    let (index, _database) = super::index().await;
    seed(&super::content().chunks(), &embedder, &index, false).await.unwrap();
    let retrieval = Retrieval::new(Arc::new(embedder), Arc::new(index));
    let query = Query { text: "memory grows".into(), limit: 9, ..Query::default() }.about(Category::Disk);
    let found = retrieval.search(&query).await.unwrap();
    assert!(!found.is_empty() && found.iter().all(|found| found.chunk.has_category(Category::Disk)));
    let empty = Query { text: "  ".into(), limit: 9, ..Query::default() };
    assert!(retrieval.search(&empty).await.unwrap().is_empty());
}
