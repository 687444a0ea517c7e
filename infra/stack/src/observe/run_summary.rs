//! What a run with a fault came to: collected from the events, reduced to facts, compared with what is expected.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::Serialize;
use shared::events::anomaly::Status;
use shared::events::fault::{Phase, Scenario};
use shared::events::{Category, Incident, Plan, Postmortem, RootCause};
use shared::ids::{AnomalyId, IncidentId};

use crate::observe::event_feed::Event;
use crate::parts::mailbox::Mail;

/// Mails in the life of an incident: opened, cause, plan, resolved, postmortem.
pub const MAILS: usize = 5;

/// A fault of the simulator, and the time it lasted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FaultWindow {
    /// What.
    pub scenario: Scenario,
    /// Where.
    pub service: String,
    /// First tick with it.
    pub started: Timestamp,
    /// First tick without it.
    pub ended: Option<Timestamp>,
}

/// A cause, as it was published or as it is true.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Cause {
    /// Where.
    pub service: String,
    /// What kind.
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
        Cause { service: self.service.clone(), category: self.scenario.category() }
    }
}

/// Everything that is known of a run.
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
    /// Causes of the first incident in the order in which they were published; the last one is in force.
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
    /// When the first incident was over, event time.
    pub resolved_at: Option<Timestamp>,
    /// First tick without the fault.
    pub fault_ended: Option<Timestamp>,
    /// From the first tick with the fault until the incident was opened, event time, seconds.
    pub opened_s: Option<f64>,
    /// From the first tick with the fault until the first mail was accepted, seconds.
    pub first_mail_s: Option<f64>,
    /// From the first tick without the fault until the incident was over, event time, seconds.
    pub resolved_s: Option<f64>,
    /// What should have happened and has not, one sentence each.
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
                // three topics: their order among each other is not kept
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
            missing: self.missing(),
        }
    }

    /// Returns what should have come of one fault and has not, one sentence each: exactly one incident with the right
    /// suspect, the true cause, a plan, five mails in one thread, a resolution after the fault's end, a postmortem.
    pub fn missing(&self) -> Vec<String> {
        let Some(fault) = self.fault() else { return vec!["no fault broke out".to_owned()] };
        let Some(incident) = self.incident() else { return vec!["no incident was opened".to_owned()] };
        let id = &incident.incident_id;
        let mut missing = Vec::new();
        let mut expect = |met: bool, sentence: String| {
            if !met {
                missing.push(sentence);
            }
        };
        expect(
            self.incidents.len() == 1,
            format!("{} incidents were opened instead of one", self.incidents.len()),
        );
        match incident.suspect() {
            Some(suspect) => expect(
                suspect.service == fault.service,
                format!("{} is suspected instead of {}", suspect.service, fault.service),
            ),
            None => expect(false, "nothing is suspected".to_owned()),
        }
        expect(
            incident.opened_at >= fault.started,
            format!("opened at {}, before the fault began at {}", incident.opened_at, fault.started),
        );
        let truth = fault.cause();
        match self.ranked.get(id).and_then(|ranked| ranked.last()) {
            None => expect(false, "no cause was ranked".to_owned()),
            Some(last) => expect(*last == truth, format!("the cause is said to be {last} and is {truth}")),
        }
        expect(self.plans.contains_key(id), "no plan was made".to_owned());
        match (incident.resolved_at, fault.ended) {
            (_, None) => expect(false, "the fault has not ended".to_owned()),
            (None, _) => expect(false, format!("the incident is not resolved, {}", still_firing(incident))),
            (Some(resolved), Some(ended)) => {
                expect(
                    resolved >= ended,
                    format!("resolved at {resolved}, before the fault ended at {ended}"),
                );
            }
        }
        expect(self.postmortems.contains_key(id), "no postmortem was written".to_owned());
        let different = self.different_mails();
        expect(different == MAILS, format!("{different} mails arrived instead of {MAILS}"));
        let kinds = self.mails.iter().filter_map(|mail| mail.kind.as_ref()).collect::<BTreeSet<_>>().len();
        expect(kinds == MAILS, format!("they are of {kinds} kinds instead of {MAILS}"));
        expect(
            different == self.mails.len(),
            format!("mails arrived twice: {}", self.mails.len() - different),
        );
        expect(self.threads() <= 1, format!("the mails are in {} threads", self.threads()));
        expect(self.dead_letters == 0, format!("{} records could not be handled", self.dead_letters));
        missing
    }

    fn different_mails(&self) -> usize {
        self.mails.iter().map(|mail| &mail.id).collect::<BTreeSet<_>>().len()
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

/// Names the members that hold an incident open, as far as it lists them.
fn still_firing(incident: &Incident) -> String {
    let firing: Vec<_> = incident
        .signals
        .iter()
        .filter(|signal| signal.status == Status::Firing)
        .map(|signal| format!("{} of {} fires since {}", signal.metric, signal.service, signal.started_at))
        .collect();
    if firing.is_empty() { "though none of its members fires".to_owned() } else { firing.join(", ") }
}
