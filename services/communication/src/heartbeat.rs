//! The heartbeat: a request to an address outside of Firewatch, at equal intervals, as long as the pipeline can work. Whoever
//! receives it raises an alarm when it stays away, which is how people learn that Firewatch itself is dead.
//!
//! [`health`] decides whether the pipeline can work; this file asks and sends. It has a task, a client and a deadline of its
//! own, and at most one request is on its way, so it never delays a notification.

pub mod health;

use std::path::Path;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::Result;
use reqwest::redirect::Policy;
use serde::{Deserialize, Serialize};
use shared::bus;
use shared::clock::Clock;
use shared::service::{Readiness, Secret};
use shared::stage::run::StageDeps;
use shared::store::Reads;
use shared::tls::{Check, Files, client};
use tokio::time::MissedTickBehavior;
use tokio_util::sync::CancellationToken;
use url::Url;

use crate::channel::http::address;
use crate::metrics;
use health::{Health, Observation};

/// Longest wait for one answer of Kafka or PostgreSQL.
const QUESTION: Duration = Duration::from_secs(5);

/// Settings under `[communication.heartbeat]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Address that is asked, e.g. of a check at healthchecks.io; empty: no heartbeat. Whoever knows it can send heartbeats,
    /// so it is never printed.
    pub url: Secret,
    /// How it is asked.
    pub method: Method,
    /// Time between two heartbeats, seconds.
    pub interval_s: u32,
    /// Longest time one request may take, milliseconds.
    pub timeout_ms: u64,
    /// Age of an outbox row from which on nothing is sent, seconds.
    pub max_outbox_age_s: u32,
    /// Lateness of a timer from which on nothing is sent, seconds.
    pub max_timer_late_s: u32,
    /// Time for which records may wait for an agent that handles none, seconds; 0: the groups of agents are not looked at.
    pub max_stall_s: u32,
}

/// How the address is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Method {
    /// By GET.
    Get,
    /// By POST with an empty body.
    Post,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: Secret::default(),
            method: Method::Get,
            interval_s: 60,
            timeout_ms: 10_000,
            max_outbox_age_s: 120,
            max_timer_late_s: 300,
            max_stall_s: 300,
        }
    }
}

impl Options {
    /// Returns everything that is wrong, one line each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if !self.url.is_empty()
            && let Err(problem) = address(self.url.expose())
        {
            problems.push(format!("heartbeat.url: {problem}"));
        }
        for (name, value, range) in [
            ("interval_s", u64::from(self.interval_s), 10..=300),
            ("timeout_ms", self.timeout_ms, 100..=60_000),
            ("max_outbox_age_s", u64::from(self.max_outbox_age_s), 10..=86_400),
            ("max_timer_late_s", u64::from(self.max_timer_late_s), 10..=86_400),
            ("max_stall_s", u64::from(self.max_stall_s), 0..=86_400),
        ] {
            if !range.contains(&value) {
                let (from, to) = (range.start(), range.end());
                problems.push(format!("heartbeat.{name}: {value} is outside {from} to {to}"));
            }
        }
        if self.timeout_ms > u64::from(self.interval_s) * 1_000 {
            problems.push("heartbeat.timeout_ms is above heartbeat.interval_s".to_owned());
        }
        if (1..self.interval_s).contains(&self.max_stall_s) {
            problems.push("heartbeat.max_stall_s is below heartbeat.interval_s".to_owned());
        }
        problems
    }
}

/// What is asked before each heartbeat.
pub struct Pipeline {
    /// What `/readyz` of this process knows.
    pub readiness: Readiness,
    /// The database, with the outbox and the timers of all stages.
    pub reads: Reads,
    /// The broker, with the groups of all agents.
    pub kafka: bus::Options,
    /// Time.
    pub clock: Arc<dyn Clock>,
}

impl Pipeline {
    async fn observe(&self, with_groups: bool) -> Observation {
        let (ready, report) = self.readiness.report();
        let not_ready = if ready { Vec::new() } else { health::unready(&report) };
        let backlog = tokio::time::timeout(QUESTION, self.reads.backlog(None, &*self.clock));
        let backlog = match backlog.await {
            Ok(answer) => answer.map_err(|error| error.to_string()),
            Err(_) => Err(format!("PostgreSQL did not answer for {} s", QUESTION.as_secs())),
        };
        let kafka = self.kafka.clone();
        let groups = if with_groups {
            // each request has a deadline, and the first that fails ends it
            tokio::task::spawn_blocking(move || health::groups(&kafka, QUESTION))
                .await
                .map_err(|error| error.to_string())
                .and_then(|groups| groups.map_err(|error| error.to_string()))
        } else {
            Ok(Vec::new())
        };
        Observation { not_ready, backlog, groups }
    }
}

/// What became of one turn.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Turn {
    /// The receiver has the heartbeat.
    Sent,
    /// Nothing was sent: the pipeline cannot work.
    Withheld(String),
    /// The receiver did not take it.
    Failed(String),
}

impl Turn {
    fn name(&self) -> &'static str {
        match self {
            Self::Sent => "sent",
            Self::Withheld(_) => "withheld",
            Self::Failed(_) => "failed",
        }
    }
}

