//! How each service reads a request: what it answers, what effect it has, and what it refuses. Written from their documentation, and
//! from no code of the sender.

use axum::body::Bytes;
use axum::http::{HeaderMap, Method, StatusCode, Uri};
use ring::hmac;
use serde_json::{Value, json};

use super::{Receiver, SECRET};

/// A request.
#[derive(Debug, Clone, Copy)]
pub(super) struct Call<'a> {
    pub(super) method: &'a Method,
    pub(super) uri: &'a Uri,
    pub(super) headers: &'a HeaderMap,
    pub(super) body: &'a Bytes,
}

/// An answer.
#[derive(Debug, PartialEq)]
pub(super) struct Answer {
    pub(super) status: StatusCode,
    pub(super) body: Value,
    /// What identifies the effect of the request; none: it has none.
    pub(super) key: Option<String>,
}

impl Call<'_> {
    fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }

    fn json(&self) -> Result<Value, String> {
        serde_json::from_slice(self.body).map_err(|error| format!("the body is no JSON: {error}"))
    }

    fn expect(&self, name: &str, expected: &str) -> Result<(), String> {
        let is_so = self.header(name) == expected;
        is_so.then_some(()).ok_or_else(|| format!("header {name} is {:?}", self.header(name)))
    }

    fn query(&self, name: &str) -> Option<&str> {
        let pairs = self.uri.query()?.split('&').filter_map(|pair| pair.split_once('='));
        pairs.into_iter().find(|(known, _)| *known == name).map(|(_, value)| value)
    }
}

/// Answers a request. `messages` are those of the Slack channel.
pub(super) fn answer(
    receiver: Receiver,
    call: &Call<'_>,
    messages: &mut Vec<Value>,
) -> Result<Answer, String> {
    match receiver {
        Receiver::Webhook => webhook(call),
        Receiver::PagerDuty => pagerduty(call),
        Receiver::Opsgenie => opsgenie(call),
        Receiver::Slack => slack(call, messages),
    }
}

fn accepted(status: StatusCode, key: String) -> Answer {
    Answer { status, body: json!({ "status": "success" }), key: Some(key) }
}

fn text(document: &Value, pointer: &str) -> Result<String, String> {
    let found = document.pointer(pointer).and_then(Value::as_str).filter(|text| !text.is_empty());
    found.map(str::to_owned).ok_or_else(|| format!("{pointer} is missing"))
}

/// A CloudEvent in structured mode, signed with `HMAC-SHA256("timestamp.body")`.
fn webhook(call: &Call<'_>) -> Result<Answer, String> {
    let signed = [call.header("firewatch-timestamp").as_bytes(), b".", call.body].concat();
    let signature =
        call.header("firewatch-signature").strip_prefix("v1=").and_then(|text| hex::decode(text).ok());
    let key = hmac::Key::new(hmac::HMAC_SHA256, SECRET.as_bytes());
    hmac::verify(&key, &signed, &signature.unwrap_or_default())
        .map_err(|_| "the signature is wrong".to_owned())?;
    call.expect("content-type", "application/cloudevents+json; charset=utf-8")?;
    let event = call.json()?;
    for field in ["/specversion", "/source", "/type", "/subject", "/data/kind"] {
        text(&event, field)?;
    }
    let id = text(&event, "/id")?;
    call.expect("idempotency-key", &id)?;
    Ok(accepted(StatusCode::OK, id))
}

fn pagerduty(call: &Call<'_>) -> Result<Answer, String> {
    let event = call.json()?;
    if call.uri.path() != "/v2/enqueue" || event["routing_key"] != SECRET {
        return Err(format!("{} has no such integration", call.uri.path()));
    }
    let (alert, action) = (text(&event, "/dedup_key")?, text(&event, "/event_action")?);
    match action.as_str() {
        "trigger" => {
            for field in ["/payload/summary", "/payload/source", "/payload/severity"] {
                text(&event, field)?;
            }
        }
        "acknowledge" | "resolve" => {}
        other => return Err(format!("event_action is {other}")),
    }
    Ok(accepted(StatusCode::ACCEPTED, format!("{alert}/{action}")))
}

fn opsgenie(call: &Call<'_>) -> Result<Answer, String> {
    call.expect("authorization", &format!("GenieKey {SECRET}"))?;
    let body = call.json()?;
    let path: Vec<&str> = call.uri.path().split('/').skip(1).collect();
    let key = match path.as_slice() {
        ["v2", "alerts"] => {
            text(&body, "/message")?;
            format!("{}/create", text(&body, "/alias")?)
        }
        ["v2", "alerts", alias, action @ ("close" | "acknowledge" | "notes")]
            if call.query("identifierType") == Some("alias") =>
        {
            text(&body, "/note")?;
            format!("{alias}/{action}")
        }
        _ => return Err(format!("{} is unknown", call.uri.path())),
    };
    Ok(accepted(StatusCode::ACCEPTED, key))
}

/// Posts, edits and lists messages. The channel has no limit here, and no page.
fn slack(call: &Call<'_>, messages: &mut Vec<Value>) -> Result<Answer, String> {
    call.expect("authorization", &format!("Bearer {SECRET}"))?;
    let method = call.uri.path().trim_start_matches('/');
    let done = |body: Value, key: Option<String>| Answer { status: StatusCode::OK, body, key };
    if *call.method == Method::GET {
        let thread = match method {
            "conversations.history" => None,
            "conversations.replies" => Some(call.query("ts").ok_or("ts is missing")?),
            other => return Err(format!("method {other} is unknown")),
        };
        let found = messages
            .iter()
            .rev()
            .filter(|one| thread.is_none_or(|ts| one["ts"] == ts || one["thread_ts"] == ts));
        let found: Vec<&Value> = found.collect();
        return Ok(done(json!({ "ok": true, "messages": found }), None));
    }
    let body = call.json()?;
    let channel = text(&body, "/channel")?;
    text(&body, "/text")?;
    match method {
        "chat.postMessage" => {
            let id = text(&body, "/metadata/event_payload/notification_id")?;
            let ts = format!("1700000000.{:06}", messages.len() + 1);
            let (thread, metadata) = (&body["thread_ts"], &body["metadata"]);
            messages.push(json!({ "ts": ts, "thread_ts": thread, "metadata": metadata }));
            Ok(done(json!({ "ok": true, "channel": channel, "ts": ts }), Some(id)))
        }
        "chat.update" => {
            let ts = text(&body, "/ts")?;
            if !messages.iter().any(|one| one["ts"] == ts.as_str()) {
                return Err("message_not_found".to_owned());
            }
            Ok(done(json!({ "ok": true, "channel": channel, "ts": ts }), None))
        }
        other => Err(format!("method {other} is unknown")),
    }
}
