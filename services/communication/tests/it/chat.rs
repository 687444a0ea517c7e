//! A second channel, as small as one can be: what a new file under `channel/` has to contain.

use std::sync::Mutex;

use async_trait::async_trait;
use communication::channel::{Address, Channel, Delivery, Failure, Receipt};
use communication::content::Kind;
use serde_json::{Map, Value};
use shared::ids::IncidentId;
use shared::store::Notification;

/// Chat rooms; keeps what it delivers.
#[derive(Default)]
pub(crate) struct Chat {
    delivered: Mutex<Vec<Message>>,
}

/// What was delivered, and what its thread began with.
#[derive(Debug, Clone)]
pub(crate) struct Message {
    pub(crate) notification: Notification,
    pub(crate) opening: Option<Notification>,
}

impl Chat {
    /// The channel's name.
    pub(crate) const NAME: &str = "chat";

    /// Returns what was delivered, in order.
    pub(crate) fn delivered(&self) -> Vec<Message> {
        self.delivered.lock().unwrap().clone()
    }
}

#[async_trait]
impl Channel for Chat {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn address(&self, entry: &str) -> Option<Address> {
        entry.trim().strip_prefix('#').map(|room| Address::new(format!("#{room}"), room))
    }

    fn envelope(&self, incident: IncidentId, _: Kind, _: u32) -> Map<String, Value> {
        Map::from_iter([("thread".to_owned(), incident.to_string().into())])
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let mut delivered = self.delivered.lock().unwrap();
        let place = delivered.len();
        delivered.push(Message {
            notification: delivery.notification.clone(),
            opening: delivery.opening.cloned(),
        });
        let envelope = Map::from_iter([("place".to_owned(), place.into())]);
        Ok(Receipt { answer: "posted".into(), envelope, ..Receipt::default() })
    }
}
