//! Who would be notified of an incident, when and why, and how that escalates.

use std::fmt::Write as _;

use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};
use shared::matchers::Facts;
use shared::oncall::{Policy, Reached, Roster, Whom};
use shared::routes::{Routes, Told, When};

use crate::oncall::minute;
use crate::terminal::{Screen, Tone, cell, finished};

/// Most steps of an escalation that are shown.
const MAX_STEPS: usize = 100;

/// Who would be notified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What is known of the incident.
    pub incident: Facts,
    /// When it would be opened.
    pub at: Timestamp,
    /// A step for each route that matches.
    pub notified: Vec<Step>,
}

/// What one route does.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Step {
    /// Route; none: no route matches, and the fallback is notified.
    pub route: Option<String>,
    /// Its matchers, each by itself; all of them hold.
    pub matchers: Vec<String>,
    /// When.
    pub when: When,
    /// Whether it is a quiet hour of the route.
    pub is_quiet: bool,
    /// Receivers, with whom they stand for at that time.
    pub receivers: Vec<Receiver>,
    /// Escalation policy.
    pub escalation: Option<String>,
    /// Its levels, repetitions included, with whom they reach at their time.
    pub levels: Vec<Level>,
}

/// A receiver and whom it reaches.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Receiver {
    /// Name.
    pub name: String,
    /// Whom.
    pub reached: Vec<Reached>,
}

/// A level of an escalation.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Level {
    /// Minutes after the receivers of the route are notified.
    pub after_minutes: u32,
    /// When that is.
    pub at: Timestamp,
    /// Whom.
    pub reached: Vec<Reached>,
}

impl Document {
    /// Plans the notifications of an incident.
    pub fn of(incident: Facts, at: Timestamp, routes: &Routes, roster: &Roster) -> Self {
        let notified =
            routes.plan(&incident, at).into_iter().map(|told| Step::of(told, at, roster)).collect();
        Self { incident, at, notified }
    }
}

impl Step {
    fn of(told: Told, at: Timestamp, roster: &Roster) -> Self {
        let Told { receivers, when, why, escalation } = told;
        // whoever is on call when they are notified
        let begin = if let When::At(later) = when { later } else { at };
        let reach = |whom: &[Whom], at| whom.iter().map(|whom| roster.reach(whom, at)).collect::<Vec<_>>();
        let policy = escalation.as_deref().and_then(|name| roster.policy(name));
        let steps = policy.into_iter().flat_map(Policy::steps).take(MAX_STEPS);
        let levels = steps.map(|(after_minutes, level)| {
            let later = begin.saturating_add(SignedDuration::from_mins(i64::from(after_minutes)));
            let at = later.unwrap_or(Timestamp::MAX);
            Level { after_minutes, at, reached: reach(&level.notify, at) }
        });
        Self {
            levels: levels.collect(),
            route: why.route,
            matchers: why.matchers.iter().map(ToString::to_string).collect(),
            when,
            is_quiet: why.is_quiet,
            receivers: receivers
                .into_iter()
                .map(|(name, whom)| Receiver { name, reached: reach(&whom, begin) })
                .collect(),
            escalation,
        }
    }
}

/// Renders a document whose texts are clean.
pub fn render(document: &Document, screen: &Screen) -> String {
    let Document { incident, at, notified } = document;
    let severity = incident.severity.map_or("", |severity| severity.label());
    let services = incident.services.iter().map(String::as_str).collect::<Vec<_>>().join(", ");
    let environment = incident.environment.as_deref().unwrap_or_default();
    let mut text = format!("{severity} of {services} in {environment}, opened at {} UTC\n", minute(*at));
    let mut table = screen.table(&["ROUTE", "WHEN", "RECEIVER", "REACHES", "BECAUSE"]);
    for step in notified {
        let when = when(step);
        for (index, receiver) in step.receivers.iter().enumerate() {
            let first = |text: &str| if index == 0 { text.to_owned() } else { String::new() };
            table.add_row([
                cell(Tone::Strong, first(step.route.as_deref().unwrap_or("(fallback)"))),
                cell(Tone::Plain, first(&when)),
                cell(Tone::Plain, &receiver.name),
                cell(Tone::Plain, reached(&receiver.reached)),
                cell(Tone::Faint, first(&because(step))),
            ]);
        }
    }
    text.push_str(&finished(&table));
    for step in notified {
        let Some(policy) = &step.escalation else { continue };
        let heading = screen.paint(Tone::Strong, &format!("ESCALATION {policy}"));
        let _ = writeln!(text, "\n{heading}  of route {}", step.route.as_deref().unwrap_or_default());
        let mut table = screen.table(&["AFTER", "AT", "REACHES"]);
        for Level { after_minutes, at, reached: whom } in &step.levels {
            table.add_row([
                cell(Tone::Plain, format!("{after_minutes} min")),
                cell(Tone::Faint, minute(*at)),
                cell(Tone::Plain, reached(whom)),
            ]);
        }
        text.push_str(&finished(&table));
    }
    text
}

fn when(step: &Step) -> String {
    let when = match step.when {
        When::Now => "now".to_owned(),
        When::Digest => "next digest".to_owned(),
        When::At(at) => minute(at),
    };
    if step.is_quiet { format!("{when} (quiet hours)") } else { when }
}

fn because(step: &Step) -> String {
    match &step.matchers[..] {
        [] if step.route.is_none() => "no route matches".to_owned(),
        [] => "it matches everything".to_owned(),
        matchers => matchers.join(", "),
    }
}

/// Returns in words who is reached, with people by name.
fn reached(all: &[Reached]) -> String {
    let one = |Reached { whom, person, addresses }: &Reached| match (whom, person) {
        (Whom::Rotation(rotation), Some(person)) => format!("{person} ({rotation})"),
        (Whom::Rotation(rotation), None) => format!("nobody ({rotation})"),
        (Whom::Team(team), _) if addresses.is_empty() => format!("team {team} without an address"),
        (Whom::Team(team), _) => format!("team {team}"),
        (Whom::Entry(entry), _) => entry.clone(),
    };
    all.iter().map(one).collect::<Vec<_>>().join(", ")
}
