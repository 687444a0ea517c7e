//! All rotations together.

use std::collections::{BTreeMap, BTreeSet};

use jiff::Timestamp;
use serde::{Deserialize, Serialize};

use super::{Gravity, Policy, Problem, Rotation, Schedule, Whom};

/// All rotations and escalation policies, valid.
#[derive(Debug, Clone, Default)]
pub struct Roster {
    schedules: BTreeMap<String, Schedule>,
}

/// Who is notified at a time, and where.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Reached {
    /// What was asked for.
    pub whom: Whom,
    /// The person on call, where a rotation was asked for and has one.
    pub person: Option<String>,
    /// Addresses; empty if a rotation has nobody on call then, or a team has no address.
    pub addresses: Vec<String>,
}

impl Roster {
    /// Takes rotations that are valid.
    ///
    /// # Errors
    /// All that is wrong, each with the place of its rotation in the list; warnings are left out.
    pub fn new(rotations: Vec<Rotation>) -> Result<Self, Vec<(usize, Problem)>> {
        let mut errors = Self::problems(&rotations);
        errors.retain(|(_, problem)| problem.gravity == Gravity::Error);
        if !errors.is_empty() {
            return Err(errors);
        }
        let mut schedules = BTreeMap::new();
        for (place, rotation) in rotations.into_iter().enumerate() {
            match Schedule::new(rotation) {
                Ok(schedule) => drop(schedules.insert(schedule.name().to_owned(), schedule)),
                Err(problems) => errors.extend(problems.into_iter().map(|problem| (place, problem))),
            }
        }
        if errors.is_empty() { Ok(Self { schedules }) } else { Err(errors) }
    }

    /// Returns the schedule of a rotation.
    pub fn schedule(&self, rotation: &str) -> Option<&Schedule> {
        self.schedules.get(rotation)
    }

    /// Returns all schedules, by name of the rotation.
    pub fn schedules(&self) -> impl Iterator<Item = &Schedule> {
        self.schedules.values()
    }

    /// Returns whether there is a team of that name.
    pub fn has_team(&self, team: &str) -> bool {
        self.schedules.values().any(|schedule| schedule.team() == team)
    }

    /// Returns whether somebody of that kind is known.
    pub fn knows(&self, whom: &Whom) -> bool {
        match whom {
            Whom::Rotation(name) => self.schedules.contains_key(name),
            Whom::Team(name) => self.has_team(name),
            Whom::Entry(_) => true,
        }
    }

    /// Returns an escalation policy.
    pub fn policy(&self, name: &str) -> Option<&Policy> {
        self.schedules.values().flat_map(Schedule::policies).find(|policy| policy.name == name)
    }

    /// Returns where somebody is reached at a time.
    pub fn reach(&self, whom: &Whom, at: Timestamp) -> Reached {
        let (person, addresses) = match whom {
            Whom::Rotation(name) => self.schedule(name).map_or((None, Vec::new()), |schedule| {
                let person = schedule.at(at).person;
                let addresses = person.as_deref().map_or(&[][..], |person| schedule.addresses(person));
                (person.clone(), addresses.to_vec())
            }),
            Whom::Team(team) => {
                let rotations = self.schedules.values().filter(|schedule| schedule.team() == team);
                let addresses: BTreeSet<&String> = rotations.flat_map(Schedule::team_addresses).collect();
                (None, addresses.into_iter().cloned().collect())
            }
            Whom::Entry(entry) => (None, vec![entry.clone()]),
        };
        Reached { whom: whom.clone(), person, addresses }
    }
}
