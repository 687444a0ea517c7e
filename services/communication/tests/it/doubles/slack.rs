//! Slack: `chat.postMessage`, `chat.update`, `conversations.history`, `.replies` and `.list`, and an incoming webhook.

use serde_json::{Value, json};

use super::{Reply, Request, Service, length};

pub(crate) const TOKEN: &str = "xoxb-1-secret-token";
pub(crate) const HOOK: &str = "/services/T000/B000/secrethook";

/// A message.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) channel: String,
    pub(crate) ts: String,
    pub(crate) thread_ts: Option<String>,
    pub(crate) body: Value,
    pub(crate) edits: usize,
}

/// A workspace with the channel `#ops`, `C0123`.
#[derive(Default)]
pub(crate) struct Slack {
    pub(crate) messages: Vec<Message>,
    /// The bot may not read the history of channels.
    pub(crate) is_blind: bool,
    /// Blocks are refused, whatever they hold.
    pub(crate) refuses_blocks: bool,
}

impl Service for Slack {
    fn answer(&mut self, request: &Request) -> Reply {
        if request.path == HOOK {
            return match refusal(&request.json()) {
                None => {
                    self.add("C0123", &request.json());
                    Reply::text(200, "ok")
                }
                Some(error) => Reply::text(400, error),
            };
        }
        if request.path.starts_with("/services/") {
            return Reply::text(403, "invalid_token");
        }
        let answer = if request.header("authorization") == format!("Bearer {TOKEN}") {
            self.call(request).map_or_else(
                |error| json!({ "ok": false, "error": error }),
                |mut answer| {
                    answer["ok"] = true.into();
                    answer
                },
            )
        } else {
            json!({ "ok": false, "error": "invalid_auth" })
        };
        Reply::json(200, &answer)
    }
}

impl Slack {
    fn call(&mut self, request: &Request) -> Result<Value, &'static str> {
        let body = request.json();
        match request.path.rsplit('/').next().unwrap_or_default() {
            "chat.postMessage" => self.post(&body),
            "chat.update" => self.update(&body),
            "conversations.history" => self.read(request, |_| true),
            "conversations.replies" => {
                let ts = request.query["ts"].clone();
                self.read(request, |one| one.ts == ts || one.thread_ts.as_ref() == Some(&ts))
            }
            "conversations.list" if self.is_blind => Err("missing_scope"),
            "conversations.list" => Ok(match request.query.get("cursor") {
                None => json!({ "channels": [{ "id": "C0999", "name": "other" }],
                                "response_metadata": { "next_cursor": "page2" } }),
                Some(_) => json!({ "channels": [{ "id": "C0123", "name": "ops" }],
                                   "response_metadata": { "next_cursor": "" } }),
            }),
            _ => Err("unknown_method"),
        }
    }

    fn post(&mut self, body: &Value) -> Result<Value, &'static str> {
        let channel = match body["channel"].as_str() {
            Some("#ops" | "C0123") => "C0123",
            _ => return Err("channel_not_found"),
        };
        if self.refuses_blocks && body["blocks"].as_array().is_some_and(|blocks| !blocks.is_empty()) {
            return Err("invalid_blocks");
        }
        if let Some(error) = refusal(body) {
            return Err(error);
        }
        if body["metadata"]["event_type"].as_str().is_none() || !body["metadata"]["event_payload"].is_object()
        {
            return Err("invalid_metadata_format");
        }
        let ts = self.add(channel, body);
        Ok(json!({ "channel": channel, "ts": ts, "message": body }))
    }

    /// Adds a message of anybody.
    pub(crate) fn add(&mut self, channel: &str, body: &Value) -> String {
        let ts = format!("1700000000.{:06}", self.messages.len() + 1);
        self.messages.push(Message {
            channel: channel.to_owned(),
            ts: ts.clone(),
            thread_ts: body["thread_ts"].as_str().map(str::to_owned),
            body: body.clone(),
            edits: 0,
        });
        ts
    }

    fn update(&mut self, body: &Value) -> Result<Value, &'static str> {
        if let Some(error) = refusal(body) {
            return Err(error);
        }
        let found = self
            .messages
            .iter_mut()
            .find(|one| body["channel"] == one.channel.as_str() && body["ts"] == one.ts.as_str());
        let message = found.ok_or("message_not_found")?;
        message.body["text"] = body["text"].clone();
        message.body["blocks"] = body["blocks"].clone();
        message.edits += 1;
        Ok(json!({ "channel": message.channel, "ts": message.ts }))
    }

    fn read(&self, request: &Request, wanted: impl Fn(&Message) -> bool) -> Result<Value, &'static str> {
        if self.is_blind {
            return Err("missing_scope");
        }
        if !request.query["channel"].starts_with('C') {
            return Err("channel_not_found");
        }
        let shows_metadata = request.query.get("include_all_metadata").is_some_and(|value| value == "true");
        let limit = request.query["limit"].parse().unwrap();
        let messages = self.messages.iter().rev().filter(|one| wanted(one)).take(limit).map(|one| {
            let metadata = if shows_metadata { one.body["metadata"].clone() } else { Value::Null };
            json!({ "ts": one.ts, "text": one.body["text"], "metadata": metadata })
        });
        Ok(json!({ "messages": messages.collect::<Vec<_>>() }))
    }
}

/// Returns the error that the limits of the Block Kit give.
fn refusal(body: &Value) -> Option<&'static str> {
    let blocks = body["blocks"].as_array().map(Vec::as_slice).unwrap_or_default();
    if length(&body["text"]) > 40_000 {
        return Some("msg_too_long");
    }
    if blocks.is_empty() && length(&body["text"]) == 0 {
        return Some("no_text");
    }
    let is_fine = |block: &Value| match block["type"].as_str() {
        Some("header") => {
            block["text"]["type"] == "plain_text" && (1..=150).contains(&length(&block["text"]["text"]))
        }
        Some("section") => (1..=3_000).contains(&length(&block["text"]["text"])),
        Some("context") => block["elements"].as_array().is_some_and(|elements| {
            elements.len() <= 10 && elements.iter().all(|one| (1..=3_000).contains(&length(&one["text"])))
        }),
        Some("actions") => block["elements"].as_array().is_some_and(|elements| {
            (1..=25).contains(&elements.len())
                && elements.iter().all(|one| {
                    length(&one["text"]["text"]) <= 75
                        && length(&one["value"]) <= 2_000
                        && length(&one["url"]) <= 3_000
                        && (1..=255).contains(&length(&one["action_id"]))
                })
        }),
        _ => false,
    };
    (blocks.len() > 50 || !blocks.iter().all(is_fine)).then_some("invalid_blocks")
}
