//! What a summary says of the notifications that waited for it.

use std::collections::BTreeMap;

use jiff::Timestamp;
use serde_json::json;
use shared::audit::AuditAction;
use shared::events::Severity;
use shared::events::incident::Incident;
use shared::ids::{EventId, IncidentId, derive};
use shared::stage::Audit;
use shared::store::Notification;
use shared::text::format::counted;
use shared::text::sanitize;

use crate::content::{Digested, IncidentSummary, Kind, News, NotificationContent, Update};
use crate::message::Message;

/// Most incidents of a digest.
pub const MOST_INCIDENTS: usize = 30;
/// Most sentences on one incident.
pub const MOST_LINES: usize = 8;
/// Longest sentence, characters.
pub const MAX_LINE: usize = 240;

/// What waited of one incident, oldest first.
#[derive(Debug, Clone, PartialEq)]
pub struct Waited {
    /// The incident as it stands.
    pub incident: Incident,
    /// The notifications.
    pub notifications: Vec<Notification>,
}

/// What becomes of what waited of an incident once it is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fate {
    /// It waits on: the incident is silenced or muted until then.
    Wait(Timestamp),
    /// It is not said any more, for this reason.
    Drop(&'static str),
    /// A summary in the thread of the incident says it.
    Summary,
    /// The digest says it.
    Digest,
    /// The incident is announced as it stands.
    Announce,
}

/// Sorts what waited by incident, in the order of their first notifications.
pub fn by_incident(held: Vec<Notification>) -> Vec<(IncidentId, Vec<Notification>)> {
    let mut places = BTreeMap::new();
    let mut sorted: Vec<(IncidentId, Vec<Notification>)> = Vec::new();
    for notification in held {
        let place = *places.entry(notification.incident_id).or_insert_with(|| {
            sorted.push((notification.incident_id, Vec::new()));
            sorted.len() - 1
        });
        if let Some((_, list)) = sorted.get_mut(place) {
            list.push(notification);
        }
    }
    sorted
}

impl Waited {
    /// Decides what becomes of it. `has_begun`: the thread of the incident has begun at the address; `reads_summaries`: people read
    /// them on its channel; `silenced`: until when a silence covers the incident.
    pub fn fate(
        &self,
        has_begun: bool,
        reads_summaries: bool,
        silenced: Option<Timestamp>,
        now: Timestamp,
    ) -> Fate {
        let incident = &self.incident;
        let is_open = incident.state.is_open();
        if is_open && incident.is_muted(now) {
            let until = incident.mute.as_ref().and_then(|mute| mute.until);
            return until.map_or(Fate::Drop("the incident is muted until it is over"), Fate::Wait);
        }
        match silenced.filter(|_| is_open) {
            Some(until) => Fate::Wait(until),
            None if has_begun && reads_summaries => Fate::Summary,
            None if reads_summaries => Fate::Digest,
            None if has_begun => Fate::Drop("the pager follows the incident"),
            None if !is_open => Fate::Drop("the incident was over before"),
            None if incident.acknowledged.is_some() => Fate::Drop("somebody works on it"),
            None => Fate::Announce,
        }
    }

    /// Returns the summary for an address whose thread began with `opening`: what that did not say. None where nothing is left.
    pub fn summary(&self, opening: &Notification, now: Timestamp) -> Option<Update> {
        let begun = opening.written_at().unwrap_or(opening.created_at);
        let is_new = |one: &&Notification| {
            let is_said = matches!(
                one.kind,
                Kind::Opened
                    | Kind::SeverityChanged
                    | Kind::ScopeGrown
                    | Kind::Acknowledged
                    | Kind::StatusReport
            );
            !is_said || one.written_at().is_none_or(|at| at > begun)
        };
        let later = self.notifications.iter().filter(is_new);
        let later: Vec<&Notification> = later.collect();
        let (lines, more) = lines(&later);
        (!lines.is_empty()).then(|| self.update(&later, News::Summary { lines, more }, now))
    }

