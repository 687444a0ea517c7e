//! What the document is written from. Nothing else enters it.

use jiff::Timestamp;
use jiff::civil::Date;
use jiff::tz::TimeZone;
use shared::audit::AuditAction;
use shared::catalogue::Catalogue;
use shared::events::incident::{Incident, Signal};
use shared::events::postmortem::Times;
use shared::events::rca::Candidate;
use shared::events::{Category, Plan, RootCause};
use shared::store::{Notification, NotificationKind, NotificationState, TimelineEntry};

/// Everything on record about one incident that is over.
#[derive(Debug, Clone, Copy)]
pub struct Record<'a> {
    /// The incident as it stands.
    pub incident: &'a Incident,
    /// Its audit trail.
    pub trail: &'a [TimelineEntry],
    /// The last ranking, if there is one.
    pub cause: Option<&'a RootCause>,
    /// The last plan, if there is one.
    pub plan: Option<&'a Plan>,
    /// Who owns what.
    pub catalogue: &'a Catalogue,
    /// What people were told, and whether it reached them.
    pub notifications: &'a [(Notification, NotificationState)],
}

impl<'a> Record<'a> {
    /// Returns when the last series cleared.
    pub fn resolved_at(&self) -> Timestamp {
        let last = || self.incident.signals.iter().map(|signal| signal.observed_at).max();
        self.incident.resolved_at.or_else(last).unwrap_or(self.incident.opened_at)
    }

    /// Returns what people were told before the end. Whether they already know of the end is chance: that is written at
    /// the very same time as the postmortem. What a silence hid or a summary says is no message.
    pub fn told(&self) -> impl Iterator<Item = &'a (Notification, NotificationState)> {
        self.notifications.iter().filter(|(notification, state)| {
            notification.kind != NotificationKind::Resolved && state.is_message()
        })
    }

    /// Returns the day the incident was over, UTC.
    pub fn resolved_on(&self) -> Date {
        self.resolved_at().to_zoned(TimeZone::UTC).date()
    }

    /// Returns the cause, unless it is unknown.
    pub fn known_cause(&self) -> Option<&'a Candidate> {
        self.cause.and_then(RootCause::cause).filter(|candidate| candidate.category != Category::Unknown)
    }

    /// Returns the service the document is about: the one at fault, else the first suspect, else any affected one.
    pub fn service(&self) -> &'a str {
        let suspect = || self.incident.suspects.first().map(|suspect| &suspect.service);
        let affected = || self.incident.affected_services.first();
        self.known_cause()
            .map(|cause| &cause.service)
            .or_else(suspect)
            .or_else(affected)
            .map_or("unknown", String::as_str)
    }

    /// Returns the team that owns a service.
    pub fn team(&self, service: &str) -> String {
        self.catalogue.get(service).map_or_else(|| "to be named".to_owned(), |service| service.team.clone())
    }

    /// Returns the members of a service, in the order they left their bands.
    pub fn signals_of(&self, service: &str) -> Vec<&'a Signal> {
        let mut signals: Vec<&Signal> =
            self.incident.signals.iter().filter(|s| s.service == service).collect();
        signals.sort_by(|a, b| (a.started_at, &a.metric).cmp(&(b.started_at, &b.metric)));
        signals
    }

    /// Returns the member that left its band first.
    pub fn first_signal(&self) -> Option<&'a Signal> {
        self.incident.signals.iter().min_by(|a, b| (a.started_at, &a.metric).cmp(&(b.started_at, &b.metric)))
    }

    /// Returns the callers of the service that showed the fault as well.
    pub fn hurt_callers(&self) -> Vec<&'a str> {
        let hurt = |caller: &&String| self.incident.affected_services.contains(caller);
        self.incident.blast_radius.callers.iter().filter(hurt).map(String::as_str).collect()
    }

    /// Returns how often the trail has an action.
    pub fn times_of(&self, action: AuditAction) -> usize {
        self.trail.iter().filter(|entry| entry.action == action.name()).count()
    }

    /// Returns how long it took to notice, to explain and to be over.
    pub fn times(&self) -> Times {
        let Incident { started_at, opened_at, .. } = self.incident;
        Times {
            to_detect_ms: between(*started_at, *opened_at),
            to_cause_ms: self
                .cause
                .filter(|_| self.known_cause().is_some())
                .map(|c| between(*opened_at, c.completed_at)),
            to_resolve_ms: between(*started_at, self.resolved_at()),
        }
    }
}

/// Returns milliseconds from one time to a later one, 0 where it is not later.
fn between(from: Timestamp, to: Timestamp) -> i64 {
    (to.as_millisecond() - from.as_millisecond()).max(0)
}
