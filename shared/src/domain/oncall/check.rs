//! What is wrong with rotations: all of it, each with its place.

use std::collections::BTreeSet;

use jiff::civil::date;
use jiff::tz::TimeZone;
use jiff::{Timestamp, ToSpan as _};

use super::{Length, Policy, Roster, Rotation, Schedule, Whom};
use crate::window::wall;

/// Most items of each list.
const MAX_ITEMS: usize = 500;
/// Longest name and longest address, bytes.
const MAX_TEXT: usize = 200;
/// Longest turn, hours: a year.
const LONGEST_TURN: u32 = 366 * 24;
/// Latest time of a level and longest pause before a repetition, minutes: a week.
const MAX_MINUTES: u32 = 7 * 24 * 60;
/// Most repetitions.
const MAX_REPEATS: u32 = 20;
/// Most gaps that are named.
const NAMED_GAPS: usize = 3;

/// How bad a problem is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum Gravity {
    /// The rotation is refused.
    Error,
    /// It may be meant.
    Warning,
}

/// What is wrong with a rotation.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// Field, e.g. `layers[0].people[1]`.
    pub field: String,
    /// What is wrong.
    pub reason: String,
    /// How bad it is.
    pub gravity: Gravity,
}

#[derive(Default)]
struct Problems(Vec<Problem>);

impl Problems {
    fn add(&mut self, gravity: Gravity, field: impl Into<String>, reason: impl Into<String>) {
        self.0.push(Problem { field: field.into(), reason: reason.into(), gravity });
    }

    fn unless(&mut self, is_fine: bool, field: &str, reason: impl FnOnce() -> String) {
        if !is_fine {
            self.add(Gravity::Error, field, reason());
        }
    }

    /// Reports a name or an address that is empty, too long or more than one line.
    fn text(&mut self, field: &str, text: &str) {
        let is_fine = !text.trim().is_empty() && text.len() <= MAX_TEXT && !text.contains(char::is_control);
        self.unless(is_fine, field, || format!("is empty, longer than {MAX_TEXT} bytes or not one line"));
    }

    fn texts(&mut self, field: &str, texts: &[String]) {
        self.bound(field, texts.len());
        for (index, text) in texts.iter().enumerate() {
            self.text(&format!("{field}[{index}]"), text);
        }
    }

    fn bound(&mut self, field: &str, items: usize) {
        self.unless(items <= MAX_ITEMS, field, || format!("has {items} items, more than {MAX_ITEMS}"));
    }

    /// Reports names that appear twice.
    fn unique<'n>(&mut self, field: &str, names: impl Iterator<Item = &'n str>) {
        let mut seen = BTreeSet::new();
        for name in names {
            self.unless(seen.insert(name), field, || format!("{name:?} appears twice"));
        }
    }
}

impl Rotation {
    /// Returns all that is wrong with it, as far as it can be seen without the others.
    pub fn problems(&self) -> Vec<Problem> {
        let mut problems = Problems::default();
        problems.text("name", &self.name);
        problems.text("team", &self.team);
        problems.texts("addresses", &self.addresses);
        if let Err(error) = wall::zone(&self.zone) {
            problems.add(Gravity::Error, "zone", error.to_string());
        }
        self.check_people(&mut problems);
        self.check_layers(&mut problems);
        self.check_overrides(&mut problems);
        self.check_holidays(&mut problems);
        problems.bound("escalations", self.escalations.len());
        for (index, policy) in self.escalations.iter().enumerate() {
            check_policy(policy, &format!("escalations[{index}]"), &mut problems);
        }
        if problems.0.iter().all(|problem| problem.gravity != Gravity::Error) {
            self.check_coverage(&mut problems);
        }
        problems.0
    }

    fn knows(&self, person: &str) -> bool {
        self.people.iter().any(|known| known.name == person)
    }

    fn check_people(&self, problems: &mut Problems) {
        problems.bound("people", self.people.len());
        problems.unique("people", self.people.iter().map(|person| &*person.name));
        for (index, person) in self.people.iter().enumerate() {
            let field = format!("people[{index}]");
            problems.text(&format!("{field}.name"), &person.name);
            let field = format!("{field}.addresses");
            problems.unless(!person.addresses.is_empty(), &field, || "is empty".to_owned());
            problems.texts(&field, &person.addresses);
        }
    }

