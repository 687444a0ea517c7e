//! Anomalies at a steady rate in environments with open incidents, and how long each takes until its incident's event can
//! be read: decision, rows, outbox and both topics.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use shared::bus::{Consumer, Options, Pending, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::anomaly::Status;
use shared::events::{Kind, Outgoing, Topic};
use shared::ids::{AnomalyId, EventId};
use stack::testing::durations::Durations;
use tokio::sync::mpsc::{UnboundedSender, unbounded_channel};

use super::burst::{Burst, METRICS, acknowledged};

/// Begin of the names of the environments.
const ENVIRONMENT: &str = "paced-";
/// Environments, and services of each, of which none calls another: each is an incident. More in one would be a storm.
const ENVIRONMENTS: u32 = 5;
const SERVICES: u32 = 8;
/// One revision in so many changes the status of its member, and only that is published with the incident.
const NEWS_EVERY: u32 = 10;
/// Longest time until all incidents are open.
const OPENING: Duration = Duration::from_mins(1);
/// Longest time from the last anomaly until the last event.
pub const LAST: Duration = Duration::from_secs(30);
/// Anomalies that are written together.
const TOGETHER: u32 = 5;

/// How many anomalies are written.
#[derive(Debug, Clone, Copy)]
pub struct Pace {
    /// Anomalies a second.
    pub per_second: u32,
    /// Seconds.
    pub seconds: u32,
}

impl Pace {
    fn anomalies(self) -> u32 {
        self.per_second * self.seconds
    }
}

/// What was measured.
#[derive(Debug, Clone, Serialize)]
pub struct Paced {
    /// Anomalies a second, as they were written.
    pub per_second: f64,
    /// Anomalies written.
    pub anomalies: u32,
    /// Open incidents of the environments.
    pub incidents: u32,
    /// Anomalies that an event of their incident has to show.
    pub news: usize,
    /// Of these, the ones that an event showed in time.
    pub shown: usize,
    /// Time from the write of such an anomaly until the event of its incident was read, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What is read of an incident's event.
#[derive(Deserialize)]
struct Shown {
    environment: String,
    signals: Vec<Member>,
}

#[derive(Deserialize)]
struct Member {
    anomaly_id: AnomalyId,
    revision: u32,
}

/// When anomalies were written that an event has to show, by episode, and how long that took.
#[derive(Default)]
struct Wait {
    waiting: HashMap<AnomalyId, Vec<(u32, Instant)>>,
    took: Durations,
}

impl Wait {
    /// Takes an event that was read at a time: it shows these revisions and those before them.
    fn take(&mut self, shown: &Shown, at: Instant) {
        for member in &shown.signals {
            if let Some(waiting) = self.waiting.get_mut(&member.anomaly_id) {
                let known = waiting.extract_if(.., |(revision, _)| *revision <= member.revision);
                known.for_each(|(_, begun)| self.took.push(at.saturating_duration_since(begun)));
            }
        }
    }

