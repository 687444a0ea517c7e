//! What is wrong with routes: all of it, each with its place. A route that can never match is refused, because whoever wrote it
//! relies on it.

use std::collections::BTreeSet;

use jiff::civil::date;
use jiff::tz::TimeZone;

use super::{Deliver, Document, Later, Route, VERSION};
use crate::oncall::{Roster, Whom, described};
use crate::window::{wall, weekly};

/// Most routes and most receivers.
const MAX_ITEMS: usize = 200;
/// Most entries of a receiver, receivers of a route and hours.
const MAX_PARTS: usize = 50;
/// Longest name and longest address, bytes.
const MAX_TEXT: usize = 200;

/// What is wrong with routes.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Field, e.g. `routes[1].matchers`.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Problem { field: field.into(), reason: reason.into() });
    }

    fn unless(&mut self, is_fine: bool, field: &str, reason: impl FnOnce() -> String) {
        if !is_fine {
            self.add(field, reason());
        }
    }

    fn bound(&mut self, field: &str, items: usize, most: usize) {
        self.unless(items <= most, field, || format!("has {items} items, more than {most}"));
    }

    fn text(&mut self, field: &str, text: &str) {
        let is_fine = !text.trim().is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control);
        self.unless(is_fine, field, || format!("is empty, longer than {MAX_TEXT} bytes or not one line"));
    }

    fn zone(&mut self, field: &str, name: Option<&String>) {
        if let Some(Err(error)) = name.map(|name| wall::zone(name)) {
            self.add(field, error.to_string());
        }
    }
}

impl Document {
    /// Returns all that is wrong with it. Without a roster it is not checked that rotations, teams and escalation policies exist.
    pub fn problems(&self, roster: Option<&Roster>) -> Vec<Problem> {
        let mut problems = Problems(Vec::new());
        let version = self.version;
        problems.unless(version == VERSION, "version", || format!("{version} is not {VERSION}"));
        problems.zone("zone", self.zone.as_ref());
        self.check_receivers(roster, &mut problems);
        self.check_names("fallback", &self.fallback, &mut problems);
        problems.bound("routes", self.routes.len(), MAX_ITEMS);
        let mut names = BTreeSet::new();
        for (index, route) in self.routes.iter().enumerate().take(MAX_ITEMS) {
            let field = format!("routes[{index}]");
            problems.text(&format!("{field}.name"), &route.name);
            problems.unless(names.insert(&route.name), &format!("{field}.name"), || {
                format!("{:?} is used twice", route.name)
            });
            self.check_names(&format!("{field}.receivers"), &route.receivers, &mut problems);
            check_hours(route, &field, &mut problems);
            if let (Some(policy), Some(roster)) = (&route.escalation, roster) {
                problems.unless(roster.policy(policy).is_some(), &format!("{field}.escalation"), || {
                    format!("there is no escalation policy {policy:?}")
                });
            }
            let is_silent = route.escalation.is_some() && route.deliver == Deliver::Digest;
            problems.unless(!is_silent, &format!("{field}.escalation"), || {
                "never begins: what goes into a digest does not escalate".to_owned()
            });
            self.check_reachable(index, route, &mut problems);
        }
        problems.0
    }

    fn check_receivers(&self, roster: Option<&Roster>, problems: &mut Problems) {
        problems.bound("receivers", self.receivers.len(), MAX_ITEMS);
        for (name, entries) in &self.receivers {
            let field = format!("receivers.{name}");
            problems.text(&field, name);
            problems.unless(!entries.is_empty(), &field, || "is empty".to_owned());
            problems.bound(&field, entries.len(), MAX_PARTS);
            for (index, whom) in entries.iter().enumerate() {
                let field = format!("{field}[{index}]");
                if let Whom::Entry(entry) = whom {
                    problems.text(&field, entry);
                }
                let is_known = roster.is_none_or(|roster| roster.knows(whom));
                problems.unless(is_known, &field, || format!("there is no {}", described(whom)));
            }
        }
    }

    fn check_names(&self, field: &str, names: &[String], problems: &mut Problems) {
        problems.unless(!names.is_empty(), field, || "is empty".to_owned());
        problems.bound(field, names.len(), MAX_PARTS);
        for (index, name) in names.iter().enumerate() {
            problems.unless(self.receivers.contains_key(name), &format!("{field}[{index}]"), || {
                format!("{name:?} is not one of receivers")
            });
        }
    }

    /// Reports a route that never matches: its matchers contradict each other, or one above takes all that it would match.
    fn check_reachable(&self, index: usize, route: &Route, problems: &mut Problems) {
        let field = format!("routes[{index}].matchers");
        if let Some(contradiction) = route.matchers.contradiction() {
            problems.add(&field, format!("the route never matches: {contradiction}"));
            return;
        }
        let takes_all = |above: &&Route| {
            // hours of the same zone are the same hours
            let is_open = above.hours.is_empty() || (above.hours == route.hours && above.zone == route.zone);
            !above.goes_on && is_open && above.matchers.cover(&route.matchers)
        };
        if let Some(above) = self.routes[..index].iter().find(takes_all) {
            let what = if above.matchers.is_empty() { "everything" } else { "all that it would match" };
            let reason = format!(
                "the route never matches: {:?} stands above it, takes {what} and does not continue",
                above.name
            );
            problems.add(&field, reason);
        }
    }
}

fn check_hours(route: &Route, field: &str, problems: &mut Problems) {
    problems.zone(&format!("{field}.zone"), route.zone.as_ref());
    problems.bound(&format!("{field}.hours"), route.hours.len(), MAX_PARTS);
    let Some(quiet) = &route.quiet else { return };
    let field = format!("{field}.quiet.hours");
    problems.unless(!quiet.hours.is_empty(), &field, || "is empty".to_owned());
    problems.bound(&field, quiet.hours.len(), MAX_PARTS);
    if quiet.deliver == Later::AtEnd && quiet.hours.len() <= MAX_PARTS {
        // hours that never end have no end at any time
        let at = wall::midnight(&TimeZone::UTC, date(2026, 1, 5));
        let inside = weekly::is_inside(&quiet.hours, &TimeZone::UTC, at);
        let is_endless = inside && weekly::end(&quiet.hours, &TimeZone::UTC, at).is_none();
        problems.unless(!is_endless, &field, || "never end, so nothing would be delivered".to_owned());
    }
}
