//! What is to be done so that it does not happen again: each item with an owner, a date and its reason in the record.

use jiff::ToSpan as _;
use jiff::civil::Date;
use shared::events::postmortem::{ActionItem, Priority};
use shared::events::rca::Verdict;
use shared::events::remediation;
use shared::events::{Category, Severity};
use shared::ids::{ActionItemId, IncidentId};
use shared::store::NotificationState;
use shared::text::format::{between, counted, duration};
use shared::text::sanitize::{NAME, one_line};

use crate::record::Record;
use crate::review::{SLOW_SAMPLES, samples_to_detect};

/// Most items: a longer list is not worked off.
const MAX_ITEMS: usize = 8;
/// Most items of one rule.
const MAX_EACH: usize = 2;
/// Longest title, characters.
const MAX_TITLE: usize = 160;
/// Longest reason, characters.
const MAX_REASON: usize = 320;

/// Returns the items, those that remove the cause first; never empty.
pub fn items(record: &Record<'_>) -> Vec<ActionItem> {
    let severity = record.incident.severity;
    let mut items = List {
        incident_id: record.incident.incident_id,
        due: due(severity, record.resolved_on()),
        priority: priority(severity),
        items: Vec::new(),
    };
    items.cause(record);
    items.rollout(record);
    items.lasting_steps(record);
    items.callers(record);
    // what follows makes the next incident shorter and prevents none
    items.priority = less(items.priority);
    items.telemetry(record);
    items.detection(record);
    items.recurrence(record);
    items.notifications(record);
    items.catalogue(record);
    if items.items.is_empty() {
        let team = record.team(record.service());
        let title = "Review this document, and decide whether anything is to be done";
        items.add(title, &team, "no rule over the record found anything to do");
    }
    items.items.truncate(MAX_ITEMS);
    items.items
}

/// Returns the day by which items are due: the worse it was, the sooner.
pub fn due(severity: Severity, resolved_on: Date) -> Date {
    let days = match severity {
        Severity::Sev1 | Severity::Sev2 => 7,
        Severity::Sev3 => 14,
        Severity::Sev4 => 30,
    };
    resolved_on.saturating_add(days.days())
}

/// Returns the priority of items that prevent a repetition: the worse it was, the higher.
pub fn priority(severity: Severity) -> Priority {
    match severity {
        Severity::Sev1 | Severity::Sev2 => Priority::High,
        Severity::Sev3 => Priority::Medium,
        Severity::Sev4 => Priority::Low,
    }
}

fn less(priority: Priority) -> Priority {
    match priority {
        Priority::High => Priority::Medium,
        Priority::Medium | Priority::Low => Priority::Low,
    }
}

struct List {
    incident_id: IncidentId,
    priority: Priority,
    due: Date,
    items: Vec<ActionItem>,
}

impl List {
    fn add(&mut self, title: &str, owner: &str, reason: &str) {
        let title = one_line(title, MAX_TITLE);
        if self.items.iter().all(|item| item.title != title) {
            let (owner, reason) = (one_line(owner, NAME), one_line(reason, MAX_REASON));
            let item_id = Some(ActionItemId::of(self.incident_id, &title));
            let priority = Some(self.priority);
            self.items.push(ActionItem { item_id, priority, title, owner, due: self.due, reason });
        }
    }

    /// What is unknown or unsure has to be found out first.
    fn cause(&mut self, record: &Record<'_>) {
        let service = record.service();
        let reason = match (record.cause, record.known_cause()) {
            (_, Some(_)) if record.cause.is_some_and(|cause| cause.verdict == Verdict::Cause) => return,
            (_, Some(cause)) => {
                let title =
                    format!("Confirm or refute the likely cause: {}", cause.cause.trim_end_matches('.'));
                let reason = format!("its confidence is {:.0} %", cause.confidence * 100.0);
                return self.add(&title, &record.team(service), &reason);
            }
            (Some(_), None) => "the investigation ended without a cause that may be claimed",
            (None, None) => "no investigation was on record when this was written",
        };
        self.add(&format!("Find the cause of what {service} showed"), &record.team(service), reason);
    }

