//! Mail: renders, composes, sends.

use async_trait::async_trait;
use lettre::Address;
use lettre::message::Mailbox;
use shared::store::Notification;

use super::smtp::Smtp;
use super::{Channel, Failure, Receipt};
use crate::message;
use crate::occasion::Occasion;
use crate::options::Options;
use crate::render::render;

/// Mail over SMTP.
#[derive(Debug, Clone)]
pub struct Email {
    smtp: Smtp,
    from: Mailbox,
    domain: String,
    link_base: String,
}

impl Email {
    /// The channel's name.
    pub const NAME: &str = "email";

    /// Builds the channel from valid options.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        Ok(Self {
            smtp: Smtp::new(options)?,
            from: options.from.parse()?,
            domain: options.domain.clone(),
            link_base: options.link_base_url.clone(),
        })
    }
}

#[async_trait]
impl Channel for Email {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    async fn deliver(&self, notification: &Notification, occasion: &Occasion) -> Result<Receipt, Failure> {
        let recipients: Vec<Address> =
            notification.recipients.iter().filter_map(|entry| entry.parse().ok()).collect();
        if recipients.is_empty() {
            return Err(Failure::Permanent("no recipient is a mail address".to_owned()));
        }
        // drawing takes tens of milliseconds of computing, too long for a thread that serves others
        let (this, notification, occasion) = (self.clone(), notification.clone(), occasion.clone());
        let bytes = tokio::task::spawn_blocking(move || {
            let letter = render(&occasion, &this.link_base)?;
            message::compose(&this.from, &this.domain, &notification, &letter)
        })
        .await
        .map_err(|panic| Failure::Permanent(format!("cannot be rendered: {panic}")))?
        .map_err(|error| Failure::Permanent(format!("cannot be rendered: {error:#}")))?;
        self.smtp.send(&self.from.email, &recipients, &bytes).await
    }
}
