//! HTTP: the table of paths, and what every request passes.
//!
//! A format is plugged in as an entry of [`ROUTES`]: who reads its body, and how it is answered.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::post;
use opentelemetry_proto::tonic::collector::logs::v1::ExportLogsServiceRequest;
use opentelemetry_proto::tonic::collector::metrics::v1::ExportMetricsServiceRequest;
use opentelemetry_proto::tonic::collector::trace::v1::ExportTraceServiceRequest;
use shared::store::tokens::Scope;
use tower_http::decompression::RequestDecompressionLayer;

use super::body::{Bounds, whole};
use super::failure::Failure;
use super::{DECODED, Door, Outcome, notice};
use crate::formats::otlp::{self, Signal};
use crate::formats::{Context, Unreadable};
use crate::metrics;
use crate::telemetry::Batch;

/// Reads a body.
pub type Read = fn(&[u8], &Context<'_>, &mut Batch) -> Result<(), Unreadable>;

/// How requests of a format are answered.
pub trait Answers: Sync {
    /// Returns the answer to a request that was taken, whole or in part.
    fn taken(&self, outcome: &Outcome) -> Response;

    /// Returns the answer to a request that was refused as a whole. `Retry-After` is added by the caller.
    fn refused(&self, failure: &Failure) -> Response;
}

/// One form of body at a path.
pub struct Form {
    /// Content types, in lower case and without parameters; empty: any, or none.
    pub content_types: &'static [&'static str],
    /// Who reads it.
    pub read: Read,
    /// How it is answered.
    pub answers: &'static dyn Answers,
}

/// How a client shows that it may send.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Access {
    /// By a token, where tokens are asked for.
    Token,
    /// By a signature of the body, which the reader checks.
    Signature,
}

/// One path.
pub struct Route {
    /// The path.
    pub path: &'static str,
    /// Name of the format in metrics.
    pub format: &'static str,
    /// How a client shows that it may send.
    pub access: Access,
    /// Content encodings that the reader takes apart itself, besides gzip, zstd and identity.
    pub encodings: &'static [&'static str],
    /// Its forms; the first one answers requests whose content type is none of them.
    pub forms: &'static [Form],
}

const PROTOBUF: &[&str] = &["application/x-protobuf", "application/protobuf"];
const JSON: &[&str] = &["application/json"];

/// All paths.
pub static ROUTES: [Route; 3] = [
    Route {
        path: "/v1/metrics",
        format: "otlp_http_metrics",
        access: Access::Token,
        encodings: &[],
        forms: &[
            Form {
                content_types: PROTOBUF,
                read: otlp::read_protobuf::<ExportMetricsServiceRequest>,
                answers: &otlp::answers::Protobuf(Signal::Metrics),
            },
            Form {
                content_types: JSON,
                read: otlp::read_json::<ExportMetricsServiceRequest>,
                answers: &otlp::answers::Json(Signal::Metrics),
            },
        ],
    },
    Route {
        path: "/v1/logs",
        format: "otlp_http_logs",
        access: Access::Token,
        encodings: &[],
        forms: &[
            Form {
                content_types: PROTOBUF,
                read: otlp::read_protobuf::<ExportLogsServiceRequest>,
                answers: &otlp::answers::Protobuf(Signal::Logs),
            },
            Form {
                content_types: JSON,
                read: otlp::read_json::<ExportLogsServiceRequest>,
                answers: &otlp::answers::Json(Signal::Logs),
            },
        ],
    },
    Route {
        path: "/v1/traces",
        format: "otlp_http_traces",
        access: Access::Token,
        encodings: &[],
        forms: &[
            Form {
                content_types: PROTOBUF,
                read: otlp::read_protobuf::<ExportTraceServiceRequest>,
                answers: &otlp::answers::Protobuf(Signal::Traces),
            },
            Form {
                content_types: JSON,
                read: otlp::read_json::<ExportTraceServiceRequest>,
                answers: &otlp::answers::Json(Signal::Traces),
            },
        ],
    },
];

/// Encodings that are taken apart for every reader.
const ENCODINGS: [&str; 3] = ["gzip", "zstd", "identity"];

/// Returns all paths of a door.
pub fn router(door: Arc<Door>) -> Router {
    let mut router = Router::new();
    for route in &ROUTES {
        let taken = move |State(door): State<Arc<Door>>, request: Request| take(door, route, request);
        router = router.route(route.path, post(taken));
    }
    router
        .layer(RequestDecompressionLayer::new().pass_through_unaccepted(true))
        .layer(axum::middleware::from_fn(remember_encoding))
        .with_state(door)
}

/// The header `content-encoding` of a request, which decompression removes.
#[derive(Debug, Clone)]
struct Encoding(String);

