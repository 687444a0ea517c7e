//! Receivers that are reached by HTTP: doubles that keep to the interface of each service, record what they accept, and misbehave as
//! planned. Also the settings and routes by which the run notifies them.

mod services;

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use anyhow::{Context, Result, ensure};
use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::State;
use axum::http::{HeaderMap, Method, StatusCode, Uri, header};
use axum::response::{IntoResponse, Response};
use jiff::Timestamp;
use serde::Serialize;
use serde_json::{Value, json};
use shared::clock::{Clock, SystemClock};
use shared::oncall::{Roster, Rotation};
use shared::routes::Document;
use stack::Stack;
use tokio::net::TcpListener;
use tokio::task::JoinHandle;

use super::plan::troubles::{Trouble, TroubleKind};
use services::Call;

/// Environment of which people read digests.
pub const DIGESTED: &str = "canary";
/// Key of the signatures, token and keys of all services.
const SECRET: &str = "oracle-secret";
/// Channel in Slack.
const SLACK_CHANNEL: &str = "C0ORACLE1";
/// Longer than any test.
const FOREVER: Duration = Duration::from_hours(1);
/// Who gets mail at once, and who gets digests.
const ON_CALL: &str = "mail:oncall@shop.example";
const READER: &str = "mail:reader@shop.example";

/// A receiver.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Receiver {
    /// A program that takes CloudEvents.
    Webhook,
    /// PagerDuty's Events API v2.
    PagerDuty,
    /// Opsgenie's Alerts API.
    Opsgenie,
    /// Slack's Web API.
    Slack,
}

impl Receiver {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Webhook, Self::PagerDuty, Self::Opsgenie, Self::Slack];

    /// Returns the name of its channel in rows.
    pub fn channel(self) -> &'static str {
        match self {
            Self::Webhook => "webhook",
            Self::PagerDuty => "pagerduty",
            Self::Opsgenie => "opsgenie",
            Self::Slack => "slack",
        }
    }

    /// Returns the receiver of a channel.
    pub fn of(channel: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|receiver| receiver.channel() == channel)
    }

    fn entry(self) -> String {
        match self {
            Self::Slack => format!("slack:{SLACK_CHANNEL}"),
            named => format!("receiver:{}", named.channel()),
        }
    }

    /// Returns the settings by which agents reach it at `url`.
    fn settings(self, url: &str) -> Vec<(String, String)> {
        let name = self.channel();
        let fields = match self {
            Self::Webhook => vec![("TYPE", name), ("URL", url), ("SECRET", SECRET)],
            Self::PagerDuty => vec![("TYPE", name), ("API_URL", url), ("ROUTING_KEY", SECRET)],
            Self::Opsgenie => vec![("TYPE", name), ("API_URL", url), ("API_KEY", SECRET)],
            Self::Slack => vec![("API_URL", url), ("TOKEN", SECRET)],
        };
        let place = match self {
            Self::Slack => "SLACK".to_owned(),
            named => format!("RECEIVERS__{}", named.channel().to_uppercase()),
        };
        fields
            .into_iter()
            .map(|(field, value)| (format!("FIREWATCH_COMMUNICATION__{place}__{field}"), value.to_owned()))
            .collect()
    }
}

/// A request that had an effect at a receiver.
#[derive(Debug, Clone)]
pub struct Acceptance {
    /// When.
    pub at: Timestamp,
    /// Where.
    pub receiver: Receiver,
    /// What identifies its effect: the id of a notification, or an incident and what happens to its alert.
    pub key: String,
    /// Whether the answer was sent; otherwise the connection was broken off.
    pub is_answered: bool,
}

/// What receivers recorded.
#[derive(Debug, Clone, Default)]
pub struct Record {
    /// Requests that had an effect, in their order.
    pub accepted: Vec<Acceptance>,
    /// Requests that the service would refuse for good, with the reason.
    pub refused: Vec<(Receiver, String)>,
    /// Troubles that have begun.
    pub troubles: Vec<Trouble>,
    /// Requests that met one.
    pub disturbed: usize,
}

