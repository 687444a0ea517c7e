//! The methods of Slack's Web API that the channel calls. An error comes with status 200 and `"ok": false`.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use reqwest::Url;
use serde_json::{Value, json};
use shared::ids::EventId;
use shared::service::Secret;
use shared::store::Notification;
use shared::text::sanitize;

use crate::channel::Failure;
use crate::channel::http::{Http, Request, at};

/// `event_type` of the metadata of our messages.
const EVENT_TYPE: &str = "firewatch_notification";
/// Messages that are searched for our own.
const SEARCHED: &str = "200";
/// Pages of channels that are searched for a name, of [`PAGE`] channels each.
const MOST_PAGES: usize = 20;
const PAGE: &str = "200";
/// Time between two messages to one channel.
const INTERVAL: Duration = Duration::from_secs(1);
/// Errors of `chat.postMessage` that are about the blocks: the text alone may pass.
const ABOUT_BLOCKS: [&str; 4] =
    ["invalid_blocks", "invalid_blocks_format", "msg_blocks_too_long", "msg_too_long"];
/// Errors that pass.
const PASSING: [&str; 8] = [
    "ratelimited",
    "rate_limited",
    "internal_error",
    "fatal_error",
    "service_unavailable",
    "request_timeout",
    "team_added_to_org",
    "accesslimited",
];

/// Why a method failed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Error {
    /// Slack answered with this error.
    Refused(String),
    /// There was no answer, or it may be another one later.
    Failed(Failure),
}

impl Error {
    /// Returns the failure of a method.
    pub fn of(self, method: &str) -> Failure {
        match self {
            Self::Failed(failure) => failure,
            Self::Refused(error) => {
                let reason = format!("Slack refused {method}: {error}");
                if PASSING.contains(&error.as_str()) {
                    Failure::Transient(reason)
                } else {
                    Failure::Permanent(reason)
                }
            }
        }
    }

    /// Returns whether the answer will stay the same.
    fn is_final(&self) -> bool {
        matches!(self, Self::Refused(error) if !PASSING.contains(&error.as_str()))
    }

    fn is_about_blocks(&self) -> bool {
        matches!(self, Self::Refused(error) if ABOUT_BLOCKS.contains(&error.as_str()))
    }
}

/// A message in Slack.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Place {
    /// Id of the channel.
    pub channel: String,
    /// Time of the message, which is its id in the channel.
    pub ts: String,
}

/// A message to post.
pub struct Post<'a> {
    /// Channel: its id, or `#name`.
    pub channel: &'a str,
    /// First message of the thread; none: the message begins one.
    pub thread: Option<&'a str>,
    /// Text where blocks are not shown.
    pub text: String,
    /// Blocks.
    pub blocks: Vec<Value>,
}

/// A client of the Web API.
#[derive(Clone)]
pub struct Api {
    http: Http,
    base: Url,
    token: Secret,
    ids: Arc<Mutex<BTreeMap<String, String>>>,
}

impl Api {
    /// Makes a client.
    pub fn new(http: Http, base: Url, token: Secret) -> Self {
        Self { http, base, token, ids: Arc::default() }
    }

    /// Posts the message of a notification, unless it is there: posting has no key, so after an attempt whose outcome is not known
    /// the message is looked for. Where the history cannot be read it is posted without that.
    pub async fn post(&self, notification: &Notification, post: Post<'_>) -> Result<Place, Failure> {
        match self.find(notification.id, &post).await {
            Ok(Some(place)) => return Ok(place),
            Ok(None) => {}
            Err(error) if error.is_final() => {
                tracing::debug!(?error, "history cannot be read; the message is posted unsearched");
            }
            Err(error) => return Err(error.of("the search for the message")),
        }
        self.http.turn(&format!("slack {}", post.channel), INTERVAL).await?;
        let mut body = json!({
            "channel": post.channel,
            "text": post.text,
            "blocks": post.blocks,
            "parse": "none",
            "link_names": false,
            "unfurl_links": false,
            "unfurl_media": false,
            "metadata": {
                "event_type": EVENT_TYPE,
                "event_payload": { "notification_id": notification.id, "incident_id": notification.incident_id },
            },
        });
        if let Some(thread) = post.thread {
            body["thread_ts"] = thread.into();
        }
        let answer = match self.call("chat.postMessage", &body).await {
            Err(error) if error.is_about_blocks() => {
                tracing::warn!(?error, notification = %notification.id, "blocks refused; text posted instead");
                body["blocks"] = json!([]);
                self.call("chat.postMessage", &body).await
            }
            answer => answer,
        };
        let answer = answer.map_err(|error| error.of("chat.postMessage"))?;
        place(&answer, post.channel)
            .ok_or_else(|| Failure::Permanent("Slack accepted the message and did not name it".to_owned()))
    }

