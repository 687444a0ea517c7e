//! A message of any channel: what an event says, in plain words and without layout. It is made here alone; channels see its status
//! and texts, never the event itself.

pub(crate) mod lists;

use jiff::Timestamp;
use serde::Serialize;
use shared::events::Severity;
use shared::ids::IncidentId;
use shared::text::sanitize;

use crate::content::{IncidentSummary, Kind, LifecycleEvent, NotificationContent};
use crate::mail::opened::Opened;
use crate::mail::plan::Plan;
use crate::mail::postmortem::Postmortem;
use crate::mail::resolved::Resolved;
use crate::mail::root_cause::RootCause;
use crate::mail::update::Update;
use crate::mail::{self, Fact};

/// Where the incident stands for those who are called.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Status {
    /// It is open, and nobody has taken it.
    Firing,
    /// It is open, and somebody works on it.
    Acknowledged,
    /// It is over.
    Resolved,
}

impl Status {
    /// Returns the name for people.
    pub fn words(self) -> &'static str {
        match self {
            Self::Firing => "Firing",
            Self::Acknowledged => "Acknowledged",
            Self::Resolved => "Resolved",
        }
    }

    /// Returns the name in labels.
    pub fn name(self) -> &'static str {
        match self {
            Self::Firing => "firing",
            Self::Acknowledged => "acknowledged",
            Self::Resolved => "resolved",
        }
    }
}

/// A list with its heading.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct List {
    /// E.g. `Suspects`.
    pub title: &'static str,
    /// One sentence each, most important first.
    pub items: Vec<String>,
    /// Items that are not shown.
    pub more: usize,
}

/// The incident of a message.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct About {
    /// Incident.
    pub incident_id: IncidentId,
    /// For people.
    pub number: i64,
    /// One line.
    pub title: String,
    /// Environment.
    pub environment: String,
    /// First suspect's service; empty if there is no suspect.
    pub service: String,
    /// First abnormal sample.
    pub started_at: Timestamp,
    /// Title with severity and number, the same for all messages of the incident.
    pub subject: String,
}

/// A message of any channel. Every text is on one line, of bounded length and without control characters, and it is data: a channel
/// escapes it in its own way.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Message {
    /// What happened, e.g. `Incident opened`.
    pub headline: String,
    /// Where the incident stands.
    pub status: Status,
    /// The status begins with this message: it is no news of an incident that stands as it stood.
    pub changes_status: bool,
    /// Severity.
    pub severity: Severity,
    /// What to do now, then what is known.
    pub summary: Vec<String>,
    /// What an earlier message said that is not so; none if nothing is corrected.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub correction: Option<String>,
    /// Labels and values.
    pub facts: Vec<Fact>,
    /// Suspects, claims, steps.
    pub lists: Vec<List>,
    /// Where the incident can be seen.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub link: Option<String>,
    /// It is about several incidents: it stands in no thread, and nothing can be answered.
    #[serde(skip)]
    pub is_of_many: bool,
    /// The incident; for several, the first one.
    pub about: About,
    /// Event time.
    pub at: Timestamp,
}

impl Message {
    /// Makes the message of an event. `link_base` is where incidents can be seen, or empty.
    pub fn new(content: &NotificationContent, link_base: &str) -> Self {
        let NotificationContent { incident, event } = content;
        let mut correction = None;
        let (summary, facts, lists): (_, Vec<Fact>, Vec<List>) = match event {
            LifecycleEvent::Opened(opened) => {
                let mail = Opened::new(opened);
                (vec![look(incident), Opened::lede(opened)], mail.facts.clone(), lists::opened(&mail))
            }
            LifecycleEvent::RootCause(cause) => {
                let mail = RootCause::new(cause);
                let first = lists::of_cause(&mail);
                (vec![first, RootCause::lede(cause)], lists::cause_facts(&mail), lists::root_cause(&mail))
            }
            LifecycleEvent::Plan(plan) => {
                let mail = Plan::new(plan, incident.signal.as_ref());
                (
                    vec![lists::first_step(&mail), Plan::lede(plan)],
                    lists::plan_facts(&mail),
                    lists::plan(&mail),
                )
            }
            LifecycleEvent::Resolved(resolved) => {
                let mail = Resolved::new(resolved);
                let first = after_the_end(resolved);
                (vec![first, Resolved::lede(resolved)], mail.facts.clone(), lists::resolved(&mail))
            }
            LifecycleEvent::Postmortem(postmortem) => {
                let first = "Review the postmortem.".to_owned();
                let facts = Postmortem::new(postmortem).facts;
                (vec![first, Postmortem::lede(postmortem)], facts, lists::postmortem(postmortem))
            }
            LifecycleEvent::Update(update) => {
                let mail = Update::new(update, incident);
                let summary = mail.next.iter().cloned().chain([Update::lede(update)]).collect();
                correction = Some(mail.correction).filter(|text| !text.is_empty());
                (summary, mail.facts, mail.lists)
            }
        };
        Self {
            headline: mail::words(event).to_owned(),
            status: status(content),
            changes_status: matches!(
                event.kind(),
                Kind::Opened | Kind::Resolved | Kind::Acknowledged | Kind::SeverityChanged | Kind::Escalated
            ),
            severity: incident.severity,
            summary: texts(&summary),
            correction,
            facts: facts
                .into_iter()
                .map(|fact| Fact::new(fact.label, spaced(&fact.value)))
                .filter(|fact| !fact.value.is_empty())
                .collect(),
            lists: lists
                .into_iter()
                .map(|list| List { items: texts(&list.items), ..list })
                .filter(|list| !list.items.is_empty())
                .collect(),
            link: mail::link(link_base, incident.number).filter(|_| !event.is_of_many()),
            is_of_many: event.is_of_many(),
            about: About::of(content),
            at: event.at(),
        }
    }

