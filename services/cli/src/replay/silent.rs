//! A channel that accepts every message and sends none.

use std::sync::Arc;

use async_trait::async_trait;
use communication::channel::{Address, Channel, Failure, Receipt};
use communication::content::{Kind, NotificationContent};
use serde_json::{Map, Value};
use shared::ids::IncidentId;
use shared::store::Notification;

/// Stands in for a channel: has its name, addresses and envelopes, accepts every message and sends none.
pub struct NullChannel(pub Arc<dyn Channel>);

#[async_trait]
impl Channel for NullChannel {
    fn name(&self) -> &'static str {
        self.0.name()
    }

    fn address(&self, entry: &str) -> Option<Address> {
        self.0.address(entry)
    }

    fn envelope(&self, incident: IncidentId, kind: Kind, occurrence: u32) -> Map<String, Value> {
        self.0.envelope(incident, kind, occurrence)
    }

    async fn deliver(&self, _: &Notification, _: &NotificationContent) -> Result<Receipt, Failure> {
        Ok(Receipt { answer: "not sent: replay".to_owned(), refused: Vec::new() })
    }
}
