//! HTTP as channels use it: a deadline, a bounded answer, no redirects, no proxy; a breaker and a limit of requests under way for each
//! host, and a limit of messages for each destination. What goes wrong is a [`Failure`] without any secret.

pub mod pace;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use anyhow::Context as _;
use reqwest::header::{AUTHORIZATION, CONTENT_TYPE, HeaderMap, HeaderValue, RETRY_AFTER};
use reqwest::redirect::Policy;
use reqwest::{Method, Response, StatusCode, Url};
use serde_json::Value;
use shared::service::Secret;
use shared::text::{redact, sanitize};
use shared::tls::{self, Check, Files};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::Failure;
use pace::Paces;
use shared::breaker::Breaker;

/// Most that is read of one answer, bytes.
pub const MAX_ANSWER: usize = 64 * 1024;
/// Most that is read of an answer that lists messages of others, bytes.
pub const MAX_LIST: usize = 4 * 1024 * 1024;
/// Most characters of a service's own error text that are kept.
const MAX_REASON: usize = 300;
/// Longest wait for the turn of a message; a longer one is a pause between attempts.
const MAX_TURN: Duration = Duration::from_secs(5);
/// Failures in a row after which a host is not asked.
const MAX_FAILURES: u32 = 5;
/// Most requests to one host that are under way: one that hangs must not keep everything else from being sent.
const MAX_UNDER_WAY: usize = 2;
/// Longest wait for one of them to end, and the pause after that.
const MAX_WAIT: Duration = Duration::from_secs(1);
/// Pause where a service asks for one and does not say how long.
const PAUSE: Duration = Duration::from_secs(30);

/// A request.
#[derive(Clone)]
pub struct Request {
    /// Method.
    pub method: Method,
    /// Address. It may hold a secret.
    pub url: Url,
    /// Headers.
    pub headers: HeaderMap,
    /// Body; none: no body.
    pub body: Option<Vec<u8>>,
    /// What must not appear in the text of an error.
    pub secrets: Vec<Secret>,
    /// Most that is read of the answer, bytes.
    pub most: usize,
}

impl Request {
    /// Returns a request that posts JSON.
    pub fn post(url: Url, body: &Value) -> Self {
        let body = Some(body.to_string().into_bytes());
        let kind = HeaderValue::from_static("application/json; charset=utf-8");
        let headers = HeaderMap::from_iter([(CONTENT_TYPE, kind)]);
        Self { method: Method::POST, url, headers, body, secrets: Vec::new(), most: MAX_ANSWER }
    }

    /// Returns a request that reads a list.
    pub fn get(url: Url) -> Self {
        Self {
            method: Method::GET,
            url,
            headers: HeaderMap::new(),
            body: None,
            secrets: Vec::new(),
            most: MAX_LIST,
        }
    }

    /// Adds a header with a secret value.
    pub fn authorised(mut self, value: &str, secret: &Secret) -> Result<Self, Failure> {
        let mut header = HeaderValue::from_str(value).map_err(|_| {
            Failure::Permanent("the login has characters that a header cannot carry".to_owned())
        })?;
        header.set_sensitive(true);
        self.headers.insert(AUTHORIZATION, header);
        self.secrets.push(secret.clone());
        Ok(self)
    }

    /// Adds what must not appear in the text of an error.
    #[must_use]
    pub fn hiding(mut self, secret: &Secret) -> Self {
        self.secrets.push(secret.clone());
        self
    }
}

/// An answer with a status of success.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Answer {
    /// Status.
    pub status: u16,
    /// Body, at most [`Request::most`] bytes.
    pub body: Vec<u8>,
    /// The rest of the body was not read.
    pub is_cut: bool,
}

impl Answer {
    /// Reads the body as JSON; null where it is none.
    pub fn json(&self) -> Value {
        serde_json::from_slice(&self.body).unwrap_or_default()
    }
}

/// What is known of a host.
struct Host {
    breaker: Breaker<MAX_FAILURES>,
    turns: Arc<Semaphore>,
}

impl Default for Host {
    fn default() -> Self {
        Self { breaker: Breaker::default(), turns: Arc::new(Semaphore::new(MAX_UNDER_WAY)) }
    }
}

/// A client that all channels share.
#[derive(Clone)]
pub struct Http {
    client: reqwest::Client,
    timeout: Duration,
    delivery: Duration,
    hosts: Arc<Mutex<BTreeMap<String, Host>>>,
    paces: Arc<Mutex<Paces>>,
}