    fn rollout(&mut self, record: &Record<'_>) {
        let Some(change) = &record.incident.deployment else { return };
        let cause = record.known_cause().filter(|cause| cause.category == Category::Deployment);
        let Some(signal) = cause.and_then(|cause| record.signals_of(&cause.service).first().copied()) else {
            return;
        };
        self.add(
            &format!(
                "Let a rollout of {} stop by itself when {} leaves its band",
                change.service, signal.metric
            ),
            &record.team(&change.service),
            &format!(
                "version {} went out {} before the first symptom",
                one_line(&change.version, NAME),
                between(change.at, record.incident.started_at)
            ),
        );
    }

    /// What the plan has for the time after the fire: nobody does it unless somebody is asked to.
    fn lasting_steps(&mut self, record: &Record<'_>) {
        let Some(plan) = record.plan else { return };
        let lasting = plan.steps.iter().filter(|step| step.priority == remediation::Priority::Within1Hour);
        for step in lasting.take(MAX_EACH) {
            self.add(
                &step.title,
                &record.team(&plan.service),
                &format!(
                    "step {} of the plan ({}); nothing on record says that it was done",
                    step.order, step.source
                ),
            );
        }
    }

    fn telemetry(&mut self, record: &Record<'_>) {
        let Some(cause) = record.cause.filter(|cause| !cause.missing.is_empty()) else { return };
        let gaps: Vec<&str> =
            cause.missing.iter().take(MAX_EACH).map(|gap| gap.trim_end_matches('.')).collect();
        self.add(
            &format!("Close the gaps that the investigation met around {}", record.service()),
            &record.team(record.service()),
            &format!("it noted: {}", gaps.join("; ")),
        );
    }

    fn detection(&mut self, record: &Record<'_>) {
        let slow = samples_to_detect(record).filter(|samples| *samples > SLOW_SAMPLES);
        if let (Some(samples), Some(signal)) = (slow, record.first_signal()) {
            self.add(
                &format!("Notice {} of {} sooner", signal.metric, signal.service),
                &record.team(&signal.service),
                &format!(
                    "it took {} ({}) to open the incident",
                    duration(record.times().to_detect_ms),
                    counted(samples.unsigned_abs() as usize, "sample")
                ),
            );
        }
    }

    fn callers(&mut self, record: &Record<'_>) {
        let hurt = record.hurt_callers();
        for caller in hurt.iter().take(MAX_EACH) {
            self.add(
                &format!("Limit what a fault of {} does to {caller}", record.service()),
                &record.team(caller),
                &format!("{caller} left its bands with it"),
            );
        }
    }

    fn recurrence(&mut self, record: &Record<'_>) {
        let Some(cause) = record.known_cause() else { return };
        if let Some(past) = cause.similar_incidents.first() {
            self.add(
                &format!("Check what became of the follow-ups of {}", past.doc_id),
                &record.team(&cause.service),
                &format!("it is the nearest past incident: {}", past.title.trim_end_matches('.')),
            );
        }
    }

    fn notifications(&mut self, record: &Record<'_>) {
        let failed = record.told().filter(|(_, state)| *state == NotificationState::Failed).count();
        if failed > 0 {
            let reason = format!("{} did not reach its readers", counted(failed, "notification"));
            self.add("Repair the delivery of notifications", &record.team(record.service()), &reason);
        }
    }

    fn catalogue(&mut self, record: &Record<'_>) {
        let service = record.service();
        if record.catalogue.get(service).is_none() {
            self.add(
                &format!("Describe {service} in the service catalogue"),
                &record.team(service),
                "it has no owner, no contact and no runbooks on record",
            );
        }
    }
}
