//! One trace from a record to the mail: every agent exports its spans by OTLP to a collector.

use std::collections::HashMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use shared::events::fault::Scenario;
use stack::Options;
use stack::observe::run_summary::RunObservation;
use tests::Pipeline;
use tonic::{Request, Response, Status};

const DEADLINE: Duration = Duration::from_mins(3);
const SETTLED: Duration = Duration::from_secs(1);
/// Longest time until the last batch of spans has arrived.
const EXPORTED: Duration = Duration::from_secs(30);

/// What is compared of a span.
#[derive(Debug, Clone)]
struct Exported {
    service: String,
    name: String,
    trace: Vec<u8>,
    span: Vec<u8>,
    parent: Vec<u8>,
}

/// A collector that keeps what it is sent.
#[derive(Clone, Default)]
struct Collector(Arc<Mutex<Vec<Exported>>>);

impl Collector {
    /// Listens on a free port and returns the address.
    async fn start(&self) -> Result<String> {
        let listener = tokio::net::TcpListener::bind("127.0.0.1:0").await?;
        let address = listener.local_addr()?;
        let incoming = tonic::transport::server::TcpIncoming::from(listener);
        let server = tonic::transport::Server::builder().add_service(TraceServiceServer::new(self.clone()));
        tokio::spawn(server.serve_with_incoming(incoming));
        Ok(format!("http://{address}"))
    }

    fn spans(&self) -> Vec<Exported> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).clone()
    }
}

#[tonic::async_trait]
impl TraceService for Collector {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let mut kept = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        for resource in request.into_inner().resource_spans {
            let attributes = resource.resource.unwrap_or_default().attributes;
            let service = attributes.iter().find(|attribute| attribute.key == "service.name");
            let service = match service.and_then(|found| found.value.as_ref()?.value.as_ref()) {
                Some(Value::StringValue(name)) => name.clone(),
                _ => String::new(),
            };
            for span in resource.scope_spans.into_iter().flat_map(|scope| scope.spans) {
                kept.push(Exported {
                    service: service.clone(),
                    name: span.name,
                    trace: span.trace_id,
                    span: span.span_id,
                    parent: span.parent_span_id,
                });
            }
        }
        Ok(Response::new(ExportTraceServiceResponse::default()))
    }
}

/// Returns the names of a span and of what led to it, the span first.
fn ancestry(spans: &HashMap<(Vec<u8>, Vec<u8>), Exported>, leaf: &Exported) -> Vec<String> {
    let mut names = Vec::new();
    let mut next = Some(leaf);
    while let Some(span) = next {
        names.push(format!("{}: {}", span.service, span.name));
        next = spans.get(&(span.trace.clone(), span.parent.clone()));
    }
    names
}

/// What led to the mail about the postmortem, the last thing that follows from a record.
const WAY: [&str; 7] = [
    "firewatch-communication: deliver",
    "firewatch-communication: timer send",
    "firewatch-postmortem: send postmortems.generated",
    "firewatch-postmortem: process incidents.resolved",
    "firewatch-correlation: send incidents.resolved",
    "firewatch-correlation: timer resolve",
    "firewatch-detection: send anomalies.detected",
];

#[tokio::test]
async fn one_trace_from_the_record_to_the_mail() -> Result<()> {
    let collector = Collector::default();
    let mut options = Options::throw_away()?;
    options.settings.insert("FIREWATCH_TRACING__ENDPOINT".to_owned(), collector.start().await?);
    let mut pipeline = Pipeline::start_with(options, 1).await?;
    pipeline.simulate_fault(Scenario::LatencySpike, &[])?;
    pipeline.wait_for(DEADLINE, SETTLED, RunObservation::missing).await?;
    let begun = Instant::now();
    loop {
        let spans = collector.spans();
        let by_id: HashMap<_, _> =
            spans.iter().map(|span| ((span.trace.clone(), span.span.clone()), span.clone())).collect();
        ensure!(by_id.len() == spans.len(), "a span was exported twice");
        let ways: Vec<Vec<String>> =
            spans.iter().filter(|span| span.name == "deliver").map(|leaf| ancestry(&by_id, leaf)).collect();
        if ways.iter().any(|way| *way == WAY) {
            return pipeline.stack.stop().await;
        }
        if begun.elapsed() > EXPORTED {
            bail!("no such trace in {} spans: {ways:#?}", spans.len());
        }
        tokio::time::sleep(Duration::from_secs(1)).await;
    }
}
