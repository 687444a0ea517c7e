//! Why items of a request are refused: counted by reason, with the first details in words.

use std::collections::BTreeMap;

/// Details that are kept of one request.
const MAX_DETAILS: usize = 5;

/// Why an item is refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Reason {
    /// Its time is in another unit, or no time.
    Clock,
    /// Its time is too long ago.
    TooOld,
    /// Its time is ahead.
    InFuture,
    /// A name is empty, too long or has control characters.
    Name,
    /// No service can be derived from it.
    NoService,
    /// It has too many labels.
    Labels,
    /// Its service has too many series.
    Series,
    /// Its value is not finite, or no histogram.
    Value,
    /// Its kind is not supported.
    Unsupported,
    /// A request holds too many.
    TooMany,
    /// It breaks another rule.
    Invalid,
}

impl Reason {
    /// Returns the name for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Clock => "clock",
            Self::TooOld => "too_old",
            Self::InFuture => "in_future",
            Self::Name => "name",
            Self::NoService => "no_service",
            Self::Labels => "labels",
            Self::Series => "series",
            Self::Value => "value",
            Self::Unsupported => "unsupported",
            Self::TooMany => "too_many",
            Self::Invalid => "invalid",
        }
    }
}

/// What was refused of a request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Refusals {
    counts: BTreeMap<Reason, usize>,
    details: Vec<String>,
}

impl Refusals {
    /// Counts an item.
    pub fn add(&mut self, reason: Reason, detail: &str) {
        *self.counts.entry(reason).or_default() += 1;
        if self.details.len() < MAX_DETAILS && self.details.iter().all(|known| known != detail) {
            self.details.push(detail.to_owned());
        }
    }

    /// Returns how many items were refused for a reason.
    pub fn count(&self, reason: Reason) -> usize {
        self.counts.get(&reason).copied().unwrap_or_default()
    }

    /// Returns whether nothing was refused.
    pub fn is_empty(&self) -> bool {
        self.counts.is_empty()
    }

    /// Returns how many items were refused.
    pub fn total(&self) -> usize {
        self.counts.values().sum()
    }

    /// Returns the reasons with their counts.
    pub fn counts(&self) -> impl Iterator<Item = (Reason, usize)> {
        self.counts.iter().map(|(reason, count)| (*reason, *count))
    }

    /// Returns one line about what was refused and why; empty if nothing was.
    pub fn message(&self) -> String {
        if self.counts.is_empty() {
            return String::new();
        }
        let more = if self.total() > self.details.len() { "; ..." } else { "" };
        format!("{} refused: {}{more}", self.total(), self.details.join("; "))
    }
}
