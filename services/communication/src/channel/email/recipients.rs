//! Which recipients of a mail still have to get it. What became of the others is stored with the notification.

use lettre::Address;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::store::Notification;

use super::smtp::{Accepted, Refused};
use crate::channel::{Failure, Receipt};

/// What became of the recipients of a mail in earlier attempts.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub struct Progress {
    /// Addresses that have the mail.
    reached: Vec<String>,
    /// Addresses that the server refused for good, each with the reason.
    refused: Vec<(String, String)>,
}

impl Progress {
    /// Name in the receipt of a notification.
    const NAME: &str = "recipients";

    /// Reads that of a notification; nothing where none has got it.
    pub fn of(notification: &Notification) -> Self {
        let stored = notification.receipt().and_then(|receipt| receipt.get(Self::NAME));
        stored.and_then(|stored| serde_json::from_value(stored.clone()).ok()).unwrap_or_default()
    }

    /// Returns the recipients that are mail addresses and have not been settled.
    pub fn remaining(&self, recipients: &[String]) -> Vec<Address> {
        let is_open = |address: &Address| {
            let address = address.to_string();
            !self.reached.contains(&address) && self.refused.iter().all(|(refused, _)| *refused != address)
        };
        recipients.iter().filter_map(|entry| entry.parse().ok()).filter(is_open).collect()
    }

    /// Returns what follows from an attempt to reach `recipients`. Once one has the mail, the failure of another one is no failure of
    /// the mail.
    pub fn after(
        mut self,
        recipients: &[Address],
        outcome: Result<Accepted, Refused>,
    ) -> Result<Receipt, Failure> {
        let accepted = match outcome {
            Ok(accepted) => accepted,
            Err(refused) => {
                let failure = match refused {
                    Refused::TooLarge(reason) => Failure::Permanent(reason),
                    Refused::Failure(failure) => failure,
                };
                if self.reached.is_empty() {
                    return Err(failure);
                }
                let reason = failure.to_string();
                let all = recipients.iter().map(|address| (address.clone(), reason.clone())).collect();
                let accepted = Accepted { answer: reason, ..Accepted::default() };
                match failure {
                    Failure::Permanent(_) => Accepted { refused: all, ..accepted },
                    Failure::Transient(_) | Failure::Throttled { .. } => Accepted { later: all, ..accepted },
                }
            }
        };
        self.reached.extend(accepted.reached.iter().map(ToString::to_string));
        self.refused
            .extend(accepted.refused.iter().map(|(address, reason)| (address.to_string(), reason.clone())));
        let later = accepted.later.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
        let refused = self.refused.iter().map(|(address, reason)| format!("{address}: {reason}")).collect();
        Ok(Receipt { answer: accepted.answer, refused, later, envelope: self.stored(&accepted.later) })
    }

    /// Returns what is stored: nothing where all is said in one attempt.
    fn stored(&self, later: &[(Address, String)]) -> Map<String, Value> {
        match serde_json::to_value(self) {
            Ok(value) if !later.is_empty() => Map::from_iter([(Self::NAME.to_owned(), value)]),
            _ => Map::new(),
        }
    }
}
