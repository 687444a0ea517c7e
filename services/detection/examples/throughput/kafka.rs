//! The service over a real broker: records lie ready, it reads them all, with its state written as in production.

use std::fmt::Write as _;
use std::time::{Duration, Instant};

use anyhow::ensure;
use rand::Rng as _;
use rand::SeedableRng as _;
use rand_chacha::ChaCha8Rng;
use shared::bus::{Options, Pending, Producer};
use shared::events::Topic;
use simulator::Shop;

use crate::naive;
use crate::process::Service;
use crate::{Figures, tell};
use stack::testing::usage::{cpu_s, peak_bytes, resident_bytes};

const INTERVAL_MS: i64 = 10_000;
/// Before the records' own time: nothing is ahead of it.
const BEGIN_MS: i64 = 1_767_225_600_000;
/// Shops of 42 series each, and ticks of each.
const SHOPS: u64 = 20;
const TICKS_SINGLE: i64 = 800;
const TICKS_ARRAYS: i64 = 3_000;
/// Services and series of each where there are many, and samples of each series.
const MANY_SERVICES: usize = 250;
const MANY_SERIES: usize = 400;
const MANY_TICKS: i64 = 40;
/// Ticks, one a second, that they are watched for.
const LIVE_TICKS: u64 = 50;
const MIB: f64 = 1_048_576.0;
/// Longest that anything may take on a busy machine.
const PATIENCE: Duration = Duration::from_mins(5);
/// Time between two looks at the service.
const LOOK: Duration = Duration::from_millis(100);

/// Measures and prints.
pub(crate) async fn measure(brokers: String, figures: &mut Figures) -> anyhow::Result<()> {
    let bus = Options { brokers, ..Options::default() };
    let samples = write_shops(&bus, "single", TICKS_SINGLE, true).await?;
    naive::through_kafka(&bus, figures).await?;
    let (core, wall) = run(&bus, samples, "one sample a record").await?;
    tell(figures, "detection_kafka_single_per_s_core", core);
    tell(figures, "detection_kafka_single_per_s", wall);
    let samples = write_shops(&bus, "arrays", TICKS_ARRAYS, false).await?;
    let (core, wall) = run(&bus, samples, "one service's tick a record").await?;
    tell(figures, "detection_kafka_per_s_core", core);
    tell(figures, "detection_kafka_per_s", wall);
    many(&bus, figures).await
}

/// Lets a service read what lies ready. Returns samples a second of processor time, and by the clock.
async fn run(bus: &Options, samples: usize, what: &str) -> anyhow::Result<(f64, f64)> {
    let mut service = Service::start(&bus.brokers)?;
    let began = until(&mut service, "the first sample", async |service| used(service).await > 0.0).await?;
    let ended =
        until(&mut service, "all samples", async |service| used(service).await >= samples as f64).await?;
    until(&mut service, "no lag", async |service| lag(service).await == Some(0.0)).await?;
    let core = samples as f64 / cpu_s(service.pid)?;
    let wall = samples as f64 / ended.duration_since(began).as_secs_f64();
    ensure!(used(&service).await == samples as f64, "samples were counted twice");
    println!("detection, Kafka     {core:.0} samples/s a core, {wall:.0} by the clock ({what})");
    service.stop().await?;
    Ok((core, wall))
}

/// Measures 100,000 series in one process: what their backlog costs; then, while each is sampled once a second, what
/// snapshots write; and what a crash costs in the midst of that.
async fn many(bus: &Options, figures: &mut Figures) -> anyhow::Result<()> {
    let mut source = Many::new(bus)?;
    source.write(MANY_TICKS).await?;
    let mut service = Service::start(&bus.brokers)?;
    until(&mut service, "all samples", async |service| used(service).await >= source.samples()).await?;
    let backlog = source.samples();
    let core = backlog / cpu_s(service.pid)?;

    let (begun, cpu) = (Instant::now(), cpu_s(service.pid)?);
    let written = snapshots(&service).await;
    for tick in 1..=LIVE_TICKS {
        source.write(1).await?;
        tokio::time::sleep((begun + Duration::from_secs(tick)).saturating_duration_since(Instant::now()))
            .await;
    }
    until(&mut service, "all samples", async |service| used(service).await >= source.samples()).await?;
    let seconds = begun.elapsed().as_secs_f64();
    let rate = (snapshots(&service).await - written) / seconds;
    let cores = (cpu_s(service.pid)? - cpu) / seconds;
    let live = source.samples() - backlog;
    let most = peak_bytes(service.pid)?;

    service.kill().await?;
    let killed = Instant::now();
    let mut service = Service::start(&bus.brokers)?;
    let restored = until(&mut service, "a sample", async |service| used(service).await > 0.0).await?;
    let caught_up = until(&mut service, "all series and no lag", async |service| {
        let series = service.metric("firewatch_detection_series").await.unwrap_or_default();
        series >= (MANY_SERVICES * MANY_SERIES) as f64 && lag(service).await == Some(0.0)
    });
    let caught_up = caught_up.await?;
    for (name, value, what) in [
        ("kafka_per_s_core", core, "samples/s a core, of a backlog"),
        ("live_per_s", live / seconds, "samples/s as they come, from here on"),
        ("live_cores", cores, "cores"),
        ("snapshot_mib_s", rate / MIB, "MiB/s of snapshots"),
        ("peak_mib", most as f64 / MIB, "MiB resident at most"),
        ("resident_mib", resident_bytes(service.pid)? as f64 / MIB, "MiB resident after a crash"),
        ("restored_s", restored.duration_since(killed).as_secs_f64(), "s from the crash to the first sample"),
        ("caught_up_s", caught_up.duration_since(killed).as_secs_f64(), "s from the crash to no lag"),
        ("read_again", used(&service).await, "samples read again"),
    ] {
        println!("100,000 series       {value:.2} {what}");
        tell(figures, &format!("detection_series_100k_{name}"), value);
    }
    service.stop().await
}

