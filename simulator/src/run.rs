//! The simulator as a process: lets time pass, hands each tick to [`delivery`], serves `/metrics`.

use std::io::Write;
use std::time::Duration;

use anyhow::Context;
use jiff::Timestamp;
use shared::clock::Clock;
use shared::service::{Probes, Readiness};
use tokio::sync::mpsc;
use tokio::time::{Instant, MissedTickBehavior};
use tokio_util::sync::CancellationToken;
use tracing::{info, warn};

use crate::delivery::{self, Sink};
use crate::otlp::Exporter;
use crate::record::{Record, deployments, records};
use crate::shop::{Options, Shop, Tick};
use crate::telemetry::Telemetry;

/// Longest wait for Kafka at shutdown.
const DRAIN: Duration = Duration::from_secs(10);
/// Longest wait for room in the queue for the records that retire the services; part of [`DRAIN`].
const LAST_WORDS: Duration = Duration::from_secs(3);

/// How the hours pass.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pace {
    /// Event time is the time of day.
    Live,
    /// Event time begins at `start` and runs `speed` times as fast as the clock; without a speed as fast as Kafka
    /// takes it.
    Replayed {
        /// Event time of the first tick.
        start: Timestamp,
        /// Seconds of event time in a second.
        speed: Option<f64>,
    },
}

/// What a process does.
#[derive(Debug, Clone, PartialEq)]
pub struct Settings {
    /// The shop.
    pub shop: Options,
    /// How the hours pass.
    pub pace: Pace,
    /// Ticks that lie before the start of the process, written at once: the shop has a past when it opens.
    pub history: u64,
    /// Ends this many healthy ticks after the only fault of a run; without it the shop stays open until it is stopped.
    pub tail: Option<u64>,
    /// Ends after this many ticks, those of the past included.
    pub ticks: Option<u64>,
    /// Replicas of each service, whose telemetry is written as OTLP; without a number as our own JSON.
    pub replicas: Option<u32>,
    /// Where `/metrics`, `/healthz` and `/readyz` are served.
    pub listen: String,
}

/// Runs until the shop has nothing more to do or `shutdown` is called, and until the sink has everything. The last
/// records retire all services: the end is planned, and nobody has to miss them.
///
/// Fails if the page cannot be served, or if the sink has not taken all records within ten seconds after `shutdown`.
pub async fn run<S: Sink>(
    settings: Settings,
    sink: S,
    clock: impl Clock,
    shutdown: CancellationToken,
) -> anyhow::Result<()> {
    let telemetry = Telemetry::new(&settings.shop.environment)?;
    let readiness = Readiness::default();
    let page = {
        let telemetry = telemetry.clone();
        move || telemetry.render()
    };
    let probes = Probes::bind(&settings.listen, readiness.clone(), page)
        .await
        .with_context(|| format!("listening on {}", settings.listen))?;
    writeln!(std::io::stdout(), "listening on http://{}", probes.address())?;
    let serving = tokio::spawn(probes.serve(shutdown.clone()));

    let (queue, waiting) = mpsc::channel(delivery::BUFFERED_TICKS);
    let mut delivery = tokio::spawn(delivery::deliver(sink, waiting, telemetry.clone(), readiness));
    let produced = produce(&settings, &queue, &clock, &telemetry, &shutdown).await;
    let behind = queue.max_capacity() - queue.capacity();
    drop(queue);
    info!(ticks_behind = behind, "no more ticks, flushing");
    tokio::select! {
        done = &mut delivery => done.with_context(|| format!("writing to {}", S::NAME))?,
        () = expired(&shutdown) => {
            delivery.abort();
            anyhow::bail!("{} did not take the last records within {DRAIN:?}", S::NAME);
        }
    }
    serving.abort();
    produced
}

/// Waits until [`DRAIN`] has passed since `shutdown`.
async fn expired(shutdown: &CancellationToken) {
    shutdown.cancelled().await;
    tokio::time::sleep(DRAIN).await;
}

/// Lets the shop tick and queues what it says, until it is over.
async fn produce(
    settings: &Settings,
    queue: &mpsc::Sender<Vec<Record>>,
    clock: &impl Clock,
    telemetry: &Telemetry,
    shutdown: &CancellationToken,
) -> anyhow::Result<()> {
    let mut shop = Shop::new(settings.shop.clone());
    let shape = &settings.shop;
    let mut exporter = settings
        .replicas
        .map(|replicas| Exporter::new(shape.seed, replicas, shape.interval_ms, &shape.environment));
    let mut metronome = settings.metronome();
    let opening = clock.now().as_millisecond();
    for number in 0..settings.ticks.unwrap_or(u64::MAX) {
        if let Some(metronome) = metronome.as_mut().filter(|_| number >= settings.history) {
            tokio::select! {
                _ = metronome.tick() => {}
                () = shutdown.cancelled() => break,
            }
        }
        let mut tick = shop.tick(settings.event_time(number, opening, clock));
        if number < settings.history {
            // who calls whom is learned from the calls to come, and each span of the past would delay them
            tick.spans.clear();
        }
        telemetry.observe(&tick);
        announce(&tick);
        if queue.capacity() == 0 {
            warn!(ticks = delivery::BUFFERED_TICKS, "buffer is full, the shop waits");
        }
        let records = match &mut exporter {
            Some(exporter) => exporter.records(&tick)?,
            None => records(&tick)?,
        };
        tokio::select! {
            sent = queue.send(records) => sent.context("writing has stopped")?,
            () = shutdown.cancelled() => break,
        }
        if shop.recovered_for().zip(settings.tail).is_some_and(|(ticks, tail)| ticks >= tail) {
            break;
        }
    }
    let retirements = deployments(&shop.close())?;
    if let Ok(sent) = tokio::time::timeout(LAST_WORDS, queue.send(retirements)).await {
        sent.context("writing has stopped")?;
    } else {
        warn!("records are behind, the services end without being retired");
    }
    Ok(())
}

/// Says what a person at the terminal wants to know.
fn announce(tick: &Tick) {
    for fault in &tick.faults {
        info!(scenario = %fault.scenario, service = fault.service, phase = ?fault.phase, at = %fault.at, "fault");
    }
    for change in &tick.deployments {
        info!(service = change.service, version = change.version, "deployment");
    }
}

impl Settings {
    /// Returns what beats the time, unless there is no need to wait.
    fn metronome(&self) -> Option<tokio::time::Interval> {
        let seconds = self.shop.interval_ms as f64 / 1000.0;
        let period = match self.pace {
            Pace::Live => seconds,
            Pace::Replayed { speed, .. } => seconds / speed?,
        };
        let mut metronome = tokio::time::interval_at(Instant::now(), Duration::from_secs_f64(period));
        // after a wait for Kafka the shop does not hurry to catch up
        metronome.set_missed_tick_behavior(MissedTickBehavior::Delay);
        Some(metronome)
    }

    /// Returns the event time of a tick of a shop that opened at `opening`, milliseconds.
    fn event_time(&self, tick: u64, opening: i64, clock: &impl Clock) -> i64 {
        match self.pace {
            Pace::Live if tick < self.history => {
                let before = (self.history - tick).saturating_mul(self.shop.interval_ms);
                opening.saturating_sub_unsigned(before)
            }
            Pace::Live => clock.now().as_millisecond(),
            Pace::Replayed { start, .. } => {
                let passed = tick.saturating_mul(self.shop.interval_ms);
                start.as_millisecond().saturating_add_unsigned(passed)
            }
        }
    }
}
