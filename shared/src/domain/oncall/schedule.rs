//! Who is on call at a time.

use std::collections::BTreeSet;

use jiff::civil::{Date, DateTime};
use jiff::tz::TimeZone;
use jiff::{SignedDuration, Timestamp};
use serde::{Deserialize, Serialize};

use super::{Gravity, Layer, Policy, Problem, Rotation};
use crate::window::wall::{self, instant, local};
use crate::window::weekly;

/// Most changes that are looked through for the end of a shift.
const MAX_CHANGES: usize = 2_000;
/// Longest time that is looked through for the end of a shift.
const HORIZON: SignedDuration = SignedDuration::from_hours(400 * 24);

/// A rotation that is valid.
#[derive(Debug, Clone)]
pub struct Schedule {
    rotation: Rotation,
    zone: TimeZone,
    /// Begin and end of each override.
    overrides: Vec<(Timestamp, Timestamp)>,
    holidays: BTreeSet<Date>,
}

/// Who is on call, until when and why.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Shift {
    /// Who; none where no layer counts at that time.
    pub person: Option<String>,
    /// Why.
    pub why: Why,
    /// When it is somebody else's turn; none if that is not within the next 400 days.
    pub until: Option<Timestamp>,
}

/// Why somebody is on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Why {
    /// It is their turn in a layer.
    Layer(String),
    /// It is their turn in the layer of a holiday.
    Holiday {
        /// The day.
        date: Date,
        /// The layer.
        layer: String,
    },
    /// They have taken over.
    Override {
        /// Local time of the end.
        to: DateTime,
        /// Why.
        reason: Option<String>,
    },
    /// No layer counts at that time.
    NoLayer,
}

impl std::fmt::Display for Why {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Layer(layer) => write!(f, "layer {layer}"),
            Self::Holiday { date, layer } => write!(f, "layer {layer}, holiday {date}"),
            Self::Override { reason: Some(reason), .. } => write!(f, "override: {reason}"),
            Self::Override { reason: None, .. } => f.write_str("override"),
            Self::NoLayer => f.write_str("no layer covers this time"),
        }
    }
}

/// A turn in a layer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Turn<'s> {
    /// Whose.
    pub person: &'s str,
    /// When it begins.
    pub begin: Timestamp,
    /// When it ends; the end is not part of it.
    pub end: Timestamp,
}

impl Schedule {
    /// Takes a rotation that is valid.
    ///
    /// # Errors
    /// All that is wrong with it, warnings left out.
    pub fn new(rotation: Rotation) -> Result<Self, Vec<Problem>> {
        let errors: Vec<Problem> =
            rotation.problems().into_iter().filter(|problem| problem.gravity == Gravity::Error).collect();
        match wall::zone(&rotation.zone) {
            Ok(zone) if errors.is_empty() => Ok(Self::unchecked(rotation, zone)),
            _ => Err(errors),
        }
    }

    pub(super) fn unchecked(rotation: Rotation, zone: TimeZone) -> Self {
        let overrides = rotation.overrides.iter();
        let overrides = overrides.map(|part| (instant(&zone, part.from), instant(&zone, part.to))).collect();
        let holidays = rotation.holidays.iter().flat_map(|holidays| holidays.dates.iter().copied()).collect();
        Self { rotation, zone, overrides, holidays }
    }

    /// Returns the rotation.
    pub fn rotation(&self) -> &Rotation {
        &self.rotation
    }

    /// Returns the name of the rotation.
    pub fn name(&self) -> &str {
        &self.rotation.name
    }

    /// Returns the team.
    pub fn team(&self) -> &str {
        &self.rotation.team
    }

    /// Returns the zone.
    pub fn zone(&self) -> &TimeZone {
        &self.zone
    }

    /// Returns the addresses of the team as a whole.
    pub fn team_addresses(&self) -> &[String] {
        &self.rotation.addresses
    }

    /// Returns the addresses of a person; empty if there is no such person.
    pub fn addresses(&self, person: &str) -> &[String] {
        let found = self.rotation.people.iter().find(|known| known.name == person);
        found.map_or(&[], |known| &known.addresses)
    }

    /// Returns the escalation policies of the team.
    pub fn policies(&self) -> &[Policy] {
        &self.rotation.escalations
    }