    fn is_over(&self) -> bool {
        self.waiting.values().all(Vec::is_empty)
    }
}

/// Opens incidents, writes anomalies at the rate, and reads what follows.
pub async fn run(burst: Burst, pace: Pace, broker: &Options) -> Result<Paced> {
    let producer = Producer::connect(broker)?;
    let topics = [Topic::IncidentsOpened, Topic::IncidentsUpdated];
    let mut consumer = Consumer::join(broker, "load-pace", &topics)?;
    let mut pending = Vec::new();
    for episode in 0..episodes() {
        pending.push(write_episode(&producer, burst, episode, 1, Status::Firing).await?.1);
    }
    acknowledged(pending).await?;
    let mut opened = 0;
    while opened < ENVIRONMENTS * SERVICES {
        let (topic, ..) = next(&mut consumer, OPENING).await.context("not all incidents opened")?;
        opened += u32::from(topic == Topic::IncidentsOpened);
    }
    let (sender, mut receiver) = unbounded_channel();
    let writing = tokio::spawn(write_all(producer, burst, pace, sender));
    let (mut wait, mut news) = (Wait::default(), 0);
    let mut deadline: Option<Instant> = None;
    while deadline.is_none_or(|deadline| Instant::now() < deadline) && !(deadline.is_some() && wait.is_over())
    {
        let event = next(&mut consumer, Duration::from_millis(100)).await;
        while let Ok((episode, revision, at)) = receiver.try_recv() {
            wait.waiting.entry(episode).or_default().push((revision, at));
            news += 1;
        }
        if let Some((_, shown, at)) = event {
            wait.take(&shown, at);
        }
        if deadline.is_none() && writing.is_finished() {
            deadline = Some(Instant::now() + LAST);
        }
    }
    consumer.leave().await;
    let took = writing.await??;
    let times = wait.took;
    ensure!(times.number() > 0, "no event of an incident showed an anomaly");
    Ok(Paced {
        per_second: f64::from(pace.anomalies()) / took.as_secs_f64(),
        anomalies: pace.anomalies(),
        incidents: ENVIRONMENTS * SERVICES,
        news,
        shown: times.number(),
        p50_ms: times.percentile_ms(0.5),
        p99_ms: times.percentile_ms(0.99),
        max_ms: times.percentile_ms(1.0),
    })
}

fn episodes() -> u32 {
    ENVIRONMENTS * SERVICES * METRICS.len() as u32
}

/// Writes at the rate, and sends on which revision is written when, of those that an event has to show. Returns how long all
/// took.
async fn write_all(
    producer: Producer,
    burst: Burst,
    pace: Pace,
    news: UnboundedSender<(AnomalyId, u32, Instant)>,
) -> Result<Duration> {
    let begun = Instant::now();
    let mut pending = Vec::new();
    let mut firing = vec![true; episodes() as usize];
    for number in 0..pace.anomalies() {
        if number % TOGETHER == 0 {
            let due = begun + Duration::from_secs_f64(f64::from(number) / f64::from(pace.per_second));
            tokio::time::sleep_until(due.into()).await;
        }
        let (episode, revision) = (number % episodes(), 2 + number / episodes());
        let fires = &mut firing[episode as usize];
        let is_news = (revision + episode).is_multiple_of(NEWS_EVERY);
        *fires ^= is_news;
        let status = if *fires { Status::Firing } else { Status::Suspect };
        let at = Instant::now();
        let (episode, record) = write_episode(&producer, burst, episode, revision, status).await?;
        pending.push(record);
        if is_news {
            news.send((episode, revision, at))?;
        }
    }
    acknowledged(pending).await?;
    Ok(begun.elapsed())
}

/// A series.
#[derive(Debug, Clone, Copy)]
pub struct Series<'a> {
    /// Environment.
    pub environment: &'a str,
    /// Service.
    pub service: &'a str,
    /// Metric, one of [`METRICS`].
    pub metric: (&'static str, Kind, &'static str),
}

/// Enqueues a revision of an episode, whose id it returns.
async fn write_episode(
    producer: &Producer,
    burst: Burst,
    episode: u32,
    revision: u32,
    status: Status,
) -> Result<(AnomalyId, Pending)> {
    let environment = format!("{ENVIRONMENT}{}", episode % ENVIRONMENTS);
    let place = episode / ENVIRONMENTS;
    let service = format!("paced-{}", place % SERVICES);
    let metric = METRICS[(place / SERVICES) as usize];
    let series = Series { environment: &environment, service: &service, metric };
    write(producer, burst, series, revision, status).await
}

/// Enqueues a revision of the anomaly of a series, whose id it returns.
pub async fn write(
    producer: &Producer,
    burst: Burst,
    series: Series<'_>,
    revision: u32,
    status: Status,
) -> Result<(AnomalyId, Pending)> {
    let mut anomaly = burst.anomaly(series.environment, series.service, series.metric, 2);
    anomaly.revision = revision;
    anomaly.status = status;
    anomaly.evidence = 6.0;
    anomaly.observed_at = (SystemClock.now() - SignedDuration::from_secs(1)).max(anomaly.started_at);
    let id = EventId::of("anomaly", &anomaly.anomaly_id.to_string(), revision);
    let at = anomaly.observed_at;
    let outgoing = Outgoing::new(Topic::Anomalies, &anomaly, id, "detection", at, None)?;
    let record = crate::enqueue(producer, &outgoing).await?;
    Ok((anomaly.anomaly_id, record))
}

/// Reads the next event of an incident of these environments: its topic, what it shows and the time. Nothing if none comes in
/// time.
async fn next(consumer: &mut Consumer, longest: Duration) -> Option<(Topic, Shown, Instant)> {
    let deadline = Instant::now() + longest;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut record = tokio::time::timeout(left, consumer.next()).await.ok()??;
        let at = Instant::now();
        if record.ticket.start() {
            // the burst's incidents are read as well, from the beginning of the topics
            let shown = serde_json::from_slice::<Shown>(&record.payload);
            let topic = record.topic;
            record.ticket.finish();
            if let Some(shown) = shown.ok().filter(|shown| shown.environment.starts_with(ENVIRONMENT)) {
                return Some((topic, shown, at));
            }
        }
    }
}
