//! Dead letters as JSON documents. Texts are as they were stored.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;
use shared::bus::dead_letter::DeadLetter;
use shared::ids::EventId;

/// Most characters of a text that a list holds.
const LONGEST: usize = 1_000;

/// A letter in a list.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Entry {
    /// Where it lies.
    pub address: String,
    /// How it stands.
    pub state: &'static str,
    /// When it was written.
    pub at: Option<Timestamp>,
    /// Where its record was read.
    pub origin: Option<Origin>,
    /// Key of the record.
    pub key: Option<String>,
    /// How often it was tried.
    pub attempts: Option<u32>,
    /// Why it was refused.
    pub reason: String,
    /// The id by which stages know the record.
    pub event_id: Option<EventId>,
    /// Size of the payload that was kept.
    pub bytes: usize,
    /// Why it cannot be sent again, if it cannot.
    pub unfit: Option<String>,
    /// What was decided, oldest first.
    pub decisions: Vec<Decided>,
}

/// Where a record was read.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Origin {
    /// Topic.
    pub topic: String,
    /// Partition.
    pub partition: i32,
    /// Offset.
    pub offset: i64,
}

/// A decision about a letter.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Decided {
    /// `redriven` or `discarded`.
    pub decision: &'static str,
    /// When.
    pub at: Option<Timestamp>,
    /// Who, as their system calls them.
    pub by: String,
    /// Why, in their words.
    pub because: Option<String>,
}

/// A letter in full.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Document {
    /// What a list says of it.
    #[serde(flatten)]
    pub entry: Entry,
    /// All headers, in their order.
    pub headers: Vec<Header>,
    /// Payload, where it is JSON.
    pub value: Option<Value>,
    /// Payload as text, where it is text but not JSON.
    pub text: Option<String>,
    /// Payload in hexadecimal digits, where it is no text.
    pub hex: Option<String>,
}

/// A header.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Header {
    /// Its name, which others may have too.
    pub name: String,
    /// Its value.
    pub value: String,
}

impl Entry {
    /// Returns what a list says of a letter.
    pub fn of(letter: &DeadLetter) -> Self {
        let cut = |text: &str| text.chars().take(LONGEST).collect::<String>();
        Self {
            address: letter.address.to_string(),
            state: super::state(letter.decision()).0,
            at: letter.at,
            origin: letter.origin().map(|origin| Origin {
                topic: cut(&origin.topic),
                partition: origin.partition,
                offset: origin.offset,
            }),
            key: letter.key.as_deref().map(cut),
            attempts: letter.attempts(),
            reason: cut(letter.reason()),
            event_id: letter.event_id(),
            bytes: letter.payload.len(),
            unfit: letter.destination().err().map(|unfit| cut(&unfit.to_string())),
            decisions: letter
                .marks
                .iter()
                .map(|mark| Decided {
                    decision: mark.decision.name(),
                    at: mark.at,
                    by: mark.by.clone(),
                    because: mark.because.clone(),
                })
                .collect(),
        }
    }
}

impl Document {
    /// Returns a letter in full.
    pub fn of(letter: &DeadLetter) -> Self {
        let value: Option<Value> = serde_json::from_slice(&letter.payload).ok();
        let text = std::str::from_utf8(&letter.payload).ok();
        Self {
            entry: Entry::of(letter),
            headers: letter
                .headers
                .iter()
                .map(|(name, value)| Header { name: name.clone(), value: value.clone() })
                .collect(),
            text: text.filter(|_| value.is_none()).map(str::to_owned),
            hex: text.is_none().then(|| hex::encode(&letter.payload)),
            value,
        }
    }
}
