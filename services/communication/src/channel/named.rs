//! Named receivers of one channel.

use std::collections::BTreeMap;

use std::time::Duration;

use serde_json::Value;
use shared::service::Secret;
use shared::store::Notification;

use super::http::{Http, Request, address};
use super::{Address, Failure, Receipt};
use crate::receivers::Receiver;

/// The receivers of one channel, by name.
#[derive(Debug, Clone)]
pub struct Named<T>(BTreeMap<String, T>);

impl<T> Named<T> {
    /// Collects the receivers for which `take` returns something.
    pub fn new(receivers: &BTreeMap<String, Receiver>, take: impl Fn(&Receiver) -> Option<T>) -> Self {
        Self(receivers.iter().filter_map(|(name, one)| Some((name.clone(), take(one)?))).collect())
    }

    /// Returns the address that a name stands for, if it is one of these receivers.
    pub fn address(&self, entry: &str) -> Option<Address> {
        let (name, _) = self.0.get_key_value(entry.trim())?;
        Some(Address::new(name, name))
    }

    /// Returns the receiver of a notification with its name.
    pub fn of<'a>(&'a self, notification: &'a Notification) -> Result<(&'a str, &'a T), Failure> {
        let name = notification.recipients.first().map(String::as_str).unwrap_or_default();
        match self.0.get(name) {
            Some(receiver) => Ok((name, receiver)),
            None => Err(Failure::Permanent(format!("receiver {name:?} is not in the settings"))),
        }
    }
}

impl Named<Secret> {
    /// Posts a message to the incoming webhook of a notification, with a pause between two to one.
    pub async fn post(
        &self,
        http: &Http,
        channel: &str,
        notification: &Notification,
        body: &Value,
        pause: Duration,
    ) -> Result<Receipt, Failure> {
        let (name, url) = self.of(notification)?;
        let target = address(url.expose()).map_err(|problem| Failure::Permanent(format!("url {problem}")))?;
        let request = Request::post(target, body).hiding(url);
        let sent = async {
            http.turn(&format!("{channel} {name}"), pause).await?;
            http.send(request).await
        };
        let answer = http.bounded(sent).await?;
        Ok(Receipt { answer: format!("accepted ({})", answer.status), ..Receipt::default() })
    }
}
