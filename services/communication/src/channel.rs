//! Ways to reach people. A channel is one file under `channel/` and its lines in this one; decisions see its name and
//! opaque addresses only.

pub mod dry_run;
pub mod email;
pub mod http;
pub mod jira;
pub mod named;
pub mod opsgenie;
pub mod pagerduty;
pub mod slack;
pub mod slack_webhook;
pub mod teams;
pub mod webhook;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::clock::{Clock, SystemClock};
use shared::ids::IncidentId;
use shared::store::Notification;

use crate::content::{Kind, NotificationContent};
use crate::message::Message;
use crate::options::Options;
use crate::receivers;
use crate::recipients;

pub use dry_run::DryRun;
pub use email::Email;
pub use http::Http;
pub use jira::Jira;
pub use opsgenie::Opsgenie;
pub use pagerduty::PagerDuty;
pub use slack::Slack;
pub use slack_webhook::SlackWebhook;
pub use teams::Teams;
pub use webhook::Webhook;

/// What an entry begins with that names a receiver of the settings, whatever its channel.
const RECEIVER: &str = "receiver";

/// Opens every channel from valid options.
pub fn open(options: &Options) -> anyhow::Result<Channels> {
    let email = Email::new(options)?;
    let mut channels: Vec<Arc<dyn Channel>> = vec![Arc::new(email)];
    // who has set up none of them needs no certificates to trust
    if !options.slack.token.is_empty() || !options.receivers.is_empty() {
        let http = Http::new(options.command_timeout(), options.send_timeout())?;
        channels.extend(over_http(options, &http, Arc::new(SystemClock))?);
    }
    let channels = Channels::new(channels);
    Ok(if options.dry_run { channels.map(|channel| Arc::new(DryRun::new(channel))) } else { channels })
}

/// Builds the channels that use HTTP from valid options: all that can be used.
pub fn over_http(
    options: &Options,
    http: &Http,
    clock: Arc<dyn Clock>,
) -> anyhow::Result<Vec<Arc<dyn Channel>>> {
    let mut channels: Vec<Arc<dyn Channel>> = vec![
        Arc::new(SlackWebhook::new(options, http)),
        Arc::new(Teams::new(options, http)),
        Arc::new(PagerDuty::new(options, http)),
        Arc::new(Opsgenie::new(options, http)),
        Arc::new(Webhook::new(options, http, clock)),
        Arc::new(Jira::new(options, http)),
    ];
    if let Some(slack) = Slack::new(options, http)? {
        channels.push(Arc::new(slack));
    }
    Ok(channels)
}

/// Returns everything that is wrong with the settings of the channels, one sentence each.
pub fn validate(options: &Options) -> Vec<String> {
    let mut problems = email::validate(options);
    problems.extend(receivers::validate(&options.slack, &options.receivers));
    problems
}

/// Returns whether an entry of the settings is an address of any channel.
pub fn is_address(entry: &str, options: &Options) -> bool {
    if recipients::whom(entry).is_some() {
        return true;
    }
    match entry.trim().split_once(':') {
        Some((Slack::NAME, address)) => {
            !options.slack.token.is_empty() && slack::address_of(address).is_some()
        }
        Some((Email::NAME | MAIL, address)) => email::address(address).is_some(),
        Some((channel, name)) => match options.receivers.get(name.trim()) {
            Some(receiver) => channel == RECEIVER || channel == receiver.channel(),
            None => email::address(entry).is_some(),
        },
        None => email::address(entry).is_some(),
    }
}

/// An address of a channel, as that channel writes it.
#[derive(Debug, Clone)]
pub struct Address {
    text: String,
    identity: String,
}

impl Address {
    /// Builds an address. Addresses of one channel with the same `identity` reach the same people.
    pub fn new(text: impl Into<String>, identity: impl Into<String>) -> Self {
        Self { text: text.into(), identity: identity.into() }
    }

    /// Returns it as it is stored.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Returns what addresses that reach the same people have in common.
    pub fn identity(&self) -> &str {
        &self.identity
    }
}

impl PartialEq for Address {
    fn eq(&self, other: &Self) -> bool {
        self.identity == other.identity
    }
}

impl Eq for Address {}

/// An address and the channel it belongs to.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Destination {
    /// Name of the channel.
    pub channel: &'static str,
    /// Address, in the channel's own form.
    pub address: Address,
}

/// What a channel answered when it accepted a message.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Receipt {
    /// Its answer.
    pub answer: String,
    /// Recipients it refused, each with the reason; the others have the message.
    pub refused: Vec<String>,
    /// Recipients it may accept later, each with the reason: the message is delivered again, to these alone. The channel remembers
    /// the others in `envelope`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<String>,
    /// What later messages of the thread need, e.g. the key of an issue. [`Notification::receipt`] returns it.
    #[serde(default, skip_serializing_if = "Map::is_empty")]
    pub envelope: Map<String, Value>,
}

/// A message to deliver.
#[derive(Debug, Clone, Copy)]
pub struct Delivery<'a> {
    /// The message as it is stored.
    pub notification: &'a Notification,
    /// What it says.
    pub content: &'a NotificationContent,
    /// The first message about the incident on that channel and address, as it stands, with [`Notification::receipt`]; none
    /// where this is the first, or where there is none.
    pub opening: Option<&'a Notification>,
}

