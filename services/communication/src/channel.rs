//! Ways to reach people. A channel is one file under `channel/` and its lines in this one; decisions see its name and
//! opaque addresses only.

pub mod email;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::ids::IncidentId;
use shared::store::Notification;

use crate::content::{Kind, NotificationContent};
use crate::options::Options;

pub use email::Email;

/// Opens every channel from valid options.
pub fn open(options: &Options) -> anyhow::Result<Channels> {
    let email = Email::new(options)?;
    Ok(Channels::new([Arc::new(email) as Arc<dyn Channel>]))
}

/// Returns everything that is wrong with the settings of the channels, one sentence each.
pub fn validate(options: &Options) -> Vec<String> {
    email::validate(options)
}

/// Returns whether an entry of the settings is an address of any channel.
pub fn is_address(entry: &str) -> bool {
    let (_, address) = split(entry, |name| name == Email::NAME);
    email::address(address).is_some()
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

    /// Returns what the channel stores with a notification for its own use, e.g. the Message-ID of a mail. The names must
    /// differ from those of [`Notification`]'s fields.
    fn envelope(&self, _incident: IncidentId, _kind: Kind, _occurrence: u32) -> Map<String, Value> {
        Map::new()
    }

    /// Delivers a notification. Called again for the same notification after a transient failure or a crash: what
    /// identifies the message to its reader must then be the same.
    async fn deliver(&self, delivery: Delivery<'_>) -> Result<Receipt, Failure>;
}

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

    /// Returns them in alphabetical order of their names.
    pub fn all(&self) -> impl Iterator<Item = &dyn Channel> {
        self.0.values().map(AsRef::as_ref)
    }

    /// Replaces each channel by what `wrap` makes of it.
    #[must_use]
    pub fn map(self, wrap: impl Fn(Arc<dyn Channel>) -> Arc<dyn Channel>) -> Self {
        Self::new(self.0.into_values().map(wrap))
    }

    /// Returns the destination that an entry of the settings or of the service catalogue stands for:
    /// `CHANNEL:ADDRESS`, or a mail address alone.
    pub fn destination(&self, entry: &str) -> Option<Destination> {
        let (name, address) = split(entry, |name| self.0.contains_key(name));
        let channel = self.get(name)?;
        Some(Destination { channel: channel.name(), address: channel.address(address)? })
    }
}

/// Splits an entry into the name of its channel and the address. An entry that names no channel is a mail address.
fn split(entry: &str, is_channel: impl Fn(&str) -> bool) -> (&str, &str) {
    match entry.trim().split_once(':') {
        Some((name, address)) if is_channel(name) => (name, address),
        _ => (Email::NAME, entry),
    }
}
