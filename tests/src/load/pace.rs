//! Anomalies at a steady rate in an environment with open incidents, and how long each takes until its incident's event can
//! be read: decision, rows, outbox and both topics.

use std::collections::HashMap;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use jiff::SignedDuration;
use serde::{Deserialize, Serialize};
use shared::bus::{Consumer, Options, Pending, Producer};
use shared::clock::{Clock, SystemClock};
use shared::events::anomaly::Status;
use shared::events::envelope::header;
use shared::events::{Outgoing, Topic};
use shared::ids::{EventId, derive};

use super::burst::{Burst, METRICS, acknowledged};

const ENVIRONMENT: &str = "load-pace";
/// Services, of which none calls another: each is an incident.
const SERVICES: u32 = 50;
/// One revision in so many changes the status of its member, which is what an incident's event tells.
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
    /// Open incidents of the environment.
    pub incidents: u32,
    /// Anomalies whose incident must tell of them.
    pub news: usize,
    /// Of these, the ones whose incident told of them in time.
    pub told: usize,
    /// Time from the write of such an anomaly until the event of its incident was read, milliseconds.
    pub p50_ms: f64,
    /// 99th percentile.
    pub p99_ms: f64,
    /// The longest.
    pub max_ms: f64,
}

/// What is read of an incident's event.
#[derive(Deserialize)]
struct Head {
    environment: String,
}

/// Opens incidents, writes anomalies at the rate, and reads what follows.
pub async fn run(burst: Burst, pace: Pace, broker: &Options) -> Result<Paced> {
    let producer = Producer::connect(broker)?;
    let topics = [Topic::IncidentsOpened, Topic::IncidentsUpdated];
    let mut consumer = Consumer::join(broker, "load-pace", &topics)?;
    let mut pending = Vec::new();
    for episode in 0..episodes() {
        pending.push(write(&producer, burst, episode, 1, Status::Firing).await?.1);
    }
    acknowledged(pending).await?;
    let mut opened = 0;
    while opened < SERVICES {
        let (topic, _, _) = next(&mut consumer, OPENING).await.context("not all incidents opened")?;
        opened += u32::from(topic == Topic::IncidentsOpened);
    }
    let writing = tokio::spawn(write_all(producer, burst, pace));
    let mut read: HashMap<String, Instant> = HashMap::new();
    while !writing.is_finished() {
        if let Some((_, trace, at)) = next(&mut consumer, Duration::from_millis(100)).await {
            read.entry(trace).or_insert(at);
        }
    }
    let (written, took) = writing.await??;
    let deadline = Instant::now() + LAST;
    while written.keys().any(|trace| !read.contains_key(trace)) {
        let left = deadline.saturating_duration_since(Instant::now());
        let Some((_, trace, at)) = next(&mut consumer, left).await else { break };
        read.entry(trace).or_insert(at);
    }
    consumer.leave().await;
    let mut times: Vec<f64> = written
        .iter()
        .filter_map(|(trace, at)| {
            Some(read.get(trace)?.saturating_duration_since(*at).as_secs_f64() * 1_000.0)
        })
        .collect();
    ensure!(!times.is_empty(), "no incident told of an anomaly");
    times.sort_by(f64::total_cmp);
    let rank = |share: f64| times[((times.len() - 1) as f64 * share).ceil() as usize];
    Ok(Paced {
        per_second: f64::from(pace.anomalies()) / took.as_secs_f64(),
        anomalies: pace.anomalies(),
        incidents: SERVICES,
        news: written.len(),
        told: times.len(),
        p50_ms: rank(0.5),
        p99_ms: rank(0.99),
        max_ms: rank(1.0),
    })
}

fn episodes() -> u32 {
    SERVICES * METRICS.len() as u32
}

/// Writes at the rate. Returns when each anomaly was written whose incident must tell of it, by its trace, and how long all took.
async fn write_all(
    producer: Producer,
    burst: Burst,
    pace: Pace,
) -> Result<(HashMap<String, Instant>, Duration)> {
    let begun = Instant::now();
    let mut written = HashMap::new();
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
        let (trace, record) = write(&producer, burst, episode, revision, status).await?;
        pending.push(record);
        if is_news {
            written.insert(trace, at);
        }
    }
    acknowledged(pending).await?;
    Ok((written, begun.elapsed()))
}

/// Enqueues a revision of an episode under a trace of its own, which it returns.
async fn write(
    producer: &Producer,
    burst: Burst,
    episode: u32,
    revision: u32,
    status: Status,
) -> Result<(String, Pending)> {
    let service = format!("paced-{:02}", episode % SERVICES);
    let metric = METRICS[(episode / SERVICES) as usize];
    let mut anomaly = burst.anomaly(ENVIRONMENT, &service, metric, 2);
    anomaly.revision = revision;
    anomaly.status = status;
    anomaly.evidence = 6.0;
    anomaly.observed_at = (SystemClock.now() - SignedDuration::from_secs(1)).max(anomaly.started_at);
    let trace = derive(&["load-pace", &episode.to_string(), &revision.to_string()]).simple().to_string();
    let parent = format!("00-{trace}-{}-01", &trace[16..]);
    let id = EventId::of("anomaly", &anomaly.anomaly_id.to_string(), revision);
    let at = anomaly.observed_at;
    let outgoing = Outgoing::new(Topic::Anomalies, &anomaly, id, "detection", at, Some(&parent))?;
    let headers = outgoing.envelope.to_headers();
    let record = producer.enqueue(outgoing.topic, Some(&outgoing.key), &headers, &outgoing.payload).await?;
    Ok((trace, record))
}

/// Reads the next event of an incident of the environment: its topic, its trace and the time. Nothing if none comes in time.
async fn next(consumer: &mut Consumer, longest: Duration) -> Option<(Topic, String, Instant)> {
    let deadline = Instant::now() + longest;
    loop {
        let left = deadline.saturating_duration_since(Instant::now());
        let mut record = tokio::time::timeout(left, consumer.next()).await.ok()??;
        let at = Instant::now();
        if record.ticket.start() {
            let trace = header(&record.headers, "traceparent").and_then(|parent| parent.split('-').nth(1));
            let found = trace.map(|trace| (record.topic, trace.to_owned(), at));
            // the burst's incidents are read as well, from the beginning of the topics
            let head = serde_json::from_slice::<Head>(&record.payload);
            record.ticket.finish();
            if let Some(found) = found.filter(|_| head.is_ok_and(|head| head.environment == ENVIRONMENT)) {
                return Some(found);
            }
        }
    }
}
