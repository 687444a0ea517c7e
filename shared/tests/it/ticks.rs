//! Ticks over a real Kafka: where nothing comes, and somebody is missed, the log itself says that time has passed.

use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::agent::Agent;
use shared::bus::partitioned::{self, Output, Part, Settings, Task};
use shared::bus::tick::TICK;
use shared::error::Error;
use shared::events::Topic;
use shared::service::Readiness;
use stack::testing::bench::{Bench, until};
use tokio_util::sync::CancellationToken;

/// Patience of the task: more than the least.
const PATIENCE: Duration = Duration::from_secs(6);

/// What the one partition was told after the test's own sample: times of records, and whether they were ticks.
type Told = Arc<Mutex<Vec<(i64, bool)>>>;

/// Waits for two ticks after the sample of the test.
struct Waiting {
    sample: Vec<u8>,
    own: bool,
    told: Told,
}

impl Task for Waiting {
    fn record(&mut self, _: Topic, _: i64, timestamp_ms: i64, payload: &[u8]) -> Result<Output, Error> {
        self.own |= payload == self.sample;
        if self.own {
            self.told.lock().unwrap().push((timestamp_ms, payload == TICK));
        }
        Ok(Output::default())
    }

    fn patience(&self, topic: Topic) -> Option<Duration> {
        let waits = self.own && topic == Topic::RawMetrics && self.told.lock().unwrap().len() < 3;
        waits.then_some(PATIENCE)
    }

    fn snapshot(&mut self) -> Box<dyn Iterator<Item = Part> + Send + '_> {
        Box::new(std::iter::empty())
    }

    fn saved(&mut self) {}
}

#[tokio::test(flavor = "multi_thread")]
async fn a_partition_that_misses_somebody_is_told_that_time_has_passed_and_no_other() {
    let bench = Bench::open(&[Topic::RawMetrics, Topic::DetectionState]).await.unwrap();
    let service = bench.incident("ticks").to_string();
    let sample = format!(r#"{{"service":"{service}","metric":"m","value":1,"ts_ms":1750000000000}}"#);
    bench.producer.send(Topic::RawMetrics, Some(&service), &Vec::new(), sample.as_bytes()).await.unwrap();
    let told = Told::default();
    let settings = Settings {
        stage: Agent::Correlation,
        topics: vec![Topic::RawMetrics],
        state: Topic::DetectionState,
        snapshot_every: Duration::from_millis(100),
        snapshot_rate: f64::INFINITY,
    };
    let (seen, payload) = (Arc::clone(&told), sample.clone().into_bytes());
    let make = move |_, _: &mut dyn Iterator<Item = Part>| Waiting {
        sample: payload.clone(),
        own: false,
        told: Arc::clone(&seen),
    };
    let (kafka, shutdown) = (bench.common.kafka.clone(), CancellationToken::new());
    let stop = shutdown.clone();
    let running =
        tokio::spawn(
            async move { partitioned::run(&kafka, settings, &Readiness::default(), make, stop).await },
        );
    let done = until(Duration::from_mins(1), async || {
        let told = told.lock().unwrap().clone();
        if told.len() >= 3 { Ok(told) } else { Err(told) }
    });
    let told = done.await.unwrap();
    assert_eq!(told.iter().map(|one| one.1).collect::<Vec<_>>(), [false, true, true]);
    // the first counts from when the sample was read, which may be a while after it was written
    let patience_ms = PATIENCE.as_millis() as i64;
    assert!(told[1].0 - told[0].0 >= patience_ms && told[2].0 - told[1].0 >= patience_ms, "{told:?}");
    shutdown.cancel();
    running.await.unwrap().unwrap();
}
