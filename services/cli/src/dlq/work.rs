//! Redriving and discarding: which letters, are you sure, and then in batches.
//!
//! The letters are read twice: once to know how many are meant before anything is asked or done, once to do it. What
//! was decided by somebody else in between is seen the second time.

use std::collections::BTreeSet;
use std::io::{BufRead as _, IsTerminal as _, Write as _};

use jiff::Timestamp;
use shared::bus::dead_letter::{
    self, Address, Author, DeadLetter, DeadLetterReader, Decision, DispositionError,
};
use shared::bus::{self, Producer};
use shared::text::format::count;
use tokio::runtime::Handle;

use super::{PATIENCE, WINDOW, filter};
use crate::arguments::dlq::Choice;
use crate::failure::CliError;
use crate::figures::{counted, moment};
use crate::settings::Settings;
use crate::terminal::{self, clean};
use crate::topics;

/// Most letters that are on their way at once.
const PORTION: usize = 200;
/// Most bytes of payload that are on their way at once, about.
const PORTION_BYTES: usize = 4 << 20;
/// Most missing addresses that are named.
const NAMED: usize = 10;

/// What is to be done.
#[derive(Debug, Clone, Copy)]
pub struct Operation {
    /// The decision that is carried out.
    pub decision: Decision,
    /// Whether earlier decisions are passed over.
    pub again: bool,
}

/// What is to be done, to which letters, and where they are.
pub struct Work<'w> {
    /// Where Kafka is.
    pub settings: &'w Settings,
    /// Runs what waits for Kafka.
    pub runtime: &'w Handle,
    /// When.
    pub now: Timestamp,
    /// Which dead letters, and how.
    pub choice: &'w Choice,
    /// What.
    pub operation: Operation,
}

/// What is to become of a letter.
enum Eligibility {
    /// The operation is carried out.
    Do,
    /// It stays as it is, because of an earlier decision.
    Skip(String),
    /// The operation cannot be carried out.
    Refuse(String),
}

/// The letters that are meant.
#[derive(Default)]
struct Plan {
    /// Oldest first.
    todo: BTreeSet<(Option<Timestamp>, Address)>,
    skipped: usize,
    refused: usize,
}

