//! A second channel, as small as one can be: what a new file under `channel/` has to contain.

use std::sync::Mutex;

use async_trait::async_trait;
use communication::channel::{Address, Channel, Failure, Receipt};
use communication::content::{Kind, NotificationContent};
use serde_json::{Map, Value};
use shared::ids::IncidentId;
use shared::store::Notification;

/// Chat rooms; keeps what it delivers.
#[derive(Default)]
pub(crate) struct Chat {
    delivered: Mutex<Vec<Notification>>,
}

impl Chat {
    /// The channel's name.
    pub(crate) const NAME: &str = "chat";

    /// Returns what was delivered, in order.
    pub(crate) fn delivered(&self) -> Vec<Notification> {
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

    async fn deliver(
        &self,
        notification: &Notification,
        _: &NotificationContent,
    ) -> Result<Receipt, Failure> {
        self.delivered.lock().unwrap().push(notification.clone());
        Ok(Receipt { answer: "posted".into(), refused: vec![] })
    }
}
