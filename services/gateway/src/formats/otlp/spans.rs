//! Spans, and the metrics that are derived from them: durations by operation and outcome, and the time that a process worked
//! itself.
//!
//! The gateway has no state, so what it derives are deltas over the spans of one request, one point for each group and
//! [`SLOT_MS`]; detection adds them up ([ADR 29](../../../../../docs/adr/0029-the-gateway-is-stateless.md)).

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet, HashMap};

use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Exported, Status};
use shared::events::Span;
use shared::events::raw::{Histogram, SpanStatus, Temporality};

use super::attributes::{NO_SERVICE, Origin, find};
use super::time::to_ms;
use crate::formats::Context;
use crate::refusals::Reason;
use crate::telemetry::{Batch, Point, Value};

/// Upper bounds of the buckets, milliseconds: those that OpenTelemetry's SDKs use for durations.
const BOUNDS_MS: [f64; 14] =
    [5.0, 10.0, 25.0, 50.0, 75.0, 100.0, 250.0, 500.0, 750.0, 1_000.0, 2_500.0, 5_000.0, 7_500.0, 10_000.0];
/// Spans of one point end within this time, milliseconds: a request may hold spans of an hour.
const SLOT_MS: i64 = 10_000;
/// Operations, or far ends, of one replica in one request; the others share one.
const MAX_OPERATIONS: usize = 200;
const OTHER: &str = "other";
/// Spans between a call and the entry from which it was made.
const MAX_DEPTH: usize = 64;
/// Longest name of an operation or a far end, bytes.
const MAX_NAME: usize = 256;

/// Adds all spans of an export, and what is derived from those that are taken.
pub(super) fn add(export: &ExportTraceServiceRequest, ctx: &Context<'_>, batch: &mut Batch) {
    let mut durations = Durations::default();
    for resource in &export.resource_spans {
        let origin = Origin::of(resource.resource.as_ref(), ctx.identity);
        let mut calls = Calls::of(resource.scope_spans.iter().flat_map(|scope| &scope.spans));
        for exported in resource.scope_spans.iter().flat_map(|scope| &scope.spans) {
            match read(exported, &origin) {
                Ok(span) => {
                    if batch.span(&span) {
                        durations.add(exported.kind(), &span, &origin);
                        if is_entry(exported) {
                            durations.add_own(calls.own_ms(exported), &span, &origin);
                        }
                    }
                }
                Err((reason, detail)) => batch.refused.add(reason, &detail),
            }
        }
    }
    durations.emit(batch);
}

fn read(exported: &Exported, origin: &Origin<'_>) -> Result<Span, (Reason, String)> {
    let service = origin.service.ok_or_else(|| (Reason::NoService, NO_SERVICE.to_owned()))?;
    let ts_ms = to_ms("start_time_unix_nano", exported.start_time_unix_nano)?;
    to_ms("end_time_unix_nano", exported.end_time_unix_nano)?;
    let Some(nanos) = exported.end_time_unix_nano.checked_sub(exported.start_time_unix_nano) else {
        return Err((Reason::Invalid, format!("the span {} ends before it starts", cut(&exported.name))));
    };
    let id = |name: &str, bytes: &[u8], length: usize| {
        let is_id = bytes.len() == length && bytes.iter().any(|byte| *byte != 0);
        is_id
            .then(|| hex::encode(bytes))
            .ok_or_else(|| (Reason::Invalid, format!("{name} is not {length} bytes, or all of them are 0")))
    };
    Ok(Span {
        trace_id: id("trace_id", &exported.trace_id, 16)?,
        span_id: id("span_id", &exported.span_id, 8)?,
        parent_span_id: id("parent_span_id", &exported.parent_span_id, 8).ok(),
        service: service.to_owned(),
        operation: cut(&exported.name).to_owned(),
        ts_ms,
        duration_ms: nanos as f64 / 1e6,
        status: match exported.status.as_ref().map(Status::code) {
            Some(StatusCode::Ok) => SpanStatus::Ok,
            Some(StatusCode::Error) => SpanStatus::Error,
            _ => SpanStatus::Unset,
        },
        environment: origin.environment.to_owned(),
        peer: peer(exported),
    })
}

