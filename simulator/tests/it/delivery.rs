//! The way to Kafka, with a sink that can be cut off.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use shared::bus;
use shared::clock::{ManualClock, from_ms};
use shared::events::{Deployment, MetricSample, Topic};
use shared::service::Readiness;
use simulator::Faults;
use simulator::delivery::{BUFFERED_TICKS, Error, Sink, deliver};
use simulator::record::{Record, records};
use simulator::run::{Pace, Settings};
use simulator::telemetry::Telemetry;
use simulator::{Options, Shop};
use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::{START_MS, exact, run};

/// A broker that remembers, and can be away.
#[derive(Clone, Default)]
struct Broker {
    away: Arc<AtomicBool>,
    written: Arc<Mutex<Vec<Record>>>,
}

impl Sink for Broker {
    const NAME: &'static str = "kafka";

    async fn send(&self, record: &Record) -> Result<(), Error> {
        if self.away.load(Ordering::SeqCst) {
            return Err(bus::Error::Other("no broker".to_owned()).into());
        }
        self.written.lock().expect("no test panics with it").push(record.clone());
        Ok(())
    }
}

/// Returns what was written before the services were retired.
fn before_the_end(written: &[Record]) -> Vec<Record> {
    written[..written.len() - simulator::service::Service::ALL.len()].to_vec()
}

fn expected(ticks: usize) -> Vec<Record> {
    run(Options::default(), ticks).iter().flat_map(|tick| records(tick).expect("valid events")).collect()
}

#[tokio::test(start_paused = true)]
async fn an_outage_delays_records_and_loses_and_reorders_none() {
    let broker = Broker::default();
    broker.away.store(true, Ordering::SeqCst);
    let (queue, waiting) = mpsc::channel(BUFFERED_TICKS);
    let readiness = Readiness::default();
    let delivery = tokio::spawn(deliver(
        broker.clone(),
        waiting,
        Telemetry::new("production").unwrap(),
        readiness.clone(),
    ));
    for tick in run(Options::default(), 50) {
        queue.send(records(&tick).unwrap()).await.unwrap();
    }
    tokio::time::sleep(Duration::from_mins(5)).await;
    assert!(broker.written.lock().unwrap().is_empty());
    assert!(!readiness.report().0, "an absent broker shows in /readyz");

    broker.away.store(false, Ordering::SeqCst);
    drop(queue);
    delivery.await.unwrap();
    assert_eq!(*broker.written.lock().unwrap(), expected(50));
    assert!(readiness.report().0);
}

fn settings(shop: Options, ticks: Option<u64>) -> Settings {
    let pace = Pace::Replayed { start: from_ms(START_MS), speed: None };
    Settings {
        shop,
        pace,
        history: 0,
        tail: Some(4),
        ticks,
        replicas: None,
        listen: "127.0.0.1:0".to_owned(),
    }
}

#[tokio::test(start_paused = true)]
async fn a_full_buffer_stops_time_in_the_shop() {
    let broker = Broker::default();
    broker.away.store(true, Ordering::SeqCst);
    let ticks = BUFFERED_TICKS + 100;
    let clock = ManualClock::starting_at(from_ms(START_MS));
    let running = tokio::spawn(simulator::run(
        settings(Options::default(), Some(ticks as u64)),
        broker.clone(),
        clock,
        CancellationToken::new(),
    ));
    tokio::time::sleep(Duration::from_mins(10)).await;
    assert!(!running.is_finished());
    broker.away.store(false, Ordering::SeqCst);
    running.await.unwrap().unwrap();
    assert_eq!(before_the_end(&broker.written.lock().unwrap()), expected(ticks));
}

#[tokio::test(start_paused = true)]
async fn a_single_fault_ends_the_process_after_its_tail() {
    let broker = Broker::default();
    let shop = exact(shared::events::fault::Scenario::ErrorSpike);
    let clock = ManualClock::starting_at(from_ms(START_MS));
    simulator::run(settings(shop, None), broker.clone(), clock, CancellationToken::new()).await.unwrap();
    let written = broker.written.lock().unwrap();
    let count = |topic| written.iter().filter(|record| record.topic == topic).count();
    assert_eq!(count(Topic::SimFaults), 2);
    // five healthy ticks, eighteen of the fault, the tick that ends it and the tail after it
    assert_eq!(count(Topic::RawMetrics), 6 * (5 + 18 + 4));
}

