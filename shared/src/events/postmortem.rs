//! `postmortems.generated`: what happened, from the record.

use jiff::Timestamp;
use jiff::civil::Date;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Event, Severity};
use crate::ids::{IncidentId, PostmortemId};

/// One line of the timeline.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Moment {
    /// When.
    pub at: Timestamp,
    /// Who or what did it: a stage's name or a person.
    pub actor: String,
    /// What happened.
    pub what: String,
}

/// Something to do so that it does not happen again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionItem {
    /// What.
    pub title: String,
    /// Who.
    pub owner: String,
    /// By when.
    pub due: Date,
    /// Why, from the record.
    pub reason: String,
}

/// How long it took, milliseconds of event time.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Times {
    /// First abnormal sample to opened.
    pub to_detect_ms: i64,
    /// Opened to ranked cause, if there was one.
    pub to_cause_ms: Option<i64>,
    /// First abnormal sample to resolved.
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
    /// The document.
    pub markdown: String,
    /// The timeline as data.
    pub timeline: Vec<Moment>,
    /// What is to be done.
    pub action_items: Vec<ActionItem>,
    /// How long it took.
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
