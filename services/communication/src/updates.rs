//! What is new of an incident since it was last announced.

use std::collections::BTreeSet;

use jiff::Timestamp;
use shared::events::incident::{Incident, State};
use shared::events::{Plan, RootCause, Severity};
use shared::store::Notification;

use crate::content::{IncidentSummary, LifecycleEvent, News, NotificationContent, Update};

/// Most services that are named as new.
const MOST_SERVICES: usize = 20;
/// Least services that must be new before that is news.
const LEAST_NEW: usize = 2;

/// What has been announced of an incident. Each thing is compared with what was last said of it, and not with messages about
/// something else: topics are read side by side, and those messages know more.
#[derive(Debug, Default)]
pub struct Announced {
    /// How often the incident had been opened again when its opening was announced last; none where it never was.
    round: Option<u32>,
    /// Severity, with the revision of the incident that had it.
    severity: Option<(u32, Severity)>,
    /// Rounds in which an acknowledgement was announced.
    acknowledged: BTreeSet<u32>,
    /// Number of affected services, with the revision of the incident that had it.
    affected: Option<(u32, usize)>,
    /// Services as they were listed.
    services: BTreeSet<String>,
    cause: Option<(u32, RootCause)>,
    plan: Option<(u32, Plan)>,
}

impl Announced {
    /// Reads what notifications say; one that cannot be read says nothing.
    pub fn of<'a>(notifications: impl IntoIterator<Item = &'a Notification>) -> Self {
        let mut announced = Self::default();
        for notification in notifications {
            let Ok(content) = serde_json::from_value::<NotificationContent>(notification.event.clone())
            else {
                continue;
            };
            announced.take(content);
        }
        announced
    }

    fn take(&mut self, content: NotificationContent) {
        let NotificationContent { incident, event } = content;
        match event {
            LifecycleEvent::RootCause(cause) => self.take_cause(*cause),
            LifecycleEvent::Plan(plan) => self.take_plan(*plan),
            LifecycleEvent::Opened(opened) => {
                self.round = self.round.max(Some(incident.reopened));
                self.take_severity(incident.revision, incident.severity);
                self.take_affected(&incident);
                self.services.extend(opened.affected_services);
                if incident.acknowledged_by.is_some() {
                    self.acknowledged.insert(incident.reopened);
                }
            }
            LifecycleEvent::Update(update) => match update.news {
                News::Cause { cause, .. } => self.take_cause(*cause),
                News::Plan { plan } => self.take_plan(*plan),
                News::Severity { after, .. } => self.take_severity(update.revision, after),
                News::Scope { added, .. } => {
                    self.take_affected(&incident);
                    self.services.extend(added);
                }
                News::Acknowledged { .. } => _ = self.acknowledged.insert(incident.reopened),
                News::Escalated { .. } | News::Status(_) | News::Summary { .. } | News::Digest { .. } => {}
            },
            LifecycleEvent::Resolved(_) | LifecycleEvent::Postmortem(_) => {}
        }
    }

    fn take_severity(&mut self, revision: u32, severity: Severity) {
        if self.severity.is_none_or(|(known, _)| revision >= known) {
            self.severity = Some((revision, severity));
        }
    }

    fn take_affected(&mut self, incident: &IncidentSummary) {
        if self.affected.is_none_or(|(known, _)| incident.revision >= known) {
            self.affected = Some((incident.revision, incident.affected));
        }
    }

    fn take_cause(&mut self, cause: RootCause) {
        if self.cause.as_ref().is_none_or(|(revision, _)| cause.revision > *revision) {
            self.cause = Some((cause.revision, cause));
        }
    }

    fn take_plan(&mut self, plan: Plan) {
        if self.plan.as_ref().is_none_or(|(revision, _)| plan.revision > *revision) {
            self.plan = Some((plan.revision, plan));
        }
    }

    /// Returns what is new of an incident as it stands, the most important first.
    pub fn news(&self, incident: &Incident) -> Vec<Update> {
        let is_announced = self.round == Some(incident.reopened);
        if !is_announced || !incident.state.is_open() || incident.state == State::Detecting {
            return Vec::new();
        }
        let seen = incident.signals.iter().map(|signal| signal.observed_at).max();
        let update = |news, at: Option<Timestamp>| Update {
            incident_id: incident.incident_id,
            at: at.or(seen).unwrap_or(incident.opened_at),
            revision: incident.revision,
            news,
        };
        let mut news = Vec::new();
        let after = incident.severity;
        if let Some((_, before)) = self.severity.filter(|(of, was)| incident.revision > *of && *was != after)
        {
            let stated = incident.severity_override.as_ref().map(|set| set.statement.clone());
            let at = stated.as_ref().map(|statement| statement.at);
            news.push(update(News::Severity { before, after, stated }, at));
        }
        if let Some(statement) = &incident.acknowledged
            && !self.acknowledged.contains(&incident.reopened)
        {
            let (by, assignee) = (statement.by.clone(), incident.assignee.clone());
            news.push(update(News::Acknowledged { by, assignee }, Some(statement.at)));
        }
        let count = incident.affected_services.len();
        let grew = |(of, was): &(u32, usize)| {
            incident.revision > *of && *was > 0 && count >= was * 2 && count >= was + LEAST_NEW
        };
        if let Some((_, before)) = self.affected.filter(grew) {
            let new = incident.affected_services.iter().filter(|one| !self.services.contains(*one));
            let added = new.take(MOST_SERVICES).cloned().collect();
            news.push(update(News::Scope { before, added, count }, None));
        }
        news
    }

    /// Returns the correction that a later result of an investigation is; none where it says the same.
    pub fn corrected(&self, cause: &RootCause) -> Option<Update> {
        let (revision, before) = self.cause.as_ref()?;
        if cause.revision <= *revision || said(before) == said(cause) {
            return None;
        }
        Some(Update {
            incident_id: cause.incident_id,
            at: cause.completed_at,
            revision: cause.revision,
            news: News::Cause { before: in_words(before), cause: Box::new(cause.clone()) },
        })
    }

    /// Returns what is to be announced of the last result of an investigation: itself, or the correction that it is.
    pub fn cause_due(&self, cause: &RootCause) -> Option<LifecycleEvent> {
        match self.cause {
            None => Some(LifecycleEvent::RootCause(Box::new(cause.clone()))),
            Some(_) => self.corrected(cause).map(LifecycleEvent::from),
        }
    }

    /// Returns what is to be announced of the last plan: itself, or the replacement that it is.
    pub fn plan_due(&self, plan: &Plan) -> Option<LifecycleEvent> {
        match self.plan {
            None => Some(LifecycleEvent::Plan(Box::new(plan.clone()))),
            Some(_) => self.replaced(plan).map(LifecycleEvent::from),
        }
    }

    /// Returns the replacement that a later plan is; none where its steps are the same.
    pub fn replaced(&self, plan: &Plan) -> Option<Update> {
        let (revision, before) = self.plan.as_ref()?;
        if plan.revision <= *revision || before.steps == plan.steps {
            return None;
        }
        Some(Update {
            incident_id: plan.incident_id,
            at: plan.created_at,
            revision: plan.revision,
            news: News::Plan { plan: Box::new(plan.clone()) },
        })
    }
}

/// Returns what a result names: verdict, and service and kind of the first candidate.
fn said(cause: &RootCause) -> (shared::events::rca::Verdict, Option<(&str, shared::events::Category)>) {
    let first = cause.candidates.first();
    (cause.verdict, first.map(|first| (first.service.as_str(), first.category)))
}

fn in_words(cause: &RootCause) -> String {
    cause.candidates.first().map_or_else(
        || "the cause was unknown".to_owned(),
        |first| format!("{}, {}", first.service, first.category.words()),
    )
}