impl Delivery<'_> {
    /// Returns the message of any channel. `link_base` is where incidents can be seen, or empty.
    pub fn message(&self, link_base: &str) -> Message {
        Message::new(self.content, link_base).written(self.notification.written_at())
    }
}

/// Why a channel did not accept a message.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Failure {
    /// It may accept it later.
    #[error("{0}")]
    Transient(String),
    /// It may accept it after a pause.
    #[error("{reason}")]
    Throttled {
        /// Why.
        reason: String,
        /// Shortest time to the next attempt.
        pause: Duration,
    },
    /// It will never accept it.
    #[error("{0}")]
    Permanent(String),
}

/// A way to reach people.
#[async_trait]
pub trait Channel: Send + Sync + 'static {
    /// Returns its name in rows, ids and metrics, e.g. `email`.
    fn name(&self) -> &'static str;

    /// Returns the address that an entry of the settings or of the service catalogue stands for, if it is one of this
    /// channel.
    fn address(&self, entry: &str) -> Option<Address>;

    /// Returns whether one message goes to all addresses. Otherwise each address gets a message, a thread and a queue of its own.
    fn one_message_for_all(&self) -> bool {
        false
    }

    /// Returns whether its addresses are names of receivers in the settings, which `receiver:NAME` stands for.
    fn is_named(&self) -> bool {
        false
    }

    /// Returns what would be sent, without any secret.
    fn preview(&self, delivery: Delivery<'_>) -> Value {
        delivery.notification.subject.as_str().into()
    }

    /// Returns what the channel stores with a notification for its own use, e.g. the Message-ID of a mail. The names must
    /// differ from those of [`Notification`]'s fields.
    fn envelope(&self, _incident: IncidentId, _kind: Kind, _occurrence: u32) -> Map<String, Value> {
        Map::new()
    }

    /// Delivers a notification. Called again for the same notification after a transient failure or a crash: what
    /// identifies the message to its reader must then be the same.
    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure>;
}

/// Names of all channels, whether they are set up or not.
const NAMES: [&str; 8] = [
    Email::NAME,
    Jira::NAME,
    Opsgenie::NAME,
    PagerDuty::NAME,
    Slack::NAME,
    SlackWebhook::NAME,
    Teams::NAME,
    Webhook::NAME,
];

/// The channels of a process, by name.
#[derive(Clone, Default)]
pub struct Channels(BTreeMap<&'static str, Arc<dyn Channel>>);

impl Channels {
    /// Collects channels; of two with one name the last stays.
    pub fn new(channels: impl IntoIterator<Item = Arc<dyn Channel>>) -> Self {
        Self(channels.into_iter().map(|channel| (channel.name(), channel)).collect())
    }

    /// Returns the channel of that name.
    pub fn get(&self, name: &str) -> Option<&dyn Channel> {
        self.0.get(name).map(AsRef::as_ref)
    }

    /// Returns the destination of an address as it is stored; none where its channel or receiver is not set up any more.
    pub fn stored(&self, channel: &str, address: &str) -> Option<Destination> {
        let channel = self.get(channel)?;
        Some(Destination { channel: channel.name(), address: channel.address(address)? })
    }

    /// Returns them in alphabetical order of their names.
    pub fn all(&self) -> impl Iterator<Item = &dyn Channel> {
        self.0.values().map(AsRef::as_ref)
    }

    /// Replaces each channel by what `wrap` makes of it.
    #[must_use]
    pub fn map(self, wrap: impl Fn(Arc<dyn Channel>) -> Arc<dyn Channel>) -> Self {
        Self::new(self.0.into_values().map(wrap))
    }

    /// Returns whether an entry is of a channel that is not set up: then it is no mistake, and passed over.
    pub fn passes_over(&self, entry: &str) -> bool {
        let named = entry.trim().split_once(':').map(|(name, _)| name);
        named.is_some_and(|name| NAMES.contains(&name) && self.get(name).is_none())
    }

    /// Returns the destination that an entry of the settings or of the service catalogue stands for:
    /// `CHANNEL:ADDRESS`, `receiver:NAME`, or a mail address alone.
    pub fn destination(&self, entry: &str) -> Option<Destination> {
        if let Some((RECEIVER, name)) = entry.trim().split_once(':') {
            return self.all().filter(|channel| channel.is_named()).find_map(|channel| {
                Some(Destination { channel: channel.name(), address: channel.address(name)? })
            });
        }
        let (name, address) = split(entry, |name| self.0.contains_key(name));
        self.stored(name, address)
    }
}

/// What mail is called where people write addresses.
const MAIL: &str = "mail";

/// Splits an entry into the name of its channel and the address. An entry that names no channel is a mail address.
fn split(entry: &str, is_channel: impl Fn(&str) -> bool) -> (&str, &str) {
    match entry.trim().split_once(':') {
        Some((MAIL, address)) => (Email::NAME, address),
        Some((name, address)) if is_channel(name) => (name, address),
        _ => (Email::NAME, entry),
    }
}
