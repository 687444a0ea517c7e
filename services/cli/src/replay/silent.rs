//! A channel that takes every message and sends none.

use async_trait::async_trait;
use communication::channel::{Channel, Failure, Receipt};
use communication::occasion::Occasion;
use shared::store::Notification;

/// Takes every message and sends none.
pub struct NullChannel;

#[async_trait]
impl Channel for NullChannel {
    fn name(&self) -> &'static str {
        "none"
    }

    async fn deliver(&self, _: &Notification, _: &Occasion) -> Result<Receipt, Failure> {
        Ok(Receipt { answer: "not sent: replay".to_owned(), refused: Vec::new() })
    }
}
