//! Mail over SMTP: renders, composes, sends. Nothing outside this module names a mail library.

pub mod dkim;
pub mod headers;
pub mod login;
pub mod message;
pub mod recipients;
pub mod reply;
pub mod smtp;

use std::str::FromStr;
use std::sync::Arc;

use anyhow::{Context as _, anyhow};
use async_trait::async_trait;
use lettre::message::Mailbox;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::ids::IncidentId;
use shared::store::Notification;
use tokio::time::Instant;

use super::{Address, Channel, Delivery, Failure, Receipt};
use crate::content::Kind;
use crate::options::Options;
use crate::render::{render, render_without_picture};
use crate::templates::Templates;
use dkim::Signer;
use message::{Sender, written_at};
use recipients::Progress;
use smtp::{Accepted, Refused, Smtp};

/// Mail over SMTP.
#[derive(Debug, Clone)]
pub struct Email {
    smtp: Smtp,
    from: Mailbox,
    /// Where mail servers report what they cannot deliver.
    bounces: lettre::Address,
    domain: String,
    signer: Option<Arc<Signer>>,
    link_base: String,
    templates: Arc<Templates>,
}

impl Email {
    /// The channel's name.
    pub const NAME: &str = "email";

    /// Builds the channel from valid options.
    pub fn new(options: &Options) -> anyhow::Result<Self> {
        let from: Mailbox = options.from.parse()?;
        let bounces = match options.bounce_address.as_str() {
            "" => from.email.clone(),
            address => address.trim().parse()?,
        };
        Ok(Self {
            smtp: Smtp::new(options)?,
            from,
            bounces,
            domain: options.domain.clone(),
            signer: Signer::new(&options.dkim)?.map(Arc::new),
            link_base: options.link_base_url.clone(),
            templates: Arc::new(
                Templates::load(options.templates_dir()).map_err(|problems| anyhow!(problems.join("; ")))?,
            ),
        })
    }
}

/// What is stored with a notification for this channel alone.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
struct Envelope {
    /// Message-ID without angle brackets.
    message_id: String,
}

impl Envelope {
    fn of(notification: &Notification) -> anyhow::Result<Self> {
        serde_json::from_value(Value::Object(notification.envelope.clone())).context("reading the envelope")
    }
}

/// Returns the Message-ID of the one mail of that kind for an incident, without angle brackets.
pub fn message_id(incident: IncidentId, kind: Kind, occurrence: u32, domain: &str) -> String {
    match occurrence {
        0 => format!("{}.{incident}@{domain}", kind.name()),
        again => format!("{}.{again}.{incident}@{domain}", kind.name()),
    }
}

/// Returns the mail address that an entry stands for. Addresses that differ in case are one.
pub fn address(entry: &str) -> Option<Address> {
    let address = lettre::Address::from_str(entry.trim()).ok()?.to_string();
    let identity = address.to_ascii_lowercase();
    Some(Address::new(address, identity))
}

/// Returns everything that is wrong with the settings of this channel, one sentence each.
pub fn validate(options: &Options) -> Vec<String> {
    let mut problems = Vec::new();
    if let Err(problem) = options.server() {
        problems.push(format!("smtp_url: {problem}"));
    }
    if options.smtp_user.is_empty() != options.smtp_password.is_empty() {
        problems.push("smtp_user and smtp_password must be set together".to_owned());
    }
    match options.from.parse::<Mailbox>() {
        Err(error) => problems.push(format!("from: {:?} is not a mail address: {error}", options.from)),
        Ok(from) => problems.extend(options.dkim.validate(from.email.domain())),
    }
    if !options.bounce_address.is_empty() && address(&options.bounce_address).is_none() {
        problems.push(format!("bounce_address: {:?} is not a mail address", options.bounce_address));
    }
    if address(&format!("list@{}", options.domain)).is_none() {
        problems.push(format!("domain: {:?} is not a domain", options.domain));
    }
    if let Err(found) = Templates::load(options.templates_dir()) {
        problems.extend(found.into_iter().map(|problem| format!("templates_dir: {problem}")));
    }
    problems
}

#[async_trait]
impl Channel for Email {
    fn name(&self) -> &'static str {
        Self::NAME
    }

    fn address(&self, entry: &str) -> Option<Address> {
        address(entry)
    }

    fn one_message_for_all(&self) -> bool {
        true
    }

    fn envelope(&self, incident: IncidentId, kind: Kind, occurrence: u32) -> Map<String, Value> {
        Map::from_iter([(
            "message_id".to_owned(),
            message_id(incident, kind, occurrence, &self.domain).into(),
        )])
    }

    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure> {
        let progress = Progress::of(delivery.notification);
        let recipients = progress.remaining(&delivery.notification.recipients);
        if recipients.is_empty() {
            return Err(Failure::Permanent("no recipient is a mail address".to_owned()));
        }
        let deadline = self.smtp.deadline();
        let outcome = match self.send(delivery, &recipients, Picture::Drawn, deadline).await {
            Err(Refused::TooLarge(reason)) => {
                let smaller = self.send(delivery, &recipients, Picture::LeftOut, deadline).await;
                smaller.map(|accepted| accepted.without_picture(&reason))
            }
            outcome => outcome,
        };
        progress.after(&recipients, outcome)
    }
}

/// Whether a mail has its picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Picture {
    Drawn,
    LeftOut,
}

impl Email {
    /// Renders, signs and sends a mail.
    async fn send(
        &self,
        delivery: Delivery<'_>,
        recipients: &[lettre::Address],
        picture: Picture,
        deadline: Instant,
    ) -> Result<Accepted, Refused> {
        let Delivery { notification, content, opening } = delivery;
        // drawing takes tens of milliseconds of computing, too long for a thread that serves others
        let (this, notification, content, opening) =
            (self.clone(), notification.clone(), content.clone(), opening.cloned());
        let bytes = tokio::task::spawn_blocking(move || {
            let render = match picture {
                Picture::Drawn => render,
                Picture::LeftOut => render_without_picture,
            };
            let mail = render(&this.templates, &content, &this.link_base, notification.written_at())?;
            let sender = Sender { from: &this.from, domain: &this.domain };
            let bytes = message::compose(sender, &notification, opening.as_ref(), &mail)?;
            match &this.signer {
                Some(signer) => signer.sign(&bytes, written_at(&notification)),
                None => Ok(bytes),
            }
        })
        .await
        .map_err(|panic| Failure::Permanent(format!("rendering failed: {panic}")))?
        .map_err(|error| Failure::Permanent(format!("rendering failed: {error:#}")))?;
        self.smtp.send(&self.bounces, recipients, &bytes, deadline).await
    }
}