/// Sends heartbeats.
pub struct Heartbeat {
    options: Options,
    http: reqwest::Client,
    address: Url,
    health: Health,
}

impl Heartbeat {
    /// Prepares a heartbeat, if one is configured; nothing is connected yet.
    pub fn new(options: &Options) -> Result<Option<Self>> {
        if options.url.is_empty() {
            return Ok(None);
        }
        let address = address(options.url.expose()).map_err(anyhow::Error::msg)?;
        let mut builder = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .timeout(Duration::from_millis(options.timeout_ms));
        if address.scheme() == "https" {
            let none = Path::new("");
            let files = Files { ca: none, certificate: none, key: none };
            builder = builder.use_preconfigured_tls(client(files, Check::Full)?);
        }
        let (options, health) = (options.clone(), Health::new(options));
        Ok(Some(Self { options, http: builder.build()?, address, health }))
    }

    /// Sends heartbeats until `shutdown`. A turn that takes longer than the interval skips those it has missed.
    pub async fn run(mut self, pipeline: Pipeline, shutdown: CancellationToken) {
        let mut interval =
            tokio::time::interval(Duration::from_secs(u64::from(self.options.interval_s.max(1))));
        interval.set_missed_tick_behavior(MissedTickBehavior::Delay);
        for outcome in ["sent", "withheld", "failed"] {
            metrics::HEARTBEATS.add([outcome], 0);
        }
        let mut last = None;
        loop {
            let turn = async {
                interval.tick().await;
                self.turn(&pipeline).await
            };
            let turn = tokio::select! {
                () = shutdown.cancelled() => return,
                turn = turn => turn,
            };
            metrics::HEARTBEATS.add_one([turn.name()]);
            // the same again is in the counter
            if last.as_ref() != Some(&turn.name()) {
                match &turn {
                    Turn::Sent => tracing::info!("heartbeat sent"),
                    Turn::Withheld(reasons) => tracing::warn!(reasons, "heartbeat withheld"),
                    Turn::Failed(error) => tracing::warn!(error, "heartbeat not delivered"),
                }
            }
            last = Some(turn.name());
        }
    }

    async fn turn(&mut self, pipeline: &Pipeline) -> Turn {
        let seen = pipeline.observe(self.options.max_stall_s > 0).await;
        let reasons = self.health.judge(&seen, Instant::now());
        if !reasons.is_empty() {
            return Turn::Withheld(reasons.join("; "));
        }
        match self.send().await {
            Ok(()) => Turn::Sent,
            Err(error) => Turn::Failed(error),
        }
    }

    /// Sends one request. The body of the answer is not read.
    async fn send(&self) -> Result<(), String> {
        let request = match self.options.method {
            Method::Get => self.http.get(self.address.clone()),
            Method::Post => self.http.post(self.address.clone()),
        };
        let answer = request.send().await.map_err(|error| shared::error::chain(&error.without_url()))?;
        let status = answer.status();
        if status.is_success() { Ok(()) } else { Err(format!("the receiver answered {status}")) }
    }
}

/// Sends heartbeats beside the stage, if they are configured, until `shutdown`.
pub fn start(
    options: &Options,
    kafka: &bus::Options,
    readiness: &Readiness,
    base: &StageDeps,
    shutdown: &CancellationToken,
) -> Result<()> {
    let Some(heartbeat) = Heartbeat::new(options)? else { return Ok(()) };
    let pipeline = Pipeline {
        readiness: readiness.clone(),
        reads: base.store.reads().clone(),
        kafka: kafka.clone(),
        clock: Arc::clone(&base.clock),
    };
    tokio::spawn(heartbeat.run(pipeline, shutdown.clone()));
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn problems(url: &str) -> Vec<String> {
        Options { url: Secret::new(url), ..Options::default() }.validate()
    }

    #[test]
    fn an_address_is_https_or_on_this_machine_and_never_in_an_error() {
        assert_eq!(problems(""), Vec::<String>::new());
        assert_eq!(problems("https://hc-ping.com/0c5bd2a1"), Vec::<String>::new());
        assert_eq!(problems("http://127.0.0.1:8000/ping"), Vec::<String>::new());
        for bad in ["http://hc-ping.com/hunter2", "ftp://x/hunter2", "hunter2", "https://me:hunter2@x/"] {
            let found = problems(bad);
            assert_eq!(found.len(), 1, "{bad}: {found:?}");
            assert!(found[0].starts_with("heartbeat.url: ") && !found[0].contains("hunter2"), "{found:?}");
        }
    }

    #[test]
    fn bounds_are_checked_together() {
        let options = Options { interval_s: 20, timeout_ms: 30_000, max_stall_s: 5, ..Options::default() };
        assert_eq!(options.validate().len(), 2, "{:?}", options.validate());
        let none = Options { interval_s: 1, max_outbox_age_s: 0, max_timer_late_s: 0, ..Options::default() };
        assert_eq!(none.validate().len(), 4, "{:?}", none.validate());
    }

    #[test]
    fn without_an_address_there_is_no_heartbeat() {
        assert!(Heartbeat::new(&Options::default()).unwrap().is_none());
    }
}
