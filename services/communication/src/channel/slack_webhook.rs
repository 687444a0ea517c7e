//! Slack by an incoming webhook: each message stands alone, without a thread and without edits.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Value, json};
use shared::service::Secret;

use super::http::Http;
use super::named::Named;
use super::slack::blocks;
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::options::Options;
use crate::receivers::Receiver;

/// Incoming webhooks of Slack.
#[derive(Clone)]
pub struct SlackWebhook {
    receivers: Named<Secret>,
    http: Http,
    link_base: String,
}

impl SlackWebhook {
    /// The channel's name.
    pub const NAME: &str = "slack-webhook";

    /// Builds the channel from valid options.
    pub fn new(options: &Options, http: &Http) -> Self {
        let receivers = Named::new(&options.receivers, |receiver| match receiver {
            Receiver::SlackWebhook(hook) => Some(hook.url.clone()),
            _ => None,
        });
        Self { receivers, http: http.clone(), link_base: options.link_base_url.clone() }
    }

    fn body(&self, delivery: Delivery<'_>) -> Value {
        let message = delivery.message(&self.link_base);
        json!({ "text": blocks::fallback(&message), "blocks": blocks::opening(&message, None) })
    }
}

#[async_trait]
impl Channel for SlackWebhook {
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
        self.receivers
            .post(&self.http, Self::NAME, delivery.notification, &body, Duration::from_secs(1))
            .await
    }
}