    /// Returns it as it is written at that time: old news says first that it is old.
    #[must_use]
    pub fn written(mut self, at: Option<Timestamp>) -> Self {
        if let Some(sentence) = mail::age(self.at, at) {
            self.summary.insert(0, sentence);
        }
        self
    }

    /// Returns it as it is shown after a later message: that one's headline, status, severity and summary over its own facts.
    #[must_use]
    pub fn moved_to(self, later: &Self) -> Self {
        Self { facts: self.facts, lists: self.lists, ..later.clone() }
    }

    /// Returns the summary as one text.
    pub fn sentences(&self) -> String {
        let correction = self.correction.iter().map(String::as_str);
        correction.chain(self.summary.iter().map(String::as_str)).collect::<Vec<_>>().join(" ")
    }

    /// Returns it as plain text of at most `max` characters: sentences, facts, lists, link.
    pub fn text(&self, max: usize) -> String {
        let mut lines = vec![self.sentences(), String::new()];
        lines.extend(self.facts.iter().map(|fact| format!("{}: {}", fact.label, fact.value)));
        for list in &self.lists {
            lines.extend([String::new(), list.title.to_owned()]);
            lines.extend(list.items.iter().map(|item| format!("- {item}")));
            lines.extend(list.rest().map(|rest| format!("- {rest}")));
        }
        lines.extend(self.link.iter().flat_map(|link| [String::new(), link.clone()]));
        cut(&lines.join("\n"), max)
    }

    /// Shortens the longest list by one item. Returns whether there was one to shorten.
    pub fn shorten(&mut self) -> bool {
        let length = |list: &List| list.items.iter().map(String::len).sum::<usize>();
        let Some(longest) = self.lists.iter_mut().max_by_key(|list| length(list)) else { return false };
        if longest.items.pop().is_none() {
            return false;
        }
        longest.more += 1;
        true
    }
}

impl List {
    /// Returns how many items are not shown, in words; none if all are.
    pub fn rest(&self) -> Option<String> {
        (self.more > 0).then(|| format!("{} more", self.more))
    }
}

impl About {
    fn of(content: &NotificationContent) -> Self {
        let incident = &content.incident;
        Self {
            incident_id: incident.incident_id,
            number: incident.number,
            title: sanitize::one_line(&incident.title, 160),
            environment: sanitize::one_line(&incident.environment, sanitize::NAME),
            service: sanitize::one_line(incident.service.as_deref().unwrap_or_default(), sanitize::NAME),
            started_at: incident.started_at,
            subject: content.subject(),
        }
    }
}

/// Returns the first `max` characters of a text with lines; what is cut off ends in an ellipsis.
pub fn cut(text: &str, max: usize) -> String {
    if text.chars().count() <= max {
        return text.to_owned();
    }
    let kept: String = text.chars().take(max.saturating_sub(1)).collect();
    kept + "…"
}

/// Figures are kept together in HTML, but the blanks that do so are shown as odd characters elsewhere.
fn spaced(text: &str) -> String {
    text.replace('\u{a0}', " ")
}

fn texts(texts: &[String]) -> Vec<String> {
    texts.iter().map(|text| spaced(text)).filter(|text| !text.is_empty()).collect()
}

fn status(content: &NotificationContent) -> Status {
    match &content.event {
        LifecycleEvent::Resolved(_) => Status::Resolved,
        _ if content.incident.is_over => Status::Resolved,
        // whoever is called by an escalation is called though somebody else may have acknowledged it meanwhile
        LifecycleEvent::Opened(_) => Status::Firing,
        event if event.kind() == Kind::Escalated => Status::Firing,
        event if event.kind() == Kind::Acknowledged || content.incident.acknowledged_by.is_some() => {
            Status::Acknowledged
        }
        _ => Status::Firing,
    }
}

fn look(incident: &IncidentSummary) -> String {
    match &incident.service {
        Some(service) => format!("Look at {} first.", sanitize::one_line(service, sanitize::NAME)),
        None => "Look at the signals: no suspect is known yet.".to_owned(),
    }
}

fn after_the_end(incident: &shared::events::Incident) -> String {
    match incident.merged_into() {
        Some(link) => format!("Follow incident #{}.", link.number),
        None if incident.reason().is_recovery() => "No action is needed.".to_owned(),
        None => "Check that the service works: it did not recover by itself.".to_owned(),
    }
}