async fn remember_encoding(mut request: Request, next: axum::middleware::Next) -> Response {
    let encodings: Vec<String> = request
        .headers()
        .get_all(header::CONTENT_ENCODING)
        .iter()
        .map(|value| String::from_utf8_lossy(value.as_bytes()).trim().to_ascii_lowercase())
        .collect();
    request.extensions_mut().insert(Encoding(encodings.join(", ")));
    next.run(request).await
}

async fn take(door: Arc<Door>, route: &'static Route, request: Request) -> Response {
    let (form, supported) = match form(route, request.headers()) {
        Ok(form) => (form, Ok(())),
        Err(failure) => (&route.forms[0], Err(failure)),
    };
    let outcome = match supported {
        Ok(()) => attempt(&door, route, form, request).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(outcome) => form.answers.taken(&outcome),
        Err(failure) => refuse(&door, route, form, &failure),
    }
}

fn refuse(door: &Door, route: &Route, form: &Form, failure: &Failure) -> Response {
    metrics::REQUESTS.add_one([route.format, failure.outcome()]);
    notice::refused(route.format, failure.outcome(), &failure.to_string());
    let mut response = form.answers.refused(failure);
    let headers = response.headers_mut();
    if failure.is_retryable() {
        headers.insert(header::RETRY_AFTER, HeaderValue::from(door.retry_after_s()));
    }
    match failure.status() {
        StatusCode::UNAUTHORIZED => {
            headers.insert(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        // what is still to come of the body is not read
        StatusCode::REQUEST_TIMEOUT | StatusCode::PAYLOAD_TOO_LARGE => {
            headers.insert(header::CONNECTION, HeaderValue::from_static("close"));
        }
        _ => {}
    }
    response
}

fn form(route: &'static Route, headers: &HeaderMap) -> Result<&'static Form, Failure> {
    let named = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let named = String::from_utf8_lossy(named);
    let bare = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let is_named = |form: &&Form| form.content_types.is_empty() || form.content_types.contains(&&*bare);
    route.forms.iter().find(is_named).ok_or_else(|| {
        let all: Vec<&str> =
            route.forms.iter().filter_map(|form| form.content_types.first().copied()).collect();
        Failure::MediaType(bare.chars().take(100).collect(), all.join(" or "))
    })
}

async fn attempt(
    door: &Arc<Door>,
    route: &'static Route,
    form: &'static Form,
    request: Request,
) -> Result<Outcome, Failure> {
    let (parts, body) = request.into_parts();
    if let (Some(guard), Access::Token) = (&door.guard, route.access) {
        let header = parts.headers.get(header::AUTHORIZATION).and_then(|value| value.to_str().ok());
        guard.check(header, Scope::Ingest)?;
    }
    let mut slot = door.gate.enter()?;
    let encoding = parts.extensions.get::<Encoding>().map(|encoding| &*encoding.0).unwrap_or_default();
    check_encoding(route, encoding)?;
    check_length(door, encoding, &parts.headers)?;
    let requests = &door.settings.requests;
    let bounds = Bounds { bytes: requests.body_bytes, time: Duration::from_millis(requests.body_timeout_ms) };
    let body = whole(body, bounds, &mut slot).await?;
    let size = body.len();
    slot.grow(size * DECODED)?;
    let read = form.read;
    let batch =
        door.read(size, names(&parts.headers), move |context, batch| read(&body, context, batch)).await?;
    slot.shrink(size * (1 + DECODED));
    door.deliver(route.format, batch, &mut slot).await
}

fn check_encoding(route: &Route, encoding: &str) -> Result<(), Failure> {
    let known = || ENCODINGS.iter().chain(route.encodings);
    if encoding.is_empty() || known().any(|one| *one == encoding) {
        return Ok(());
    }
    let all: Vec<&str> = known().copied().collect();
    Err(Failure::Encoding(encoding.chars().take(100).collect(), all.join(", ")))
}

/// Refuses a body that says itself that it is too large, before anything of it is read.
fn check_length(door: &Door, encoding: &str, headers: &HeaderMap) -> Result<(), Failure> {
    let limit = door.settings.requests.body_bytes;
    let said =
        headers.get(header::CONTENT_LENGTH).and_then(|value| value.to_str().ok()?.parse::<usize>().ok());
    let is_plain = encoding.is_empty() || encoding == "identity";
    if is_plain && said.is_some_and(|said| said > limit) { Err(Failure::TooLarge(limit)) } else { Ok(()) }
}

/// Returns the headers of a request that are texts.
fn names(headers: &HeaderMap) -> BTreeMap<String, String> {
    let text = |(name, value): (&axum::http::HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    headers.iter().filter_map(text).collect()
}

/// Returns an answer with a body.
pub(crate) fn answer(status: StatusCode, content_type: &'static str, body: impl Into<Bytes>) -> Response {
    let body: Bytes = body.into();
    (status, [(header::CONTENT_TYPE, content_type)], Body::from(body)).into_response()
}