    /// Returns who is on call at a time, until when and why. `until` is when it is somebody else, also where another layer or an
    /// override keeps the same person on call.
    pub fn at(&self, at: Timestamp) -> Shift {
        let (person, why) = self.answer(at);
        let last = at.saturating_add(HORIZON).unwrap_or(Timestamp::MAX);
        let mut until = self.next_change(at);
        for _ in 0..MAX_CHANGES {
            match until {
                Some(change) if change > last => break,
                Some(change) if self.answer(change).0 == person => until = self.next_change(change),
                _ => return Shift { person: person.map(str::to_owned), why, until },
            }
        }
        Shift { person: person.map(str::to_owned), why, until: None }
    }

    /// Returns the shift after the one at a time, and when it begins.
    pub fn next(&self, at: Timestamp) -> Option<(Timestamp, Shift)> {
        let begin = self.at(at).until?;
        Some((begin, self.at(begin)))
    }

    /// Returns whose turn it is in a layer at a time. There is exactly one, whether the layer counts then or not.
    pub fn turn(&self, layer: usize, at: Timestamp) -> Option<Turn<'_>> {
        let Layer { people, handover, length, .. } = self.rotation.layers.get(layer)?;
        let length = SignedDuration::from_hours(i64::from(length.0));
        let begin_of = |turn: i64| {
            let away = i32::try_from(turn).ok().and_then(|turn| length.checked_mul(turn));
            let local = away.and_then(|away| handover.checked_add(away).ok());
            local.map(|local| instant(&self.zone, local))
        };
        // by the clock on the wall; where it has just been changed, the turn beside it may be meant
        let away = local(&self.zone, at).duration_since(*handover);
        let mut turn = away.as_secs().div_euclid(length.as_secs());
        while begin_of(turn)? > at {
            turn -= 1;
        }
        while begin_of(turn + 1)? <= at {
            turn += 1;
        }
        let place = turn.rem_euclid(i64::try_from(people.len()).ok()?);
        let person = people.get(usize::try_from(place).ok()?)?;
        Some(Turn { person, begin: begin_of(turn)?, end: begin_of(turn + 1)? })
    }

    fn answer(&self, at: Timestamp) -> (Option<&str>, Why) {
        let covers = |(begin, end): &(Timestamp, Timestamp)| (*begin..*end).contains(&at);
        if let Some(place) = self.overrides.iter().rposition(covers) {
            let part = &self.rotation.overrides[place];
            return (Some(&part.person), Why::Override { to: part.to, reason: part.reason.clone() });
        }
        let on_call = |place: usize| {
            let counts =
                |layer: &Layer| layer.hours.is_empty() || weekly::is_inside(&layer.hours, &self.zone, at);
            let layer = self.rotation.layers.get(place).filter(|layer| counts(layer))?;
            Some((self.turn(place, at)?.person, layer.name.clone()))
        };
        let date = local(&self.zone, at).date();
        if let Some(holidays) = self.rotation.holidays.as_ref().filter(|_| self.holidays.contains(&date)) {
            let place = self.rotation.layers.iter().position(|layer| layer.name == holidays.layer);
            if let Some((person, layer)) = place.and_then(on_call) {
                return (Some(person), Why::Holiday { date, layer });
            }
        }
        let first = (0..self.rotation.layers.len()).find_map(on_call);
        first.map_or((None, Why::NoLayer), |(person, layer)| (Some(person), Why::Layer(layer)))
    }

    /// Returns the first time after another at which the answer may be another one.
    fn next_change(&self, after: Timestamp) -> Option<Timestamp> {
        let overrides = self.overrides.iter().flat_map(|(begin, end)| [*begin, *end]);
        let layers = self.rotation.layers.iter().enumerate().flat_map(|(place, layer)| {
            let turn = self.turn(place, after).filter(|_| layer.people.len() > 1).map(|turn| turn.end);
            [turn, weekly::next_edge(&layer.hours, &self.zone, after)].into_iter().flatten()
        });
        // the first holiday that is not over has the next begin or end of one
        let today = local(&self.zone, after).date();
        let holiday = self.holidays.range(today..).take(1).flat_map(|day| [Some(*day), day.tomorrow().ok()]);
        let days = holiday.flatten().map(|day| wall::midnight(&self.zone, day));
        overrides.chain(layers).chain(days).filter(|change| *change > after).min()
    }
}