    fn check_layers(&self, problems: &mut Problems) {
        problems.unless(!self.layers.is_empty(), "layers", || "is empty".to_owned());
        problems.bound("layers", self.layers.len());
        problems.unique("layers", self.layers.iter().map(|layer| &*layer.name));
        for (index, layer) in self.layers.iter().enumerate() {
            let field = format!("layers[{index}]");
            problems.text(&format!("{field}.name"), &layer.name);
            problems.unless(!layer.people.is_empty(), &format!("{field}.people"), || "is empty".to_owned());
            problems.bound(&format!("{field}.people"), layer.people.len());
            problems.bound(&format!("{field}.hours"), layer.hours.len());
            for (place, person) in layer.people.iter().enumerate() {
                let field = format!("{field}.people[{place}]");
                problems.unless(self.knows(person), &field, || format!("{person:?} is not one of people"));
            }
            let Length(hours) = layer.length;
            problems.unless((1..=LONGEST_TURN).contains(&hours), &format!("{field}.length"), || {
                format!("{hours} h is not between 1 hour and 366 days")
            });
            let year = layer.handover.year();
            problems.unless((1970..=2200).contains(&year), &format!("{field}.handover"), || {
                format!("{year} is not a year between 1970 and 2200")
            });
        }
    }

    fn check_overrides(&self, problems: &mut Problems) {
        problems.bound("overrides", self.overrides.len());
        for (index, part) in self.overrides.iter().enumerate().take(MAX_ITEMS) {
            let field = format!("overrides[{index}]");
            let person = &part.person;
            problems.unless(self.knows(person), &format!("{field}.person"), || {
                format!("{person:?} is not one of people")
            });
            problems.unless(part.from < part.to, &format!("{field}.to"), || "is not after from".to_owned());
            if let Some(reason) = &part.reason {
                problems.text(&format!("{field}.reason"), reason);
            }
            let overlaps = |other: &super::Override| other.from < part.to && part.from < other.to;
            if let Some(other) = self.overrides[..index].iter().position(overlaps) {
                let reason = format!("overlaps overrides[{other}], and the last one in the list counts");
                problems.add(Gravity::Warning, field, reason);
            }
        }
    }

    fn check_holidays(&self, problems: &mut Problems) {
        let Some(holidays) = &self.holidays else { return };
        let layer = &holidays.layer;
        let is_known = self.layers.iter().any(|known| known.name == *layer);
        problems.unless(is_known, "holidays.layer", || format!("{layer:?} is not one of layers"));
        problems.bound("holidays.dates", holidays.dates.len());
        let dates: Vec<String> = holidays.dates.iter().map(ToString::to_string).collect();
        problems.unique("holidays.dates", dates.iter().map(String::as_str));
    }

    /// Reports hours of a usual week in which nobody is on call: one without overrides, holidays and a change of clocks.
    fn check_coverage(&self, problems: &mut Problems) {
        let usual = Self { overrides: Vec::new(), holidays: None, ..self.clone() };
        let schedule = Schedule::unchecked(usual, TimeZone::UTC);
        // a Monday
        let begin = wall::midnight(&TimeZone::UTC, date(2026, 1, 5));
        let Ok(end) = begin.checked_add((7 * 24).hours()) else { return };
        let (mut at, mut gaps) = (begin, Vec::new());
        while at < end {
            let shift = schedule.at(at);
            let until = shift.until.unwrap_or(end).min(end);
            if shift.person.is_none() {
                gaps.push((at, until));
            }
            at = until;
        }
        let words = |at: Timestamp| at.strftime("%A %H:%M").to_string();
        let mut named: Vec<String> = gaps
            .iter()
            .take(NAMED_GAPS)
            .map(|(from, to)| {
                // the end of Sunday reads better than the begin of Monday
                let to = if *to == end { "the end of Sunday".to_owned() } else { words(*to) };
                format!("from {} to {to}", words(*from))
            })
            .collect();
        if gaps.len() > NAMED_GAPS {
            named.push(format!("and {} more times", gaps.len() - NAMED_GAPS));
        }
        if !gaps.is_empty() {
            problems.add(Gravity::Warning, "layers", format!("nobody is on call {}", named.join(", ")));
        }
    }
}

