//! `firewatch dlq`: dead letters, and what is decided about them.

pub mod document;
pub mod filter;
pub mod list;
pub mod show;
pub mod work;

use std::time::Duration;

use shared::agent::Agent;
use shared::bus;
use shared::bus::dead_letter::{DeadLetter, DeadLetterReader, Decision};

use crate::arguments::dlq::{Dlq, Filter};
use crate::failure::CliError;
use crate::settings::Settings;
use crate::terminal::{self, Screen, Tone};
use crate::topics;

/// Records of each partition among which letters are looked for.
const WINDOW: i64 = 100_000;
/// Longest wait for one answer of the broker, and for one record.
const PATIENCE: Duration = Duration::from_secs(10);

/// Runs `firewatch dlq ...`. The client's reading blocks, so it runs on a thread of its own.
pub async fn run(command: Dlq, settings: Settings, screen: Screen) -> Result<(), CliError> {
    let runtime = tokio::runtime::Handle::current();
    let work = move || match command {
        Dlq::List { filter, waiting, limit, json } => {
            let mut listing = list::Listing::new(limit as usize);
            let passed_over = each(&settings, &filter, |letter| {
                if filter::wants(&filter, letter, screen.now) && !(waiting && letter.decision().is_some()) {
                    listing.take(letter);
                }
            })?;
            listing.passed_over = passed_over;
            terminal::print(&if json {
                terminal::json(&listing.document(), true)?
            } else {
                list::render(&listing, &screen)
            })
        }
        Dlq::Show { address, json } => {
            let letter = find(&settings, address)?
                .ok_or_else(|| CliError::NotFound(format!("there is no dead letter {address}")))?;
            terminal::print(&if json {
                terminal::json(&document::Document::of(&letter), true)?
            } else {
                show::render(&letter, &screen)?
            })
        }
        Dlq::Redrive { choice, again } => {
            let operation = work::Operation { decision: Decision::Redriven, again };
            work::Work { settings: &settings, runtime: &runtime, now: screen.now, choice: &choice, operation }
                .run()
        }
        Dlq::Discard { choice } => {
            let operation = work::Operation { decision: Decision::Discarded, again: false };
            work::Work { settings: &settings, runtime: &runtime, now: screen.now, choice: &choice, operation }
                .run()
        }
    };
    tokio::task::spawn_blocking(work)
        .await
        .unwrap_or_else(|error| Err(CliError::Failed(format!("internal error: {error}"))))
}

/// Hands out the letters of the stages that a filter lets through; its other conditions are the caller's. Returns how
/// many older records were passed over.
fn each(settings: &Settings, filter: &Filter, mut take: impl FnMut(&DeadLetter)) -> Result<i64, CliError> {
    let unreachable = |error: bus::Error| topics::failed(settings, &error);
    let kafka = &settings.common.kafka;
    let stages = filter.stage.map_or_else(|| Agent::ALL.to_vec(), |stage| vec![stage]);
    let (mut passed_over, mut found) = (0, false);
    for &stage in &stages {
        let Some(letters) = DeadLetterReader::last(kafka, stage, WINDOW, PATIENCE).map_err(unreachable)?
        else {
            continue;
        };
        found = true;
        passed_over += letters.passed_over();
        for letter in letters.read().map_err(unreachable)? {
            take(&letter.map_err(unreachable)?);
        }
    }
    if found { Ok(passed_over) } else { Err(no_topic(settings, &stages)) }
}

/// Returns one letter.
fn find(settings: &Settings, address: bus::dead_letter::Address) -> Result<Option<DeadLetter>, CliError> {
    let unreachable = |error: bus::Error| topics::failed(settings, &error);
    let letters = DeadLetterReader::at(&settings.common.kafka, address.stage, &[address], PATIENCE)
        .map_err(unreachable)?
        .ok_or_else(|| no_topic(settings, &[address.stage]))?;
    for letter in letters.read().map_err(unreachable)? {
        let letter = letter.map_err(unreachable)?;
        if letter.address == address {
            return Ok(Some(letter));
        }
    }
    Ok(None)
}

fn no_topic(settings: &Settings, stages: &[Agent]) -> CliError {
    let topics: Vec<&str> = stages.iter().map(|stage| stage.dead_letters().name()).collect();
    let brokers = &settings.common.kafka.brokers;
    CliError::NotFound(format!("there is no topic {} on the broker at {brokers}", topics.join(", ")))
}

/// Returns how a letter stands, in a word, and how loud that is.
fn state(decision: Option<Decision>) -> (&'static str, Tone) {
    match decision {
        None => ("waiting", Tone::Warning),
        Some(Decision::Redriven) => ("redriven", Tone::Good),
        Some(Decision::Discarded) => ("discarded", Tone::Faint),
    }
}
