//! The graph as a document: what JSON has, and what the other forms are rendered from.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::calls::Calls;
use shared::graph::Callee;
use shared::store::edges::{self, ServiceGraph};

use crate::figures::quantity;

/// The service graph of an environment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Environment.
    pub environment: String,
    /// Version of the structure: it changes with the edges and services, and not with figures.
    pub version: String,
    /// End of the window of the figures, event time.
    pub until: Timestamp,
    /// Length of that window, seconds.
    pub window_s: i64,
    /// Services, sorted.
    pub services: Vec<String>,
    /// Far ends that are not instrumented, sorted.
    pub far_ends: Vec<String>,
    /// Edges, by caller and callee.
    pub edges: Vec<Edge>,
}

/// Where an edge is known from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// Spans alone.
    Spans,
    /// The service catalogue alone: no call was seen.
    Catalogue,
    /// Both.
    Both,
}

impl Source {
    /// Returns its name.
    pub fn name(self) -> &'static str {
        match self {
            Self::Spans => "spans",
            Self::Catalogue => "catalogue",
            Self::Both => "both",
        }
    }
}

/// One edge. Figures are absent where no call was seen within the window.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Edge {
    /// Caller.
    pub caller: String,
    /// Callee.
    pub callee: String,
    /// Whether the callee is a far end that is not instrumented.
    pub far_end: bool,
    /// Where it is known from.
    pub source: Source,
    /// Event time of the last call.
    pub last_seen: Option<Timestamp>,
    /// Calls within the window.
    pub calls: Option<i64>,
    /// How much of the window was observed, seconds.
    pub observed_s: Option<f64>,
    /// Calls a second.
    pub calls_per_s: Option<f64>,
    /// Share of calls that failed, 0 to 1.
    pub failed_share: Option<f64>,
    /// Mean latency of a call, milliseconds.
    pub latency_mean_ms: Option<f64>,
    /// Estimate of the 95th percentile of the latency, milliseconds.
    pub latency_p95_ms: Option<f64>,
    /// Mean self time of the callee in a call, milliseconds.
    pub self_mean_ms: Option<f64>,
}

impl Document {
    /// Describes a graph with figures of the last `window`.
    pub fn of(environment: String, window: SignedDuration, graph: &ServiceGraph) -> Self {
        let names = |names: &mut dyn Iterator<Item = &str>| names.map(str::to_owned).collect();
        Self {
            environment,
            version: graph.graph.version(),
            until: graph.until,
            window_s: window.as_secs(),
            services: names(&mut graph.graph.services()),
            far_ends: names(&mut graph.graph.far_ends()),
            edges: graph.edges.iter().map(Edge::of).collect(),
        }
    }
}

impl Edge {
    fn of(edge: &edges::Edge) -> Self {
        let seen = edge.seen.as_ref();
        let calls = seen.map(|seen| &seen.calls);
        Self {
            caller: edge.caller.clone(),
            callee: edge.callee.clone(),
            far_end: edge.kind == Callee::FarEnd,
            source: match (seen, edge.is_in_catalogue) {
                (Some(_), true) => Source::Both,
                (Some(_), false) => Source::Spans,
                (None, _) => Source::Catalogue,
            },
            last_seen: seen.map(|seen| seen.last),
            calls: calls.map(|calls| calls.calls),
            observed_s: seen.map(|seen| seen.observed_s),
            calls_per_s: seen.map(edges::Seen::calls_per_s),
            failed_share: calls.and_then(Calls::failed_share),
            latency_mean_ms: calls.and_then(Calls::mean_latency_ms),
            latency_p95_ms: calls.and_then(Calls::p95_latency_ms),
            self_mean_ms: calls.and_then(Calls::mean_self_ms),
        }
    }

    /// Returns its figures on one line, for a drawing; nothing where there are none.
    pub fn label(&self) -> Option<String> {
        let rate = self.calls_per_s.filter(|_| self.calls > Some(0))?;
        let failed = self.failed_share.filter(|share| *share > 0.0);
        let figures = [
            Some(quantity(rate, "1/s")),
            failed.map(|share| format!("{} failed", quantity(share * 100.0, "%"))),
            self.latency_mean_ms.map(|latency| quantity(latency, "ms")),
        ];
        Some(figures.into_iter().flatten().collect::<Vec<_>>().join(", "))
    }
}
