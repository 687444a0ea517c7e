//! Opsgenie's Alerts API, and services with the same API. The id of the incident is the alias of its alert: an alert that is created
//! twice is one alert. A note has no key, so an attempt whose outcome is not known can add a note twice.

use std::time::Duration;

use async_trait::async_trait;
use reqwest::Url;
use serde_json::{Map, Value, json};
use shared::events::Severity;

use super::http::{Http, Request, address, at};
use super::named::Named;
use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::message::{Message, Status, cut};
use crate::options::Options;
use crate::receivers::{Opsgenie as Settings, Receiver};

/// Most characters of the message of an alert.
pub const MAX_MESSAGE: usize = 130;
/// Most characters of a description.
pub const MAX_DESCRIPTION: usize = 15_000;
/// Most characters of a note.
pub const MAX_NOTE: usize = 25_000;

/// Integrations of Opsgenie.
#[derive(Clone)]
pub struct Opsgenie {
    receivers: Named<Settings>,
    http: Http,
    link_base: String,
}

/// A call of the API.
struct Call {
    action: Option<&'static str>,
    body: Value,
}

impl Opsgenie {
    /// The channel's name.
    pub const NAME: &str = "opsgenie";

    /// Builds the channel from valid options.
    pub fn new(options: &Options, http: &Http) -> Self {
        let receivers = Named::new(&options.receivers, |receiver| match receiver {
            Receiver::Opsgenie(settings) => Some(settings.clone()),
            _ => None,
        });
        Self { receivers, http: http.clone(), link_base: options.link_base_url.clone() }
    }

    fn call(&self, delivery: Delivery<'_>, settings: &Settings) -> Call {
        let message = delivery.message(&self.link_base);
        let note = || cut(&format!("{}\n{}", message.headline, message.text(MAX_NOTE)), MAX_NOTE);
        let is_known = delivery.opening.is_some_and(|opening| opening.receipt().is_some());
        let noted =
            |action| Call { action: Some(action), body: json!({ "source": "Firewatch", "note": note() }) };
        match (message.status, message.changes_status) {
            (Status::Resolved, true) => noted("close"),
            (Status::Acknowledged, true) => noted("acknowledge"),
            (Status::Firing, changes) if changes || !is_known => {
                Call { action: None, body: alert(&message, settings) }
            }
            (_, _) => noted("notes"),
        }
    }

    async fn post(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let (name, settings) = self.receivers.of(delivery.notification)?;
        self.http.turn(&format!("opsgenie {name}"), Duration::from_millis(100)).await?;
        let base =
            address(&settings.api_url).map_err(|problem| Failure::Permanent(format!("api_url {problem}")))?;
        let Call { action, body } = self.call(delivery, settings);
        let alias = delivery.notification.incident_id.to_string();
        let url = place(&base, &alias, action);
        let login = format!("GenieKey {}", settings.api_key.expose());
        let request = Request::post(url, &body).authorised(&login, &settings.api_key)?;
        let answer = self.http.send(request).await?;
        let done = action.unwrap_or("create");
        let envelope = Map::from_iter([("alias".to_owned(), alias.into())]);
        Ok(Receipt { answer: format!("{done} accepted ({})", answer.status), envelope, ..Receipt::default() })
    }
}

fn place(base: &Url, alias: &str, action: Option<&str>) -> Url {
    match action {
        None => at(base, &["v2", "alerts"]),
        Some(action) => {
            let mut url = at(base, &["v2", "alerts", alias, action]);
            url.query_pairs_mut().append_pair("identifierType", "alias");
            url
        }
    }
}

fn alert(message: &Message, settings: &Settings) -> Value {
    let about = &message.about;
    let mut alert = json!({
        "message": cut(&about.subject, MAX_MESSAGE),
        "alias": about.incident_id,
        "description": message.text(MAX_DESCRIPTION),
        "priority": priority(message.severity),
        "source": "Firewatch",
        "entity": about.service,
        "tags": ["firewatch", about.environment],
        "details": { "incident": about.number.to_string(), "severity": message.severity.label() },
    });
    if let Some(link) = &message.link {
        alert["details"]["link"] = link.as_str().into();
    }
    if !settings.team.is_empty() {
        alert["responders"] = json!([{ "type": "team", "name": settings.team }]);
    }
    alert
}

fn priority(severity: Severity) -> &'static str {
    match severity {
        Severity::Sev1 => "P1",
        Severity::Sev2 => "P2",
        Severity::Sev3 => "P3",
        Severity::Sev4 => "P4",
    }
}

#[async_trait]
impl Channel for Opsgenie {
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
            Ok((_, settings)) => {
                let Call { action, body } = self.call(delivery, settings);
                json!({ "action": action.unwrap_or("create"), "body": body })
            }
            Err(failure) => failure.to_string().into(),
        }
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        self.http.bounded(self.post(delivery)).await
    }
}
