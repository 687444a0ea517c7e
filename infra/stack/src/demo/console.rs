//! Formats events and the summary of a run for a terminal.

use std::fmt::Write as _;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use shared::events::anomaly::{Anomaly, Status};
use shared::events::fault::Phase;
use shared::events::{Incident, Plan, RootCause};
use shared::finding::Finding;
use shared::text::format::counted;

use crate::observe::event_feed::Event;
use crate::observe::missing::Missing;
use crate::observe::run_summary::RunObservation;
use crate::parts::mailbox::Mail;
use crate::run::text::duration;

/// What a line is about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Tone {
    /// Context, such as what the simulator does.
    Aside,
    /// The state got worse.
    Bad,
    /// People were notified, or have to be.
    Important,
    /// The state got better, or a stage published a result.
    Good,
}

/// Formats lines, with colours if the terminal shows them.
#[derive(Debug, Clone)]
pub struct Console {
    /// Whether the terminal shows colours.
    pub colours: bool,
    /// Time zone of the reader.
    pub zone: TimeZone,
}

impl Console {
    /// Returns the line of an event that was received at `now`; none if people need not read it. `observation` is what was
    /// known before the event.
    pub fn line(&self, event: &Event, observation: &RunObservation, now: Timestamp) -> Option<String> {
        let (tone, what, text) = match event {
            Event::Fault(fault) => {
                let verb = if fault.phase == Phase::Started { "started in" } else { "ended in" };
                (Tone::Aside, "simulator".to_owned(), format!("{} {verb} {}", fault.scenario, fault.service))
            }
            Event::Deployment(change) => {
                let text =
                    format!("{} of {} to version {}", change.change_type, change.service, change.version);
                (Tone::Aside, "change".to_owned(), text)
            }
            Event::Anomaly(anomaly) => {
                let tone = if anomaly.status == Status::Cleared { Tone::Good } else { Tone::Bad };
                (tone, "anomaly".to_owned(), anomaly_text(anomaly, observation)?)
            }
            Event::Opened(incident) => (Tone::Important, number(incident.number), opened(incident)),
            Event::Updated(incident) => {
                (Tone::Aside, number(incident.number), updated(incident, observation)?)
            }
            Event::Resolved(incident) => {
                let took = incident.resolved_at.unwrap_or(now).duration_since(incident.started_at);
                let text = format!("resolved, {} after the first abnormal sample", duration(took));
                (Tone::Good, number(incident.number), text)
            }
            Event::Cause(cause) => (Tone::Good, number(cause.number), ranked(cause)),
            Event::Plan(plan) => (Tone::Good, number(plan.number), planned(plan)),
            Event::Postmortem(postmortem) => {
                let items = counted(postmortem.action_items.len(), "action item");
                (Tone::Good, number(postmortem.number), format!("postmortem published with {items}"))
            }
            Event::Mail(mail) => (Tone::Important, "mail".to_owned(), posted(mail)),
            Event::DeadLetter { topic, reason, .. } => (Tone::Bad, (*topic).to_owned(), reason.clone()),
        };
        Some(self.row(now, tone, &what, &text))
    }

    /// Returns the line that says what is still expected.
    pub fn waiting(&self, missing: &Missing, now: Timestamp) -> String {
        self.row(now, Tone::Aside, "waiting", &format!("{missing} so far"))
    }

    /// Returns what happened in a run with one fault.
    pub fn summary(&self, observation: &RunObservation) -> String {
        let mut text = String::new();
        let mut row = |what: &str, how: String| _ = writeln!(text, "  {what:<11} {how}");
        if let Some(fault) = observation.fault() {
            let end = fault.ended.map_or_else(|| "now".to_owned(), |ended| self.clock(ended));
            let (scenario, service) = (fault.scenario, &fault.service);
            row("fault", format!("{scenario} in {service}, {} to {end}", self.clock(fault.started)));
            if let Some(incident) = observation.incident() {
                let after = duration(incident.opened_at.duration_since(fault.started));
                row(
                    "incident",
                    format!(
                        "#{} {}, opened {after} after the fault started",
                        incident.number,
                        incident.severity.label()
                    ),
                );
            }
        }
        if let Some(incident) = observation.incident() {
            row("", incident.title.clone());
            if let Some(suspect) = incident.suspect() {
                row("suspect", format!("{}, {}", suspect.service, suspect.category.words()));
            }
            if let Some(plan) = observation.plans.get(&incident.incident_id) {
                row("plan", plan.summary.clone());
            }
            let resolved = incident.resolved_at.zip(observation.fault().and_then(|fault| fault.ended));
            if let Some((resolved, ended)) = resolved {
                row(
                    "resolved",
                    format!(
                        "{}, {} after the end of the fault",
                        self.clock(resolved),
                        duration(resolved.duration_since(ended))
                    ),
                );
            }
            if let Some(postmortem) = observation.postmortems.get(&incident.incident_id) {
                row("postmortem", postmortem.title.clone());
            }
        }
        let facts = observation.facts();
        if let Some((first, started)) = facts.first_mail_at.zip(facts.fault_started) {
            let after = duration(first.duration_since(started));
            row("mails", format!("{}, the first {after} after the fault started", facts.mails));
        }
        for missing in &facts.missing {
            let (colour, off) = self.colour(Tone::Bad);
            row("missing", format!("{colour}{missing}{off}"));
        }
        text
    }

