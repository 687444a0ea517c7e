//! Trace spans: one for each event or timer that a stage handles, one for each event that it publishes.
//!
//! The `traceparent` of an event is derived from its id ([`Envelope`](crate::events::Envelope)), so it is the same
//! whether spans are exported or not, and after a crash. The span of a publication is exported under the id that its
//! header names, and what the next stage does with the event is its child: one trace from the record to the mail.

#[cfg(feature = "otlp")]
pub(crate) mod export;

use tracing::Span;

use crate::agent::Agent;
use crate::events::{Outgoing, Topic};
use crate::ids::EventId;

/// Target of our spans. They are exported, and not written to the log.
pub(crate) const TARGET: &str = "firewatch::trace";

/// What a span stands for.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Work<'a> {
    /// A record of a topic.
    Record(Topic),
    /// A timer of that name.
    #[cfg_attr(not(feature = "stage"), expect(dead_code, reason = "only exact stages have timers"))]
    Timer(&'a str),
}

/// Returns the span in which `work` is done. `parent` is the `traceparent` of what caused it. The span is disabled
/// unless spans are exported.
pub(crate) fn handling(agent: Agent, work: Work<'_>, id: EventId, parent: Option<&str>) -> Span {
    let (operation, name) = match work {
        Work::Record(topic) => ("process", topic.name()),
        Work::Timer(name) => ("timer", name),
    };
    // attributes as the semantic conventions of OpenTelemetry for messaging name them
    let span = tracing::info_span!(
        target: TARGET,
        "handle",
        otel.name = format!("{operation} {name}"),
        otel.kind = "consumer",
        otel.status_code = tracing::field::Empty,
        messaging.system = "kafka",
        messaging.operation.type = operation,
        messaging.destination.name = name,
        messaging.consumer.group.name = agent.name(),
        messaging.message.id = %id,
    );
    #[cfg(feature = "otlp")]
    export::continue_trace(&span, parent);
    #[cfg(not(feature = "otlp"))]
    let _ = parent;
    span
}

/// Returns the span of outside work within an event, e.g. the delivery of a mail.
#[cfg(feature = "stage")]
pub(crate) fn step(name: &str) -> Span {
    tracing::info_span!(target: TARGET, "step", otel.name = name, otel.kind = "client", otel.status_code = tracing::field::Empty)
}

/// Marks a span as failed.
#[cfg(feature = "stage")]
pub(crate) fn failed(span: &Span) {
    span.record("otel.status_code", "ERROR");
}

/// Reports that an event was published, as a child of the current span.
pub(crate) fn published(outgoing: &Outgoing) {
    #[cfg(feature = "otlp")]
    export::published(outgoing.topic, &outgoing.envelope.traceparent);
    #[cfg(not(feature = "otlp"))]
    let _ = outgoing;
}
