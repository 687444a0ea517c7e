//! OTLP over gRPC: the three services, with the same tokens and bounds as HTTP.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use axum::Router;
use axum::body::Body;
use axum::extract::{Request as HttpRequest, State};
use axum::http::header;
use axum::middleware::{self, Next};
use axum::response::Response as HttpResponse;
use opentelemetry_proto::tonic::collector::logs::v1::logs_service_server::{LogsService, LogsServiceServer};
use opentelemetry_proto::tonic::collector::logs::v1::{ExportLogsServiceRequest, ExportLogsServiceResponse};
use opentelemetry_proto::tonic::collector::metrics::v1::metrics_service_server::{
    MetricsService, MetricsServiceServer,
};
use opentelemetry_proto::tonic::collector::metrics::v1::{
    ExportMetricsServiceRequest, ExportMetricsServiceResponse,
};
use opentelemetry_proto::tonic::collector::trace::v1::trace_service_server::{
    TraceService, TraceServiceServer,
};
use opentelemetry_proto::tonic::collector::trace::v1::{
    ExportTraceServiceRequest, ExportTraceServiceResponse,
};
use shared::store::tokens::Scope;
use tokio::time::Instant;
use tonic::codec::CompressionEncoding::{Gzip, Zstd};
use tonic::service::Routes;
use tonic::{Code, Request, Response, Status};
use tonic_types::{ErrorDetails, StatusExt as _};

use super::body::next;
use super::failure::Failure;
use super::limits::Slot;
use super::{Door, Outcome, notice};
use crate::formats::Context;
use crate::formats::otlp::{Export, Signal, answers};
use crate::metrics;
use crate::telemetry::Batch;

/// The place of a request, which its body and its handler share.
#[derive(Clone)]
struct Place(Arc<Mutex<Option<Slot>>>);

impl Place {
    fn grow(&self, bytes: usize) -> Result<(), Failure> {
        let mut slot = self.0.lock().unwrap_or_else(PoisonError::into_inner);
        slot.as_mut().map_or(Ok(()), |slot| slot.grow(bytes))
    }

    fn leave(&self) -> Option<Slot> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner).take()
    }
}

/// Returns all services of a door.
pub fn router(door: &Arc<Door>) -> Router {
    let limit = door.settings.requests.body_bytes;
    let service = Otlp(Arc::clone(door));
    let mut routes = Routes::builder();
    routes
        .add_service(
            MetricsServiceServer::new(service.clone())
                .accept_compressed(Gzip)
                .accept_compressed(Zstd)
                .max_decoding_message_size(limit),
        )
        .add_service(
            LogsServiceServer::new(service.clone())
                .accept_compressed(Gzip)
                .accept_compressed(Zstd)
                .max_decoding_message_size(limit),
        )
        .add_service(
            TraceServiceServer::new(service)
                .accept_compressed(Gzip)
                .accept_compressed(Zstd)
                .max_decoding_message_size(limit),
        );
    routes.routes().into_axum_router().layer(middleware::from_fn_with_state(Arc::clone(door), enter))
}

/// Checks the token and the bounds of a request, and counts one that is refused by whatever comes behind.
async fn enter(State(door): State<Arc<Door>>, request: HttpRequest, next: Next) -> HttpResponse {
    let format = format_of(request.uri().path());
    let request = match admit(&door, request) {
        Ok(request) => request,
        Err(failure) => {
            metrics::REQUESTS.add_one([format, failure.outcome()]);
            notice::refused(format, failure.outcome(), &failure.to_string());
            return status(&door, &failure).into_http();
        }
    };
    let response = next.run(request).await;
    // a request that was taken ends with trailers; one that was refused has its status in the head
    let refused =
        response.headers().get("grpc-status").and_then(|code| code.to_str().ok()?.parse::<i32>().ok());
    if let Some(code) = refused.map(Code::from).filter(|code| *code != Code::Ok) {
        // what our own bounds refuse says when to try again; the decoder's bound does not
        let is_retryable = response.headers().contains_key("grpc-status-details-bin");
        let outcome = outcome(code, is_retryable);
        metrics::REQUESTS.add_one([format, outcome]);
        notice::refused(format, outcome, code.description());
    }
    response
}

fn format_of(path: &str) -> &'static str {
    match path.split('/').nth(1).unwrap_or_default() {
        service if service.ends_with(".MetricsService") => "otlp_grpc_metrics",
        service if service.ends_with(".LogsService") => "otlp_grpc_logs",
        service if service.ends_with(".TraceService") => "otlp_grpc_traces",
        _ => "grpc_other",
    }
}

