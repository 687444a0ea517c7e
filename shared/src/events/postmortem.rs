//! `postmortems.generated`: what happened, from the record.

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use strum::{Display, EnumString, IntoStaticStr};

use super::{Event, Severity};
use crate::ids::{ActionItemId, IncidentId, PostmortemId};

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// Event time.
    pub at: Timestamp,
    /// Name of a stage, or a person.
    pub actor: String,
    /// One sentence.
    pub what: String,
}

/// How much a task matters: the worse the incident and the nearer to its cause, the more.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Priority {
    /// Before other work.
    High,
    /// With the next planned work.
    Medium,
    /// When there is time.
    Low,
}

impl Priority {
    /// Returns the name in the table.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// A task that prevents a repetition.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionItem {
    /// Derived from incident and title; absent in documents of older writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub item_id: Option<ActionItemId>,
    /// How much it matters; absent in documents of older writers.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub priority: Option<Priority>,
    /// The task in one line.
    pub title: String,
    /// Owning team.
    pub owner: String,
    /// Due date.
    pub due: Date,
    /// Reason, from the record.
    pub reason: String,
}

/// Durations, milliseconds of event time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// From the first abnormal sample to the opening.
    pub to_detect_ms: i64,
    /// From the opening to the ranked cause; null without a cause.
    pub to_cause_ms: Option<i64>,
    /// From the first abnormal sample to the resolution.
    pub to_resolve_ms: i64,
}

/// A postmortem.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Postmortem {
    /// Derived from the incident.
    pub postmortem_id: PostmortemId,
    /// Incident.
    pub incident_id: IncidentId,
    /// Incident number, for people.
    pub number: i64,
    /// Title.
    pub title: String,
    /// Severity at its worst.
    pub severity: Severity,
    /// Environment.
    pub environment: String,
    /// The document, Markdown.
    pub markdown: String,
    /// The timeline as data.
    pub timeline: Vec<Moment>,
    /// Tasks that prevent a repetition.
    pub action_items: Vec<ActionItem>,
    /// Durations.
    pub times: Times,
    /// Event time of the resolution.
    pub generated_at: Timestamp,
}

impl Event for Postmortem {
    const TYPE: &'static str = "firewatch.postmortem.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }
}
