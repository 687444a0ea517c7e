//! What a run with a fault came to: collected from the events, reduced to facts, compared with what is expected.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use shared::events::anomaly::Status;
use shared::events::fault::{Phase, Scenario};
use shared::events::{Category, Incident, Plan, Postmortem, RootCause};
use shared::ids::{AnomalyId, IncidentId};
use shared::store::NotificationKind;

use crate::observe::event_feed::Event;
use crate::observe::missing::Missing;
use crate::parts::mailbox::Mail;

/// Mails in the life of an incident: opened, cause, plan, resolved, postmortem.
pub const MAILS: usize = 5;

/// A fault of the simulator, and the time it lasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultWindow {
    /// Scenario.
    pub scenario: Scenario,
    /// Service with the fault.
    pub service: String,
    /// First tick with it.
    pub started: Timestamp,
    /// First tick without it.
    pub ended: Option<Timestamp>,
}

/// A cause, as it was published or as it is true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Service at fault.
    pub service: String,
    /// What kind of cause.
    pub category: Category,
}

impl std::fmt::Display for Cause {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{} ({})", self.service, self.category.words())
    }
}

impl FaultWindow {
    /// Returns the true cause.
    pub fn cause(&self) -> Cause {
        Cause {
            service: self.service.clone(),
            category: self.scenario.category().unwrap_or(Category::Unknown),
        }
    }
}

/// Everything that was observed of a run.
#[derive(Debug, Clone, Default)]
pub struct RunObservation {
    /// Faults in the order they started, by their number.
    pub faults: BTreeMap<u32, FaultWindow>,
    /// Announced incidents in their last revision.
    pub incidents: BTreeMap<IncidentId, Incident>,
    /// Their last ranking of causes.
    pub causes: BTreeMap<IncidentId, RootCause>,
    /// The first candidates of all their rankings, each where it differs from the one before.
    pub ranked: BTreeMap<IncidentId, Vec<Cause>>,
    /// Their last plan.
    pub plans: BTreeMap<IncidentId, Plan>,
    /// Their postmortem.
    pub postmortems: BTreeMap<IncidentId, Postmortem>,
    /// Mails in the order they arrived.
    pub mails: Vec<Mail>,
    /// Records that a stage could not handle.
    pub dead_letters: usize,
    /// Series that are outside their band.
    pub abnormal: BTreeSet<AnomalyId>,
}

/// The facts of a run with one fault, for programs.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Facts {
    /// Announced incidents.
    pub incidents: usize,
    /// Different mails.
    pub mails: usize,
    /// Whether there is a postmortem.
    pub postmortem: bool,
    /// Scenario of the fault.
    pub scenario: Option<Scenario>,
    /// Service with the fault.
    pub service: Option<String>,
    /// First suspect of the first incident.
    pub suspect: Option<String>,
    /// The true cause.
    pub true_cause: Option<Cause>,
    /// Causes of the first incident in the order in which they were published. The last one stands.
    pub causes: Vec<Cause>,
    /// How often the published cause changed.
    pub cause_changes: usize,
    /// Whether the last published cause is another one than the true one, or none was published.
    pub wrong_cause_at_end: bool,
    /// First tick with the fault.
    pub fault_started: Option<Timestamp>,
    /// When the first incident was opened, event time.
    pub opened_at: Option<Timestamp>,
    /// When the first mail was accepted.
    pub first_mail_at: Option<Timestamp>,
    /// When the first incident was resolved, event time.
    pub resolved_at: Option<Timestamp>,
    /// First tick without the fault.
    pub fault_ended: Option<Timestamp>,
    /// From the first tick with the fault until the incident was opened, event time, seconds.
    pub opened_s: Option<f64>,
    /// From the first tick with the fault until the first mail was accepted, seconds.
    pub first_mail_s: Option<f64>,
    /// From the first tick without the fault until the incident was resolved, event time, seconds.
    pub resolved_s: Option<f64>,
    /// Expectations that are not met, one sentence each.
    pub missing: Vec<String>,
}

