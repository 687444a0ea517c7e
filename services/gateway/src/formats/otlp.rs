//! OpenTelemetry: metrics, logs and traces, as protobuf or JSON, whichever way they came.

pub mod answers;
mod attributes;
pub mod json;
mod logs;
mod metrics;
mod spans;
mod time;

use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use prost::Message;

use super::{Context, Unreadable};
use crate::telemetry::Batch;

/// What an export carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Signal {
    /// Points of metrics.
    Metrics,
    /// Log records.
    Logs,
    /// Spans.
    Traces,
}

/// A request of one of the three services, however it was encoded.
pub trait Export: Message + Default + 'static {
    /// What it carries.
    const SIGNAL: Signal;

    /// Adds what it holds.
    fn add(&self, ctx: &Context<'_>, batch: &mut Batch);
}

impl Export for ExportMetricsServiceRequest {
    const SIGNAL: Signal = Signal::Metrics;

    fn add(&self, ctx: &Context<'_>, batch: &mut Batch) {
        metrics::add(self, ctx, batch);
    }
}

impl Export for ExportLogsServiceRequest {
    const SIGNAL: Signal = Signal::Logs;

    fn add(&self, ctx: &Context<'_>, batch: &mut Batch) {
        logs::add(self, ctx, batch);
    }
}

impl Export for ExportTraceServiceRequest {
    const SIGNAL: Signal = Signal::Traces;

    fn add(&self, ctx: &Context<'_>, batch: &mut Batch) {
        spans::add(self, ctx, batch);
    }
}

/// Reads an export in protobuf. An empty body is an export of nothing.
pub fn read_protobuf<E: Export>(body: &[u8], ctx: &Context<'_>, batch: &mut Batch) -> Result<(), Unreadable> {
    let export = E::decode(body)
        .map_err(|error| Unreadable::Malformed { format: "OTLP protobuf", reason: error.to_string() })?;
    export.add(ctx, batch);
    Ok(())
}

/// Reads an export in JSON.
pub fn read_json<E: Export + json::FromJson>(
    body: &[u8],
    ctx: &Context<'_>,
    batch: &mut Batch,
) -> Result<(), Unreadable> {
    let export = E::from_json(body)
        .map_err(|error| Unreadable::Malformed { format: "OTLP JSON", reason: error.to_string() })?;
    export.add(ctx, batch);
    Ok(())
}
