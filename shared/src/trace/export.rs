//! Export of spans by OTLP over gRPC.

use std::cell::Cell;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use opentelemetry::trace::{
    Link, Span as _, SpanContext, SpanId, SpanKind, TraceContextExt as _, TraceFlags, TraceId, TraceState,
    Tracer as _, TracerProvider as _,
};
use opentelemetry::{Context, KeyValue};
use opentelemetry_otlp::{SpanExporter, WithExportConfig as _, WithTonicConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{IdGenerator, RandomIdGenerator, SdkTracer, SdkTracerProvider};
use tracing::{Metadata, Span, Subscriber};
use tracing_opentelemetry::OpenTelemetrySpanExt as _;
use tracing_subscriber::filter::FilterFn;
use tracing_subscriber::registry::LookupSpan;
use tracing_subscriber::{Layer, filter};

use super::TARGET;
use crate::events::Topic;
use crate::events::envelope;

/// Longest time for one batch.
const EXPORT: Duration = Duration::from_secs(5);
/// Longest time for what is left at the end of the process.
const FLUSH: Duration = Duration::from_secs(2);

static EXPORTER: OnceLock<(SdkTracerProvider, SdkTracer)> = OnceLock::new();

thread_local! {
    /// Ids of the span that is built next, if they are given.
    static GIVEN: Cell<Option<(TraceId, SpanId)>> = const { Cell::new(None) };
}

/// Draws ids, unless they are given.
#[derive(Debug, Default)]
struct Ids(RandomIdGenerator);

impl IdGenerator for Ids {
    fn new_trace_id(&self) -> TraceId {
        GIVEN.get().map_or_else(|| self.0.new_trace_id(), |(trace, _)| trace)
    }

    fn new_span_id(&self) -> SpanId {
        GIVEN.get().map_or_else(|| self.0.new_span_id(), |(_, span)| span)
    }
}

/// Where spans are sent, and as whose.
pub(crate) struct Target<'a> {
    /// Address of the collector, `http://` or `https://`.
    pub endpoint: &'a str,
    /// Certificates of the authorities that are trusted, PEM; empty means those of the system.
    pub ca_file: &'a Path,
    /// Name of the agent.
    pub service: &'static str,
    /// Name of this process.
    pub process: &'a str,
}

/// Starts the export and returns the layer that feeds it. Runs inside the async runtime; does not connect yet.
pub(crate) fn layer<S>(target: &Target<'_>) -> anyhow::Result<impl Layer<S> + use<S>>
where
    S: Subscriber + for<'s> LookupSpan<'s>,
{
    let mut exporter =
        SpanExporter::builder().with_tonic().with_endpoint(target.endpoint).with_timeout(EXPORT);
    if target.endpoint.starts_with("https://") {
        exporter = exporter.with_tls_config(crate::tls::grpc(target.ca_file)?);
    }
    let resource = Resource::builder()
        .with_service_name(format!("firewatch-{}", target.service))
        .with_attributes([
            KeyValue::new("service.version", env!("CARGO_PKG_VERSION")),
            KeyValue::new("service.instance.id", target.process.to_owned()),
        ])
        .build();
    let provider = SdkTracerProvider::builder()
        .with_id_generator(Ids::default())
        .with_resource(resource)
        .with_batch_exporter(exporter.build()?)
        .build();
    let tracer = provider.tracer("firewatch");
    let (_, tracer) = EXPORTER.get_or_init(|| (provider, tracer));
    let layer = tracing_opentelemetry::layer()
        .with_tracer(tracer.clone())
        .with_location(false)
        .with_threads(false)
        .with_tracked_inactivity(false);
    Ok(layer.with_filter(exported()))
}

/// Lets through our spans, which are all of level info, and what is logged within them.
fn exported() -> FilterFn<fn(&Metadata<'_>) -> bool> {
    const QUIET: [&str; 4] = ["h2", "hyper", "opentelemetry", "tonic"];
    let is_exported: fn(&Metadata<'_>) -> bool = |of| {
        if of.is_span() {
            return of.target() == TARGET;
        }
        *of.level() <= tracing::Level::INFO && !QUIET.iter().any(|prefix| of.target().starts_with(prefix))
    };
    filter::filter_fn(is_exported).with_max_level_hint(tracing::Level::INFO)
}

/// Sends what is left. Blocking.
pub(crate) fn flush() {
    if let Some((provider, _)) = EXPORTER.get()
        && let Err(error) = provider.shutdown_with_timeout(FLUSH)
    {
        tracing::warn!(%error, "spans lost at shutdown");
    }
}

/// Makes a span the child of the one that a `traceparent` names.
pub(super) fn continue_trace(span: &Span, parent: Option<&str>) {
    if span.is_disabled() {
        return;
    }
    if let Some(parent) = parent.and_then(remote) {
        // fails only for a span that has started, and this one has just been made
        let _ = span.set_parent(Context::new().with_remote_span_context(parent));
    }
}

/// Exports the span of a publication under the ids of its header. Where the event begins a trace of its own, its span
/// is linked to the current one.
pub(super) fn published(topic: Topic, traceparent: &str) {
    let Some((_, tracer)) = EXPORTER.get() else { return };
    let Some(own) = remote(traceparent) else { return };
    let current = Span::current().context();
    let cause = current.span().span_context().clone();
    let continues = cause.trace_id() == own.trace_id();
    let mut builder = tracer
        .span_builder(format!("send {}", topic.name()))
        .with_kind(SpanKind::Producer)
        .with_attributes([
            KeyValue::new("messaging.system", "kafka"),
            KeyValue::new("messaging.operation.type", "send"),
            KeyValue::new("messaging.destination.name", topic.name()),
        ]);
    if cause.is_valid() && !continues {
        builder = builder.with_links(vec![Link::with_context(cause)]);
    }
    let parent = if continues { current } else { Context::new() };
    GIVEN.set(Some((own.trace_id(), own.span_id())));
    let mut span = tracer.build_with_context(builder, &parent);
    GIVEN.set(None);
    span.end();
}

/// Reads a `traceparent`.
fn remote(traceparent: &str) -> Option<SpanContext> {
    let (trace, span) = envelope::ids_of(traceparent)?;
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    let context = SpanContext::new(trace, span, TraceFlags::SAMPLED, true, TraceState::NONE);
    context.is_valid().then_some(context)
}