async fn snapshots(service: &Service) -> f64 {
    service.metric("firewatch_snapshot_bytes_total").await.unwrap_or_default()
}

async fn used(service: &Service) -> f64 {
    service.metric("firewatch_detection_samples_total").await.unwrap_or_default()
}

async fn lag(service: &Service) -> Option<f64> {
    service.metric("firewatch_consumer_lag").await
}

/// Looks until something is so, and returns when.
async fn until(
    service: &mut Service,
    what: &str,
    mut is_so: impl AsyncFnMut(&Service) -> bool,
) -> anyhow::Result<Instant> {
    let begun = Instant::now();
    loop {
        if is_so(service).await {
            return Ok(Instant::now());
        }
        service.check()?;
        ensure!(begun.elapsed() < PATIENCE, "waited in vain for {what}");
        tokio::time::sleep(LOOK).await;
    }
}

/// Writes the samples of some shops. Returns how many.
async fn write_shops(bus: &Options, environment: &str, ticks: i64, single: bool) -> anyhow::Result<usize> {
    let mut writer = Writer::new(bus)?;
    let mut shops: Vec<Shop> = (0..SHOPS)
        .map(|seed| Shop::new(simulator::Options { seed, ..simulator::Options::default() }))
        .collect();
    let mut count = 0;
    for tick in 0..ticks {
        for (number, shop) in shops.iter_mut().enumerate() {
            let mut samples = shop.tick(BEGIN_MS + tick * INTERVAL_MS).metrics;
            for sample in &mut samples {
                sample.environment = format!("{environment}-{number}");
            }
            count += samples.len();
            for of_service in samples.chunk_by(|a, b| a.service == b.service) {
                let key = &of_service[0].service;
                if single {
                    for sample in of_service {
                        writer.write(key, &serde_json::to_vec(sample)?).await?;
                    }
                } else {
                    writer.write(key, &serde_json::to_vec(of_service)?).await?;
                }
            }
        }
    }
    writer.end().await?;
    Ok(count)
}

/// Many series, an array of one service's tick a record.
struct Many {
    writer: Writer,
    random: ChaCha8Rng,
    ticks: i64,
}

impl Many {
    fn new(bus: &Options) -> anyhow::Result<Self> {
        Ok(Self { writer: Writer::new(bus)?, random: ChaCha8Rng::seed_from_u64(1), ticks: 0 })
    }

    /// Writes that many ticks of all series.
    async fn write(&mut self, ticks: i64) -> anyhow::Result<()> {
        for _ in 0..ticks {
            self.ticks += 1;
            let ts_ms = BEGIN_MS + self.ticks * INTERVAL_MS;
            for service in 0..MANY_SERVICES {
                let key = format!("service-{service:03}");
                let mut array = String::from("[");
                for series in 0..MANY_SERIES {
                    let value: f32 = self.random.random_range(95.0..105.0);
                    let comma = if series > 0 { "," } else { "" };
                    write!(
                        array,
                        r#"{comma}{{"service":"{key}","metric":"gauge_{series}","value":{value:.3},"ts_ms":{ts_ms},"environment":"many"}}"#
                    )?;
                }
                array.push(']');
                self.writer.write(&key, array.as_bytes()).await?;
            }
        }
        self.writer.end().await
    }

    /// Returns how many samples were written.
    fn samples(&self) -> f64 {
        (MANY_SERVICES * MANY_SERIES) as f64 * self.ticks as f64
    }
}

/// Writes to `raw.metrics` as fast as the broker takes it.
struct Writer {
    producer: Producer,
    pending: Vec<Pending>,
}

impl Writer {
    fn new(bus: &Options) -> anyhow::Result<Self> {
        Ok(Self { producer: Producer::connect(bus)?, pending: Vec::new() })
    }

    async fn write(&mut self, key: &str, payload: &[u8]) -> anyhow::Result<()> {
        self.pending.push(self.producer.enqueue(Topic::RawMetrics, Some(key), &Vec::new(), payload).await?);
        if self.pending.len() >= 50_000 { self.end().await } else { Ok(()) }
    }

    async fn end(&mut self) -> anyhow::Result<()> {
        for pending in self.pending.drain(..) {
            pending.acknowledged().await?;
        }
        Ok(())
    }
}
