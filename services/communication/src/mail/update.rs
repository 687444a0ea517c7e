//! News between the events of every incident.

use serde::Serialize;
use shared::events::Severity;
use shared::events::incident::Statement;
use shared::text::format::{counted, duration};
use shared::text::sanitize;

use super::plan::Plan;
use super::root_cause::RootCause;
use super::{Fact, listed, meaning, name, sentence};
use crate::content::{self, Digested, IncidentSummary, News};
use crate::digest::MAX_LINE;
use crate::message::lists::list;
use crate::message::{List, lists};

/// Most services that are named.
const MOST_SERVICES: usize = 8;

/// News between the events of every incident.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Update {
    /// What an earlier message said that is not so; empty if nothing is corrected.
    pub correction: String,
    /// What to do now.
    pub next: Vec<String>,
    /// Labels and values.
    pub facts: Vec<Fact>,
    /// Causes, evidence, steps.
    pub lists: Vec<List>,
}

impl Update {
    /// Gathers what the mail says.
    pub fn new(update: &content::Update, incident: &IncidentSummary) -> Self {
        match &update.news {
            News::Severity { before, after, stated } => Self {
                next: acknowledge(incident, *after),
                facts: of_severity(*before, *after, stated.as_ref()),
                ..Self::default()
            },
            News::Scope { before, added, count } => Self {
                next: acknowledge(incident, incident.severity),
                facts: vec![
                    Fact::new("Affected", format!("{count} services, before {before}")),
                    Fact::new("New", listed(added, MOST_SERVICES)),
                ],
                ..Self::default()
            },
            News::Cause { before, cause } => {
                let mail = RootCause::new(cause);
                Self {
                    correction: format!(
                        "An earlier message named another cause: {}. That is not confirmed any more.",
                        sentence(before)
                    ),
                    next: vec![lists::of_cause(&mail)],
                    facts: lists::cause_facts(&mail),
                    lists: lists::root_cause(&mail),
                }
            }
            News::Plan { plan } => {
                let mail = Plan::new(plan, incident.signal.as_ref());
                Self {
                    correction: "The earlier plan is withdrawn: follow this one.".to_owned(),
                    next: vec![lists::first_step(&mail)],
                    facts: lists::plan_facts(&mail),
                    lists: lists::plan(&mail),
                }
            }
            News::Acknowledged { by, assignee } => {
                let mut facts = vec![Fact::new("By", name(by))];
                facts.extend(assignee.iter().map(|to| Fact::new("Assigned to", name(to))));
                Self { facts, ..Self::default() }
            }
            News::Escalated { level, round, .. } => {
                let mut facts = vec![Fact::new("Level", level.to_string())];
                if *round > 0 {
                    facts.push(Fact::new("Round", format!("{}: the escalation began again", round + 1)));
                }
                Self {
                    next: vec![format!("Acknowledge it: firewatch ack {}.", incident.number)],
                    facts,
                    ..Self::default()
                }
            }
            News::Status(status) => Self {
                next: acknowledge(incident, incident.severity),
                facts: of_status(status, incident),
                ..Self::default()
            },
            News::Summary { lines, more } => Self {
                next: acknowledge(incident, incident.severity),
                lists: vec![list("What happened", cleaned(lines), *more)],
                ..Self::default()
            },
            News::Digest { incidents, more } => {
                Self { next: first(incidents), lists: of_digest(incidents, *more), ..Self::default() }
            }
        }
    }

    /// Returns the news in a sentence or two.
    pub fn lede(update: &content::Update) -> String {
        match &update.news {
            News::Severity { before, after, stated } => {
                let verb = if after > before { "rose" } else { "fell" };
                let by =
                    stated.as_ref().map_or_else(String::new, |one| format!(", set by {}", name(&one.by)));
                format!("The severity {verb} from {} to {}{by}.", before.label(), after.label())
            }
            News::Scope { before, count, .. } => {
                format!("{count} services are affected; when this was last reported there were {before}.")
            }
            News::Cause { cause, .. } => RootCause::lede(cause),
            News::Plan { plan } => Plan::lede(plan),
            News::Acknowledged { by, .. } => format!("{} works on it.", name(by)),
            News::Escalated { minutes, .. } => {
                format!("Nobody has acknowledged the incident for {minutes} minutes.")
            }
            News::Status(status) => {
                let last = if status.is_last { " This is the last report at fixed intervals." } else { "" };
                format!(
                    "The incident has been open for {}.{last}",
                    duration(status.minutes.saturating_mul(60_000))
                )
            }
            News::Summary { lines, more } => {
                format!(
                    "{} of this incident that were not sent at once.",
                    counted(lines.len() + more, "message")
                )
            }
            News::Digest { incidents, more } => {
                let count = incidents.len() + more;
                format!("What was not sent at once, of {}.", counted(count, "incident"))
            }
        }
    }
}

fn of_severity(before: Severity, after: Severity, stated: Option<&Statement>) -> Vec<Fact> {
    let mut facts = vec![
        Fact::new("Severity", format!("{}: {}", after.label(), meaning(after))),
        Fact::new("Before", before.label()),
    ];
    let by = |one: &Statement| format!("{}: {}", name(&one.by), sentence(&one.reason));
    facts.extend(stated.map(|one| Fact::new("Set by", by(one))));
    facts
}

fn of_status(status: &content::Status, incident: &IncidentSummary) -> Vec<Fact> {
    let works = status.assignee.as_deref().or(incident.acknowledged_by.as_deref());
    let unknown = || "not known yet".to_owned();
    vec![
        Fact::new("Severity", format!("{}: {}", incident.severity.label(), meaning(incident.severity))),
        Fact::new("Affected", counted(status.affected, "service")),
        Fact::new("Abnormal now", counted(status.abnormal, "signal")),
        Fact::new("Works on it", works.map_or_else(|| "nobody".to_owned(), name)),
        Fact::new("Cause", status.cause.as_deref().map_or_else(unknown, sentence)),
        Fact::new("First step", status.step.as_deref().map(sentence).unwrap_or_default()),
    ]
}

fn cleaned(lines: &[String]) -> Vec<String> {
    lines.iter().map(|line| sanitize::one_line(line, MAX_LINE)).collect()
}

fn first(incidents: &[Digested]) -> Vec<String> {
    let open = incidents.iter().find(|one| !one.is_over);
    open.map(|one| format!("Look at incident #{} first.", one.number)).into_iter().collect()
}

fn of_digest(incidents: &[Digested], more: usize) -> Vec<List> {
    let (over, open): (Vec<_>, Vec<_>) = incidents.iter().partition(|one| one.is_over);
    let items = |all: Vec<&Digested>| all.into_iter().map(digested).collect();
    vec![list("Open", items(open), more), list("Over", items(over), 0)]
}

fn digested(one: &Digested) -> String {
    let more = if one.more > 0 { format!("{} more before; ", one.more) } else { String::new() };
    format!(
        "#{} {} {}: {}: {more}{}",
        one.number,
        one.severity.label(),
        name(&one.environment),
        sentence(&one.title),
        cleaned(&one.lines).join("; ")
    )
}

/// Returns the command that acknowledges an incident; nothing where nobody waits for that.
pub(super) fn acknowledge(incident: &IncidentSummary, severity: Severity) -> Vec<String> {
    if incident.acknowledged_by.is_some() || incident.is_over || severity < Severity::Sev2 {
        return Vec::new();
    }
    vec![sanitize::one_line(&format!("Acknowledge it: firewatch ack {}.", incident.number), 80)]
}
