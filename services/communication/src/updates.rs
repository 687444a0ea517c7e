//! What is new of an incident since it was last announced.

use shared::events::incident::{Incident, State};
use shared::events::{Plan, RootCause};
use shared::store::Notification;

use crate::content::{IncidentSummary, LifecycleEvent, News, NotificationContent, Update};

/// Most services that are named as new.
const MOST_SERVICES: usize = 20;
/// Least services that must be new before that is news.
const LEAST_NEW: usize = 2;

/// What has been announced of an incident.
#[derive(Debug, Default)]
pub struct Announced {
    /// The incident as it stood when it was last announced.
    last: Option<IncidentSummary>,
    /// Services as they were last listed.
    services: Vec<String>,
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
            LifecycleEvent::Opened(opened) => self.services.clone_from(&opened.affected_services),
            LifecycleEvent::Update(update) => match update.news {
                News::Cause { cause, .. } => self.take_cause(*cause),
                News::Plan { plan } => self.take_plan(*plan),
                News::Scope { added, .. } => self.services.extend(added),
                _ => {}
            },
            LifecycleEvent::Resolved(_) | LifecycleEvent::Postmortem(_) => {}
        }
        if self.last.as_ref().is_none_or(|last| incident.revision >= last.revision) {
            self.last = Some(incident);
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

    /// Returns what is new of an incident as it stands; the most important, where there is more than one thing.
    pub fn news(&self, incident: &Incident) -> Option<Update> {
        let last = self.last.as_ref()?;
        let is_stale = incident.revision <= last.revision || incident.reopened != last.reopened;
        if is_stale || !incident.state.is_open() || incident.state == State::Detecting {
            return None;
        }
        let (before, after) = (last.severity, incident.severity);
        let (news, at) = if before != after {
            let stated = incident.severity_override.as_ref().map(|set| set.statement.clone());
            let at = stated.as_ref().map(|statement| statement.at);
            (News::Severity { before, after, stated }, at)
        } else if let Some(statement) = &incident.acknowledged
            && last.acknowledged_by.is_none()
        {
            let (by, assignee) = (statement.by.clone(), incident.assignee.clone());
            (News::Acknowledged { by, assignee }, Some(statement.at))
        } else {
            let (before, count) = (last.affected, incident.affected_services.len());
            if before == 0 || count < before * 2 || count < before + LEAST_NEW {
                return None;
            }
            let new = incident.affected_services.iter().filter(|one| !self.services.contains(one));
            (News::Scope { before, added: new.take(MOST_SERVICES).cloned().collect(), count }, None)
        };
        let seen = incident.signals.iter().map(|signal| signal.observed_at).max();
        Some(Update {
            incident_id: incident.incident_id,
            at: at.or(seen).unwrap_or(incident.opened_at),
            revision: incident.revision,
            news,
        })
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
            Some(_) => self.corrected(cause).map(|update| LifecycleEvent::Update(Box::new(update))),
        }
    }

    /// Returns what is to be announced of the last plan: itself, or the replacement that it is.
    pub fn plan_due(&self, plan: &Plan) -> Option<LifecycleEvent> {
        match self.plan {
            None => Some(LifecycleEvent::Plan(Box::new(plan.clone()))),
            Some(_) => self.replaced(plan).map(|update| LifecycleEvent::Update(Box::new(update))),
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
