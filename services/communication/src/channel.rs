//! Ways to reach people. Mail is the first; chat and pagers go behind the same port.

pub mod email;
pub mod smtp;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use shared::store::Notification;

use crate::occasion::Occasion;

pub use email::Email;

/// What a channel answered when it took a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its answer.
    pub answer: String,
    /// Recipients it did not take, each with the reason; the others have it.
    pub refused: Vec<String>,
}

/// Why a channel did not take a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may take it later.
    #[error("{0}")]
    Transient(String),
    /// It will never take it.
    #[error("{0}")]
    Permanent(String),
}

/// A way to reach people.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// Returns its name in rows and metrics, e.g. `email`.
    fn name(&self) -> &'static str;

    /// Says what there is to say. Called again for the same notification after a transient failure or a crash: what
    /// identifies the message to its reader must then be the same.
    async fn deliver(&self, notification: &Notification, occasion: &Occasion) -> Result<Receipt, Failure>;
}
