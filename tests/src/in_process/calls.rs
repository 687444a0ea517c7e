//! Calls between services as the store keeps them: edges, and the figures of their calls by the minute.

use std::collections::{BTreeMap, BTreeSet};

use jiff::{SignedDuration, Timestamp};
use shared::calls::Calls;
use shared::clock::from_ms;
use shared::events::Span;
use shared::events::evidence::{EdgeFigures, EdgeTimes};
use shared::events::rca::Source;
use shared::graph::{Callee, Graph};
use shared::store::Write;

const MINUTE_MS: i64 = 60_000;

/// Caller and callee.
type Sides = (String, String);

/// Edges that were written.
#[derive(Default)]
pub(super) struct Stored {
    edges: BTreeMap<Sides, Edge>,
    /// Services that have sent spans.
    services: BTreeSet<String>,
}

struct Edge {
    last_seen: Timestamp,
    is_far_end: bool,
    minutes: BTreeMap<Timestamp, Calls>,
}

impl Stored {
    /// Notes who has sent a span.
    pub(super) fn note(&mut self, span: &Span) {
        if !self.services.contains(&span.service) {
            self.services.insert(span.service.clone());
        }
    }

    /// Writes calls of an edge.
    pub(super) fn write(&mut self, write: Write) {
        let Write::Edge { caller, callee, last_seen, seen, .. } = write else { return };
        let is_far_end = seen.kind == Callee::FarEnd;
        let new = || Edge { last_seen, is_far_end, minutes: BTreeMap::new() };
        let edge = self.edges.entry((caller, callee)).or_insert_with(new);
        edge.last_seen = edge.last_seen.max(last_seen);
        edge.is_far_end &= is_far_end;
        if !seen.calls.is_empty() {
            add(edge.minutes.entry(minute(last_seen)).or_default(), &seen.calls);
        }
    }

    /// Returns who calls whom, by calls since a time.
    pub(super) fn graph(&self, since: Timestamp) -> Graph {
        let mut graph = Graph::default();
        for ((caller, callee), edge) in self.edges.iter().filter(|(_, edge)| edge.last_seen >= since) {
            if edge.is_far_end && !self.services.contains(callee) {
                graph.add_far_end(caller.clone(), callee.clone());
            } else {
                graph.add_edge(caller.clone(), callee.clone());
            }
        }
        graph
    }

    /// Returns how long calls to and from services took between `from` and `onset`, and from the minute of `onset` to that of
    /// `until`.
    pub(super) fn times(
        &self,
        services: &[&str],
        from: Timestamp,
        onset: Timestamp,
        until: Timestamp,
    ) -> BTreeMap<Source, EdgeTimes> {
        let (from, onset, to) = (minute(from), minute(onset), minute(until));
        let figures = |edge: &Edge, begin: Timestamp, end: Timestamp| {
            let mut sum: Option<Calls> = None;
            for (_, calls) in edge.minutes.range(begin..=end) {
                add(sum.get_or_insert_default(), calls);
            }
            sum.map(|calls| EdgeFigures::from(&calls))
        };
        let mut times = BTreeMap::new();
        for ((caller, callee), edge) in &self.edges {
            if !services.iter().any(|service| service == caller || service == callee) {
                continue;
            }
            let before = if from < onset {
                figures(edge, from, onset - SignedDuration::from_millis(MINUTE_MS))
            } else {
                None
            };
            let since = if onset <= to { figures(edge, onset, to) } else { None };
            if before.is_some() || since.is_some() {
                let (caller, callee) = (caller.clone(), callee.clone());
                let figures =
                    EdgeTimes { before: before.unwrap_or_default(), since: since.unwrap_or_default() };
                times.insert(Source::EdgeTimes { caller, callee, from, onset, to }, figures);
            }
        }
        times
    }
}

/// Returns the begin of the minute in which a time lies.
fn minute(at: Timestamp) -> Timestamp {
    from_ms(at.as_millisecond().div_euclid(MINUTE_MS) * MINUTE_MS)
}

fn add(sum: &mut Calls, more: &Calls) {
    sum.calls += more.calls;
    sum.failed += more.failed;
    sum.latency_ms += more.latency_ms;
    for (count, others) in sum.latency_buckets.iter_mut().zip(more.latency_buckets) {
        *count += others;
    }
    sum.self_calls += more.self_calls;
    sum.self_ms += more.self_ms;
}
