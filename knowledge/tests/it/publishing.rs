//! The catalogue reaches detection over a real Kafka: it is published, withdrawn, and known after a restart.

use std::collections::BTreeMap;
use std::time::Duration;

use detection::Settings;
use knowledge::publish::{Published, publish};
use shared::agent::Agent;
use shared::bus::reader::{From, Reader};
use shared::bus::{Options, Producer};
use shared::catalogue::Catalogue;
use shared::clock::{Clock as _, SystemClock};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{CatalogueService, Topic, decode};
use shared::service::Readiness;
use stack::parts::kafka::{Further, create_topics};
use stack::testing::bench::until;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Longest wait for anything, on a busy machine.
const PATIENCE: Duration = Duration::from_secs(90);

/// Returns what a topic holds: the newest payload of each key.
async fn held(kafka: &Options, topic: Topic) -> BTreeMap<String, Option<Vec<u8>>> {
    let kafka = kafka.clone();
    let read = move || Reader::open(&kafka, topic, None, From::Beginning, PATIENCE)?.to_end(PATIENCE);
    let lines = tokio::task::spawn_blocking(read).await.unwrap().unwrap();
    lines.into_iter().filter_map(|line| Some((line.key?, line.payload))).collect()
}

/// Detection, running.
struct Running {
    readiness: Readiness,
    shutdown: CancellationToken,
    task: JoinHandle<anyhow::Result<()>>,
}

impl Running {
    fn start(kafka: &Options) -> Self {
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let (options, ready, stop) = (kafka.clone(), readiness.clone(), shutdown.clone());
        let settings = Settings { snapshot_every_s: 1, ..Settings::default() };
        let task = tokio::spawn(async move { detection::detect(&options, settings, &ready, stop).await });
        Self { readiness, shutdown, task }
    }

    async fn stop(self) {
        let (is_ready, report) = self.readiness.report();
        assert!(is_ready, "{report}");
        self.shutdown.cancel();
        self.task.await.unwrap().unwrap();
    }
}

/// Writes samples of a latency that is beyond the objective of its service, from a time on.
async fn slow(kafka: &Options, service: &str, from_ms: i64) {
    let producer = Producer::connect(kafka).unwrap();
    for round in 0..40 {
        let ts_ms = from_ms + round * 1000;
        let sample = format!(
            r#"{{"service":"{service}","metric":"latency_p99_ms","value":{},"ts_ms":{ts_ms}}}"#,
            5000 + round % 3
        );
        producer.send(Topic::RawMetrics, Some(service), &Vec::new(), sample.as_bytes()).await.unwrap();
    }
}

async fn fires(kafka: &Options, running: &Running, service: &str) {
    until(PATIENCE, async || {
        let held = held(kafka, Topic::Anomalies).await;
        let told = held.get(service).and_then(|payload| decode::<Anomaly>(payload.as_deref()?).ok());
        match told {
            Some(told) if told.metric == "latency_p99_ms:objective" && told.status == Status::Firing => {
                Ok(())
            }
            other => Err((other, running.readiness.report())),
        }
    })
    .await
    .unwrap();
}

#[tokio::test(flavor = "multi_thread")]
async fn the_catalogue_reaches_detection_and_is_known_after_a_restart() {
    let broker = stack::testing::kafka_with(&Further::default()).await.unwrap();
    let kafka = Options { brokers: broker.brokers().to_owned(), ..Options::default() };
    let full = super::content().catalogue;
    let missing = publish(&kafka, &full, PATIENCE).await.unwrap_err().to_string();
    assert!(missing.contains("catalogue.services"), "{missing}");
    create_topics(broker.admin()).await.unwrap();
    for _ in 0..2 {
        let published = publish(&kafka, &full, PATIENCE).await.unwrap();
        assert_eq!(published, Published { stated: 6, withdrawn: 0 });
    }
    let running = Running::start(&kafka);
    // in the past, so that no sample is ahead
    let start_ms = SystemClock.now().as_millisecond() - 300_000;
    slow(&kafka, "user", start_ms).await;
    fires(&kafka, &running, "user").await;
    until(PATIENCE, async || {
        let state = held(&kafka, Topic::DetectionState).await;
        if state.keys().any(|key| key.ends_with("/catalogue")) { Ok(()) } else { Err(state.len()) }
    })
    .await
    .unwrap();
    running.stop().await;

    let fewer = Catalogue::new(full.services().filter(|service| service.name != "user").cloned());
    let published = publish(&kafka, &fewer, PATIENCE).await.unwrap();
    assert_eq!(published, Published { stated: 5, withdrawn: 1 });
    let stated = held(&kafka, Topic::CatalogueServices).await;
    assert_eq!(stated.len(), 6);
    assert_eq!(stated["user"], None);
    let order: CatalogueService = decode(stated["order"].as_deref().unwrap()).unwrap();
    assert_eq!((order.slo, order.latency_slo_ms), (Some(99.9), Some(700.0)));

    let running = Running::start(&kafka);
    slow(&kafka, "order", start_ms).await;
    fires(&kafka, &running, "order").await;
    // what is not stated any more clears with a sample after that is read
    let mut round = 0;
    until(PATIENCE, async || {
        round += 1;
        slow(&kafka, "user", start_ms + 50_000 * round).await;
        let told = held(&kafka, Topic::Anomalies).await;
        match decode::<Anomaly>(told["user"].as_deref().unwrap()).unwrap() {
            user if user.status == Status::Cleared => Ok(()),
            user => Err(user.explanation),
        }
    })
    .await
    .unwrap();
    running.stop().await;
    assert!(held(&kafka, Agent::Detection.dead_letters()).await.is_empty());
}