/// The doubles of a run. They end with it.
pub struct Receivers {
    urls: BTreeMap<Receiver, String>,
    record: Arc<Mutex<Record>>,
    doubles: Vec<Arc<Double>>,
    servers: Vec<JoinHandle<()>>,
}

impl Receivers {
    /// Starts a double of each receiver, on a port of its own: agents stop asking a host that fails.
    pub async fn start(troubles: &[Trouble]) -> Result<Self> {
        let record = Arc::new(Mutex::new(Record::default()));
        let mut receivers = Self { urls: BTreeMap::new(), record, doubles: Vec::new(), servers: Vec::new() };
        for receiver in Receiver::ALL {
            let listener = TcpListener::bind("127.0.0.1:0").await?;
            receivers.urls.insert(receiver, format!("http://{}", listener.local_addr()?));
            let own = troubles.iter().filter(|trouble| trouble.receiver == receiver).cloned();
            let double = Arc::new(Double {
                receiver,
                record: Arc::clone(&receivers.record),
                ahead: Mutex::new(Ahead { troubles: own.collect(), answered: 0, current: None }),
                messages: Mutex::default(),
            });
            receivers.doubles.push(Arc::clone(&double));
            let router = Router::new().fallback(take).with_state(double);
            receivers.servers.push(tokio::spawn(async move {
                // it ends with the run
                let _ = axum::serve(listener, router).await;
            }));
        }
        Ok(receivers)
    }

    /// Returns the settings of agents.
    pub fn settings(&self) -> BTreeMap<String, String> {
        let own = [
            ("DIGEST_MINUTES", "1"),
            // what waits for one of these limits waits for longer than a run
            ("HOURLY_MESSAGES", "1000"),
            ("STORM_MESSAGES", "10000"),
            ("RETRY_MAX_MS", "5000"),
            ("COMMAND_TIMEOUT_MS", "5000"),
        ];
        let own = own.map(|(name, value)| (format!("FIREWATCH_COMMUNICATION__{name}"), value.to_owned()));
        let each = self.urls.iter().flat_map(|(receiver, url)| receiver.settings(url));
        own.into_iter().chain(each).collect()
    }

    /// Lets a receiver misbehave until it heals.
    pub fn disturb(&self, receiver: Receiver, kind: TroubleKind) {
        for double in self.doubles.iter().filter(|double| double.receiver == receiver) {
            lock(&double.ahead).current = Some((kind, Instant::now() + FOREVER));
        }
    }

    /// Ends what goes wrong at all receivers.
    pub fn heal(&self) {
        for double in &self.doubles {
            lock(&double.ahead).current = None;
        }
    }

    /// Returns what was recorded so far.
    pub fn record(&self) -> Record {
        lock(&self.record).clone()
    }
}

impl Drop for Receivers {
    fn drop(&mut self) {
        for server in &self.servers {
            server.abort();
        }
    }
}

/// Replaces the routes that were seeded by those of the run: all receivers are notified at once of everything, whatever the hour, and
/// people by mail: at once, or, of one environment, in digests.
pub async fn route(stack: &Stack) -> Result<()> {
    let (rotation, routes) = routes()?;
    Ok(stack.store()?.replace_oncall(&[rotation], Some(&routes)).await?)
}

fn routes() -> Result<(Rotation, Document)> {
    let rotation = json!({
        "name": "oracle", "team": "oracle", "zone": "UTC", "addresses": [ON_CALL],
        "people": [{ "name": "pat", "addresses": [ON_CALL] }],
        "layers": [{ "name": "all", "people": ["pat"], "handover": "2026-01-05T08:00", "length": "12h" }],
        // due after the run
        "escalations": [{ "name": "oracle", "levels": [{ "after_minutes": 15, "notify": [{ "entry": ON_CALL }] }] }],
    });
    let rotation: Rotation = serde_json::from_value(rotation).context("rotation")?;
    let services: Vec<Value> = Receiver::ALL.map(|receiver| json!({ "entry": receiver.entry() })).into();
    let document = json!({
        "version": 1,
        "receivers": { "services": services, "people": [{ "entry": ON_CALL }], "readers": [{ "entry": READER }] },
        "fallback": ["people"],
        "routes": [
            { "name": "services", "receivers": ["services"], "escalation": "oracle", "continue": true },
            { "name": "digests", "matchers": format!("environment=\"{DIGESTED}\""), "receivers": ["readers"],
              "deliver": "digest" },
            { "name": "people", "receivers": ["people"] },
        ],
    });
    let document: Document = serde_json::from_value(document).context("routes")?;
    let roster = Roster::new(vec![rotation.clone()]).map_err(|problems| anyhow::anyhow!("{problems:?}"))?;
    let problems = document.problems(Some(&roster));
    ensure!(problems.is_empty(), "{problems:?}");
    Ok((rotation, document))
}