impl Work<'_> {
    /// Does it.
    pub fn run(&self) -> Result<(), CliError> {
        let plan = self.plan()?;
        if plan.skipped > 0 && self.choice.all {
            let again = if self.operation.decision == Decision::Redriven {
                "; --again redrives them all the same"
            } else {
                ""
            };
            terminal::print(&format!(
                "{} redriven or discarded before, and skipped{again}\n",
                counted(plan.skipped, "letter")
            ))?;
        }
        self.confirm(plan.todo.len())?;
        let done = self.carry_out(&plan)?;
        let would = if self.choice.dry_run { "would be " } else { "" };
        terminal::print(&format!("{} {would}{}\n", counted(done, "letter"), self.operation.decision))?;
        if plan.refused > 0 {
            let letters = counted(plan.refused, "letter");
            return Err(CliError::Failed(format!(
                "{letters} cannot be {}, see above",
                self.operation.decision
            )));
        }
        Ok(())
    }

    /// Finds the letters that are meant and tells of those that are left out.
    fn plan(&self) -> Result<Plan, CliError> {
        let mut plan = Plan::default();
        let mut told = Ok(());
        let limit = self.choice.limit.map_or(usize::MAX, |limit| limit as usize);
        let mut take = |letter: &DeadLetter| match self.judge(letter) {
            Eligibility::Do => {
                plan.todo.insert((letter.at, letter.address));
                if plan.todo.len() > limit {
                    plan.todo.pop_last();
                }
            }
            Eligibility::Skip(why) => {
                plan.skipped += 1;
                if !self.choice.all && told.is_ok() {
                    told = terminal::print(&format!("{}  skipped: {why}\n", letter.address));
                }
            }
            Eligibility::Refuse(why) => {
                plan.refused += 1;
                if told.is_ok() {
                    told = terminal::print(&format!("{}  refused: {why}\n", letter.address));
                }
            }
        };
        if self.choice.all {
            let passed_over = super::each(self.settings, &self.choice.filter, |letter| {
                if filter::wants(&self.choice.filter, letter, self.now) {
                    take(letter);
                }
            })?;
            if passed_over > 0 {
                terminal::print(&format!(
                    "{} not looked at: only the last {} of each partition are\n",
                    counted(passed_over as usize, "older record"),
                    count(WINDOW)
                ))?;
            }
        } else {
            let mut missing: BTreeSet<Address> = self.choice.addresses.iter().copied().collect();
            self.read(&missing.clone(), |letter| {
                missing.remove(&letter.address);
                take(&letter);
                Ok(())
            })?;
            if !missing.is_empty() {
                let named: Vec<String> = missing.iter().take(NAMED).map(Address::to_string).collect();
                let more = if missing.len() > NAMED { ", ..." } else { "" };
                return Err(CliError::NotFound(format!(
                    "there is no dead letter {}{more}; nothing was done",
                    named.join(", ")
                )));
            }
        }
        told.map(|()| plan)
    }

    /// Decides what is to become of a letter.
    fn judge(&self, letter: &DeadLetter) -> Eligibility {
        if let Some(mark) = letter.marks.last()
            && !self.operation.again
        {
            let at = mark.at.map_or_else(String::new, |at| format!(" {}", moment(at)));
            let hint = if self.operation.decision == Decision::Redriven {
                "; --again redrives it all the same"
            } else {
                ""
            };
            return Eligibility::Skip(format!("{}{at} by {}{hint}", mark.decision, clean(&mark.by, 100)));
        }
        match (self.operation.decision, letter.destination()) {
            (Decision::Redriven, Err(unfit)) => Eligibility::Refuse(clean(&unfit.to_string(), 300)),
            _ => Eligibility::Do,
        }
    }

    /// Asks, if more than one letter is meant and nobody has said yes.
    fn confirm(&self, letters: usize) -> Result<(), CliError> {
        if letters <= 1 || self.choice.yes || self.choice.dry_run {
            return Ok(());
        }
        let (verb, letters) = (verb(self.operation.decision), counted(letters, "letter"));
        if !(std::io::stdin().is_terminal() && std::io::stderr().is_terminal()) {
            return Err(CliError::Usage(format!(
                "this would {verb} {letters} and there is no terminal to ask on: say --yes, or --dry-run to look first"
            )));
        }
        eprint!("{verb} {letters}? [y/N] ");
        std::io::stderr().flush()?;
        let mut answer = String::new();
        std::io::stdin().lock().read_line(&mut answer)?;
        if matches!(answer.trim().to_ascii_lowercase().as_str(), "y" | "yes") {
            Ok(())
        } else {
            Err(CliError::Failed("nothing was done".to_owned()))
        }
    }

    /// Carries out the operation on all that is planned, in batches. Returns how many letters it was done to.
    fn carry_out(&self, plan: &Plan) -> Result<usize, CliError> {
        let addresses: BTreeSet<Address> = plan.todo.iter().map(|(_, address)| *address).collect();
        let mut batch = Batch { work: self, producer: None, letters: Vec::new(), bytes: 0, done: 0 };
        self.read(&addresses, |letter| match self.judge(&letter) {
            Eligibility::Do => batch.take(letter),
            Eligibility::Skip(why) | Eligibility::Refuse(why) => {
                terminal::print(&format!("{}  skipped: {why}\n", letter.address))
            }
        })?;
        batch.settle()?;
        Ok(batch.done)
    }

    /// Hands out the letters at `addresses`, stage by stage, oldest first.
    fn read(
        &self,
        addresses: &BTreeSet<Address>,
        mut take: impl FnMut(DeadLetter) -> Result<(), CliError>,
    ) -> Result<(), CliError> {
        let unreachable = |error: bus::Error| topics::failed(self.settings, &error);
        let listed: Vec<Address> = addresses.iter().copied().collect();
        for of_stage in listed.chunk_by(|a, b| a.stage == b.stage) {
            let stage = of_stage[0].stage;
            let Some(letters) = DeadLetterReader::at(&self.settings.common.kafka, stage, of_stage, PATIENCE)
                .map_err(unreachable)?
            else {
                continue;
            };
            for letter in letters.read().map_err(unreachable)? {
                let letter = letter.map_err(unreachable)?;
                if addresses.contains(&letter.address) {
                    take(letter)?;
                }
            }
        }
        Ok(())
    }
}

