//! Named receivers of one channel.

use std::collections::BTreeMap;

use shared::store::Notification;

use super::{Address, Failure};
use crate::receivers::Receiver;

/// The receivers of one channel, by name.
#[derive(Debug, Clone)]
pub struct Named<T>(BTreeMap<String, T>);

impl<T> Named<T> {
    /// Collects the receivers for which `take` returns something.
    pub fn new(receivers: &BTreeMap<String, Receiver>, take: impl Fn(&Receiver) -> Option<T>) -> Self {
        Self(receivers.iter().filter_map(|(name, one)| Some((name.clone(), take(one)?))).collect())
    }

    /// Returns the address that a name stands for, if it is one of these receivers.
    pub fn address(&self, entry: &str) -> Option<Address> {
        let (name, _) = self.0.get_key_value(entry.trim())?;
        Some(Address::new(name, name))
    }

    /// Returns the receiver of a notification with its name.
    pub fn of<'a>(&'a self, notification: &'a Notification) -> Result<(&'a str, &'a T), Failure> {
        let name = notification.recipients.first().map(String::as_str).unwrap_or_default();
        match self.0.get(name) {
            Some(receiver) => Ok((name, receiver)),
            None => Err(Failure::Permanent(format!("receiver {name:?} is not in the settings"))),
        }
    }
}
