//! Reports at fixed intervals on how a severe incident stands. The next one is a row of the timers.

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::events::anomaly;
use shared::events::incident::Incident;
use shared::events::rca::Verdict;
use shared::events::{Plan, RootCause, Severity};
use shared::ids::IncidentId;
use shared::stage::{Error, Timer, TimerPayload};
use shared::text::sanitize;

use crate::content::{News, Status, Update};
use crate::options::Options;

/// Most reports on one incident each time it is opened.
pub const MOST: u32 = 48;
/// Longest sentence of a report, characters.
const MAX_TEXT: usize = 200;

/// Payload of the timer that reports.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Incident.
    pub incident_id: IncidentId,
    /// How often the incident had been opened again when the reports began.
    pub reopened: u32,
    /// Which report it is, from 1.
    pub number: u32,
}

impl TimerPayload for Report {
    const NAME: &'static str = "report_status";
}

/// What follows when a report is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Due {
    /// The incident is over.
    Over,
    /// Nothing is reported this time: the incident is muted, or less severe for now.
    Quiet,
    /// It is written.
    Write,
}

/// Returns the timer of the first report, once for each time the incident was opened; none where it is not severe.
pub fn begin(incident: &Incident, options: &Options, now: Timestamp) -> Result<Option<Timer>, Error> {
    if !incident.state.is_open() || incident.severity < Severity::Sev2 {
        return Ok(None);
    }
    let (incident_id, reopened) = (incident.incident_id, incident.reopened);
    timer(&Report { incident_id, reopened, number: 1 }, options, now)
}

/// Returns the timer of the next report; none after the last one.
pub fn next(report: &Report, options: &Options, now: Timestamp) -> Result<Option<Timer>, Error> {
    timer(&Report { number: report.number.saturating_add(1), ..report.clone() }, options, now)
}

fn timer(report: &Report, options: &Options, now: Timestamp) -> Result<Option<Timer>, Error> {
    if options.status_report_minutes == 0 || report.number > MOST {
        return Ok(None);
    }
    let interval = SignedDuration::from_mins(i64::from(options.status_report_minutes));
    let seed = [report.reopened, report.number].map(|number| number.to_string());
    let seed: Vec<&str> = seed.iter().map(String::as_str).collect();
    let key = format!("{}/status", report.incident_id);
    Timer::new(key, &seed, now.saturating_add(interval).unwrap_or(Timestamp::MAX), report).map(Some)
}

/// Decides on a report that is due.
pub fn decide(report: &Report, incident: &Incident, now: Timestamp) -> Due {
    if incident.reopened != report.reopened || !incident.state.is_open() {
        return Due::Over;
    }
    if incident.is_muted(now) || incident.severity < Severity::Sev2 { Due::Quiet } else { Due::Write }
}

/// Returns the report.
pub fn news(
    report: &Report,
    incident: &Incident,
    cause: Option<&RootCause>,
    plan: Option<&Plan>,
    now: Timestamp,
) -> Update {
    let known = cause.filter(|cause| cause.verdict != Verdict::Unknown);
    let first = known.and_then(|cause| cause.candidates.first());
    let step = plan.and_then(|plan| plan.steps.first());
    let abnormal = incident.signals.iter().filter(|one| one.status == anomaly::Status::Firing).count();
    Update {
        incident_id: incident.incident_id,
        at: now,
        // differs for each report of each time that it was opened
        revision: incident.reopened.saturating_mul(10_000).saturating_add(report.number),
        news: News::Status(Box::new(Status {
            number: report.number,
            minutes: now.duration_since(incident.opened_at).as_mins().max(0),
            affected: incident.affected_services.len(),
            abnormal,
            assignee: incident.assignee.clone(),
            cause: first.map(|first| {
                sanitize::one_line(&format!("{}, {}", first.service, first.category.words()), MAX_TEXT)
            }),
            step: step.map(|step| sanitize::one_line(&step.title, MAX_TEXT)),
            is_last: report.number == MOST,
        })),
    }
}