/// A receiver with its troubles.
struct Double {
    receiver: Receiver,
    record: Arc<Mutex<Record>>,
    ahead: Mutex<Ahead>,
    /// Messages that were posted to Slack.
    messages: Mutex<Vec<Value>>,
}

/// Troubles that are to come, and the one that is there.
struct Ahead {
    troubles: VecDeque<Trouble>,
    answered: u32,
    current: Option<(TroubleKind, Instant)>,
}

impl Ahead {
    /// Returns what happens to the next request, and the trouble that begins with it.
    fn next(&mut self, now: Instant) -> (Option<TroubleKind>, Option<Trouble>) {
        if let Some((kind, _)) = self.current.filter(|(_, until)| now < *until) {
            return (Some(kind), None);
        }
        self.current = None;
        if self.troubles.front().is_none_or(|trouble| trouble.before > self.answered) {
            self.answered += 1;
            return (None, None);
        }
        self.answered = 0;
        let begun = self.troubles.pop_front();
        self.current =
            begun.as_ref().map(|trouble| (trouble.kind, now + Duration::from_millis(trouble.for_ms)));
        (begun.as_ref().map(|trouble| trouble.kind), begun)
    }
}

impl Double {
    fn trouble(&self) -> Option<TroubleKind> {
        let (kind, begun) = lock(&self.ahead).next(Instant::now());
        let mut record = lock(&self.record);
        record.disturbed += usize::from(kind.is_some());
        record.troubles.extend(begun);
        kind
    }

    /// Answers a request as the service does, and records its effect.
    fn answer(&self, call: &Call<'_>, is_answered: bool) -> (StatusCode, Value) {
        let outcome = services::answer(self.receiver, call, &mut lock(&self.messages));
        let mut record = lock(&self.record);
        match outcome {
            Ok(answer) => {
                record.accepted.extend(answer.key.map(|key| Acceptance {
                    at: SystemClock.now(),
                    receiver: self.receiver,
                    key,
                    is_answered,
                }));
                (answer.status, answer.body)
            }
            Err(reason) => {
                record.refused.push((self.receiver, reason.clone()));
                (StatusCode::BAD_REQUEST, json!({ "ok": false, "error": reason, "message": reason }))
            }
        }
    }
}

async fn take(
    State(double): State<Arc<Double>>,
    method: Method,
    uri: Uri,
    headers: HeaderMap,
    body: Bytes,
) -> Response {
    let call = Call { method: &method, uri: &uri, headers: &headers, body: &body };
    match double.trouble() {
        None => {
            let (status, body) = double.answer(&call, true);
            (status, axum::Json(body)).into_response()
        }
        Some(TroubleKind::Fails(status)) => {
            StatusCode::from_u16(status).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR).into_response()
        }
        // until its client gives up
        Some(TroubleKind::Hangs) => std::future::pending().await,
        Some(TroubleKind::Busy { retry_after_s }) => {
            let pause = [(header::RETRY_AFTER, retry_after_s.to_string())];
            (StatusCode::TOO_MANY_REQUESTS, pause).into_response()
        }
        Some(TroubleKind::BreaksOff) => {
            let (status, _) = double.answer(&call, false);
            let end = futures::stream::iter([Err::<Bytes, _>(io::Error::from(io::ErrorKind::BrokenPipe))]);
            (status, Body::from_stream(end)).into_response()
        }
    }
}

fn lock<T>(mutex: &Mutex<T>) -> MutexGuard<'_, T> {
    mutex.lock().unwrap_or_else(PoisonError::into_inner)
}

#[cfg(test)]
mod tests;