/// Returns the far end of the call that a span makes.
fn peer(span: &Exported) -> Option<String> {
    if !matches!(span.kind(), SpanKind::Client | SpanKind::Producer) {
        return None;
    }
    let named = |names: &[&str]| names.iter().find_map(|name| find(&span.attributes, name));
    let database = || {
        let system = named(&["db.system.name", "db.system"])?;
        Some(match named(&["db.namespace", "db.name"]) {
            Some(name) => format!("{system}/{name}"),
            None => system.to_owned(),
        })
    };
    named(&["peer.service", "service.peer.name"])
        .map(str::to_owned)
        .or_else(database)
        .or_else(|| named(&["server.address", "net.peer.name"]).map(str::to_owned))
        .map(|peer| cut(&peer).to_owned())
}

fn cut(name: &str) -> &str {
    &name[..name.floor_char_boundary(MAX_NAME)]
}

/// Returns whether work of a process begins with a span: a request or a message that it takes, or a root.
fn is_entry(span: &Exported) -> bool {
    match span.kind() {
        SpanKind::Server | SpanKind::Consumer => true,
        SpanKind::Internal | SpanKind::Unspecified => span.parent_span_id.iter().all(|byte| *byte == 0),
        SpanKind::Client | SpanKind::Producer => false,
    }
}

/// Trace and id of a span.
type SpanKey<'a> = (&'a [u8], &'a [u8]);

/// The calls of a process that one export holds, by the entry from which they were made.
struct Calls<'a> {
    by_entry: HashMap<SpanKey<'a>, Vec<(u64, u64)>>,
}

impl<'a> Calls<'a> {
    fn of(spans: impl Iterator<Item = &'a Exported> + Clone) -> Self {
        fn key(span: &Exported) -> SpanKey<'_> {
            (&span.trace_id, &span.span_id)
        }
        let known: HashMap<SpanKey<'a>, &'a Exported> = spans.clone().map(|span| (key(span), span)).collect();
        let mut by_entry: HashMap<SpanKey<'a>, Vec<(u64, u64)>> = HashMap::new();
        for call in spans.filter(|span| matches!(span.kind(), SpanKind::Client | SpanKind::Producer)) {
            let parent = |span: &'a Exported| known.get(&(&*call.trace_id, &*span.parent_span_id)).copied();
            let mut above = std::iter::successors(parent(call), |span| parent(span)).take(MAX_DEPTH);
            if let Some(entry) = above.find(|span| is_entry(span)) {
                let times = (call.start_time_unix_nano, call.end_time_unix_nano);
                by_entry.entry(key(entry)).or_default().push(times);
            }
        }
        Self { by_entry }
    }

    /// Returns how long a process worked on an entry itself, milliseconds: its duration without the times in which at least
    /// one call was under way.
    fn own_ms(&mut self, entry: &'a Exported) -> f64 {
        let (start, end) = (entry.start_time_unix_nano, entry.end_time_unix_nano);
        let mut calls = self.by_entry.remove(&(&*entry.trace_id, &*entry.span_id)).unwrap_or_default();
        calls.sort_unstable();
        let (mut own, mut from) = (end.saturating_sub(start), start);
        for (began, ended) in calls {
            let (began, ended) = (began.max(from), ended.min(end));
            own = own.saturating_sub(ended.saturating_sub(began));
            from = from.max(ended);
        }
        own as f64 / 1e6
    }
}

/// Which durations are counted together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
enum Side {
    Server,
    Own,
    Client,
}

#[derive(Debug, PartialEq, Eq, PartialOrd, Ord)]
struct Group {
    /// Place of the origin in [`Durations::origins`].
    origin: usize,
    side: Side,
    name: String,
    is_error: bool,
    slot: i64,
}

#[derive(Debug)]
struct Counted {
    histogram: Histogram,
    count: f64,
    to_ms: i64,
}

#[derive(Default)]
struct Durations<'a> {
    origins: BTreeMap<Origin<'a>, usize>,
    names: BTreeMap<(usize, Side), BTreeSet<String>>,
    groups: BTreeMap<Group, Counted>,
}

