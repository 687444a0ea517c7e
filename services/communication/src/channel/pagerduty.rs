//! PagerDuty, Events API v2. The id of the incident is the key of its alert, so an event that is sent twice is one event.

use std::time::Duration;

use async_trait::async_trait;
use serde_json::{Map, Value, json};
use shared::events::Severity;
use shared::service::Secret;

use super::http::{Http, Request, address, at};
use super::named::Named;
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::message::{Message, Status, cut};
use crate::options::Options;
use crate::receivers::{PagerDuty as Settings, Receiver};

/// Most bytes of an event.
pub const MAX_BYTES: usize = 512 * 1024;
/// Most characters of a summary.
pub const MAX_SUMMARY: usize = 1_024;

/// Services of PagerDuty.
#[derive(Clone)]
pub struct PagerDuty {
    receivers: Named<Settings>,
    http: Http,
    link_base: String,
}

impl PagerDuty {
    /// The channel's name.
    pub const NAME: &str = "pagerduty";

    /// Builds the channel from valid options.
    pub fn new(options: &Options, http: &Http) -> Self {
        let receivers = Named::new(&options.receivers, |receiver| match receiver {
            Receiver::PagerDuty(settings) => Some(settings.clone()),
            _ => None,
        });
        Self { receivers, http: http.clone(), link_base: options.link_base_url.clone() }
    }

    async fn post(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let (name, settings) = self.receivers.of(delivery.notification)?;
        let message = delivery.message(&self.link_base);
        let Some(action) = action(&message, delivery) else {
            return Ok(Receipt { answer: "no event needed".to_owned(), ..Receipt::default() });
        };
        self.http.turn(&format!("pagerduty {name}"), Duration::from_millis(100)).await?;
        let base =
            address(&settings.api_url).map_err(|problem| Failure::Permanent(format!("api_url {problem}")))?;
        let body = event(message, action, &settings.routing_key);
        let request = Request::post(at(&base, &["v2", "enqueue"]), &body).hiding(&settings.routing_key);
        let answer = self.http.send(request).await?;
        let envelope = Map::from_iter([("dedup_key".to_owned(), body["dedup_key"].clone())]);
        Ok(Receipt {
            answer: format!("{action} accepted ({})", answer.status),
            envelope,
            ..Receipt::default()
        })
    }
}

/// Returns the event that a message makes; none where PagerDuty knows all of it.
fn action(message: &Message, delivery: Delivery<'_>) -> Option<&'static str> {
    match message.status {
        Status::Resolved => message.changes_status.then_some("resolve"),
        Status::Acknowledged => message.changes_status.then_some("acknowledge"),
        Status::Firing => {
            let known = delivery.opening.filter(|opening| opening.receipt().is_some());
            let is_known = known.is_some_and(|opening| opening.severity == message.severity);
            (message.changes_status || !is_known).then_some("trigger")
        }
    }
}

/// Returns an event; lists are shortened until it is small enough.
pub fn event(mut message: Message, action: &str, routing_key: &Secret) -> Value {
    loop {
        let mut event = json!({
            "routing_key": routing_key.expose(),
            "event_action": action,
            "dedup_key": message.about.incident_id,
        });
        if action == "trigger" {
            trigger(&mut event, &message);
        }
        if event.to_string().len() <= MAX_BYTES || !message.shorten() {
            return event;
        }
    }
}

fn trigger(event: &mut Value, message: &Message) {
    let about = &message.about;
    let mut details = Map::new();
    details.insert("What to do".to_owned(), message.sentences().into());
    details.extend(message.facts.iter().map(|fact| (fact.label.to_owned(), fact.value.as_str().into())));
    for list in &message.lists {
        let items: Vec<String> = list.items.iter().cloned().chain(list.rest()).collect();
        details.insert(list.title.to_owned(), items.into());
    }
    let source = if about.service.is_empty() { &about.environment } else { &about.service };
    event["payload"] = json!({
        "summary": cut(&about.subject, MAX_SUMMARY),
        "source": source,
        "severity": severity(message.severity),
        "timestamp": about.started_at,
        "component": about.service,
        "group": about.environment,
        "class": message.headline,
        "custom_details": details,
    });
    event["client"] = "Firewatch".into();
    if let Some(link) = &message.link {
        event["client_url"] = link.as_str().into();
        event["links"] = json!([{ "href": link, "text": "Incident" }]);
    }
}

fn severity(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "critical",
        Severity::Sev2 => "error",
        Severity::Sev3 => "warning",
        Severity::Sev4 => "info",
    }
}

#[async_trait]
impl Channel for PagerDuty {
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
        match action(&message, delivery) {
            Some(action) => event(message, action, &Secret::new("***")),
            None => "no event needed".into(),
        }
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        self.http.bounded(self.post(delivery)).await
    }
}
