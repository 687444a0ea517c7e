//! Jira: an issue for each incident, a comment for each later message, and a transition at its end. Creating has no key: an issue is
//! found by its label `firewatch-INCIDENT`, a comment by its last line, before another one is written.

pub mod api;
pub mod text;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::http::Http;
use super::named::Named;
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::message::{Message, Status};
use crate::options::Options;
use crate::receivers::{Jira as Settings, Receiver};
use api::Api;

/// Projects of Jira.
#[derive(Clone)]
pub struct Jira {
    receivers: Named<Settings>,
    http: Http,
    link_base: String,
}

impl Jira {
    /// The channel's name.
    pub const NAME: &str = "jira";

    /// Builds the channel from valid options.
    pub fn new(options: &Options, http: &Http) -> Self {
        let receivers = Named::new(&options.receivers, |receiver| match receiver {
            Receiver::Jira(settings) => Some(settings.clone()),
            _ => None,
        });
        Self { receivers, http: http.clone(), link_base: options.link_base_url.clone() }
    }

    async fn write(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let (_, settings) = self.receivers.of(delivery.notification)?;
        let message = delivery.message(&self.link_base);
        let api = Api::new(&self.http, settings)?;
        let known = delivery.opening.and_then(|opening| opening.receipt());
        let Some(key) = known.and_then(|receipt| receipt.get("key")?.as_str()) else {
            return create(&api, &message, settings).await;
        };
        let id = delivery.notification.id;
        let mut answer = match api.comment_of(key, id).await? {
            Some(comment) => format!("comment {comment} of {key} is there"),
            None => {
                format!("comment {} added to {key}", api.comment(key, &text::comment(&message, id)).await?)
            }
        };
        let is_end = message.status == Status::Resolved && message.changes_status;
        if is_end && !settings.resolve_transition.is_empty() {
            let done = if api.transition(key, &settings.resolve_transition).await? {
                "done".to_owned()
            } else {
                "not offered for the issue as it is".to_owned()
            };
            answer = format!("{answer}; transition {:?}: {done}", settings.resolve_transition);
        }
        Ok(receipt(key, answer))
    }
}

async fn create(api: &Api<'_>, message: &Message, settings: &Settings) -> Result<Receipt, Failure> {
    let label = text::label(message);
    if let Some(key) = api.issue_of(&label).await? {
        return Ok(receipt(&key, format!("issue {key} is there")));
    }
    let key = api.create(&issue(message, settings)).await?;
    Ok(receipt(&key, format!("issue {key} created")))
}

fn issue(message: &Message, settings: &Settings) -> Value {
    json!({ "fields": {
        "project": { "key": settings.project },
        "issuetype": { "name": settings.issue_type },
        "summary": text::summary(message),
        "description": text::description(message),
        "labels": ["firewatch", text::label(message)],
    }})
}

fn receipt(key: &str, answer: String) -> Receipt {
    let envelope = Map::from_iter([("key".to_owned(), key.into())]);
    Receipt { answer, envelope, ..Receipt::default() }
}

#[async_trait]
impl Channel for Jira {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn address(&self, entry: &str) -> Option<Address> {
        self.receivers.address(entry)
    }

    fn is_named(&self) -> bool {
        true
    }

    fn preview(&self, delivery: Delivery<'_>) -> Value {
        let message = delivery.message(&self.link_base);
        match (self.receivers.of(delivery.notification), delivery.opening) {
            (Err(failure), _) => failure.to_string().into(),
            (Ok((_, settings)), None) => issue(&message, settings),
            (Ok(_), Some(_)) => json!({ "body": text::comment(&message, delivery.notification.id) }),
        }
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        self.http.bounded(self.write(delivery)).await
    }
}
