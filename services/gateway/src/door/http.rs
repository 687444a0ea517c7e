//! HTTP: what every request passes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use axum::Router;
use axum::extract::{Request, State};
use axum::http::{HeaderMap, HeaderValue, StatusCode, header};
use axum::response::Response;
use axum::routing::post;
use shared::store::tokens::Scope;
use tower_http::decompression::RequestDecompressionLayer;

use super::auth::Denied;
use super::body::{Bounds, whole};
use super::failure::Failure;
use super::routes::{Access, Call, ROUTES, Reader, Route};
use super::{Door, Outcome, notice};
use crate::formats::Context;
use crate::metrics;
use crate::telemetry::Batch;

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
    let (reader, supported) = match reader(route, request.headers()) {
        Ok(reader) => (reader, Ok(())),
        Err(failure) => (route.readers[0], Err(failure)),
    };
    let outcome = match supported {
        Ok(()) => attempt(&door, route, reader, request).await,
        Err(failure) => Err(failure),
    };
    match outcome {
        Ok(outcome) => reader.answers().taken(&outcome),
        Err(failure) => refuse(&door, route, reader, &failure),
    }
}

fn refuse(door: &Door, route: &Route, reader: Reader, failure: &Failure) -> Response {
    metrics::REQUESTS.add_one([route.format, failure.outcome()]);
    notice::refused(route.format, failure.outcome(), &failure.to_string());
    let mut response = reader.answers().refused(failure);
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

fn reader(route: &Route, headers: &HeaderMap) -> Result<Reader, Failure> {
    let named = headers.get(header::CONTENT_TYPE).map(HeaderValue::as_bytes).unwrap_or_default();
    let named = String::from_utf8_lossy(named);
    let bare = named.split(';').next().unwrap_or_default().trim().to_ascii_lowercase();
    let mut readers = route.readers.iter().copied();
    readers.find(|reader| reader.content_types().contains(&&*bare)).ok_or_else(|| {
        let all: Vec<&str> = route.readers.iter().map(|reader| reader.content_types()[0]).collect();
        Failure::MediaType(bare.chars().take(100).collect(), all.join(" or "))
    })
}

async fn attempt(
    door: &Arc<Door>,
    route: &Route,
    reader: Reader,
    request: Request,
) -> Result<Outcome, Failure> {
    let (parts, body) = request.into_parts();
    // a page that a browser shows could reach a door on loopback
    if parts.headers.contains_key(header::ORIGIN) {
        return Err(Denied::Browser.into());
    }
    if let (Some(guard), Access::Token) = (&door.guard, route.access()) {
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
    let query = parts.uri.query().unwrap_or_default().to_owned();
    let caller = Arc::clone(door);
    let read = move |context: &Context<'_>, batch: &mut Batch| {
        let call = Call { body: &body, query: &query, settings: &caller.settings, context };
        reader.read(&call, batch)
    };
    door.take(route.format, (size, size), names(&parts.headers), read, &mut slot).await
}

fn check_encoding(route: &Route, encoding: &str) -> Result<(), Failure> {
    let known = || ENCODINGS.iter().chain(route.encodings());
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