impl<'a> Durations<'a> {
    fn add(&mut self, kind: SpanKind, span: &Span, origin: &Origin<'a>) {
        let (side, name) = match kind {
            SpanKind::Server | SpanKind::Consumer => (Side::Server, &span.operation),
            SpanKind::Client | SpanKind::Producer => match &span.peer {
                Some(peer) => (Side::Client, peer),
                None => return,
            },
            SpanKind::Internal | SpanKind::Unspecified if span.parent_span_id.is_none() => {
                (Side::Server, &span.operation)
            }
            SpanKind::Internal | SpanKind::Unspecified => return,
        };
        let is_error = span.status == SpanStatus::Error;
        self.count((side, name, is_error), span.duration_ms, span, origin);
    }

    /// Adds how long a process worked on an entry itself.
    fn add_own(&mut self, own_ms: f64, span: &Span, origin: &Origin<'a>) {
        self.count((Side::Own, &span.operation, false), own_ms, span, origin);
    }

    fn count(
        &mut self,
        (side, name, is_error): (Side, &str, bool),
        duration_ms: f64,
        span: &Span,
        origin: &Origin<'a>,
    ) {
        let new = self.origins.len();
        let origin = match self.origins.get(origin) {
            Some(place) => *place,
            None => *self.origins.entry(origin.clone()).or_insert(new),
        };
        let name = self.bounded(origin, side, name);
        let end_ms = span.ts_ms + span.duration_ms as i64;
        let group = Group { origin, side, name, is_error, slot: end_ms.div_euclid(SLOT_MS) };
        let counted = self.groups.entry(group).or_insert_with(|| Counted {
            histogram: Histogram {
                sum: Some(0.0),
                bounds: BOUNDS_MS.to_vec(),
                counts: vec![0.0; BOUNDS_MS.len() + 1],
                ..Histogram::default()
            },
            count: 0.0,
            to_ms: end_ms,
        });
        let bucket = BOUNDS_MS.partition_point(|bound| *bound < duration_ms);
        counted.histogram.counts[bucket] += 1.0;
        counted.histogram.sum = counted.histogram.sum.map(|sum| sum + duration_ms);
        counted.count += 1.0;
        counted.to_ms = counted.to_ms.max(end_ms);
    }

    fn bounded(&mut self, origin: usize, side: Side, name: &str) -> String {
        let names = self.names.entry((origin, side)).or_default();
        if names.contains(name) {
            return name.to_owned();
        }
        if names.len() >= MAX_OPERATIONS {
            return OTHER.to_owned();
        }
        names.insert(name.to_owned());
        name.to_owned()
    }

