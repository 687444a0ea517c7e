//! Decisions over files of the past, for users who want to see what Firewatch would have said: no Kafka, no database.
//!
//! `firewatch backtest` prints what these functions return. Times are those of the files.

pub mod cause;
pub mod folder;
pub mod incidents;
mod lines;
mod table;

use serde::Deserialize;

use crate::cause::incidents::Topology;

/// Most services of a topology, and most calls.
pub const MAX_SERVICES: usize = 2_000;
/// Most calls of a topology.
pub const MAX_EDGES: usize = 20_000;
/// Most series of a file.
pub const MAX_SERIES: usize = 20_000;

/// One sample.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct Sample {
    /// Event time.
    pub ts_ms: i64,
    /// Service.
    pub service: String,
    /// Metric.
    pub metric: String,
    /// Value; none where the source had none.
    pub value: Option<f64>,
}

/// Largest magnitude of a value that is used; the squares of such values are finite.
const MAX_VALUE: f64 = 1e100;

impl Sample {
    /// Returns the value if it can be counted with.
    fn usable(&self) -> Option<f64> {
        self.value.filter(|value| value.abs() <= MAX_VALUE)
    }
}

/// A topology as a file holds it: services and calls, or an object with a field `topology`.
#[derive(Debug, Deserialize)]
#[serde(untagged)]
enum TopologyFile {
    Within { topology: Lists },
    Bare(Lists),
}

#[derive(Debug, Deserialize)]
struct Lists {
    services: Vec<String>,
    edges: Vec<(String, String)>,
}

/// Reads a topology.
pub fn topology(text: &str) -> anyhow::Result<Topology> {
    let (TopologyFile::Within { topology: lists } | TopologyFile::Bare(lists)) =
        serde_json::from_str(text).map_err(|_| anyhow::anyhow!("not an object with services and edges"))?;
    anyhow::ensure!(lists.services.len() <= MAX_SERVICES, "more than {MAX_SERVICES} services");
    anyhow::ensure!(lists.edges.len() <= MAX_EDGES, "more than {MAX_EDGES} edges");
    Ok(Topology { services: lists.services, edges: lists.edges })
}
