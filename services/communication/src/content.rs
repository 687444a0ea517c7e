//! What a notification contains: one of five events in the life of an incident, stored with the decision, so that every
//! attempt sends the same.

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};
use shared::events::incident::{Incident, Signal, Statement};
use shared::events::{Plan, Postmortem, RootCause, Severity};
use shared::ids::{EventId, IncidentId, derive};
use shared::store::Notification;
pub use shared::store::NotificationKind as Kind;
use shared::text::sanitize;

use crate::channel::Email;

/// What every notification of an incident contains about it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct IncidentSummary {
    /// Incident.
    pub incident_id: IncidentId,
    /// For people.
    pub number: i64,
    /// One line for people.
    pub title: String,
    /// Severity.
    pub severity: Severity,
    /// Environment.
    pub environment: String,
    /// First suspect's service; none if there is no suspect.
    pub service: Option<String>,
    /// First abnormal sample.
    pub started_at: Timestamp,
    /// The headline signal: the series that is drawn.
    pub signal: Option<Signal>,
    /// Revision of the incident when this was written.
    #[serde(default)]
    pub revision: u32,
    /// How many services were affected.
    #[serde(default)]
    pub affected: usize,
    /// Who had acknowledged it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub acknowledged_by: Option<String>,
    /// How often it had been opened again.
    #[serde(default)]
    pub reopened: u32,
    /// The incident was over when this was written.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub is_over: bool,
}

impl IncidentSummary {
    /// Summarises an incident.
    pub fn of(incident: &Incident) -> Self {
        Self {
            incident_id: incident.incident_id,
            number: incident.number,
            title: incident.title.clone(),
            severity: incident.severity,
            environment: incident.environment.clone(),
            service: incident.suspect().map(|suspect| suspect.service.clone()),
            started_at: incident.started_at,
            signal: headline_signal(incident).map(|signal| Signal {
                siblings: Vec::new(),
                logs: Vec::new(),
                ..signal.clone()
            }),
            revision: incident.revision,
            affected: incident.affected_services.len(),
            acknowledged_by: incident.acknowledged.as_ref().map(|statement| statement.by.clone()),
            reopened: incident.reopened,
            is_over: !incident.state.is_open(),
        }
    }

    /// Returns it for an event. One that does not carry the incident says nothing of its revision and extent: it is read beside other
    /// events, and what it finds depends on how far they are.
    #[must_use]
    pub fn about(self, event: &LifecycleEvent) -> Self {
        match event.kind() {
            Kind::Opened
            | Kind::Resolved
            | Kind::SeverityChanged
            | Kind::ScopeGrown
            | Kind::Acknowledged
            | Kind::StatusReport => self,
            _ => Self { revision: 0, affected: 0, ..self },
        }
    }

    /// Returns the subject that all mails of the incident share, so that clients show one thread: `#NUMBER TITLE`. It is that of the
    /// opening and never changes. The severity can change, so it is not in it. Long names are shortened in their middle, so that what
    /// happened is not cut off.
    pub fn subject(&self) -> String {
        // no text has more characters than bytes: nothing is cut off yet
        let title = sanitize::one_line(&self.title, self.title.len());
        let Some(service) = &self.service else { return self.numbered(&title) };
        let whole = sanitize::one_line(service, service.len());
        let short = shortened(&whole, SUBJECT_NAME);
        let title = if whole.is_empty() { title } else { title.replace(&whole, &short) };
        if title.contains(&short) {
            self.numbered(&title)
        } else {
            self.numbered(&format!("{short}: {title}"))
        }
    }

    fn numbered(&self, title: &str) -> String {
        format!("#{} {}", self.number, sanitize::one_line(title, SUBJECT_TITLE))
    }
}

/// Most characters of a subject behind its number.
const SUBJECT_TITLE: usize = 140;
/// Most characters of a service's name in a subject.
const SUBJECT_NAME: usize = 48;