    fn emit(self, batch: &mut Batch) {
        let mut origins: Vec<(usize, &Origin<'_>)> =
            self.origins.iter().map(|(origin, place)| (*place, origin)).collect();
        origins.sort_by_key(|(place, _)| *place);
        for (group, counted) in &self.groups {
            let Some((_, origin)) = origins.get(group.origin) else { continue };
            let (metric, label) = match group.side {
                Side::Server => ("span.server.duration", "span.name"),
                Side::Own => ("span.server.self_time", "span.name"),
                Side::Client => ("span.client.duration", "peer"),
            };
            let mut labels = origin.labels.clone();
            labels.push((Cow::Borrowed(label), Cow::Borrowed(&group.name)));
            if group.side != Side::Own {
                let status = if group.is_error { "error" } else { "ok" };
                labels.push((Cow::Borrowed("status"), Cow::Borrowed(status)));
            }
            batch.derived_point(&Point {
                service: origin.service.unwrap_or_default(),
                environment: origin.environment,
                metric,
                unit: "ms",
                labels: &labels,
                ts_ms: counted.to_ms,
                instrument: None,
                temporality: Temporality::Delta,
                // not since the first of these spans: a single one would come to a thousand a second
                start_ms: None,
                value: Value::Histogram(counted.count, &counted.histogram),
            });
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::telemetry::Limits;

    const NOW_MS: i64 = 1_772_359_210_000;

    fn origin() -> Origin<'static> {
        Origin { service: Some("payment"), environment: "production", labels: Vec::new() }
    }

    fn span(operation: &str, duration_ms: f64, ts_ms: i64) -> Span {
        Span {
            trace_id: "1".repeat(32),
            span_id: "1".repeat(16),
            parent_span_id: None,
            service: "payment".into(),
            operation: operation.into(),
            ts_ms,
            duration_ms,
            status: SpanStatus::Unset,
            environment: "production".into(),
            peer: None,
        }
    }

    #[test]
    fn operations_are_bounded_and_points_are_of_ten_seconds() {
        let origin = origin();
        let mut durations = Durations::default();
        for number in 0..MAX_OPERATIONS + 50 {
            durations.add(SpanKind::Server, &span(&format!("GET /{number}"), 7.0, NOW_MS), &origin);
        }
        let others: f64 =
            durations.groups.iter().filter(|(group, _)| group.name == OTHER).map(|one| one.1.count).sum();
        assert_eq!((durations.groups.len(), others), (MAX_OPERATIONS + 1, 50.0));
        let mut durations = Durations::default();
        for ts_ms in [NOW_MS, NOW_MS + SLOT_MS, NOW_MS + 1] {
            durations.add(SpanKind::Consumer, &span("take", 7.0, ts_ms), &origin);
        }
        let counts: Vec<f64> = durations.groups.values().map(|counted| counted.count).collect();
        assert_eq!(counts, [2.0, 1.0]);
    }

    fn exported(id: u8, parent: u8, kind: SpanKind, [start_ms, end_ms]: [u64; 2]) -> Exported {
        Exported {
            trace_id: vec![7; 16],
            span_id: vec![id; 8],
            parent_span_id: if parent == 0 { Vec::new() } else { vec![parent; 8] },
            kind: kind.into(),
            start_time_unix_nano: start_ms * 1_000_000,
            end_time_unix_nano: end_ms * 1_000_000,
            ..Exported::default()
        }
    }

    #[test]
    fn self_time_is_what_no_call_takes_and_calls_at_once_count_once() {
        let spans = [
            exported(1, 9, SpanKind::Server, [100, 200]),
            exported(2, 1, SpanKind::Internal, [110, 190]),
            // under the inner span, two at once, one that outlives the request
            exported(3, 2, SpanKind::Client, [120, 140]),
            exported(4, 2, SpanKind::Client, [130, 150]),
            exported(5, 1, SpanKind::Producer, [190, 230]),
            // of another request, and of one that is not here
            exported(6, 8, SpanKind::Client, [100, 200]),
            exported(7, 0, SpanKind::Internal, [100, 107]),
        ];
        let mut calls = Calls::of(spans.iter());
        let own: Vec<f64> =
            spans.iter().filter(|span| is_entry(span)).map(|span| calls.own_ms(span)).collect();
        assert_eq!(own, [60.0, 7.0]);
        // spans that are their own parents end the search
        let circle = [exported(1, 2, SpanKind::Internal, [0, 1]), exported(2, 1, SpanKind::Client, [0, 1])];
        assert!(Calls::of(circle.iter()).by_entry.is_empty());
    }

    #[test]
    fn a_duration_is_in_the_bucket_up_to_its_bound() {
        let origin = origin();
        let mut durations = Durations::default();
        for duration_ms in [0.0, 5.0, 5.1, 10_000.0, 10_001.0] {
            durations.add(SpanKind::Unspecified, &span("root", duration_ms, NOW_MS - 20_000), &origin);
        }
        let counts: f64 = durations.groups.values().map(|counted| counted.histogram.counts[0]).sum();
        let last: f64 = durations.groups.values().filter_map(|counted| counted.histogram.counts.last()).sum();
        assert_eq!((counts, last), (2.0, 1.0));
        let inner = Span { parent_span_id: Some("2".repeat(16)), ..span("inner", 1.0, NOW_MS) };
        let before = durations.groups.len();
        durations.add(SpanKind::Internal, &inner, &origin);
        assert_eq!(durations.groups.len(), before, "inner work is part of what is counted already");
        let mut batch = Batch::new(&Limits::default(), NOW_MS);
        durations.emit(&mut batch);
        assert!(batch.refused.is_empty() && batch.into_records().len() == 1);
    }
}