    /// Replaces a message. One that is gone is left alone.
    pub async fn update(&self, at: &Place, text: &str, blocks: Vec<Value>) -> Result<(), Failure> {
        let body = json!({ "channel": at.channel, "ts": at.ts, "text": text, "blocks": blocks });
        match self.call("chat.update", &body).await {
            Ok(_) => Ok(()),
            Err(error) if error.is_final() => {
                tracing::warn!(?error, "the first message of the thread cannot be edited");
                Ok(())
            }
            Err(error) => Err(error.of("chat.update")),
        }
    }

    async fn find(&self, id: EventId, post: &Post<'_>) -> Result<Option<Place>, Error> {
        let channel = self.id_of(post.channel).await?;
        let mut query =
            vec![("channel", channel.as_str()), ("limit", SEARCHED), ("include_all_metadata", "true")];
        let method = match post.thread {
            Some(thread) => {
                query.push(("ts", thread));
                "conversations.replies"
            }
            None => "conversations.history",
        };
        let answer = self.read(method, &query).await?;
        let messages = answer["messages"].as_array().map(Vec::as_slice).unwrap_or_default();
        let id = id.to_string();
        let ours = messages.iter().find(|message| {
            let metadata = &message["metadata"];
            metadata["event_type"] == EVENT_TYPE
                && metadata["event_payload"]["notification_id"] == id.as_str()
        });
        Ok(ours.and_then(|message| message["ts"].as_str()).map(|ts| Place { channel, ts: ts.to_owned() }))
    }

    /// Returns the id of a channel that is named by `#name`.
    async fn id_of(&self, channel: &str) -> Result<String, Error> {
        let Some(name) = channel.strip_prefix('#') else { return Ok(channel.to_owned()) };
        if let Some(id) = self.ids.lock().unwrap_or_else(PoisonError::into_inner).get(name) {
            return Ok(id.clone());
        }
        let mut cursor = String::new();
        for _ in 0..MOST_PAGES {
            let query = [
                ("limit", PAGE),
                ("exclude_archived", "true"),
                ("types", "public_channel,private_channel"),
                ("cursor", cursor.as_str()),
            ];
            let answer = self.read("conversations.list", &query).await?;
            let channels = answer["channels"].as_array().map(Vec::as_slice).unwrap_or_default();
            let found = channels.iter().find(|one| one["name"] == name).and_then(|one| one["id"].as_str());
            if let Some(id) = found {
                let mut ids = self.ids.lock().unwrap_or_else(PoisonError::into_inner);
                ids.insert(name.to_owned(), id.to_owned());
                return Ok(id.to_owned());
            }
            answer["response_metadata"]["next_cursor"].as_str().unwrap_or_default().clone_into(&mut cursor);
            if cursor.is_empty() {
                break;
            }
        }
        Err(Error::Refused("channel_not_found".to_owned()))
    }

    async fn call(&self, method: &str, body: &Value) -> Result<Value, Error> {
        self.send(Request::post(at(&self.base, &[method]), body)).await
    }

    async fn read(&self, method: &str, query: &[(&str, &str)]) -> Result<Value, Error> {
        let mut url = at(&self.base, &[method]);
        url.query_pairs_mut().extend_pairs(query.iter().filter(|(_, value)| !value.is_empty()));
        self.send(Request::get(url)).await
    }

    async fn send(&self, request: Request) -> Result<Value, Error> {
        let login = format!("Bearer {}", self.token.expose());
        let request = request.authorised(&login, &self.token).map_err(Error::Failed)?;
        let answer = self.http.send(request).await.map_err(Error::Failed)?;
        if answer.is_cut {
            return Err(Error::Refused("the answer is too long".to_owned()));
        }
        let answer = answer.json();
        if answer["ok"] == true {
            return Ok(answer);
        }
        match answer["error"].as_str() {
            Some(error) => Err(Error::Refused(sanitize::one_line(error, sanitize::NAME))),
            None => Err(Error::Failed(Failure::Transient("Slack's answer is no JSON".to_owned()))),
        }
    }
}

fn place(answer: &Value, channel: &str) -> Option<Place> {
    let ts = answer["ts"].as_str()?.to_owned();
    Some(Place { channel: answer["channel"].as_str().unwrap_or(channel).to_owned(), ts })
}