/// Returns a text of at most `most` characters: of a longer one its first two thirds and its end, with an ellipsis between them.
fn shortened(text: &str, most: usize) -> String {
    let length = text.chars().count();
    if length <= most {
        return text.to_owned();
    }
    let head = most * 2 / 3;
    let tail = most - head - 1;
    let first: String = text.chars().take(head).collect();
    let last: String = text.chars().skip(length - tail).collect();
    format!("{first}…{last}")
}

/// Returns the strongest signal of the first suspect that can be drawn, else the strongest of any service.
fn headline_signal(incident: &Incident) -> Option<&Signal> {
    let suspect = incident.suspect().map(|suspect| suspect.service.as_str());
    incident.signals.iter().max_by(|a, b| {
        let rank = |signal: &Signal| (Some(signal.service.as_str()) == suspect, !signal.samples.is_empty());
        rank(a).cmp(&rank(b)).then(a.evidence.total_cmp(&b.evidence)).then(b.metric.cmp(&a.metric))
    })
}

/// News between the events of every incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Update {
    /// Incident.
    pub incident_id: IncidentId,
    /// When it happened.
    pub at: Timestamp,
    /// Revision of the record that it follows from; for an escalation, its place in the chain.
    pub revision: u32,
    /// What is new.
    pub news: News,
}

/// What is new.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(tag = "what", rename_all = "snake_case")]
pub enum News {
    /// The severity is another one.
    Severity {
        /// As it was announced.
        before: Severity,
        /// As it is.
        after: Severity,
        /// Who set it, where a person did.
        stated: Option<Statement>,
    },
    /// More services are affected.
    Scope {
        /// How many were announced.
        before: usize,
        /// Those that are new, at most 20.
        added: Vec<String>,
        /// How many there are.
        count: usize,
    },
    /// Another cause than the announced one stands out.
    Cause {
        /// What was announced, in words.
        before: String,
        /// The result.
        cause: Box<RootCause>,
    },
    /// Another plan takes the place of the announced one.
    Plan {
        /// The plan.
        plan: Box<Plan>,
    },
    /// Somebody works on it.
    Acknowledged {
        /// Who.
        by: String,
        /// Who works on it, where that was said.
        assignee: Option<String>,
    },
    /// Nobody has acknowledged it for a time.
    Escalated {
        /// Minutes since the chain began.
        minutes: u32,
        /// Level of the chain, from 1.
        level: u32,
        /// How often the chain has begun again.
        round: u32,
    },
    /// How the incident stands.
    Status(Box<Status>),
    /// What was held back of the incident.
    Summary {
        /// What happened, one sentence each, oldest first.
        lines: Vec<String>,
        /// How many more there are.
        more: usize,
    },
    /// What was held back of several incidents.
    Digest {
        /// The incidents, the open ones first, then the most severe.
        incidents: Vec<Digested>,
        /// How many more there are.
        more: usize,
    },
}

/// How an incident stands, as a status report says it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Status {
    /// Which report it is since the incident was opened, from 1.
    pub number: u32,
    /// Minutes since it was opened.
    pub minutes: i64,
    /// How many services are affected.
    pub affected: usize,
    /// How many signals are abnormal now.
    pub abnormal: usize,
    /// Who works on it, where that was said.
    pub assignee: Option<String>,
    /// The first suspect of the last investigation and what it has, in words.
    pub cause: Option<String>,
    /// The first step of the last plan.
    pub step: Option<String>,
    /// Nothing more is reported at fixed intervals.
    pub is_last: bool,
}

/// What a digest says of one incident.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Digested {
    /// For people.
    pub number: i64,
    /// One line.
    pub title: String,
    /// Environment.
    pub environment: String,
    /// Severity when the digest was written.
    pub severity: Severity,
    /// It was over when the digest was written.
    pub is_over: bool,
    /// What happened, one sentence each, oldest first.
    pub lines: Vec<String>,
    /// How many more there are.
    pub more: usize,
}

