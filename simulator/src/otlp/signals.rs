//! Log records and spans, each of one replica.

use std::collections::BTreeMap;

use opentelemetry_proto::tonic::logs::v1::{LogRecord as Line, SeverityNumber};
use opentelemetry_proto::tonic::trace::v1::span::SpanKind;
use opentelemetry_proto::tonic::trace::v1::status::StatusCode;
use opentelemetry_proto::tonic::trace::v1::{Span as Exported, Status};
use rand::Rng;
use rand_chacha::ChaCha8Rng;
use shared::events::raw::{Level, SpanStatus};
use shared::events::{LogRecord, Span};

use super::Report;
use super::fleet::Fleet;
use super::wire::{attribute, nanos, value};
use crate::shop::Tick;

/// Returns the lines of a service, by the replica that has written them.
pub(super) fn lines(fleet: &Fleet, report: Report<'_>, rng: &mut ChaCha8Rng) -> Vec<Vec<Line>> {
    let mut found: Vec<Vec<Line>> = fleet.replicas.iter().map(|_| Vec::new()).collect();
    for line in report.tick.logs.iter().filter(|line| line.service == report.service.name()) {
        found[rng.random_range(0..fleet.replicas.len())].push(exported(line));
    }
    found
}

fn exported(line: &LogRecord) -> Line {
    let (severity, text) = match line.level {
        Level::Trace => (SeverityNumber::Trace, "TRACE"),
        Level::Debug => (SeverityNumber::Debug, "DEBUG"),
        Level::Info => (SeverityNumber::Info, "INFO"),
        Level::Warn => (SeverityNumber::Warn, "WARN"),
        Level::Error => (SeverityNumber::Error, "ERROR"),
        Level::Fatal => (SeverityNumber::Fatal, "FATAL"),
    };
    Line {
        time_unix_nano: nanos(line.ts_ms),
        observed_time_unix_nano: nanos(line.ts_ms),
        severity_number: severity as i32,
        severity_text: text.to_owned(),
        body: Some(value(&line.message)),
        attributes: line.labels.iter().map(|(name, label)| attribute(name, label)).collect(),
        trace_id: line.trace_id.as_deref().map(id).unwrap_or_default(),
        ..Line::default()
    }
}

/// Returns the spans of each fleet, by the replica that has exported them. A call between two services is a span of kind client
/// in the caller and one of kind server in the callee.
pub(super) fn spans(fleets: &[Fleet], tick: &Tick, rng: &mut ChaCha8Rng) -> Vec<Vec<Vec<Exported>>> {
    let mut found: Vec<Vec<Vec<Exported>>> =
        fleets.iter().map(|fleet| fleet.replicas.iter().map(|_| Vec::new()).collect()).collect();
    // where the spans were exported, by their ids
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for span in &tick.spans {
        let Some(fleet) = fleets.iter().position(|fleet| fleet.service.name() == span.service) else {
            continue;
        };
        let replica = rng.random_range(0..fleets[fleet].replicas.len());
        places.insert(&span.span_id, (fleet, replica));
        let parent = span.parent_span_id.as_deref();
        let mut server = of(span, SpanKind::Server, id(&span.span_id));
        if let Some((caller, at)) = parent.and_then(|parent| places.get(parent)).copied() {
            let mut client = of(span, SpanKind::Client, rng.random::<u64>().max(1).to_be_bytes().to_vec());
            client.parent_span_id = parent.map(id).unwrap_or_default();
            client.attributes = vec![attribute("server.address", &span.service)];
            server.parent_span_id.clone_from(&client.span_id);
            found[caller][at].push(client);
        } else {
            // its parent is in another tick, or it has none
            server.parent_span_id = parent.map(id).unwrap_or_default();
        }
        found[fleet][replica].push(server);
    }
    found
}

fn of(span: &Span, kind: SpanKind, span_id: Vec<u8>) -> Exported {
    let code = match span.status {
        SpanStatus::Error => StatusCode::Error,
        SpanStatus::Ok | SpanStatus::Unset => StatusCode::Unset,
    };
    let begins = nanos(span.ts_ms);
    Exported {
        trace_id: id(&span.trace_id),
        span_id,
        name: span.operation.clone(),
        kind: kind as i32,
        start_time_unix_nano: begins,
        end_time_unix_nano: begins + (span.duration_ms * 1e6) as u64,
        status: Some(Status { code: code as i32, ..Status::default() }),
        ..Exported::default()
    }
}

fn id(hexadecimal: &str) -> Vec<u8> {
    hex::decode(hexadecimal).unwrap_or_default()
}