fn check_policy(policy: &Policy, field: &str, problems: &mut Problems) {
    problems.text(&format!("{field}.name"), &policy.name);
    problems.unless(!policy.levels.is_empty(), &format!("{field}.levels"), || "is empty".to_owned());
    problems.bound(&format!("{field}.levels"), policy.levels.len());
    let mut before = None;
    for (index, level) in policy.levels.iter().enumerate() {
        let field = format!("{field}.levels[{index}]");
        let after = level.after_minutes;
        problems.unless(
            before.is_none_or(|before| before < after),
            &format!("{field}.after_minutes"),
            || "is not later than the level before".to_owned(),
        );
        problems.unless(after <= MAX_MINUTES, &format!("{field}.after_minutes"), || {
            format!("{after} is more than {MAX_MINUTES}, a week")
        });
        before = Some(after);
        problems.unless(!level.notify.is_empty(), &format!("{field}.notify"), || "is empty".to_owned());
        problems.bound(&format!("{field}.notify"), level.notify.len());
        for (place, whom) in level.notify.iter().enumerate() {
            if let Whom::Entry(entry) = whom {
                problems.text(&format!("{field}.notify[{place}].entry"), entry);
            }
        }
    }
    if let Some(repeat) = policy.repeat {
        let is_fine = (1..=MAX_REPEATS).contains(&repeat.times);
        problems.unless(is_fine, &format!("{field}.repeat.times"), || {
            format!("{} is not between 1 and {MAX_REPEATS}", repeat.times)
        });
        let is_fine = (1..=MAX_MINUTES).contains(&repeat.after_minutes);
        problems.unless(is_fine, &format!("{field}.repeat.after_minutes"), || {
            format!("{} is not between 1 and {MAX_MINUTES}", repeat.after_minutes)
        });
    }
}

impl Roster {
    /// Returns all that is wrong with rotations, each problem with the place of its rotation in the list.
    pub fn problems(rotations: &[Rotation]) -> Vec<(usize, Problem)> {
        let mut found = Vec::new();
        let names: BTreeSet<&str> = rotations.iter().map(|rotation| &*rotation.name).collect();
        let teams: BTreeSet<&str> = rotations.iter().map(|rotation| &*rotation.team).collect();
        let (mut seen, mut policies) = (BTreeSet::new(), BTreeSet::new());
        for (place, rotation) in rotations.iter().enumerate() {
            let mut problems = Problems(rotation.problems());
            let name = &rotation.name;
            problems.unless(seen.insert(name), "name", || format!("{name:?} is used twice"));
            for (index, policy) in rotation.escalations.iter().enumerate() {
                let (field, name) = (format!("escalations[{index}]"), &policy.name);
                problems.unless(policies.insert(name), &format!("{field}.name"), || {
                    format!("{name:?} is used twice")
                });
                for (level, step) in policy.levels.iter().enumerate() {
                    for (whom, known) in step.notify.iter().enumerate() {
                        let is_known = match known {
                            Whom::Rotation(name) => names.contains(&**name),
                            Whom::Team(name) => teams.contains(&**name),
                            Whom::Entry(_) => true,
                        };
                        problems.unless(is_known, &format!("{field}.levels[{level}].notify[{whom}]"), || {
                            format!("there is no {}", described(known))
                        });
                    }
                }
            }
            found.extend(problems.0.into_iter().map(|problem| (place, problem)));
        }
        found
    }
}

/// Returns what is asked for in words.
pub(crate) fn described(whom: &Whom) -> String {
    match whom {
        Whom::Rotation(name) => format!("rotation {name:?}"),
        Whom::Team(name) => format!("team {name:?} with a rotation"),
        Whom::Entry(entry) => format!("entry {entry:?}"),
    }
}