    fn row(&self, now: Timestamp, tone: Tone, what: &str, text: &str) -> String {
        let (colour, off) = self.colour(tone);
        format!("{}  {colour}{what:<12}{off} {text}", self.clock(now))
    }

    /// Returns the time of day in the zone of the reader.
    fn clock(&self, at: Timestamp) -> String {
        at.to_zoned(self.zone.clone()).strftime("%H:%M:%S").to_string()
    }

    fn colour(&self, tone: Tone) -> (&'static str, &'static str) {
        if !self.colours {
            return ("", "");
        }
        let colour = match tone {
            Tone::Aside => "\x1b[2m",
            Tone::Bad => "\x1b[31m",
            Tone::Important => "\x1b[1;33m",
            Tone::Good => "\x1b[32m",
        };
        (colour, "\x1b[0m")
    }
}

/// Describes an episode when it fires and when it clears, once each.
fn anomaly_text(anomaly: &Anomaly, observation: &RunObservation) -> Option<String> {
    let known = observation.abnormal.contains(&anomaly.anomaly_id);
    let is_new = match anomaly.status {
        Status::Suspect => false,
        Status::Firing => !known,
        Status::Cleared => known,
    };
    is_new.then(|| Finding::from(anomaly).sentence().replace('\u{a0}', " "))
}

fn opened(incident: &Incident) -> String {
    let mut text = format!("{} opened: {}", incident.severity.label(), incident.title);
    if let Some(suspect) = incident.suspect() {
        let _ = write!(
            text,
            "; suspect {} ({}, {:.0} %)",
            suspect.service,
            suspect.category.words(),
            100.0 * suspect.posterior
        );
    }
    text
}

/// Describes a change only if people would act on it: another severity or another suspect.
fn updated(incident: &Incident, observation: &RunObservation) -> Option<String> {
    let before = observation.incidents.get(&incident.incident_id)?;
    let suspect = |incident: &Incident| incident.suspect().map(|suspect| suspect.service.clone());
    if before.severity != incident.severity {
        let (from, to) = (before.severity.label(), incident.severity.label());
        return Some(format!(
            "severity changed from {from} to {to}; {} affected",
            counted(incident.affected_services.len(), "service")
        ));
    }
    let (from, to) = (suspect(before), suspect(incident)?);
    (from.as_deref() != Some(to.as_str())).then(|| format!("first suspect is now {to}"))
}

fn ranked(cause: &RootCause) -> String {
    match cause.cause() {
        Some(found) => format!(
            "cause: {} ({:.0} % confidence, {} of {} claims verified)",
            found.cause.trim_end_matches('.'),
            100.0 * found.confidence,
            cause.claims_verified,
            cause.claims_total
        ),
        None => format!(
            "cause: none found in this telemetry; {} ruled out",
            counted(cause.ruled_out.len(), "candidate")
        ),
    }
}

fn planned(plan: &Plan) -> String {
    let first = plan.steps.first().map(|step| step.title.as_str()).unwrap_or_default();
    format!("plan of {}; first: {first}", counted(plan.steps.len(), "step"))
}

fn posted(mail: &Mail) -> String {
    let what = mail.kind.as_deref().unwrap_or(&mail.subject).replace('_', " ");
    format!("{what}, to {}", mail.to.join(", "))
}

fn number(number: i64) -> String {
    format!("incident #{number}")
}