/// An event in the life of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum LifecycleEvent {
    /// The incident as it was announced.
    Opened(Box<Incident>),
    /// The result of an investigation.
    RootCause(Box<RootCause>),
    /// The plan.
    Plan(Box<Plan>),
    /// The incident as it was resolved.
    Resolved(Box<Incident>),
    /// The document.
    Postmortem(Box<Postmortem>),
    /// News between those.
    Update(Box<Update>),
}

impl From<Update> for LifecycleEvent {
    fn from(update: Update) -> Self {
        Self::Update(Box::new(update))
    }
}

impl LifecycleEvent {
    /// Returns its kind.
    pub fn kind(&self) -> Kind {
        match self {
            Self::Opened(_) => Kind::Opened,
            Self::RootCause(_) => Kind::RootCause,
            Self::Plan(_) => Kind::Plan,
            Self::Resolved(_) => Kind::Resolved,
            Self::Postmortem(_) => Kind::Postmortem,
            Self::Update(update) => match update.news {
                News::Severity { .. } => Kind::SeverityChanged,
                News::Scope { .. } => Kind::ScopeGrown,
                News::Cause { .. } => Kind::CauseCorrected,
                News::Plan { .. } => Kind::PlanReplaced,
                News::Acknowledged { .. } => Kind::Acknowledged,
                News::Escalated { .. } => Kind::Escalated,
                News::Status(_) => Kind::StatusReport,
                News::Summary { .. } => Kind::Summary,
                News::Digest { .. } => Kind::Digest,
            },
        }
    }

    /// Returns its incident.
    pub fn incident_id(&self) -> IncidentId {
        match self {
            Self::Opened(incident) | Self::Resolved(incident) => incident.incident_id,
            Self::RootCause(cause) => cause.incident_id,
            Self::Plan(plan) => plan.incident_id,
            Self::Postmortem(postmortem) => postmortem.incident_id,
            Self::Update(update) => update.incident_id,
        }
    }

    /// Returns when it happened, in event time.
    pub fn at(&self) -> Timestamp {
        match self {
            Self::Opened(incident) => incident.opened_at,
            Self::RootCause(cause) => cause.completed_at,
            Self::Plan(plan) => plan.created_at,
            Self::Resolved(incident) => incident.resolved_at.unwrap_or(incident.opened_at),
            Self::Postmortem(postmortem) => postmortem.generated_at,
            Self::Update(update) => update.at,
        }
    }

    /// Returns which of the events of its kind it is: for an opening or an end, how often the incident had been opened again; for
    /// news, their revision.
    pub fn occurrence(&self) -> u32 {
        match self {
            Self::Opened(incident) | Self::Resolved(incident) => incident.reopened,
            Self::Update(update) => update.revision,
            Self::RootCause(_) | Self::Plan(_) | Self::Postmortem(_) => 0,
        }
    }

    /// Returns what is new, where it is news between the events of every incident.
    pub fn news(&self) -> Option<&News> {
        match self {
            Self::Update(update) => Some(&update.news),
            _ => None,
        }
    }

    /// Returns whether it is about several incidents: then it belongs to the thread of none.
    pub fn is_of_many(&self) -> bool {
        self.kind() == Kind::Digest
    }

    /// Returns whether it begins the thread of its incident.
    pub fn is_first(&self) -> bool {
        self.kind() == Kind::Opened && self.occurrence() == 0
    }

    /// Returns whether its message is the first of a thread.
    pub fn begins_thread(&self) -> bool {
        self.is_first() || self.is_of_many()
    }

    /// Returns the revision of the record it carries.
    pub fn revision(&self) -> u32 {
        match self {
            Self::Opened(incident) | Self::Resolved(incident) => incident.revision,
            Self::RootCause(cause) => cause.revision,
            Self::Plan(plan) => plan.revision,
            Self::Postmortem(_) => 1,
            Self::Update(update) => update.revision,
        }
    }
}

/// An event with its incident: all that a message is made of. Rows have the fields under the names of `rename`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct NotificationContent {
    /// The incident.
    #[serde(rename = "about")]
    pub incident: IncidentSummary,
    /// The event.
    #[serde(rename = "news")]
    pub event: LifecycleEvent,
}

