//! Who is on call: rotations with layers, overrides and holidays, and the escalation policies of a team.
//!
//! A file of `knowledge/oncall` is a [`Rotation`]. [`Rotation::problems`] names all that is wrong with one, [`Roster::problems`]
//! what is wrong with all together. A [`Schedule`] says who is on call at a time, until when and why; a [`Roster`] holds all
//! schedules and says whom an escalation reaches.
//!
//! At any time the person on call is, in this order: that of the last override in the list that covers the time; on a holiday, that
//! of the holiday's layer; else that of the first layer whose hours the time is inside of. So a layer with hours stands before one
//! without. All times are local times of the rotation's zone; handovers stay at their time on the wall when clocks are changed
//! ([`crate::window::wall`]).

mod check;
mod roster;
mod schedule;

use jiff::civil::{Date, DateTime};
use serde::{Deserialize, Serialize};

use crate::window::weekly::Hours;
pub(crate) use check::described;
pub use check::{Gravity, Problem};
pub use roster::{Reached, Roster};
pub use schedule::{Schedule, Shift, Turn, Why};

/// A rotation of a team, as its file has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Rotation {
    /// Name; also that of its file.
    pub name: String,
    /// Team, as services of the catalogue name it.
    pub team: String,
    /// Zone of the IANA database that its local times are of, e.g. `Europe/Berlin`.
    pub zone: String,
    /// Addresses of the team as a whole, such as `mail:payments@shop.example` or `slack:#payments`.
    #[serde(default)]
    pub addresses: Vec<String>,
    /// People that take part.
    pub people: Vec<Person>,
    /// Layers, the one that is asked first at the top.
    pub layers: Vec<Layer>,
    /// Who takes over from whoever it would be.
    #[serde(default)]
    pub overrides: Vec<Override>,
    /// Days on which a certain layer is asked first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub holidays: Option<Holidays>,
    /// Escalation policies.
    #[serde(default)]
    pub escalations: Vec<Policy>,
}

/// Somebody who can be on call.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Person {
    /// Name, by which layers and overrides refer to it.
    pub name: String,
    /// Where they are notified, such as `mail:ada@shop.example`, `slack:@ada` or `pagerduty:ADA`. Channels read them.
    pub addresses: Vec<String>,
}

/// People who take turns.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Layer {
    /// Name.
    pub name: String,
    /// Who takes turns, in this order.
    pub people: Vec<String>,
    /// Local time of a handover: the first person begins. The others are multiples of `length` away from it, also before it.
    pub handover: DateTime,
    /// How long a turn is by the clock on the wall, e.g. `1 week` or `12h`; whole hours.
    #[serde(with = "length")]
    pub length: Length,
    /// Hours of the week in which the layer counts; none: always.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub hours: Vec<Hours>,
}

/// Length of a turn, hours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Length(pub u32);

/// Somebody takes over for a while.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Override {
    /// Who.
    pub person: String,
    /// Local time of the begin.
    pub from: DateTime,
    /// Local time of the end, which is not part of it.
    pub to: DateTime,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
}

/// Days on which a certain layer is asked first.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Holidays {
    /// The layer.
    pub layer: String,
    /// The days, from midnight to midnight.
    pub dates: Vec<Date>,
}

/// Whom to notify, and when, as long as nobody acknowledges.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Policy {
    /// Name; routes refer to it. No two policies share one.
    pub name: String,
    /// Levels, in the order of their times.
    pub levels: Vec<Level>,
    /// Whether the chain is run again after its last level; none: it is not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeat: Option<Repeat>,
}

/// A level of an escalation.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Level {
    /// Minutes after the chain has begun.
    pub after_minutes: u32,
    /// Whom.
    pub notify: Vec<Whom>,
}

/// How a chain is run again.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Repeat {
    /// How often.
    pub times: u32,
    /// Minutes after the last level, before it begins again.
    pub after_minutes: u32,
}

/// Who is notified: `rotation: payments`, `team: payments` or `entry: "mail:cto@shop.example"`.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Whom {
    /// The person whom a rotation has on call at that time.
    Rotation(String),
    /// The addresses of a team: those of all its rotations.
    Team(String),
    /// A fixed address.
    Entry(String),
}

impl std::fmt::Display for Whom {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Rotation(name) => write!(f, "on-call of {name}"),
            Self::Team(name) => write!(f, "team {name}"),
            Self::Entry(entry) => f.write_str(entry),
        }
    }
}

impl Policy {
    /// Returns each level with the minutes after which it is due, repetitions included.
    pub fn steps(&self) -> impl Iterator<Item = (u32, &Level)> {
        let last = self.levels.last().map_or(0, |level| level.after_minutes);
        let (times, pause) = self.repeat.map_or((0, 0), |repeat| (repeat.times, repeat.after_minutes));
        (0..=times).flat_map(move |round| {
            let begin = round.saturating_mul(last.saturating_add(pause));
            self.levels.iter().map(move |level| (begin.saturating_add(level.after_minutes), level))
        })
    }
}

/// Lengths of turns as people write them.
mod length {
    use serde::{Deserialize as _, Deserializer, Serializer};

    use super::Length;
    use crate::window::duration;

    #[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
    pub(super) fn serialize<S: Serializer>(length: &Length, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(&format_args!("{}h", length.0))
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Length, D::Error> {
        let text = String::deserialize(deserializer)?;
        let read = duration(&text).map_err(serde::de::Error::custom)?;
        let hours =
            u32::try_from(read.as_hours()).ok().filter(|hours| i64::from(*hours) * 3_600 == read.as_secs());
        hours
            .map(Length)
            .ok_or_else(|| serde::de::Error::custom(format!("{text:?} is not a number of hours")))
    }
}

#[cfg(test)]
mod tests;
