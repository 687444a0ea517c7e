//! Scrapes `/metrics` of running agents, and reads their memory from the kernel.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Client;
use stack::Agent;
use stack::testing::usage;

/// Gauge of the records that are not handled yet.
const LAG: &str = "firewatch_consumer_lag";
/// Longest wait for an answer of an agent, which may be busy.
const ANSWER: Duration = Duration::from_secs(5);

/// Metrics of one agent: values by name with labels, as they are exposed.
#[derive(Debug, Clone, Default)]
pub struct Exposed(BTreeMap<String, f64>);

impl Exposed {
    fn parse(text: &str) -> Self {
        let line = |line: &str| {
            let (name, value) = line.rsplit_once(' ')?;
            (!line.starts_with('#')).then_some((name.to_owned(), value.parse().ok()?))
        };
        Self(text.lines().filter_map(line).collect())
    }

    /// Returns the sum over all series of a metric that have `label`.
    pub fn sum(&self, metric: &str, label: &str) -> f64 {
        self.0
            .iter()
            .filter(|(name, _)| {
                name.strip_prefix(metric).is_some_and(|labels| {
                    (labels.is_empty() || labels.starts_with('{')) && labels.contains(label)
                })
            })
            .map(|(_, value)| value)
            .sum()
    }

    /// Returns whether the agent exposes its lag.
    fn exposes_lag(&self) -> bool {
        self.0.keys().any(|name| name.starts_with(LAG))
    }
}

/// One agent and its last scrape.
pub struct Watched {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Process id at the start. Another one later means a restart.
    pub pid: u32,
    /// Metrics of the last scrape.
    pub exposed: Exposed,
    /// Lag at the last scrape, records.
    pub lag: f64,
    /// Largest lag, records.
    pub peak_lag: f64,
    /// When its lag was last above 0.
    pub behind_at: Option<Instant>,
    /// Scrapes that failed.
    pub unanswered: u32,
}

/// All agents and their last scrapes.
pub struct Watch {
    client: Client,
    /// The agents, in the order in which they were given.
    pub agents: Vec<Watched>,
}

impl Watch {
    /// Takes running agents.
    pub fn new(agents: Vec<Arc<Agent>>) -> Result<Self> {
        let agents = agents.into_iter().map(|agent| {
            let pid = agent.process().pid().with_context(|| format!("{} is not running", agent.name()))?;
            Ok(Watched {
                agent,
                pid,
                exposed: Exposed::default(),
                lag: 0.0,
                peak_lag: 0.0,
                behind_at: None,
                unanswered: 0,
            })
        });
        Ok(Self {
            client: Client::builder().no_proxy().timeout(ANSWER).build()?,
            agents: agents.collect::<Result<_>>()?,
        })
    }

    /// Scrapes each once.
    pub async fn scrape(&mut self) {
        let client = &self.client;
        futures::future::join_all(self.agents.iter_mut().map(|watched| watched.scrape(client))).await;
    }

    /// Returns whether every agent exposes its lag, and has none.
    pub fn is_quiet(&self) -> bool {
        self.agents.iter().all(|watched| watched.exposed.exposes_lag() && watched.lag <= 0.0)
    }
}

impl Watched {
    async fn scrape(&mut self, client: &Client) {
        match fetch(client, self.agent.http()).await {
            Ok(exposed) => {
                self.lag = exposed.sum(LAG, "");
                self.peak_lag = self.peak_lag.max(self.lag);
                if self.lag > 0.0 {
                    self.behind_at = Some(Instant::now());
                }
                self.exposed = exposed;
            }
            Err(error) => {
                self.unanswered += 1;
                eprintln!("  scraping {} failed: {error:#}", self.agent.name());
            }
        }
    }

    /// Returns the peak of the resident memory of the process by the kernel, bytes.
    pub fn peak_memory(&self) -> Result<u64> {
        usage::peak_bytes(self.pid)
    }
}

/// Scrapes `/metrics` of an agent once.
pub(crate) async fn fetch(client: &Client, http: &str) -> Result<Exposed> {
    let response = client.get(format!("http://{http}/metrics")).send().await?.error_for_status()?;
    Ok(Exposed::parse(&response.text().await?))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_metric_is_summed_over_its_series_and_not_over_those_of_a_longer_name() {
        let exposed = Exposed::parse(
            "# TYPE firewatch_detection_samples_total counter\n\
             firewatch_detection_samples_total{topic=\"raw.metrics\"} 70\n\
             firewatch_detection_samples_total{topic=\"raw.logs\"} 5\n\
             firewatch_detection_samples_total_more{topic=\"raw.metrics\"} 100\n\
             firewatch_outbox_depth 3\n",
        );
        assert_eq!(exposed.sum("firewatch_detection_samples_total", "topic=\"raw.metrics\""), 70.0);
        assert_eq!(exposed.sum("firewatch_detection_samples_total", ""), 75.0);
        assert_eq!(exposed.sum("firewatch_outbox_depth", ""), 3.0);
        assert!(!exposed.exposes_lag());
    }
}
