//! A channel that sends nothing: what it would send is logged and recorded.

use std::sync::Arc;

use async_trait::async_trait;
use serde_json::{Map, Value};
use shared::ids::IncidentId;

use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::content::Kind;
use crate::message::cut;

/// Most characters of a message that are recorded.
const MAX_RECORDED: usize = 4_000;

/// Stands in for a channel: has its name, addresses and envelopes, accepts every message and sends none.
pub struct DryRun(Arc<dyn Channel>);

impl DryRun {
    /// Stands in for that channel.
    pub fn new(channel: Arc<dyn Channel>) -> Self {
        Self(channel)
    }
}

#[async_trait]
impl Channel for DryRun {
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

    fn preview(&self, delivery: Delivery<'_>) -> Value {
        self.0.preview(delivery)
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let message = cut(&self.0.preview(delivery).to_string(), MAX_RECORDED);
        let notification = delivery.notification;
        tracing::info!(
            incident = %notification.incident_id, channel = self.name(), recipients = ?notification.recipients, message,
            "dry run; nothing sent"
        );
        Ok(Receipt { answer: format!("dry run, not sent: {message}"), ..Receipt::default() })
    }
}