    /// Returns what a digest says of the incident.
    pub fn digested(&self) -> Digested {
        let all: Vec<&Notification> = self.notifications.iter().collect();
        let (lines, more) = lines(&all);
        Digested {
            number: self.incident.number,
            title: sanitize::one_line(&self.incident.title, 160),
            environment: sanitize::one_line(&self.incident.environment, sanitize::NAME),
            severity: self.incident.severity,
            is_over: !self.incident.state.is_open(),
            lines,
            more,
        }
    }

    fn update(&self, said: &[&Notification], news: News, at: Timestamp) -> Update {
        let revision = number(said.iter().map(|one| one.id));
        Update { incident_id: self.incident.incident_id, at, revision, news }
    }
}

/// Returns the digest of several incidents; none without one. It is on record with the first of them.
pub fn digest(mut waited: Vec<Waited>, now: Timestamp) -> Option<NotificationContent> {
    waited.sort_by_key(|one| {
        let incident = &one.incident;
        (!incident.state.is_open(), std::cmp::Reverse(incident.severity), incident.number)
    });
    let first = waited.first()?;
    let open = waited.iter().filter(|one| one.incident.state.is_open()).count();
    let still_open = waited.iter().filter(|one| one.incident.state.is_open());
    let severity = still_open.map(|one| one.incident.severity).max().unwrap_or(Severity::Sev4);
    let environment = &first.incident.environment;
    let is_of_one = waited.iter().all(|one| one.incident.environment == *environment);
    let incident = IncidentSummary {
        environment: if is_of_one { environment.clone() } else { "several environments".to_owned() },
        title: format!("{}, {open} open", counted(waited.len(), "incident")),
        severity,
        service: None,
        signal: None,
        ..IncidentSummary::of(&first.incident)
    };
    let all: Vec<&Notification> = waited.iter().flat_map(|one| &one.notifications).collect();
    let news = News::Digest {
        incidents: waited.iter().take(MOST_INCIDENTS).map(Waited::digested).collect(),
        more: waited.len().saturating_sub(MOST_INCIDENTS),
    };
    let update = first.update(&all, news, now);
    Some(NotificationContent { incident, event: update.into() })
}

/// Returns a number that differs for each set of notifications, for a summary has no revision.
fn number(ids: impl Iterator<Item = EventId>) -> u32 {
    let mut ids: Vec<String> = ids.map(|id| id.to_string()).collect();
    ids.sort_unstable();
    let parts: Vec<&str> = ids.iter().map(String::as_str).collect();
    // 0 is the first of its kind, which has another form of id
    (derive(&parts).as_u64_pair().0 as u32).max(1)
}

fn lines(notifications: &[&Notification]) -> (Vec<String>, usize) {
    let lines: Vec<String> = notifications.iter().filter_map(|one| sentence(one)).collect();
    let more = lines.len().saturating_sub(MOST_LINES);
    // the last ones say how it stands
    (lines.into_iter().skip(more).collect(), more)
}

/// Returns a notification as one sentence, with its time of day in UTC.
fn sentence(notification: &Notification) -> Option<String> {
    let content: NotificationContent = serde_json::from_value(notification.event.clone()).ok()?;
    let message = Message::new(&content, "");
    let said = message.correction.iter().chain(message.summary.last());
    let said: Vec<&str> = said.map(String::as_str).collect();
    let time = notification.created_at.strftime("%H:%M");
    Some(sanitize::one_line(&format!("{time} {}: {}", message.headline, said.join(" ")), MAX_LINE))
}

/// Says that what waited of an incident was sent, or why it was not.
pub fn line(waited: &Waited, address: &str, how: &str, now: Timestamp) -> Audit {
    said(waited.incident.incident_id, waited.notifications.len(), address, how, now)
}

/// Says that what waited of an incident can be sent nowhere.
pub fn dropped(incident_id: IncidentId, count: usize, address: &str, now: Timestamp) -> Audit {
    said(incident_id, count, address, "not sent, the receiver is not set up any more", now)
}

fn said(incident_id: IncidentId, count: usize, address: &str, how: &str, at: Timestamp) -> Audit {
    Audit {
        incident_id,
        at,
        action: AuditAction::NotificationSummarized,
        summary: format!("{} to {address}: {how}.", counted(count, "held notification")),
        detail: json!({ "notifications": count, "recipients": [address] }),
    }
}
