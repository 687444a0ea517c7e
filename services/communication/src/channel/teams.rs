//! Microsoft Teams by a workflow ("When a Teams webhook request is received"): an Adaptive Card for each message, without edits.
//! A workflow has no key for a request, so an attempt whose outcome is not known can post a card twice.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::service::Secret;

use super::http::Http;
use super::named::Named;
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::message::{Message, Status};
use crate::options::Options;
use crate::receivers::Receiver;

/// Most bytes of a message.
pub const MAX_BYTES: usize = 28 * 1024;

/// Workflows of Microsoft Teams.
#[derive(Clone)]
pub struct Teams {
    receivers: Named<Secret>,
    http: Http,
    link_base: String,
}

impl Teams {
    /// The channel's name.
    pub const NAME: &str = "teams";

    /// Builds the channel from valid options.
    pub fn new(options: &Options, http: &Http) -> Self {
        let receivers = Named::new(&options.receivers, |receiver| match receiver {
            Receiver::Teams(hook) => Some(hook.url.clone()),
            _ => None,
        });
        Self { receivers, http: http.clone(), link_base: options.link_base_url.clone() }
    }

    fn body(&self, delivery: Delivery<'_>) -> Value {
        body(delivery.message(&self.link_base))
    }
}

/// Returns the card of a message; lists are shortened until it is small enough.
pub fn body(mut message: Message) -> Value {
    loop {
        let body = json!({
            "type": "message",
            "attachments": [{
                "contentType": "application/vnd.microsoft.card.adaptive",
                "contentUrl": null,
                "content": card(&message),
            }],
        });
        if body.to_string().len() <= MAX_BYTES || !message.shorten() {
            return body;
        }
    }
}

fn card(message: &Message) -> Value {
    let about = &message.about;
    let mut body = vec![text(&[run(&about.subject, Some("bolder"))], Some("large"))];
    if !message.is_of_many {
        body.push(text(
            &[
                json!({ "type": "TextRun", "text": message.headline, "color": colour(message.status), "weight": "bolder" }),
                run(&format!(" · {} · {}", message.status.words(), message.severity.label()), None),
            ],
            None,
        ));
    }
    body.extend(
        message
            .correction
            .iter()
            .map(|correction| text(&[run("Correction: ", Some("bolder")), run(correction, None)], None)),
    );
    if let [first, rest @ ..] = message.summary.as_slice() {
        body.push(text(&[run(first, Some("bolder"))], None));
        body.extend(rest.iter().map(|sentence| text(&[run(sentence, None)], None)));
    }
    body.extend(message.facts.iter().map(|fact| {
        text(&[run(&format!("{}: ", fact.label), Some("bolder")), run(&fact.value, None)], None)
    }));
    for list in &message.lists {
        body.push(text(&[run(list.title, Some("bolder"))], None));
        let rest = list.rest();
        let items = list.items.iter().chain(&rest);
        body.extend(items.map(|item| text(&[run(&format!("• {item}"), None)], None)));
    }
    let link = message.link.iter();
    let actions: Vec<Value> =
        link.map(|link| json!({ "type": "Action.OpenUrl", "title": "Open incident", "url": link })).collect();
    json!({
        "$schema": "http://adaptivecards.io/schemas/adaptive-card.json",
        "type": "AdaptiveCard",
        "version": "1.4",
        "fallbackText": about.subject,
        "msteams": { "width": "Full" },
        "body": body,
        "actions": actions,
    })
}

/// A text run is shown as it is: unlike a `TextBlock` it has no Markdown, so telemetry cannot make a link.
fn run(text: &str, weight: Option<&str>) -> Value {
    let mut run = json!({ "type": "TextRun", "text": text });
    if let Some(weight) = weight {
        run["weight"] = weight.into();
    }
    run
}

fn text(runs: &[Value], size: Option<&str>) -> Value {
    let mut runs = runs.to_vec();
    if let (Some(size), Some(first)) = (size, runs.first_mut()) {
        first["size"] = size.into();
    }
    json!({ "type": "RichTextBlock", "inlines": runs })
}

fn colour(status: Status) -> &'static str {
    match status {
        Status::Firing => "attention",
        Status::Acknowledged => "warning",
        Status::Resolved => "good",
    }
}

#[async_trait]
impl Channel for Teams {
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
        self.body(delivery)
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let body = self.body(delivery);
        // a workflow takes four requests a second
        self.receivers
            .post(&self.http, Self::NAME, delivery.notification, &body, Duration::from_millis(250))
            .await
    }
}