#[tokio::test(start_paused = true)]
async fn the_end_retires_every_service_with_the_last_records() {
    let broker = Broker::default();
    let clock = ManualClock::starting_at(from_ms(START_MS));
    let quiet = Options { faults: Faults::Quiet, ..Options::default() };
    simulator::run(settings(quiet, Some(9)), broker.clone(), clock, CancellationToken::new()).await.unwrap();
    let written = broker.written.lock().unwrap();
    let last = &written[written.len() - 6..];
    let retired: Vec<Deployment> =
        last.iter().map(|record| serde_json::from_slice(&record.payload).unwrap()).collect();
    assert_eq!(
        retired.iter().map(|change| change.service.as_str()).collect::<Vec<_>>(),
        simulator::service::Service::ALL.map(simulator::service::Service::name)
    );
    let ended_ms = START_MS + 8 * 10_000;
    assert!(retired.iter().all(|change| change.is_retirement() && change.ts_ms == ended_ms), "{retired:?}");
}

#[tokio::test(start_paused = true)]
async fn an_open_shop_stays_open_until_it_is_stopped_and_has_a_past() {
    let broker = Broker::default();
    let shop = Options { first_fault_after: 30, ..exact(shared::events::fault::Scenario::ErrorSpike) };
    let clock = ManualClock::starting_at(from_ms(START_MS));
    let open = Settings { pace: Pace::Live, history: 20, tail: None, ..settings(shop, None) };
    let shutdown = CancellationToken::new();
    let running = tokio::spawn(simulator::run(open, broker.clone(), clock, shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    let times: Vec<i64> = broker
        .written
        .lock()
        .unwrap()
        .iter()
        .filter(|record| record.topic == Topic::RawMetrics && record.key == "payment")
        .map(|record| serde_json::from_slice::<Vec<MetricSample>>(&record.payload).unwrap()[0].ts_ms)
        .collect();
    let past: Vec<i64> = (0..20).map(|tick| START_MS - (20 - tick) * 10_000).collect();
    assert_eq!(times[..20], past, "the past is written at once");
    assert!(times.len() <= 21, "what follows takes its time: {}", times.len());
    // the only fault is long over after an hour
    tokio::time::sleep(Duration::from_hours(1)).await;
    assert!(!running.is_finished());
    shutdown.cancel();
    running.await.unwrap().unwrap();
}

#[tokio::test(start_paused = true)]
async fn shutdown_without_a_broker_is_a_failure_that_says_so() {
    let broker = Broker::default();
    broker.away.store(true, Ordering::SeqCst);
    let shutdown = CancellationToken::new();
    let clock = ManualClock::starting_at(from_ms(START_MS));
    let quiet = Options { faults: Faults::Quiet, ..Options::default() };
    let running = tokio::spawn(simulator::run(settings(quiet, None), broker, clock, shutdown.clone()));
    tokio::time::sleep(Duration::from_secs(1)).await;
    shutdown.cancel();
    let error = running.await.unwrap().unwrap_err();
    assert!(error.to_string().contains("kafka did not take"), "{error}");
}

#[test]
fn the_metrics_page_names_and_types_every_family() {
    let telemetry = Telemetry::new("production").unwrap();
    let tick = Shop::new(Options::default()).tick(START_MS);
    telemetry.observe(&tick);
    telemetry.delivered(Topic::RawMetrics);
    let page = telemetry.render();

    let words = |line: &str| line.split_whitespace().map(str::to_owned).collect::<Vec<_>>();
    let (mut helped, mut typed) = (Vec::new(), Vec::new());
    for line in page.lines().filter(|line| !line.is_empty()) {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            assert!(words(rest).len() > 1, "no text: {line}");
            helped.push(words(rest)[0].clone());
        } else if let Some(rest) = line.strip_prefix("# TYPE ") {
            assert!(["gauge", "counter"].contains(&words(rest)[1].as_str()), "{line}");
            typed.push(words(rest)[0].clone());
        } else {
            let (series, value) = line.rsplit_once(' ').unwrap();
            assert!(value.parse::<f64>().is_ok(), "{line}");
            let family = series.split('{').next().unwrap().to_owned();
            assert!(helped.contains(&family) && typed.contains(&family), "{line} comes without HELP or TYPE");
        }
    }
    for sample in &tick.metrics {
        let line = page
            .lines()
            .find(|line| {
                line.starts_with(&format!("{}{{", sample.metric))
                    && line.contains(&format!("service=\"{}\"", sample.service))
            })
            .unwrap_or_else(|| panic!("{} of {} is missing", sample.metric, sample.service));
        let value: f64 = line.rsplit_once(' ').unwrap().1.parse().unwrap();
        assert_eq!(value, sample.value);
    }
    assert!(page.contains("simulator_records_total{topic=\"raw.metrics\"} 1"), "{page}");
}
