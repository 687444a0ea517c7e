//! What a replay found.

use jiff::Timestamp;
use serde::Serialize;
use serde_json::Value;

/// What a replay found.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Report {
    /// Stage.
    pub stage: &'static str,
    /// Begin of what was compared.
    pub from: Timestamp,
    /// End of the records that were read.
    pub to: Timestamp,
    /// Since when the stage was run.
    pub warmed_up_from: Timestamp,
    /// Records that were read.
    pub records: u64,
    /// Of these, events that were handled: each once.
    pub events: u64,
    /// Timers that rang.
    pub timers: u64,
    /// Incidents that were open when the stage began, but had not been announced, so that nothing tells how they stood.
    pub missing: u64,
    /// Fields that were not compared, and why.
    pub ignored: Vec<Ignored>,
    /// How many outputs of each kind are the same and how many are not, by topic.
    pub outputs: Vec<Tally>,
    /// What differs, oldest first.
    pub differences: Vec<Difference>,
    /// Differences beyond those that are listed.
    pub unlisted: u64,
    /// Name of the scratch schema, if it was kept.
    #[serde(skip)]
    pub schema: Option<String>,
}

impl Report {
    /// Returns how many outputs differ.
    pub fn differing(&self) -> u64 {
        self.outputs.iter().map(|tally| tally.only_then + tally.only_now + tally.different).sum()
    }
}

/// A field that is not compared.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Ignored {
    /// Topics it is in begin with this.
    pub topics: &'static str,
    /// Its name.
    pub field: &'static str,
    /// Why.
    pub reason: &'static str,
}

/// Outputs of one topic, counted.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Tally {
    /// Topic; `notifications` and `failed timers` are not on the bus.
    pub topic: String,
    /// The same then and now.
    pub same: u64,
    /// Of production only.
    pub only_then: u64,
    /// Of the replay only.
    pub only_now: u64,
    /// Of both, with other contents.
    pub different: u64,
}

/// How an output differs.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// Production had it.
    OnlyThen,
    /// The replay has it.
    OnlyNow,
    /// Both have it, with other contents.
    Different,
}

/// One output that differs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Difference {
    /// Topic.
    pub topic: String,
    /// What it is about, e.g. an incident.
    pub subject: String,
    /// How it differs.
    pub verdict: Verdict,
    /// When production published it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then: Option<Timestamp>,
    /// When, as the replay tells time, it was decided now.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now: Option<Timestamp>,
    /// Event id in production.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub then_id: Option<String>,
    /// Event id in the replay. Another one means that the two are matched by their order among those of the subject.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub now_id: Option<String>,
    /// Fields that differ.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub fields: Vec<Field>,
    /// Fields that differ beyond those that are listed.
    #[serde(skip_serializing_if = "is_zero")]
    pub more_fields: usize,
}

#[allow(clippy::trivially_copy_pass_by_ref, reason = "serde asks for a reference")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// One field that differs. A value that is too long is given as the beginning of its JSON text.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Field {
    /// Where, e.g. `suspects[0].posterior`.
    pub path: String,
    /// Value in production; none where the field is missing.
    pub then: Option<Value>,
    /// Value in the replay; none where the field is missing.
    pub now: Option<Value>,
}