impl RunObservation {
    /// Adds an event.
    pub fn record(&mut self, event: &Event) {
        match event {
            Event::Fault(fault) if fault.phase == Phase::Started => {
                let (scenario, service) = (fault.scenario, fault.service.clone());
                self.faults
                    .insert(fault.fault, FaultWindow { scenario, service, started: fault.at, ended: None });
            }
            Event::Fault(fault) => {
                if let Some(window) = self.faults.get_mut(&fault.fault) {
                    window.ended = Some(fault.at);
                }
            }
            Event::Opened(incident) | Event::Updated(incident) | Event::Resolved(incident) => {
                let known = self.incidents.entry(incident.incident_id).or_insert_with(|| incident.clone());
                // the three topics are not ordered among each other
                if known.revision < incident.revision {
                    *known = incident.clone();
                }
            }
            Event::Cause(cause) => {
                if let Some(first) = cause.candidates.first() {
                    let first = Cause { service: first.service.clone(), category: first.category };
                    let ranked = self.ranked.entry(cause.incident_id).or_default();
                    if ranked.last() != Some(&first) {
                        ranked.push(first);
                    }
                }
                self.causes.insert(cause.incident_id, cause.clone());
            }
            Event::Plan(plan) => _ = self.plans.insert(plan.incident_id, plan.clone()),
            Event::Postmortem(postmortem) => {
                self.postmortems.insert(postmortem.incident_id, postmortem.clone());
            }
            Event::Mail(mail) => self.mails.push(mail.clone()),
            Event::DeadLetter { .. } => self.dead_letters += 1,
            Event::Anomaly(anomaly) => match anomaly.status {
                Status::Suspect => {}
                Status::Firing => _ = self.abnormal.insert(anomaly.anomaly_id),
                Status::Cleared => _ = self.abnormal.remove(&anomaly.anomaly_id),
            },
            Event::Deployment(_) => {}
        }
    }

    /// Returns the incident that was announced first.
    pub fn incident(&self) -> Option<&Incident> {
        self.incidents.values().min_by_key(|incident| incident.number)
    }

    /// Returns the fault that started first.
    pub fn fault(&self) -> Option<&FaultWindow> {
        self.faults.values().next()
    }

    /// Returns the facts.
    pub fn facts(&self) -> Facts {
        let (fault, incident) = (self.fault(), self.incident());
        let causes =
            incident.and_then(|incident| self.ranked.get(&incident.incident_id)).cloned().unwrap_or_default();
        let true_cause = fault.map(FaultWindow::cause);
        let fault_started = fault.map(|fault| fault.started);
        let fault_ended = fault.and_then(|fault| fault.ended);
        let opened_at = incident.map(|incident| incident.opened_at);
        let first_mail_at = self.mails.iter().map(|mail| mail.received_at).min();
        let resolved_at = incident.and_then(|incident| incident.resolved_at);
        let seconds = |from: Option<Timestamp>, to: Option<Timestamp>| {
            from.zip(to).map(|(from, to)| to.duration_since(from).as_secs_f64())
        };
        Facts {
            incidents: self.incidents.len(),
            mails: self.different_mails(),
            postmortem: incident.is_some_and(|incident| self.postmortems.contains_key(&incident.incident_id)),
            scenario: fault.map(|fault| fault.scenario),
            service: fault.map(|fault| fault.service.clone()),
            suspect: incident.and_then(|incident| Some(incident.suspect()?.service.clone())),
            cause_changes: causes.len().saturating_sub(1),
            wrong_cause_at_end: causes.last() != true_cause.as_ref(),
            causes,
            true_cause,
            fault_started,
            opened_at,
            first_mail_at,
            resolved_at,
            fault_ended,
            opened_s: seconds(fault_started, opened_at),
            first_mail_s: seconds(fault_started, first_mail_at),
            resolved_s: seconds(fault_ended, resolved_at),
            missing: self.missing().iter().map(ToString::to_string).collect(),
        }
    }

    /// Returns the expectations that are not met: exactly one incident with the right suspect, the true cause, a plan, five
    /// mails in one thread, a resolution after the end of the fault, a postmortem, no dead letter.
    pub fn missing(&self) -> Vec<Missing> {
        let Some(fault) = self.fault() else { return vec![Missing::Fault] };
        let Some(incident) = self.incident() else { return vec![Missing::Incident] };
        let mut missing: Vec<Missing> = [
            self.missing_incident(fault, incident),
            self.missing_documents(fault, incident),
            missing_end(fault, incident),
        ]
        .concat();
        if !self.postmortems.contains_key(&incident.incident_id) {
            missing.push(Missing::Postmortem);
        }
        missing.extend(self.missing_mails());
        if self.dead_letters > 0 {
            missing.push(Missing::DeadLetters { letters: self.dead_letters });
        }
        missing
    }

