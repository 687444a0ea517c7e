//! A program of your own: CloudEvents 1.0 in structured mode, or the webhook of Alertmanager; signed, and with the notification's id
//! as its key.

pub mod alertmanager;

use std::sync::Arc;

use async_trait::async_trait;
use jiff::Timestamp;
use reqwest::header::{CONTENT_TYPE, HeaderName, HeaderValue};
use ring::hmac;
use serde_json::{Value, json};
use shared::clock::Clock;
use shared::service::Secret;

use super::http::{Http, Request, address};
use super::named::Named;
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::message::Message;
use crate::options::Options;
use crate::receivers::{Format, Receiver, Webhook as Settings};

/// Type of the events.
pub const TYPE: &str = "firewatch.notification.v1";

/// Webhooks.
#[derive(Clone)]
pub struct Webhook {
    receivers: Named<Settings>,
    http: Http,
    link_base: String,
    clock: Arc<dyn Clock>,
}

impl Webhook {
    /// The channel's name.
    pub const NAME: &str = "webhook";

    /// Builds the channel from valid options. The time of `clock` is signed with each request.
    pub fn new(options: &Options, http: &Http, clock: Arc<dyn Clock>) -> Self {
        let receivers = Named::new(&options.receivers, |receiver| match receiver {
            Receiver::Webhook(settings) => Some(settings.clone()),
            _ => None,
        });
        Self { receivers, http: http.clone(), link_base: options.link_base_url.clone(), clock }
    }

    fn body(&self, delivery: Delivery<'_>, receiver: &str, format: Format) -> Value {
        let message = delivery.message(&self.link_base);
        match format {
            Format::Cloudevents => event(delivery, &message, &self.link_base),
            Format::Alertmanager => alertmanager::body(&message, receiver, &self.link_base),
        }
    }

    fn request(&self, delivery: Delivery<'_>) -> Result<Request, Failure> {
        let (name, settings) = self.receivers.of(delivery.notification)?;
        let url =
            address(settings.url.expose()).map_err(|problem| Failure::Permanent(format!("url {problem}")))?;
        let mut request = Request::post(url, &self.body(delivery, name, settings.format));
        let now = self.clock.now();
        let body = request.body.as_deref().unwrap_or_default();
        let signature = signature([&settings.secret, &settings.second_secret], now, body);
        let kind = match settings.format {
            Format::Cloudevents => "application/cloudevents+json; charset=utf-8",
            Format::Alertmanager => "application/json",
        };
        let key = delivery.notification.id.to_string();
        for (name, value) in [
            (HeaderName::from_static("firewatch-timestamp"), now.as_second().to_string()),
            (HeaderName::from_static("firewatch-signature"), signature),
            (HeaderName::from_static("idempotency-key"), key),
            (CONTENT_TYPE, kind.to_owned()),
        ] {
            let value = HeaderValue::from_str(&value)
                .map_err(|error| Failure::Permanent(format!("header {name}: {error}")))?;
            request.headers.insert(name, value);
        }
        Ok(request.hiding(&settings.url).hiding(&settings.secret).hiding(&settings.second_secret))
    }
}

/// Returns the signature of a body with each key that is set: `v1=` and the HMAC-SHA256 of `timestamp.body` in hexadecimal digits,
/// separated by commas.
pub fn signature<'a>(keys: impl IntoIterator<Item = &'a Secret>, now: Timestamp, body: &[u8]) -> String {
    let signed = [now.as_second().to_string().as_bytes(), b".", body].concat();
    let keys = keys.into_iter().filter(|key| !key.is_empty());
    let signatures = keys.map(|key| {
        let key = hmac::Key::new(hmac::HMAC_SHA256, key.expose().as_bytes());
        format!("v1={}", hex::encode(hmac::sign(&key, &signed)))
    });
    signatures.collect::<Vec<_>>().join(",")
}

fn event(delivery: Delivery<'_>, message: &Message, link_base: &str) -> Value {
    let about = &message.about;
    let source = if link_base.is_empty() { "urn:firewatch" } else { link_base };
    json!({
        "specversion": "1.0",
        "id": delivery.notification.id,
        "type": TYPE,
        "source": source,
        "subject": format!("incidents/{}", about.incident_id),
        "time": delivery.notification.created_at,
        "datacontenttype": "application/json",
        "data": { "kind": delivery.notification.kind, "message": message },
    })
}

#[async_trait]
impl Channel for Webhook {
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
        match self.receivers.of(delivery.notification) {
            Ok((name, settings)) => self.body(delivery, name, settings.format),
            Err(failure) => failure.to_string().into(),
        }
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let request = self.request(delivery)?;
        let answer = self.http.bounded(self.http.send(request)).await?;
        Ok(Receipt { answer: format!("accepted ({})", answer.status), ..Receipt::default() })
    }
}
