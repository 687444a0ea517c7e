//! Producers that send numbered points by OTLP and repeat each request until it is acknowledged, as exporters do.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use reqwest::header::CONTENT_TYPE;
use serde_json::{Value, json};
use tokio::task::JoinSet;

/// Producers, each with services of its own.
const PRODUCERS: usize = 4;
/// Services of a producer. A request has points of each, so that it becomes several records.
const SERVICES: usize = 3;
/// Points of a service in a request.
const POINTS: u64 = 2;
/// Event time between two points of a service, milliseconds.
pub const POINT_EVERY_MS: i64 = 1_000;
/// Name of the metric.
pub const METRIC: &str = "numbered";
/// Longest wait for an answer: longer than the gateway waits for Kafka.
const ANSWER: Duration = Duration::from_secs(5);
/// Time between two requests of a producer.
const PACE: Duration = Duration::from_millis(10);
/// Time before a request is repeated that was not answered.
const UNANSWERED: Duration = Duration::from_millis(200);
/// Longest time until a request is acknowledged, over all attempts.
const PATIENCE: Duration = Duration::from_mins(2);

/// What producers did.
#[derive(Debug, Default)]
pub struct Sent {
    /// Points that were acknowledged: of each service those with the numbers from 0 up to this one.
    pub acknowledged: BTreeMap<String, u64>,
    /// Requests that were acknowledged.
    pub requests: usize,
    /// Attempts that were not, by what became of them.
    pub repeats: BTreeMap<String, usize>,
}

/// Producers that run.
pub struct Producers {
    running: JoinSet<Result<Sent>>,
    ending: Arc<AtomicBool>,
}

impl Producers {
    /// Starts them. Each sends to the replicas in turn; the first points have the time `begin_ms`.
    pub fn start(replicas: &[String], begin_ms: i64) -> Result<Self> {
        let ending = Arc::new(AtomicBool::new(false));
        let mut running = JoinSet::new();
        for number in 0..PRODUCERS {
            let client = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
            let producer = Producer {
                client,
                replicas: replicas.to_vec(),
                turn: number,
                services: (0..SERVICES).map(|service| format!("numbered-{number}-{service}")).collect(),
                begin_ms,
            };
            running.spawn(producer.run(Arc::clone(&ending)));
        }
        Ok(Self { running, ending })
    }

    /// Lets each end with its current request, which has to be acknowledged.
    pub async fn end(mut self) -> Result<Sent> {
        self.ending.store(true, Ordering::Relaxed);
        let mut sent = Sent::default();
        while let Some(ended) = self.running.join_next().await {
            let one = ended??;
            sent.acknowledged.extend(one.acknowledged);
            sent.requests += one.requests;
            for (what, times) in one.repeats {
                *sent.repeats.entry(what).or_default() += times;
            }
        }
        Ok(sent)
    }
}

struct Producer {
    client: reqwest::Client,
    replicas: Vec<String>,
    turn: usize,
    services: Vec<String>,
    begin_ms: i64,
}

/// What became of an attempt that was not acknowledged, and when to repeat it.
struct Repeat(String, Duration);

impl Producer {
    async fn run(mut self, ending: Arc<AtomicBool>) -> Result<Sent> {
        let mut sent = Sent::default();
        let mut first = 0;
        while !ending.load(Ordering::Relaxed) {
            let body = self.export(first);
            let began = Instant::now();
            while let Some(Repeat(what, pause)) = self.attempt(&body).await? {
                ensure!(began.elapsed() < PATIENCE, "a request was never acknowledged, last: {what}");
                *sent.repeats.entry(what).or_default() += 1;
                self.turn += 1;
                tokio::time::sleep(pause).await;
            }
            first += POINTS;
            sent.requests += 1;
            tokio::time::sleep(PACE).await;
        }
        sent.acknowledged = self.services.into_iter().map(|service| (service, first)).collect();
        Ok(sent)
    }

    /// Sends a request once. Returns nothing if it is acknowledged, and fails if it is refused for good.
    async fn attempt(&self, body: &[u8]) -> Result<Option<Repeat>> {
        let replica = &self.replicas[self.turn % self.replicas.len()];
        let request = self.client.post(format!("http://{replica}/v1/metrics"));
        let answer = request.header(CONTENT_TYPE, "application/json").body(body.to_vec()).send().await;
        let unanswered = |error: &reqwest::Error| {
            let what = if error.is_timeout() { "timeout" } else { "connection" };
            Repeat(what.to_owned(), UNANSWERED)
        };
        let answer = match answer {
            Ok(answer) => answer,
            Err(error) => return Ok(Some(unanswered(&error))),
        };
        let status = answer.status().as_u16();
        let after = answer.headers().get("retry-after").and_then(|text| text.to_str().ok()?.parse().ok());
        let text = match answer.text().await {
            Ok(text) => text,
            Err(error) => return Ok(Some(unanswered(&error))),
        };
        match (status, after) {
            (200, _) => {
                ensure!(!text.contains("partialSuccess"), "points were refused: {text}");
                Ok(None)
            }
            (429 | 503, Some(seconds)) => Ok(Some(Repeat(status.to_string(), Duration::from_secs(seconds)))),
            _ => bail!("refused for good: {status} {text}"),
        }
    }

    /// Returns an export with the next points of each service. The value of a point is its number.
    fn export(&self, first: u64) -> Vec<u8> {
        let points: Vec<Value> = (first..first + POINTS)
            .map(|number| {
                let ms = self.begin_ms + number as i64 * POINT_EVERY_MS;
                json!({"timeUnixNano": format!("{ms}000000"), "asDouble": number as f64})
            })
            .collect();
        let resources: Vec<Value> = self
            .services
            .iter()
            .map(|service| {
                let name = json!({"key": "service.name", "value": {"stringValue": service}});
                let metric = json!({"name": METRIC, "gauge": {"dataPoints": points}});
                json!({"resource": {"attributes": [name]}, "scopeMetrics": [{"metrics": [metric]}]})
            })
            .collect();
        json!({"resourceMetrics": resources}).to_string().into_bytes()
    }
}