impl Http {
    /// Makes a client; nothing is connected yet. A request may take `timeout` with its answer, and one delivery, which may be
    /// several requests, may take `delivery`.
    pub fn new(timeout: Duration, delivery: Duration) -> anyhow::Result<Self> {
        let none = Path::new("");
        let tls =
            tls::client(Files { ca: none, certificate: none, key: none }, Check::Full).context("TLS")?;
        let client = reqwest::Client::builder()
            .redirect(Policy::none())
            .no_proxy()
            .user_agent(concat!("Firewatch/", env!("CARGO_PKG_VERSION")))
            .use_preconfigured_tls(tls)
            .build()?;
        Ok(Self { client, timeout, delivery, hosts: Arc::default(), paces: Arc::default() })
    }

    /// Waits for a delivery no longer than it may take.
    pub async fn bounded<T>(&self, delivery: impl Future<Output = Result<T, Failure>>) -> Result<T, Failure> {
        tokio::time::timeout(self.delivery, delivery).await.unwrap_or_else(|_| {
            Err(Failure::Transient(format!("delivery timed out after {:?}", self.delivery)))
        })
    }

    /// Waits for the turn of a message to a destination that takes one each `interval`.
    pub async fn turn(&self, destination: &str, interval: Duration) -> Result<(), Failure> {
        let now = Instant::now();
        let turn = self.paces.lock().unwrap_or_else(PoisonError::into_inner).reserve(
            destination,
            interval,
            now,
            MAX_TURN,
        );
        match turn {
            Ok(at) => {
                tokio::time::sleep_until(at).await;
                Ok(())
            }
            Err(pause) => Err(Failure::Throttled {
                reason: format!("not attempted: the limit is one message each {interval:?}"),
                pause,
            }),
        }
    }

    /// Sends a request. Statuses other than success are failures: 429, 408, 425 and 5xx pass, all others do not.
    pub async fn send(&self, request: Request) -> Result<Answer, Failure> {
        let place = place(&request.url);
        let _under_way = self.begin(&place).await?;
        self.admit(&place)?;
        let secrets = request.secrets.clone();
        let outcome = tokio::time::timeout(self.timeout, self.exchange(request)).await;
        let (answer, is_alive) = match outcome {
            Err(_) => {
                (Err(Failure::Transient(format!("no answer from {place} within {:?}", self.timeout))), false)
            }
            Ok(Err(error)) => {
                let reason = clean(&shared::error::chain(&error.without_url()), &secrets);
                (Err(Failure::Transient(format!("{place}: {reason}"))), false)
            }
            Ok(Ok((status, pause, body))) => {
                let is_alive = !status.is_server_error();
                (judge(status, pause, body, &place, &secrets), is_alive)
            }
        };
        self.record(&place, is_alive);
        answer
    }

    async fn exchange(&self, request: Request) -> reqwest::Result<(StatusCode, Option<Duration>, Body)> {
        let most = request.most;
        let mut builder = self.client.request(request.method, request.url).headers(request.headers);
        if let Some(body) = request.body {
            builder = builder.body(body);
        }
        let response = builder.send().await?;
        let (status, pause) = (response.status(), retry_after(response.headers()));
        Ok((status, pause, read(response, most).await?))
    }

    /// Waits until a host has few requests to answer.
    async fn begin(&self, place: &str) -> Result<OwnedSemaphorePermit, Failure> {
        let turns = Arc::clone(&self.hosts().entry(place.to_owned()).or_default().turns);
        match tokio::time::timeout(MAX_WAIT, turns.acquire_owned()).await {
            Ok(Ok(permit)) => Ok(permit),
            _ => Err(Failure::Throttled {
                reason: format!("not attempted: {place} has not answered {MAX_UNDER_WAY} requests yet"),
                pause: MAX_WAIT,
            }),
        }
    }

    fn hosts(&self) -> MutexGuard<'_, BTreeMap<String, Host>> {
        self.hosts.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn admit(&self, place: &str) -> Result<(), Failure> {
        self.hosts().entry(place.to_owned()).or_default().breaker.admit(Instant::now()).map_err(|pause| {
            Failure::Throttled {
                reason: format!("not attempted: the last {MAX_FAILURES} requests to {place} failed"),
                pause,
            }
        })
    }

    fn record(&self, place: &str, is_alive: bool) {
        self.hosts().entry(place.to_owned()).or_default().breaker.record(is_alive, Instant::now());
    }
}

