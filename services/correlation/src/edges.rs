//! Learns who calls whom from spans: a span and its parent in different services are a call.
//!
//! Kept in memory and bounded; what is lost on a restart is seen again with the next calls. Counts are estimates.

use std::collections::HashMap;

use jiff::Timestamp;
use shared::clock::from_ms;
use shared::events::Span;
use shared::store::Write;

/// Spans remembered in one generation; two generations are kept.
const GENERATION: usize = 20_000;
/// Edges remembered between writes; beyond this they are forgotten and learned again.
const MAX_EDGES: usize = 10_000;
/// Children of one parent that are remembered.
const MAX_CHILDREN: usize = 64;
/// An edge is written again after this much event time, milliseconds.
const WRITE_EVERY_MS: i64 = 30_000;

/// A span's place in its trace.
type SpanKey = (String, String);

#[derive(Debug, Default)]
struct Edge {
    calls: i64,
    last_seen_ms: i64,
    written_ms: Option<i64>,
}

/// Joins spans to their parents, whichever comes first.
#[derive(Debug, Default)]
pub struct Edges {
    /// The service of each span.
    young: HashMap<SpanKey, String>,
    old: HashMap<SpanKey, String>,
    /// Children whose parent has not been seen yet, by the parent's key.
    orphans: HashMap<SpanKey, Vec<String>>,
    /// By environment, caller and callee.
    calls: HashMap<(String, String, String), Edge>,
    forgotten: Forgotten,
}

/// What was dropped because memory is bounded.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Forgotten {
    /// Spans whose parent was not seen in time.
    pub spans: u64,
    /// Edges with calls that were not written.
    pub edges: u64,
}

impl Edges {
    /// Returns what was dropped since the last call.
    pub fn take_forgotten(&mut self) -> Forgotten {
        std::mem::take(&mut self.forgotten)
    }

    /// Takes one span and returns the edges that are due to be written.
    pub fn observe(&mut self, span: &Span) -> Vec<Write> {
        if self.young.len() >= GENERATION {
            self.old = std::mem::take(&mut self.young);
            self.forgotten.spans += self.orphans.len() as u64;
            self.orphans.clear();
        }
        let own = (span.trace_id.clone(), span.span_id.clone());
        let mut writes = Vec::new();
        for child in self.orphans.remove(&own).unwrap_or_default() {
            writes.extend(self.call(&span.environment, &span.service, &child, span.ts_ms));
        }
        if let Some(parent) = &span.parent_span_id {
            let parent = (span.trace_id.clone(), parent.clone());
            match self.young.get(&parent).or_else(|| self.old.get(&parent)).cloned() {
                Some(caller) => {
                    writes.extend(self.call(&span.environment, &caller, &span.service, span.ts_ms));
                }
                None if self.orphans.len() < GENERATION => {
                    let children = self.orphans.entry(parent).or_default();
                    if children.len() < MAX_CHILDREN {
                        children.push(span.service.clone());
                    } else {
                        self.forgotten.spans += 1;
                    }
                }
                None => self.forgotten.spans += 1,
            }
        }
        self.young.insert(own, span.service.clone());
        writes
    }

    fn call(&mut self, environment: &str, caller: &str, callee: &str, ts_ms: i64) -> Option<Write> {
        if caller == callee {
            return None;
        }
        if self.calls.len() >= MAX_EDGES {
            self.forgotten.edges += self.calls.values().filter(|edge| edge.calls > 0).count() as u64;
            self.calls.clear();
        }
        let key = (environment.to_owned(), caller.to_owned(), callee.to_owned());
        let edge = self.calls.entry(key).or_default();
        edge.calls += 1;
        edge.last_seen_ms = edge.last_seen_ms.max(ts_ms);
        if edge.written_ms.is_some_and(|written| edge.last_seen_ms < written + WRITE_EVERY_MS) {
            return None;
        }
        edge.written_ms = Some(edge.last_seen_ms);
        let calls = std::mem::take(&mut edge.calls);
        let last_seen: Timestamp = from_ms(edge.last_seen_ms);
        Some(Write::Edge {
            environment: environment.to_owned(),
            caller: caller.to_owned(),
            callee: callee.to_owned(),
            calls,
            last_seen,
        })
    }
}

#[cfg(test)]
mod tests {
    use shared::events::raw::SpanStatus;

    use super::*;

    fn span(id: &str, parent: Option<&str>, service: &str, ts_ms: i64) -> Span {
        Span {
            trace_id: "t".into(),
            span_id: id.into(),
            parent_span_id: parent.map(str::to_owned),
            service: service.into(),
            operation: "op".into(),
            ts_ms,
            duration_ms: 1.0,
            status: SpanStatus::Ok,
            environment: "production".into(),
            peer: None,
        }
    }

    #[test]
    fn a_call_is_learned_whichever_span_comes_first() {
        for turned in [false, true] {
            let mut spans = [span("a", None, "order", 1), span("b", Some("a"), "payment", 2)];
            if turned {
                spans.reverse();
            }
            let mut edges = Edges::default();
            let writes: Vec<Write> = spans.iter().flat_map(|span| edges.observe(span)).collect();
            assert!(
                matches!(&writes[..], [Write::Edge { caller, callee, .. }] if caller == "order" && callee == "payment"),
                "{writes:?}"
            );
        }
    }

    #[test]
    fn a_busy_edge_is_written_once_in_a_while() {
        let mut edges = Edges::default();
        let mut writes = 0;
        for i in 0..100 {
            writes += edges.observe(&span(&format!("p{i}"), None, "order", i * 1000)).len();
            writes +=
                edges.observe(&span(&format!("c{i}"), Some(&format!("p{i}")), "payment", i * 1000)).len();
        }
        assert_eq!(writes, 4, "at 0, 30, 60 and 90 s");
    }
}
