//! Looking at agents from outside while they work: what `/metrics` says, and how much memory the kernel says they have.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use reqwest::Client;
use stack::Agent;

/// The gauge of what is not handled yet.
const LAG: &str = "firewatch_consumer_lag";
/// Longest wait for an agent's answer: it may be busy.
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

    /// Tells whether the agent says anything of its lag.
    fn exposes_lag(&self) -> bool {
        self.0.keys().any(|name| name.starts_with(LAG))
    }
}

/// One agent, watched.
pub struct Watched {
    /// The agent.
    pub agent: Arc<Agent>,
    /// Process when the watch began; another one later is a restart.
    pub pid: u32,
    /// What it said last.
    pub exposed: Exposed,
    /// Records it has not handled, at the last look.
    pub lag: f64,
    /// Most of them.
    pub peak_lag: f64,
    /// When it was last behind.
    pub behind_at: Option<Instant>,
    /// Looks at which it did not answer in time.
    pub unanswered: u32,
}

/// All agents, watched.
pub struct Watch {
    client: Client,
    /// In the order they were given.
    pub agents: Vec<Watched>,
}

impl Watch {
    /// Begins to watch agents that run.
    pub fn new(agents: Vec<Arc<Agent>>) -> Result<Self> {
        let agents = agents.into_iter().map(|agent| {
            let pid = agent.process().pid().with_context(|| format!("{} does not run", agent.name()))?;
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

    /// Looks once at each.
    pub async fn look(&mut self) {
        let client = &self.client;
        futures::future::join_all(self.agents.iter_mut().map(|watched| watched.look(client))).await;
    }

    /// Tells whether every agent answers, says something of its lag, and has none.
    pub fn is_quiet(&self) -> bool {
        self.agents.iter().all(|watched| watched.exposed.exposes_lag() && watched.lag <= 0.0)
    }
}

impl Watched {
    async fn look(&mut self, client: &Client) {
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
                eprintln!("  {} does not tell its metrics: {error:#}", self.agent.name());
            }
        }
    }

    /// Returns the most resident memory the process ever had, bytes, as the kernel counts it.
    pub fn peak_memory(&self) -> Result<u64> {
        let path = format!("/proc/{}/status", self.pid);
        let status = std::fs::read_to_string(&path).with_context(|| path.clone())?;
        let peak = status.lines().find_map(|line| line.strip_prefix("VmHWM:")?.trim().strip_suffix(" kB"));
        let kilobytes: u64 = peak.with_context(|| format!("no VmHWM in {path}"))?.trim().parse()?;
        Ok(kilobytes * 1024)
    }
}

async fn fetch(client: &Client, http: &str) -> Result<Exposed> {
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