impl NotificationContent {
    /// Returns the subject that all messages of its thread share.
    pub fn subject(&self) -> String {
        if self.event.is_of_many() {
            return format!("Digest: {}", sanitize::one_line(&self.incident.title, 120));
        }
        self.incident.subject()
    }

    /// Returns the row of a message. `stored` is the content as the row keeps it; the subject is that of a thread that begins with it.
    pub fn row(&self, id: EventId, channel: &str, recipients: Vec<String>, stored: Value) -> Notification {
        Notification {
            id,
            incident_id: self.incident.incident_id,
            kind: self.event.kind(),
            channel: channel.into(),
            recipients,
            subject: self.subject(),
            severity: self.incident.severity,
            event: stored,
            created_at: self.event.at(),
            envelope: Map::new(),
        }
    }
}

/// Which addresses of a channel one message goes to. Part of the notification's id.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum AddressClass {
    /// All that the table of recipients names on the channel, together in one message.
    All,
    /// The address of that identity.
    One(String),
    /// The address of that identity, for what waits for a summary.
    Held(String),
}

impl AddressClass {
    /// Returns the name in ids.
    fn parts(&self) -> Vec<&str> {
        match self {
            Self::All => vec!["all"],
            Self::One(identity) => vec!["one", identity],
            Self::Held(identity) => vec!["held", identity],
        }
    }
}

/// Returns the id of the one notification of that kind and occurrence for an incident on a channel.
pub fn notification_id(
    incident: IncidentId,
    kind: Kind,
    occurrence: u32,
    channel: &str,
    class: &AddressClass,
) -> EventId {
    let incident = incident.to_string();
    let occurrence = (occurrence > 0).then(|| format!("reopened-{occurrence}"));
    let mut parts = vec!["notification", incident.as_str(), kind.name()];
    parts.extend(occurrence.as_deref());
    parts.extend(qualifier(channel, class));
    EventId(derive(&parts))
}

/// Returns what distinguishes ids on one channel from those on another: nothing for mail to all, whose ids are older than
/// the other channels and are on record.
pub(crate) fn qualifier<'a>(channel: &'a str, class: &'a AddressClass) -> Vec<&'a str> {
    match (channel, class) {
        (Email::NAME, AddressClass::All) => Vec::new(),
        (channel, class) => [&[channel], &class.parts()[..]].concat(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Computed by the code before there was a second channel.
    #[test]
    fn ids_of_mails_are_those_on_record() {
        let incident: IncidentId = serde_json::from_str("\"755c6444-0bae-5593-a637-7d2e66f1aff0\"").unwrap();
        let id = |kind| notification_id(incident, kind, 0, "email", &AddressClass::All).to_string();
        assert_eq!(
            Kind::LIFECYCLE.map(id),
            [
                "3c239d33-f9f1-53de-aec1-9938cbe4aa5e",
                "0aebe8d2-e5a3-5aa8-ac9a-b3994f9af88b",
                "c1dfec53-d392-5974-b16a-d50adae246db",
                "55008471-30f7-5b9d-af7b-a02e4ff3e3bb",
                "7fa2f028-aab8-5e8d-81bf-cd07d6472d8a",
            ]
        );
    }

    #[test]
    fn another_channel_address_or_occurrence_has_other_ids() {
        let incident: IncidentId = serde_json::from_str("\"755c6444-0bae-5593-a637-7d2e66f1aff0\"").unwrap();
        let classes = [AddressClass::All, AddressClass::One("#a".into()), AddressClass::One("#b".into())];
        let mut ids = Vec::new();
        for channel in ["email", "chat", "pager"] {
            for class in &classes {
                for occurrence in [0, 1] {
                    let id = |kind| notification_id(incident, kind, occurrence, channel, class).to_string();
                    ids.extend(Kind::LIFECYCLE.map(id));
                }
            }
        }
        let written = ids.len();
        ids.sort_unstable();
        ids.dedup();
        assert_eq!(ids.len(), written);
    }
}
