//! Spans and log lines, counted by the minute.

use std::collections::BTreeMap;

use serde::Deserialize;

/// One row: what the spans or the log lines of a service and minute come to.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum Evidence {
    /// Spans of one operation, called by one caller.
    Span(SpanTotal),
    /// Log lines of one template.
    Log(LogCount),
}

/// Spans of one operation in a minute, called by one caller.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct SpanTotal {
    /// Begin of the minute.
    pub ts_ms: i64,
    /// Service of the spans.
    pub service: String,
    /// Operation.
    pub operation: String,
    /// Service that called; none for an entry.
    #[serde(default)]
    pub caller: Option<String>,
    /// Spans.
    pub count: f64,
    /// Mean duration.
    pub mean_ms: f64,
    /// 95th percentile of the durations.
    pub p95_ms: f64,
}

/// Log lines of one template in a minute.
#[derive(Debug, Clone, PartialEq, Deserialize)]
pub struct LogCount {
    /// Begin of the minute.
    pub ts_ms: i64,
    /// Service that wrote them.
    pub service: String,
    /// Level.
    pub level: String,
    /// Text without its variable parts.
    pub template: String,
    /// Lines.
    pub count: f64,
}

/// Largest figure that is taken from a row; beyond it sums lose whole counts.
const MAX_FIGURE: f64 = 1e12;

impl Evidence {
    /// Returns the begin of the minute.
    pub fn ts_ms(&self) -> i64 {
        match self {
            Self::Span(span) => span.ts_ms,
            Self::Log(log) => log.ts_ms,
        }
    }

    /// Whether all figures can be counted with.
    pub fn is_usable(&self) -> bool {
        let usable = |figure: f64| (0.0..=MAX_FIGURE).contains(&figure);
        match self {
            Self::Span(span) => usable(span.count) && usable(span.mean_ms) && usable(span.p95_ms),
            Self::Log(log) => usable(log.count),
        }
    }
}

/// Operation of a service, and who called it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Call {
    pub(super) service: String,
    pub(super) operation: String,
    pub(super) caller: Option<String>,
}

/// Template of a service's log lines.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Line {
    pub(super) service: String,
    pub(super) level: String,
    pub(super) template: String,
}

/// What the spans of one operation and caller come to in a minute.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) struct Spans {
    pub(super) count: f64,
    pub(super) mean_ms: f64,
    pub(super) p95_ms: f64,
}

/// Spans and log lines of some minutes.
#[derive(Debug, Clone, Default)]
pub struct Minutes {
    pub(super) spans: BTreeMap<i64, BTreeMap<Call, Spans>>,
    pub(super) logs: BTreeMap<i64, BTreeMap<Line, f64>>,
}

impl Minutes {
    /// Adds rows: spans replace what is known of the same call and minute, log lines add up.
    pub fn extend<'a>(&mut self, rows: impl IntoIterator<Item = &'a Evidence>) {
        for row in rows.into_iter().filter(|row| row.is_usable()) {
            match row.clone() {
                Evidence::Span(SpanTotal { ts_ms, service, operation, caller, count, mean_ms, p95_ms }) => {
                    // an empty caller is none
                    let call = Call { service, operation, caller: caller.filter(|name| !name.is_empty()) };
                    self.spans.entry(ts_ms).or_default().insert(call, Spans { count, mean_ms, p95_ms });
                }
                Evidence::Log(LogCount { ts_ms, service, level, template, count }) => {
                    let line = Line { service, level, template };
                    *self.logs.entry(ts_ms).or_default().entry(line).or_default() += count;
                }
            }
        }
    }

    /// Adds other minutes, by the same rule.
    pub(super) fn join(&mut self, other: &Self) {
        for (minute, spans) in &other.spans {
            let known = self.spans.entry(*minute).or_default();
            known.extend(spans.iter().map(|(call, spans)| (call.clone(), *spans)));
        }
        for (minute, lines) in &other.logs {
            let known = self.logs.entry(*minute).or_default();
            for (line, count) in lines {
                *known.entry(line.clone()).or_default() += count;
            }
        }
    }

    /// Returns all services and callers, with repetitions.
    pub(super) fn names(&self) -> impl Iterator<Item = &str> {
        let calls = self.spans.values().flat_map(BTreeMap::keys);
        let spans = calls.flat_map(|call| [Some(call.service.as_str()), call.caller.as_deref()]).flatten();
        spans.chain(self.logs.values().flat_map(BTreeMap::keys).map(|line| line.service.as_str()))
    }
}

impl<'a> FromIterator<&'a Evidence> for Minutes {
    fn from_iter<I: IntoIterator<Item = &'a Evidence>>(rows: I) -> Self {
        let mut minutes = Self::default();
        minutes.extend(rows);
        minutes
    }
}
