//! What `firewatch actions` is asked.

use std::fmt;
use std::str::FromStr;

use clap::{Args, Subcommand};
use shared::ids::ActionItemId;

use crate::arguments::IncidentRef;
use crate::command::arguments::Sender;

/// What can be done with action items.
#[derive(Debug, Clone, Subcommand)]
pub enum Actions {
    /// Lists those that are open, the first that is due at the top.
    List(List),
    /// Says that one is done.
    Done {
        /// Its name, e.g. 12-3f2a9c, or its id.
        #[arg(value_name = "ID")]
        which: ItemRef,
        /// What was done.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Who says so.
        #[command(flatten)]
        sender: Sender,
    },
    /// Opens one again that was done or dropped.
    Reopen {
        /// Its name, e.g. 12-3f2a9c, or its id.
        #[arg(value_name = "ID")]
        which: ItemRef,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        note: Option<String>,
        /// Who says so.
        #[command(flatten)]
        sender: Sender,
    },
    /// Says that one will not be done.
    Drop {
        /// Its name, e.g. 12-3f2a9c, or its id.
        #[arg(value_name = "ID")]
        which: ItemRef,
        /// Why.
        #[arg(long, value_name = "TEXT")]
        reason: String,
        /// Who says so.
        #[command(flatten)]
        sender: Sender,
    },
}

/// Which items are listed.
#[derive(Debug, Clone, Args)]
pub struct List {
    /// Those that are open; so it is without any of the two.
    #[arg(long, conflicts_with = "all")]
    pub open: bool,
    /// Also those that are done, dropped or superseded by a later revision of the postmortem.
    #[arg(long)]
    pub all: bool,
    /// Only those of an owner.
    #[arg(long, value_name = "TEAM")]
    pub owner: Option<String>,
    /// Only open ones whose date is past (UTC).
    #[arg(long)]
    pub overdue: bool,
    /// Only those of postmortems about a service.
    #[arg(long, value_name = "NAME")]
    pub service: Option<String>,
    /// Only those of an incident.
    #[arg(long, value_name = "NUMBER|ID")]
    pub incident: Option<IncidentRef>,
    /// Most items to list.
    #[arg(long, value_name = "N", default_value_t = 200, value_parser = clap::value_parser!(i64).range(1..=10_000))]
    pub limit: i64,
    /// Prints one JSON array.
    #[arg(long)]
    pub json: bool,
}

/// How an item is named.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ItemRef {
    /// By its id.
    Id(ActionItemId),
    /// By the number of its incident and the first digits of its id.
    Name {
        /// Number of the incident.
        number: i64,
        /// Hexadecimal digits, in lower case.
        digits: String,
    },
}

impl FromStr for ItemRef {
    type Err = &'static str;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if let Ok(id) = text.parse() {
            return Ok(Self::Id(id));
        }
        let named = || {
            let (number, digits) = text.strip_prefix('#').unwrap_or(text).split_once('-')?;
            let is_hex =
                (4..=32).contains(&digits.len()) && digits.bytes().all(|byte| byte.is_ascii_hexdigit());
            let number = number.parse().ok()?;
            is_hex.then(|| Self::Name { number, digits: digits.to_ascii_lowercase() })
        };
        named().ok_or(
            "not the name of an action item, e.g. 12-3f2a9c, and no id; `firewatch actions list` has them",
        )
    }
}

impl fmt::Display for ItemRef {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Id(id) => id.fmt(f),
            Self::Name { number, digits } => write!(f, "{number}-{digits}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_item_is_named_by_number_and_digits_or_by_its_id() {
        let name = |number, digits: &str| Ok(ItemRef::Name { number, digits: digits.into() });
        assert_eq!("12-3F2a9c".parse(), name(12, "3f2a9c"));
        assert_eq!("#12-3f2a".parse(), name(12, "3f2a"));
        let id = "6f6a3a2e-8b7e-4a59-9c55-0d9a2f1f7e12";
        assert_eq!(id.parse::<ItemRef>().map(|which| which.to_string()).as_deref(), Ok(id));
        for wrong in ["", "12", "12-", "12-3f", "x-3f2a9c", "12-3f2a9g", "12-%"] {
            assert!(wrong.parse::<ItemRef>().is_err(), "{wrong}");
        }
    }
}