/// Decides what a status means.
fn judge(
    status: StatusCode,
    pause: Option<Duration>,
    body: Body,
    place: &str,
    secrets: &[Secret],
) -> Result<Answer, Failure> {
    if status.is_success() {
        return Ok(Answer { status: status.as_u16(), body: body.bytes, is_cut: body.is_cut });
    }
    let reason = format!("{place} answered {}", said(status, &body.bytes, secrets));
    Err(match (status.as_u16(), pause) {
        (429 | 503, Some(pause)) => Failure::Throttled { reason, pause },
        (429, None) => Failure::Throttled { reason, pause: PAUSE },
        (408 | 425 | 500.., _) => Failure::Transient(reason),
        (300..400, _) => Failure::Permanent(format!("{reason}; redirects are not followed")),
        _ => Failure::Permanent(reason),
    })
}

/// Returns the status with the service's own text about it.
fn said(status: StatusCode, body: &[u8], secrets: &[Secret]) -> String {
    let text = match serde_json::from_slice::<Value>(body) {
        Ok(document) => error_text(&document),
        Err(_) => String::from_utf8_lossy(&body[..body.len().min(4 * MAX_REASON)]).into_owned(),
    };
    match clean(&text, secrets) {
        text if text.is_empty() => status.as_u16().to_string(),
        text => format!("{}: {text}", status.as_u16()),
    }
}

/// Returns what a JSON error says: the texts of its known fields, else all of it.
fn error_text(document: &Value) -> String {
    let mut texts = Vec::new();
    for name in ["message", "error", "error_description", "errorMessages", "errors"] {
        match document.get(name) {
            Some(Value::String(text)) => texts.push(text.clone()),
            Some(Value::Array(several)) => {
                texts.extend(
                    several.iter().map(|one| one.as_str().map_or_else(|| one.to_string(), str::to_owned)),
                );
            }
            Some(Value::Object(several)) => {
                texts.extend(several.iter().map(|(name, text)| format!("{name}: {text}")));
            }
            _ => {}
        }
    }
    if texts.is_empty() { document.to_string() } else { texts.join("; ") }
}

/// Returns a text on one line without those secrets.
pub fn clean(text: &str, secrets: &[Secret]) -> String {
    let mut text = text.to_owned();
    for secret in secrets.iter().filter(|secret| !secret.is_empty()) {
        text = text.replace(secret.expose(), "***");
        // of an address, the part behind the host is the secret
        if let Ok(url) = Url::parse(secret.expose()) {
            let path = url.path().trim_matches('/');
            for part in [path, url.query().unwrap_or_default()] {
                if part.len() > 4 {
                    text = text.replace(part, "***");
                }
            }
        }
    }
    sanitize::one_line(&text, MAX_REASON)
}

/// Returns host and port, which may be shown.
fn place(url: &Url) -> String {
    let host = url.host_str().unwrap_or_default();
    url.port().map_or_else(|| host.to_owned(), |port| format!("{host}:{port}"))
}

/// Returns the pause that an answer asks for, in whole seconds; a date is not read.
fn retry_after(headers: &HeaderMap) -> Option<Duration> {
    headers.get(RETRY_AFTER)?.to_str().ok()?.trim().parse().ok().map(Duration::from_secs)
}

/// A body that was read.
struct Body {
    bytes: Vec<u8>,
    is_cut: bool,
}

async fn read(mut response: Response, most: usize) -> reqwest::Result<Body> {
    let mut bytes = Vec::new();
    while let Some(chunk) = response.chunk().await? {
        let room = most - bytes.len();
        bytes.extend_from_slice(&chunk[..chunk.len().min(room)]);
        if chunk.len() > room {
            return Ok(Body { bytes, is_cut: true });
        }
    }
    Ok(Body { bytes, is_cut: false })
}

/// Reads the address of a service: `https`, or `http` on loopback.
pub fn address(text: &str) -> Result<Url, &'static str> {
    let url = Url::parse(text).map_err(|_| "is no address")?;
    let host = url.host_str().filter(|host| !host.is_empty()).ok_or("names no host")?;
    if !url.username().is_empty() || url.password().is_some() {
        return Err("holds a login");
    }
    match url.scheme() {
        "https" => Ok(url),
        "http" if redact::is_loopback(host) => Ok(url),
        "http" => Err("begins with http://; only a service on this machine may be addressed so"),
        _ => Err("does not begin with https://"),
    }
}

/// Returns an address with further segments of its path, each escaped.
pub fn at(base: &Url, segments: &[&str]) -> Url {
    let mut url = base.clone();
    if let Ok(mut path) = url.path_segments_mut() {
        path.pop_if_empty().extend(segments);
    }
    url
}
