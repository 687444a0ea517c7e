//! Who is notified of what: routes, as the file `routes.yaml` has them.
//!
//! ```yaml
//! version: 1
//! zone: Europe/Berlin
//! receivers:
//!   payments: [{ rotation: payments }, { entry: "slack:#payments" }]
//!   operations: [{ entry: "mail:ops@shop.example" }]
//! fallback: [operations]
//! routes:
//!   - name: payments
//!     matchers: 'service="payment", severity>="SEV2"'
//!     receivers: [payments]
//!     escalation: payments
//! ```
//!
//! Routes are tried in their order. The first one that matches is taken; with `continue: true` those below it are tried, too. If none
//! matches, the receivers of `fallback` are notified at once.

mod check;

use std::collections::BTreeMap;

use jiff::Timestamp;
use jiff::tz::TimeZone;
use serde::{Deserialize, Serialize};

use crate::matchers::{Facts, Matchers};
use crate::oncall::{Roster, Whom};
use crate::window::wall;
use crate::window::weekly::{self, Hours};
pub use check::Problem;

/// The version of the file that is read.
pub const VERSION: u32 = 1;

/// The file, as it is written.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Document {
    /// Version of the format: [`VERSION`].
    pub version: u32,
    /// Zone of the hours of routes that name none; none: UTC.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Receivers, by name.
    pub receivers: BTreeMap<String, Vec<Whom>>,
    /// Names of receivers that are notified where no route matches.
    pub fallback: Vec<String>,
    /// Routes, the first one at the top.
    #[serde(default)]
    pub routes: Vec<Route>,
}

/// One route.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Route {
    /// Name.
    pub name: String,
    /// What it is for; all have to hold. None: everything.
    #[serde(default, skip_serializing_if = "Matchers::is_empty")]
    pub matchers: Matchers,
    /// Hours in which it matches; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
    /// Zone of its hours, in place of that of the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub zone: Option<String>,
    /// Names of receivers.
    pub receivers: Vec<String>,
    /// How they are notified outside of quiet hours.
    #[serde(default)]
    pub deliver: Deliver,
    /// Hours in which they are notified later.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub quiet: Option<Quiet>,
    /// Name of the escalation policy; none: nothing escalates. Its chain begins when receivers are notified, and not with a digest.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub escalation: Option<String>,
    /// Whether routes below are tried once this one has matched.
    #[serde(default, rename = "continue")]
    pub goes_on: bool,
}

/// How receivers are notified.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Deliver {
    /// At once.
    #[default]
    Now,
    /// With the next summary of several incidents.
    Digest,
}

/// Hours in which receivers are notified later.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Quiet {
    /// The hours.
    pub hours: Vec<Hours>,
    /// How much later.
    #[serde(default)]
    pub deliver: Later,
}

/// How a notification of quiet hours is delivered.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Later {
    /// With the next digest.
    #[default]
    Digest,
    /// When the quiet hours end.
    AtEnd,
}

/// When receivers are notified.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum When {
    /// At once.
    Now,
    /// With the next digest.
    Digest,
    /// At a time.
    At(Timestamp),
}

/// Why receivers are notified.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Why {
    /// Name of the route; none where no route has matched.
    pub route: Option<String>,
    /// Its matchers, which hold.
    pub matchers: Matchers,
    /// Whether it is a quiet hour.
    pub is_quiet: bool,
}

/// Who is notified, when and why.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Told {
    /// Receivers by name, each with whom it stands for. Which person a rotation has on call is asked when they are notified
    /// ([`Roster::reach`]).
    pub receivers: Vec<(String, Vec<Whom>)>,
    /// When.
    pub when: When,
    /// Why.
    pub why: Why,
    /// Name of the escalation policy whose chain begins when receivers are notified. What goes into a digest does not escalate.
    pub escalation: Option<String>,
}

/// Routes that are valid.
#[derive(Debug, Clone)]
pub struct Routes {
    document: Document,
    /// Zone of each route.
    zones: Vec<TimeZone>,
}

impl Routes {
    /// Takes a file that is valid.
    ///
    /// # Errors
    /// All that is wrong with it.
    pub fn new(document: Document, roster: &Roster) -> Result<Self, Vec<Problem>> {
        let problems = document.problems(Some(roster));
        let zone = |route: &Route| {
            let name = route.zone.as_deref().or(document.zone.as_deref()).unwrap_or("UTC");
            wall::zone(name).ok()
        };
        match document.routes.iter().map(zone).collect::<Option<Vec<TimeZone>>>() {
            Some(zones) if problems.is_empty() => Ok(Self { document, zones }),
            _ => Err(problems),
        }
    }

    /// Returns the file.
    pub fn document(&self) -> &Document {
        &self.document
    }

    /// Returns who is notified of something, when and why. There is always somebody: without a route it is the fallback.
    pub fn plan(&self, facts: &Facts, at: Timestamp) -> Vec<Told> {
        let mut planned = Vec::new();
        for (route, zone) in self.document.routes.iter().zip(&self.zones) {
            let is_open = route.hours.is_empty() || weekly::is_inside(&route.hours, zone, at);
            if !is_open || !route.matchers.matches(facts) {
                continue;
            }
            planned.push(self.told(route, zone, at));
            if !route.goes_on {
                return planned;
            }
        }
        if planned.is_empty() {
            planned.push(Told {
                receivers: self.receivers(&self.document.fallback),
                when: When::Now,
                why: Why { route: None, matchers: Matchers::default(), is_quiet: false },
                escalation: None,
            });
        }
        planned
    }

    fn told(&self, route: &Route, zone: &TimeZone, at: Timestamp) -> Told {
        let quiet = route.quiet.as_ref().filter(|quiet| weekly::is_inside(&quiet.hours, zone, at));
        let when = match (quiet.map(|quiet| (quiet.deliver, &quiet.hours)), route.deliver) {
            (Some((Later::Digest, _)), _) | (None, Deliver::Digest) => When::Digest,
            // hours without an end are refused; a digest is the next best
            (Some((Later::AtEnd, hours)), _) => weekly::end(hours, zone, at).map_or(When::Digest, When::At),
            (None, Deliver::Now) => When::Now,
        };
        Told {
            receivers: self.receivers(&route.receivers),
            when,
            why: Why {
                route: Some(route.name.clone()),
                matchers: route.matchers.clone(),
                is_quiet: quiet.is_some(),
            },
            escalation: route.escalation.clone().filter(|_| when != When::Digest),
        }
    }

    fn receivers(&self, names: &[String]) -> Vec<(String, Vec<Whom>)> {
        let known = |name: &String| Some((name.clone(), self.document.receivers.get(name)?.clone()));
        names.iter().filter_map(known).collect()
    }
}

#[cfg(test)]
mod tests;
