//! Rows that stages write, as values.

use std::fmt;
use std::sync::Arc;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

use super::commands;
use super::feedback::Feedback;
use crate::agent::Agent;
use crate::calls::Calls;
use crate::events::incident::Signal;
use crate::events::{Deployment, EvidenceRecord, Severity, Topic};
use crate::graph::Callee;
use crate::ids::{CommandId, EventId, IncidentId};
use crate::silence::{Ending, Silence};

/// A result that is kept for an incident.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, EnumString, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum ArtifactKind {
    /// A [`crate::events::RootCause`].
    RootCause,
    /// A [`crate::events::Plan`].
    Plan,
    /// A [`crate::events::Postmortem`].
    Postmortem,
}

impl ArtifactKind {
    /// All kinds.
    pub const ALL: [Self; 3] = [Self::RootCause, Self::Plan, Self::Postmortem];

    /// Returns the agent whose result it is.
    pub fn author(self) -> Agent {
        match self {
            Self::RootCause => Agent::Investigation,
            Self::Plan => Agent::Remediation,
            Self::Postmortem => Agent::Postmortem,
        }
    }

    /// Returns the topic on which its author publishes it.
    pub fn topic(self) -> Topic {
        match self {
            Self::RootCause => Topic::RcaCompleted,
            Self::Plan => Topic::Plans,
            Self::Postmortem => Topic::Postmortems,
        }
    }

    /// Returns the kind of that name in the table.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the name in the table.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// Where a notification stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NotificationState {
    /// Waits to be sent.
    Pending,
    /// The channel has accepted it.
    Sent,
    /// Given up after the last attempt, or refused for good.
    Failed,
    /// Not sent, because a silence hid it. The silence is named in the row ([`Notification::SILENCE`]).
    Silenced,
    /// Waits for the next summary to its address.
    Held,
    /// Not sent itself: a summary says it, or it was no news any more when that was due.
    Summarized,
}

impl NotificationState {
    /// Returns whether it is a message of its own: one that was sent or is to be, whatever came of that.
    pub fn is_message(self) -> bool {
        matches!(self, Self::Pending | Self::Sent | Self::Failed)
    }

    /// Returns the name in the table.
    pub fn name(self) -> &'static str {
        self.into()
    }
}

/// What a notification announces: one of the five events of every incident, or news between them.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize, Display, IntoStaticStr)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum NotificationKind {
    /// The incident was opened.
    Opened,
    /// The cause was ranked, or is not known.
    RootCause,
    /// A plan was proposed.
    Plan,
    /// The incident was resolved.
    Resolved,
    /// The postmortem was written.
    Postmortem,
    /// The severity is another one.
    SeverityChanged,
    /// More services are affected.
    ScopeGrown,
    /// Another cause than the announced one stands out.
    CauseCorrected,
    /// Another plan takes the place of the announced one.
    PlanReplaced,
    /// Somebody works on it.
    Acknowledged,
    /// Nobody has acknowledged it for a time.
    Escalated,
    /// How it stands, at fixed intervals while it is severe.
    StatusReport,
    /// What was held back of one incident.
    Summary,
    /// What was held back of several incidents.
    Digest,
}

impl NotificationKind {
    /// The five of every incident, in the order it usually takes.
    pub const LIFECYCLE: [Self; 5] =
        [Self::Opened, Self::RootCause, Self::Plan, Self::Resolved, Self::Postmortem];

    /// News between them.
    pub const UPDATES: [Self; 9] = [
        Self::SeverityChanged,
        Self::ScopeGrown,
        Self::CauseCorrected,
        Self::PlanReplaced,
        Self::Acknowledged,
        Self::Escalated,
        Self::StatusReport,
        Self::Summary,
        Self::Digest,
    ];

    /// Returns the name in rows, ids and headers.
    pub fn name(self) -> &'static str {
        self.into()
    }

    /// Returns the name for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Opened => "Incident opened",
            Self::RootCause => "Root cause",
            Self::Plan => "Remediation plan",
            Self::Resolved => "Incident resolved",
            Self::Postmortem => "Postmortem",
            Self::SeverityChanged => "Severity changed",
            Self::ScopeGrown => "More services affected",
            Self::CauseCorrected => "Root cause corrected",
            Self::PlanReplaced => "Remediation plan replaced",
            Self::Acknowledged => "Acknowledged",
            Self::Escalated => "Not acknowledged",
            Self::StatusReport => "Status report",
            Self::Summary => "Summary",
            Self::Digest => "Digest",
        }
    }
}

/// Name of a channel, e.g. `email`. Communication alone knows which ones there are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct ChannelName(String);

impl ChannelName {
    /// Returns it as it is stored.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl From<&str> for ChannelName {
    fn from(name: &str) -> Self {
        Self(name.to_owned())
    }
}

impl fmt::Display for ChannelName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// One message to people. Its id is derived from what it announces and where it goes, so that it cannot be written twice.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Notification {
    /// Derived from incident, kind, channel and class of addresses.
    pub id: EventId,
    /// Incident.
    pub incident_id: IncidentId,
    /// What it announces.
    pub kind: NotificationKind,
    /// Where it goes.
    pub channel: ChannelName,
    /// Addresses, in the form of the channel, which alone interprets them.
    pub recipients: Vec<String>,
    /// Subject.
    pub subject: String,
    /// Severity when it was written.
    pub severity: Severity,
    /// What it says: the event that is rendered when it is sent.
    pub event: serde_json::Value,
    /// Event time.
    pub created_at: Timestamp,
    /// What the channel stores for its own use, e.g. the Message-ID of a mail. In the row it stands beside the other fields,
    /// where rows older than this field have it.
    #[serde(flatten)]
    pub envelope: serde_json::Map<String, serde_json::Value>,
}

