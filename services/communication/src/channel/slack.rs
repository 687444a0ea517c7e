//! Slack by a bot: one message for each incident, edited in place, with all news in its thread.

pub mod api;
pub mod blocks;
pub mod signature;

use async_trait::async_trait;
use serde_json::{Map, Value, json};

use super::http::{Http, address};
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::content::NotificationContent;
use crate::message::Message;
use crate::options::Options;
use api::{Api, Place, Post};

/// Longest name of a channel in Slack, characters.
const MAX_NAME: usize = 80;

/// Channels and people of one Slack workspace.
#[derive(Clone)]
pub struct Slack {
    api: Api,
    http: Http,
    link_base: String,
}

impl Slack {
    /// The channel's name.
    pub const NAME: &str = "slack";

    /// Builds the channel from valid options; none without a token.
    pub fn new(options: &Options, http: &Http) -> anyhow::Result<Option<Self>> {
        if options.slack.token.is_empty() {
            return Ok(None);
        }
        let base = address(&options.slack.api_url).map_err(anyhow::Error::msg)?;
        Ok(Some(Self {
            api: Api::new(http.clone(), base, options.slack.token.clone()),
            http: http.clone(),
            link_base: options.link_base_url.clone(),
        }))
    }

    fn message(&self, delivery: Delivery<'_>) -> Message {
        delivery.message(&self.link_base)
    }

    async fn post(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let (message, notification) = (self.message(delivery), delivery.notification);
        let channel = notification.recipients.first().map(String::as_str).unwrap_or_default();
        let text = blocks::fallback(&message);
        if let Some((first, place)) = self.begun(delivery) {
            let buttons = Some(delivery.opening.map_or(notification.id, |opening| opening.id));
            let first = first.moved_to(&message);
            let edited = blocks::opening(&first, buttons);
            self.api.update(&place, &blocks::fallback(&first), edited).await?;
            let (thread, blocks) = (Some(place.ts.as_str()), blocks::reply(&message));
            let reply = Post { channel: &place.channel, thread, text, blocks };
            let place = self.api.post(notification, reply).await?;
            return Ok(receipt(&place));
        }
        let blocks = blocks::opening(&message, Some(notification.id));
        let place = self.api.post(notification, Post { channel, thread: None, text, blocks }).await?;
        Ok(receipt(&place))
    }

    /// Returns the first message of the thread and where it is.
    fn begun(&self, delivery: Delivery<'_>) -> Option<(Message, Place)> {
        let opening = delivery.opening?;
        let receipt = opening.receipt()?;
        let text = |name: &str| receipt.get(name)?.as_str().map(str::to_owned);
        let content: NotificationContent = serde_json::from_value(opening.event.clone()).ok()?;
        let place = Place { channel: text("channel")?, ts: text("ts")? };
        Some((Message::new(&content, &self.link_base), place))
    }
}

fn receipt(place: &Place) -> Receipt {
    let Place { channel, ts } = place;
    let envelope = Map::from_iter([
        ("channel".to_owned(), channel.as_str().into()),
        ("ts".to_owned(), ts.as_str().into()),
    ]);
    Receipt { answer: format!("posted to {channel} at {ts}"), envelope, ..Receipt::default() }
}

/// Returns the address that an entry stands for: `#name`, or the id of a channel or person.
pub fn address_of(entry: &str) -> Option<Address> {
    let entry = entry.trim();
    if let Some(name) = entry.strip_prefix('#') {
        let is_fine = |c: char| c.is_alphanumeric() || matches!(c, '-' | '_' | '.');
        let length = name.chars().count();
        let name = name.to_lowercase();
        return ((1..=MAX_NAME).contains(&length) && name.chars().all(is_fine))
            .then(|| Address::new(format!("#{name}"), format!("#{name}")));
    }
    let is_id = (3..=20).contains(&entry.len())
        && entry.starts_with(['C', 'D', 'G', 'U', 'W'])
        && entry.chars().all(|c| c.is_ascii_uppercase() || c.is_ascii_digit());
    is_id.then(|| Address::new(entry, entry))
}

#[async_trait]
impl Channel for Slack {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn address(&self, entry: &str) -> Option<Address> {
        address_of(entry)
    }

    fn preview(&self, delivery: Delivery<'_>) -> Value {
        let message = self.message(delivery);
        let blocks = match delivery.opening {
            Some(_) => blocks::reply(&message),
            None => blocks::opening(&message, Some(delivery.notification.id)),
        };
        json!({ "text": blocks::fallback(&message), "blocks": blocks })
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        self.http.bounded(self.post(delivery)).await
    }
}
