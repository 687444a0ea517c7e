//! The client: several connections, as fast as they are answered or at a pace.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use anyhow::{Context, Result, ensure};
use futures::future::try_join_all;
use prost::bytes::Bytes;
use reqwest::header::{CONTENT_ENCODING, CONTENT_TYPE};
use tokio::time::{Instant, sleep, sleep_until};

use crate::requests::{POINTS, Requests};

/// Connections that send at once.
const CONNECTIONS: usize = 8;
/// Requests that may be open at once when they are paced: a request that is due later waits, and its wait counts.
const OPEN: usize = 24;
/// Time before anything is measured.
pub(crate) const WARM_UP: Duration = Duration::from_secs(2);
/// Time at the rate that saturates.
pub(crate) const SATURATED: Duration = Duration::from_secs(8);
/// Time at half of that.
const PACED: Duration = Duration::from_secs(8);
/// Time in which nothing is written when nothing is pending.
pub(crate) const QUIET: Duration = Duration::from_secs(1);
/// Pause after a request that was refused.
const REFUSED: Duration = Duration::from_millis(20);
/// Longest wait for an answer.
const ANSWER: Duration = Duration::from_secs(30);

/// Sends requests to one path.
pub(crate) struct Client {
    http: reqwest::Client,
    url: String,
}

/// Times until requests were acknowledged.
pub(crate) struct Latency {
    pub(crate) p50_ms: f64,
    pub(crate) p99_ms: f64,
    /// Requests that were refused.
    pub(crate) unanswered: usize,
}

impl Client {
    pub(crate) fn new(url: &str) -> Result<Self> {
        let http = reqwest::Client::builder().no_proxy().timeout(ANSWER).build()?;
        Ok(Self { http, url: url.to_owned() })
    }

    /// Sends as fast as requests are answered, for a time. Returns how long it took, seconds.
    pub(crate) async fn saturate(&self, requests: &Requests, time: Duration) -> Result<f64> {
        let began = Instant::now();
        let taken = AtomicUsize::new(0);
        let connection = |number: usize| {
            let taken = &taken;
            async move {
                let mut turn = number;
                while began.elapsed() < time {
                    if self.send(requests, turn).await? {
                        taken.fetch_add(1, Ordering::Relaxed);
                    } else {
                        sleep(REFUSED).await;
                    }
                    turn += 1;
                }
                anyhow::Ok(())
            }
        };
        try_join_all((0..CONNECTIONS).map(connection)).await?;
        ensure!(taken.into_inner() > 0, "{} took no request", self.url);
        Ok(began.elapsed().as_secs_f64())
    }

    /// Sends so many points a second.
    pub(crate) async fn paced(&self, requests: &Requests, points_per_s: f64) -> Result<Latency> {
        let every = Duration::from_secs_f64(POINTS as f64 / points_per_s);
        let count = (PACED.as_secs_f64() / every.as_secs_f64()) as usize;
        let (next, began) = (AtomicUsize::new(0), Instant::now());
        let connection = |_| {
            let next = &next;
            async move {
                let mut times = Vec::new();
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    if number >= count {
                        return anyhow::Ok(times);
                    }
                    let due = began + every.mul_f64(number as f64);
                    sleep_until(due).await;
                    times.push(self.send(requests, number).await?.then(|| due.elapsed()));
                }
            }
        };
        let times: Vec<_> = try_join_all((0..OPEN).map(connection)).await?.concat();
        let mut taken: Vec<Duration> = times.iter().flatten().copied().collect();
        taken.sort_unstable();
        let quantile = |share: f64| -> Result<f64> {
            let at = ((taken.len() as f64 * share) as usize).min(taken.len().saturating_sub(1));
            Ok(taken.get(at).context("no request was taken")?.as_secs_f64() * 1_000.0)
        };
        Ok(Latency { p50_ms: quantile(0.5)?, p99_ms: quantile(0.99)?, unanswered: times.len() - taken.len() })
    }

    /// Sends a request. Returns whether it was acknowledged; fails where it is not worth a repeat.
    async fn send(&self, requests: &Requests, turn: usize) -> Result<bool> {
        let body: Bytes = requests.bodies[turn % requests.bodies.len()].clone();
        let mut request = self.http.post(&self.url).header(CONTENT_TYPE, requests.format.content_type());
        if let Some(encoding) = requests.format.encoding() {
            request = request.header(CONTENT_ENCODING, encoding);
        }
        let answer = request.body(body).send().await?;
        let status = answer.status().as_u16();
        let text = answer.text().await?;
        let is_retryable = matches!(status, 429 | 503);
        ensure!(is_retryable || matches!(status, 200 | 204), "{}: {status} {text}", self.url);
        Ok(!is_retryable)
    }
}