impl Notification {
    /// Returns when it was written, by the wall clock; none in rows of older writers.
    pub fn written_at(&self) -> Option<Timestamp> {
        self.event.get(Self::WRITTEN_AT).and_then(|at| at.as_str()?.parse().ok())
    }

    /// Name of the field of [`Self::event`] that says when it was written, by the wall clock.
    pub const WRITTEN_AT: &str = "written_at";
    /// Name of the field of [`Self::envelope`], and of the row, that holds [`Attempt::receipt`].
    pub const RECEIPT: &str = "receipt";
    /// Name of the field of [`Self::envelope`], and of the row, that names the silence which hid the notification.
    pub const SILENCE: &str = "silence_id";

    /// Returns the silence that hid it, if one did.
    pub fn silence(&self) -> Option<CommandId> {
        self.envelope.get(Self::SILENCE)?.as_str()?.parse().ok()
    }

    /// Returns what the channel stored when it accepted the message, e.g. the key of an issue; none before that, or where it
    /// stored nothing.
    pub fn receipt(&self) -> Option<&serde_json::Map<String, serde_json::Value>> {
        self.envelope.get(Self::RECEIPT)?.as_object()
    }
}

/// A notification that waits for a summary.
#[derive(Debug, Clone, PartialEq)]
pub struct Held {
    /// The notification: of one channel, to one address.
    pub notification: Notification,
    /// What addresses that reach the same people have in common.
    pub identity: String,
    /// When the summary is due, by the wall clock.
    pub until: Timestamp,
}

/// One attempt to send a notification.
#[derive(Debug, Clone, PartialEq)]
pub struct Attempt {
    /// Notification.
    pub notification_id: EventId,
    /// Where it stands afterwards.
    pub state: NotificationState,
    /// What the channel answered.
    pub outcome: String,
    /// What later messages of the thread need of the answer. It is stored in the notification's row, in the transaction of the
    /// attempt; empty: nothing.
    pub receipt: serde_json::Map<String, serde_json::Value>,
    /// When, by the wall clock.
    pub at: Timestamp,
}

/// Calls of one edge since it was last written.
#[derive(Debug, Clone, PartialEq)]
pub struct EdgeCalls {
    /// What the callee is, as far as these calls show.
    pub kind: Callee,
    /// Event time of the first of them.
    pub first_seen: Timestamp,
    /// Their figures.
    pub calls: Calls,
}

/// One row to write, in the transaction of the event.
#[derive(Debug, Clone, PartialEq)]
pub enum Write {
    /// The last revision of an anomaly, and the incident it belongs to, if any. An older revision changes nothing.
    Signal {
        /// Environment.
        environment: String,
        /// The signal.
        signal: Arc<Signal>,
        /// Incident it has joined.
        incident_id: Option<IncidentId>,
    },
    /// A deployment.
    Deployment(Deployment),
    /// Calls that were seen on one edge. They are added to what is stored.
    Edge {
        /// Environment.
        environment: String,
        /// Caller.
        caller: String,
        /// Callee.
        callee: String,
        /// Event time of the last call.
        last_seen: Timestamp,
        /// Calls since the last write.
        seen: Box<EdgeCalls>,
    },
    /// A service has sent spans.
    SpanService {
        /// Environment.
        environment: String,
        /// Service.
        service: String,
        /// Event time of a span.
        last_seen: Timestamp,
    },
    /// A result for an incident. If that revision exists already, the decision is made again.
    Artifact {
        /// Incident.
        incident_id: IncidentId,
        /// What it is.
        kind: ArtifactKind,
        /// Counts from 1.
        revision: u32,
        /// The event as it was published.
        body: serde_json::Value,
    },
    /// What was read for an investigation. Records of its last ten investigations are kept with an incident.
    Evidence {
        /// Incident.
        incident_id: IncidentId,
        /// Revision of the result.
        revision: u32,
        /// The records.
        records: Vec<EvidenceRecord>,
    },
    /// What became of a command.
    Command(Box<commands::Decision>),
    /// What a person says of the cause of an incident.
    Feedback {
        /// Incident.
        incident_id: IncidentId,
        /// The judgement.
        feedback: Feedback,
    },
    /// A message to people. The same id again changes nothing.
    Notification(Box<Notification>),
    /// A message to people that is not sent, because a silence hides it. The same id again changes nothing.
    Silenced(Box<Notification>),
    /// A message to people that waits for a summary. The same id again changes nothing.
    Held(Box<Held>),
    /// What waited is said by a summary, or needs not be said any more. If one of them does not wait any more, the decision is made
    /// again.
    Summarized(Vec<EventId>),
    /// A silence begins. The same id again changes nothing.
    Silence(Box<Silence>),
    /// A silence ends before its time. If it has ended meanwhile, the decision is made again.
    EndSilence {
        /// The silence.
        silence_id: CommandId,
        /// How it ends.
        ending: Ending,
    },
    /// An attempt to send one.
    Attempt(Attempt),
}