/// Dead letters that are processed together.
struct Batch<'p> {
    work: &'p Work<'p>,
    producer: Option<Producer>,
    letters: Vec<DeadLetter>,
    bytes: usize,
    done: usize,
}

impl Batch<'_> {
    fn take(&mut self, letter: DeadLetter) -> Result<(), CliError> {
        self.bytes += letter.payload.len();
        self.letters.push(letter);
        if self.letters.len() >= PORTION || self.bytes >= PORTION_BYTES { self.settle() } else { Ok(()) }
    }

    /// Carries out the operation on the letters that were taken, and reports each.
    fn settle(&mut self) -> Result<(), CliError> {
        let letters = std::mem::take(&mut self.letters);
        self.bytes = 0;
        let work = self.work;
        let outcomes: Vec<Result<(), DispositionError>> = if letters.is_empty() || work.choice.dry_run {
            letters.iter().map(|_| Ok(())).collect()
        } else {
            let producer = match self.producer.take() {
                Some(producer) => producer,
                None => Producer::connect(&work.settings.common.kafka)
                    .map_err(|error| topics::failed(work.settings, &error))?,
            };
            let producer = self.producer.insert(producer);
            let author = author(work.choice.because.as_deref());
            work.runtime.block_on(async {
                match work.operation.decision {
                    Decision::Redriven => dead_letter::redrive(producer, &letters, &author).await,
                    Decision::Discarded => dead_letter::discard(producer, &letters, &author).await,
                }
            })
        };
        let would = if work.choice.dry_run { "would be " } else { "" };
        let mut failed = None;
        for (letter, outcome) in letters.iter().zip(outcomes) {
            let told = match outcome {
                Ok(()) => {
                    self.done += 1;
                    format!("{would}{}{}", work.operation.decision, target(letter, work.operation.decision))
                }
                Err(undone) => {
                    let told = format!("failed: {}", clean(&undone.to_string(), 300));
                    failed.get_or_insert(undone);
                    told
                }
            };
            terminal::print(&format!("{}  {told}\n", letter.address))?;
        }
        match failed {
            None => Ok(()),
            Some(undone) => Err(CliError::Failed(format!(
                "{} {}, then: {undone}",
                counted(self.done, "letter"),
                work.operation.decision
            ))),
        }
    }
}

/// Returns where the record of a letter goes, if it goes anywhere.
fn target(letter: &DeadLetter, decision: Decision) -> String {
    match (decision, letter.destination()) {
        (Decision::Redriven, Ok((topic, partition))) => format!(" to {topic}[{partition}]"),
        _ => String::new(),
    }
}

fn verb(decision: Decision) -> &'static str {
    match decision {
        Decision::Redriven => "redrive",
        Decision::Discarded => "discard",
    }
}

/// Returns who decides, as the system calls them.
fn author(because: Option<&str>) -> Author {
    let named =
        ["USER", "LOGNAME"].iter().find_map(|name| std::env::var(name).ok().filter(|name| !name.is_empty()));
    Author { by: named.unwrap_or_else(|| "somebody".to_owned()), because: because.map(str::to_owned) }
}