    fn missing_incident(&self, fault: &FaultWindow, incident: &Incident) -> Vec<Missing> {
        let mut missing = Vec::new();
        if self.incidents.len() != 1 {
            missing.push(Missing::SurplusIncidents { opened: self.incidents.len() });
        }
        match incident.suspect() {
            Some(suspect) if suspect.service == fault.service => {}
            Some(suspect) => missing.push(Missing::WrongSuspect {
                suspect: suspect.service.clone(),
                service: fault.service.clone(),
            }),
            None => missing.push(Missing::Suspect),
        }
        if incident.opened_at < fault.started {
            missing.push(Missing::OpenedEarly { opened: incident.opened_at, started: fault.started });
        }
        missing
    }

    fn missing_documents(&self, fault: &FaultWindow, incident: &Incident) -> Vec<Missing> {
        let (id, truth) = (&incident.incident_id, fault.cause());
        let mut missing = Vec::new();
        match self.ranked.get(id).and_then(|ranked| ranked.last()) {
            None => missing.push(Missing::Cause),
            Some(last) if *last != truth => {
                missing.push(Missing::WrongCause { published: last.clone(), truth });
            }
            Some(_) => {}
        }
        if !self.plans.contains_key(id) {
            missing.push(Missing::Plan);
        }
        missing
    }

    fn missing_mails(&self) -> Vec<Missing> {
        let arrived = self.different_mails();
        let kinds = self.of_lifecycle().filter_map(|mail| mail.kind.as_ref()).collect::<BTreeSet<_>>().len();
        let (copies, threads) = (self.of_lifecycle().count() - arrived, self.threads());
        let mut missing = Vec::new();
        if arrived != MAILS {
            missing.push(Missing::Mails { arrived });
        }
        if kinds != MAILS {
            missing.push(Missing::MailKinds { kinds });
        }
        if copies > 0 {
            missing.push(Missing::MailCopies { copies });
        }
        if threads > 1 {
            missing.push(Missing::MailThreads { threads });
        }
        missing
    }

    /// Returns the mails of the five events; news between them comes where there is any.
    fn of_lifecycle(&self) -> impl Iterator<Item = &Mail> {
        let is_news = |mail: &Mail| {
            NotificationKind::UPDATES.iter().any(|kind| mail.kind.as_deref() == Some(kind.name()))
        };
        self.mails.iter().filter(move |mail| !is_news(mail))
    }

    fn different_mails(&self) -> usize {
        self.of_lifecycle().map(|mail| &mail.id).collect::<BTreeSet<_>>().len()
    }

    /// Counts the threads a mail program would show: a mail begins one unless it refers to another that is there.
    fn threads(&self) -> usize {
        let ids: BTreeSet<_> = self.mails.iter().map(|mail| &mail.id).collect();
        let begins = |mail: &&Mail| {
            let root = mail.references.first().or(mail.in_reply_to.as_ref());
            root.is_none_or(|root| !ids.contains(root))
        };
        self.mails.iter().filter(begins).map(|mail| &mail.id).collect::<BTreeSet<_>>().len()
    }
}

/// Returns what is missing of the end of a fault and its incident.
fn missing_end(fault: &FaultWindow, incident: &Incident) -> Vec<Missing> {
    match (incident.resolved_at, fault.ended) {
        (_, None) => vec![Missing::FaultEnd],
        (None, _) => vec![Missing::Resolution { firing: firing(incident) }],
        (Some(resolved), Some(ended)) if resolved < ended => vec![Missing::ResolvedEarly { resolved, ended }],
        (Some(_), Some(_)) => Vec::new(),
    }
}

/// Describes the members that hold an incident open, as far as it lists them.
fn firing(incident: &Incident) -> Vec<String> {
    let firing = incident.signals.iter().filter(|signal| signal.status == Status::Firing);
    firing
        .map(|signal| {
            format!("{} of {} has fired since {}", signal.metric, signal.service, signal.started_at)
        })
        .collect()
}
