//! Over a real Kafka: topics whose partitions are raised, records without keys or with others, inputs that differ. Who
//! reports is never missed, and who stops is.

use std::collections::BTreeSet;
use std::time::{Duration, Instant};

use anyhow::{Result, ensure};
use detection::Settings;
use shared::bus::reader::{From, Reader};
use shared::bus::{self, Producer};
use shared::clock::{Clock as _, SystemClock};
use shared::events::anomaly::{Anomaly, Status};
use shared::events::{Kind, Topic, decode};
use shared::service::Readiness;
use stack::parts::kafka::{Further, Kafka, create_topics};
use stack::testing::bench::until;
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

/// Setting `silence_after_s`.
const SILENCE_AFTER: Duration = Duration::from_secs(5);
/// Time between two reports of each service.
const INTERVAL: Duration = Duration::from_millis(250);
/// Time in which a silence would have fired, with room for a busy machine.
const LONG: Duration = Duration::from_secs(40);
/// Longest wait for anything.
const PATIENCE: Duration = Duration::from_secs(90);

/// Detection, and a broker of its own.
struct Place {
    kafka: bus::Options,
    readiness: Readiness,
    shutdown: CancellationToken,
    running: JoinHandle<Result<()>>,
    producer: Producer,
    broker: Kafka,
    /// Reports so far.
    turn: i32,
}

impl Place {
    async fn open() -> Result<Self> {
        let broker = stack::testing::kafka_with(&Further::default()).await?;
        create_topics(broker.admin()).await?;
        let kafka = bus::Options { brokers: broker.brokers().to_owned(), ..bus::Options::default() };
        let (readiness, shutdown) = (Readiness::default(), CancellationToken::new());
        let (options, ready, stop) = (kafka.clone(), readiness.clone(), shutdown.clone());
        let settings = Settings {
            silence_after_s: SILENCE_AFTER.as_secs() as u32,
            snapshot_every_s: 1,
            ..Settings::default()
        };
        let running = tokio::spawn(async move { detection::detect(&options, settings, &ready, stop).await });
        let producer = Producer::connect(&kafka)?;
        Ok(Self { kafka, readiness, shutdown, running, producer, broker, turn: 0 })
    }

    /// Lets each service report for a while. `route` returns the key and the partition of its record.
    async fn report<'a>(
        &mut self,
        time: Duration,
        services: &[&'a str],
        route: impl Fn(&'a str, i32) -> (Option<&'a str>, Option<i32>),
    ) -> Result<()> {
        let mut interval = tokio::time::interval(INTERVAL);
        let end = Instant::now() + time;
        while Instant::now() < end {
            interval.tick().await;
            self.turn += 1;
            let (ts_ms, value) = (SystemClock.now().as_millisecond(), 80 + self.turn * 7 % 5);
            for &service in services {
                let sample = format!(
                    r#"{{"service":"{service}","metric":"request_rate","value":{value},"ts_ms":{ts_ms}}}"#
                );
                let (key, partition) = route(service, self.turn);
                let topic = Topic::RawMetrics;
                self.producer
                    .enqueue_at(topic, partition, key, &Vec::new(), sample.as_bytes())
                    .await?
                    .acknowledged()
                    .await?;
            }
        }
        Ok(())
    }

    /// Returns the silences so far: service and status.
    async fn silences(&self) -> Result<BTreeSet<(String, String)>> {
        let kafka = self.kafka.clone();
        let read =
            move || Reader::open(&kafka, Topic::Anomalies, None, From::Beginning, PATIENCE)?.to_end(PATIENCE);
        let lines = tokio::task::spawn_blocking(read).await??;
        let anomalies =
            lines.iter().map(|line| decode::<Anomaly>(line.payload.as_deref().unwrap_or_default()));
        let anomalies = anomalies.collect::<Result<Vec<_>, _>>()?;
        let silences = anomalies.into_iter().filter(|one| one.kind == Kind::Silence);
        Ok(silences.map(|one| (one.service, one.status.to_string())).collect())
    }

    async fn fires(&self, service: &str) -> Result<()> {
        let wanted: BTreeSet<(String, String)> =
            [Status::Suspect, Status::Firing].map(|status| (service.to_owned(), status.to_string())).into();
        until(PATIENCE, async || match self.silences().await {
            Ok(seen) if seen == wanted => Ok(()),
            other => Err((other, self.readiness.report())),
        })
        .await
    }

    async fn close(self) -> Result<()> {
        let (is_ready, report) = self.readiness.report();
        ensure!(is_ready, "{report}");
        self.shutdown.cancel();
        self.running.await?
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn services_that_move_to_partitions_that_were_added_are_not_missed() -> Result<()> {
    let services: Vec<String> = (0..12).map(|number| format!("svc-{number:02}")).collect();
    let services: Vec<&str> = services.iter().map(String::as_str).collect();
    let mut place = Place::open().await?;
    let keyed = |service, _| (Some(service), None);
    place.report(Duration::from_secs(15), &services, keyed).await?;
    place.broker.admin().widen(Topic::RawMetrics, 12).await?;
    place.report(LONG, &services, keyed).await?;
    ensure!(place.silences().await?.is_empty(), "{:?}", place.silences().await?);
    // the last one stops
    let (last, others) = services.split_last().expect("there are twelve");
    place.report(LONG, others, keyed).await?;
    place.fires(last).await?;
    place.close().await
}

#[tokio::test(flavor = "multi_thread")]
async fn services_without_a_key_or_with_other_keys_are_not_missed() -> Result<()> {
    let mut place = Place::open().await?;
    let route = |service: &'static str, turn: i32| match service {
        // another partition every six seconds, as producers do without a key
        "keyless" => (None, Some(turn / 24 % 6)),
        // keyed by host, of which there are two
        "hosts" if turn % 2 == 0 => (Some("host-1"), Some(1)),
        "hosts" => (Some("host-2"), Some(4)),
        keyed => (Some(keyed), None),
    };
    place.report(LONG, &["keyless", "hosts", "keyed", "stops"], route).await?;
    // one of the hosts stops, and one service in all
    let one_host = |service: &'static str, turn: i32| match service {
        "hosts" => (Some("host-1"), Some(1)),
        service => route(service, turn),
    };
    place.report(LONG, &["keyless", "hosts", "keyed"], one_host).await?;
    place.fires("stops").await?;
    place.close().await
}
