//! A channel that accepts every message and sends none.

use std::sync::Arc;

use async_trait::async_trait;
use communication::channel::{Address, Channel, Delivery, Failure, Receipt};
use communication::content::Kind;
use serde_json::{Map, Value};
use shared::ids::IncidentId;

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

    fn one_message_for_all(&self) -> bool {
        self.0.one_message_for_all()
    }

    fn is_named(&self) -> bool {
        self.0.is_named()
    }

    fn envelope(&self, incident: IncidentId, kind: Kind, occurrence: u32) -> Map<String, Value> {
        self.0.envelope(incident, kind, occurrence)
    }

    async fn deliver(&self, _: Delivery<'_>) -> Result<Receipt, Failure> {
        Ok(Receipt { answer: "not sent: replay".to_owned(), ..Receipt::default() })
    }
}
