//! Commands of people in a plan: what is asked for, when, and how often each is sent.

use rand::Rng;
use rand::seq::IndexedRandom;
use rand_chacha::ChaCha8Rng;
use serde::Serialize;
use shared::events::Severity;

use super::Shop;

/// Statements about incidents of one environment.
const STATEMENTS: std::ops::RangeInclusive<u32> = 5..=8;
/// Longest time from the moment that a command waits for to its sending, milliseconds.
const DELAY_MS: std::ops::Range<u64> = 0..9_000;
/// Longest time that a delayed command is held after its time was taken, milliseconds.
const HELD_MS: std::ops::Range<u64> = 500..6_000;

/// What a command asks for. The incident is chosen from those that are known by then.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Verb {
    /// Acknowledges.
    Acknowledge,
    /// Adds a comment.
    Comment,
    /// Names an owner.
    Assign,
    /// Sets the severity.
    OverrideSeverity(Severity),
    /// Leaves the severity to be computed again.
    ComputeSeverity,
    /// Stops updates until the end.
    Mute,
    /// Wants updates again.
    Unmute,
    /// Ends it.
    Resolve,
    /// Opens it again.
    Reopen,
    /// Ends it in another one of its environment.
    Merge,
    /// Takes the members of one service out of it.
    Split,
    /// A verb that does not exist: the record cannot be parsed.
    Unknown,
}

/// What a command waits for before its delay begins.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Moment {
    /// An incident of the environment is on record.
    Known,
    /// All members of one are clear: it is about to be resolved.
    AllClear,
    /// One is over.
    Over,
}

/// A further copy of a command.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
pub struct Repeat {
    /// How long after the copy before, milliseconds.
    pub after_ms: u64,
    /// Whether the envelope has the same event id: then the inbox suppresses it, otherwise the record of commands must.
    pub same_event: bool,
}

/// A command of a person.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct PlannedCommand {
    /// Environment whose incident it names.
    pub environment: String,
    /// What it waits for.
    pub moment: Moment,
    /// How long it waits after that, milliseconds.
    pub delay_ms: u64,
    /// How long it is held after its time was taken, milliseconds.
    pub held_ms: u64,
    /// Which of the incidents that are known then.
    pub choice: u32,
    /// What it asks for.
    pub verb: Verb,
    /// Further copies.
    pub repeats: Vec<Repeat>,
}

/// Draws the commands of a plan. The first shop has statements only: what holds of a fault that nobody touches holds of it.
pub(super) fn draw(shops: &[Shop], rng: &mut ChaCha8Rng) -> Vec<PlannedCommand> {
    let mut commands = Vec::new();
    for (place, shop) in shops.iter().enumerate() {
        for _ in 0..rng.random_range(STATEMENTS) {
            let moment = *[Moment::Known, Moment::Known, Moment::Known, Moment::AllClear, Moment::Over]
                .choose(rng)
                .unwrap_or(&Moment::Known);
            let verb = statement(rng);
            let delay_ms = if moment == Moment::Known { rng.random_range(DELAY_MS) } else { short(rng) };
            commands.push(planned(shop, moment, delay_ms, verb, rng));
        }
        if place > 0 {
            commands.extend(structure(shop, rng));
        }
    }
    if let Some(shop) = shops.choose(rng) {
        commands.push(planned(shop, Moment::Known, 0, Verb::Unknown, rng));
    }
    commands
}

fn statement(rng: &mut ChaCha8Rng) -> Verb {
    match rng.random_range(0..10) {
        0..=1 => Verb::Acknowledge,
        2..=3 => Verb::Comment,
        4..=5 => Verb::Assign,
        6 => Verb::OverrideSeverity(*[Severity::Sev1, Severity::Sev4].choose(rng).unwrap_or(&Severity::Sev1)),
        7 => Verb::ComputeSeverity,
        8 => Verb::Mute,
        _ => Verb::Unmute,
    }
}

/// Draws commands that change which incidents there are and how they end.
fn structure(shop: &Shop, rng: &mut ChaCha8Rng) -> Vec<PlannedCommand> {
    let mut commands = Vec::new();
    if rng.random_bool(0.6) {
        let split_ms = rng.random_range(800..5_000);
        commands.push(planned(shop, Moment::Known, split_ms, Verb::Split, rng));
        let merge_ms = split_ms + rng.random_range(100..5_000);
        commands.push(planned(shop, Moment::Known, merge_ms, Verb::Merge, rng));
    }
    match rng.random_range(0..4) {
        0 => commands.push(planned(shop, Moment::Known, rng.random_range(DELAY_MS), Verb::Resolve, rng)),
        // races with the incident's own end
        1 => commands.push(planned(shop, Moment::AllClear, short(rng), Verb::Resolve, rng)),
        _ => {}
    }
    if rng.random_bool(0.5) {
        commands.push(planned(shop, Moment::Over, short(rng), Verb::Reopen, rng));
    }
    commands
}

fn short(rng: &mut ChaCha8Rng) -> u64 {
    rng.random_range(0..1_500)
}

fn planned(shop: &Shop, moment: Moment, delay_ms: u64, verb: Verb, rng: &mut ChaCha8Rng) -> PlannedCommand {
    let mut repeats = Vec::new();
    while repeats.len() < 3 && rng.random_bool(0.35) {
        repeats.push(Repeat { after_ms: rng.random_range(0..2_500), same_event: rng.random() });
    }
    PlannedCommand {
        environment: shop.environment.clone(),
        moment,
        delay_ms,
        held_ms: if rng.random_bool(0.25) { rng.random_range(HELD_MS) } else { 0 },
        choice: rng.random(),
        verb,
        repeats,
    }
}