/// Returns the name of a refusal for metrics.
fn outcome(code: Code, is_retryable: bool) -> &'static str {
    match code {
        Code::ResourceExhausted if is_retryable => "busy",
        Code::Unavailable => "unavailable",
        Code::DeadlineExceeded => "slow",
        Code::OutOfRange | Code::ResourceExhausted => "too_large",
        Code::Unimplemented => "encoding",
        _ => "malformed",
    }
}

fn admit(door: &Arc<Door>, request: HttpRequest) -> Result<HttpRequest, Failure> {
    if let Some(guard) = &door.guard {
        let header = request.headers().get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        guard.check(header, Scope::Ingest)?;
    }
    let place = Place(Arc::new(Mutex::new(Some(door.gate.enter()?))));
    let (mut parts, body) = request.into_parts();
    parts.extensions.insert(place.clone());
    let time = Duration::from_millis(door.settings.requests.body_timeout_ms);
    Ok(HttpRequest::from_parts(parts, bounded(Arc::clone(door), body, place, time)))
}

/// A body that breaks off with a status where it is slow, or where there is no room for it. Its size is bounded by the decoder.
fn bounded(door: Arc<Door>, body: Body, place: Place, time: Duration) -> Body {
    let deadline = Instant::now() + time;
    let stream = futures::stream::unfold(Some(body), move |body| {
        let (door, place) = (Arc::clone(&door), place.clone());
        async move {
            let mut body = body?;
            let read = next(&mut body, deadline, time).await;
            let checked = read.and_then(|data| match data {
                Some(data) => place.grow(data.len()).map(|()| Some(data)),
                None => Ok(None),
            });
            match checked {
                Ok(data) => data.map(|data| (Ok(data), Some(body))),
                Err(failure) => Some((Err(status(&door, &failure)), None)),
            }
        }
    });
    Body::from_stream(stream)
}

/// Returns the status of a refusal, with `RetryInfo` where it helps to try again.
fn status(door: &Door, failure: &Failure) -> Status {
    let mut details = ErrorDetails::new();
    if failure.is_retryable() {
        details.set_retry_info(Some(Duration::from_secs(door.retry_after_s())));
    }
    Status::with_error_details(failure.code(), failure.to_string(), details)
}

/// The three services.
#[derive(Clone)]
struct Otlp(Arc<Door>);

impl Otlp {
    async fn export<E: Export>(&self, request: Request<E>) -> Result<Outcome, Status> {
        let format = match E::SIGNAL {
            Signal::Metrics => "otlp_grpc_metrics",
            Signal::Logs => "otlp_grpc_logs",
            Signal::Traces => "otlp_grpc_traces",
        };
        let place = request.extensions().get::<Place>().and_then(Place::leave);
        let export = request.into_inner();
        self.taken(format, place, export).await.map_err(|failure| status(&self.0, &failure))
    }

    async fn taken<E: Export>(
        &self,
        format: &'static str,
        place: Option<Slot>,
        export: E,
    ) -> Result<Outcome, Failure> {
        let mut slot = match place {
            Some(slot) => slot,
            None => self.0.gate.enter()?,
        };
        let size = export.encoded_len();
        let add = move |context: &Context<'_>, batch: &mut Batch| {
            export.add(context, batch);
            Ok(())
        };
        // what the slot has for the body itself it keeps
        self.0.take(format, (size, 0), BTreeMap::new(), add, &mut slot).await
    }
}

#[tonic::async_trait]
impl MetricsService for Otlp {
    async fn export(
        &self,
        request: Request<ExportMetricsServiceRequest>,
    ) -> Result<Response<ExportMetricsServiceResponse>, Status> {
        let outcome = Self::export(self, request).await?;
        Ok(Response::new(answers::metrics(&outcome.refused)))
    }
}

#[tonic::async_trait]
impl LogsService for Otlp {
    async fn export(
        &self,
        request: Request<ExportLogsServiceRequest>,
    ) -> Result<Response<ExportLogsServiceResponse>, Status> {
        let outcome = Self::export(self, request).await?;
        Ok(Response::new(answers::logs(&outcome.refused)))
    }
}

#[tonic::async_trait]
impl TraceService for Otlp {
    async fn export(
        &self,
        request: Request<ExportTraceServiceRequest>,
    ) -> Result<Response<ExportTraceServiceResponse>, Status> {
        let outcome = Self::export(self, request).await?;
        Ok(Response::new(answers::traces(&outcome.refused)))
    }
}
