//! The list of dead letters, with counts by stage and reason.

use std::cmp::Reverse;
use std::collections::BTreeMap;
use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint};
use jiff::Timestamp;
use serde::Serialize;
use shared::agent::Agent;
use shared::bus::dead_letter::{Address, DeadLetter, Decision};
use shared::text::format::count;

use super::document::Entry;
use super::{WINDOW, state};
use crate::figures::{counted, moment};
use crate::terminal::{Screen, Tone, cell, clean, finished};

/// Most characters of a reason in the list.
const REASON: usize = 120;
/// Most characters of a key in the list.
const KEY: usize = 40;
/// Most characters of a reason that is counted.
const KIND: usize = 80;
/// Most reasons that are told apart; further ones are counted together.
const KINDS: usize = 1_000;
/// Most rows of counts that are shown.
const ROWS: usize = 20;
/// Name of the reasons that are counted together.
const OTHERS: &str = "other reasons";

/// Dead letters that were found: all counted, the newest listed.
#[derive(Debug, Clone)]
pub struct Listing {
    limit: usize,
    letters: BTreeMap<(Option<Timestamp>, Address), Entry>,
    found: usize,
    counts: BTreeMap<(Agent, String), Count>,
    /// Older records that were not looked at.
    pub passed_over: i64,
}

/// How many letters there are of one stage and reason, by how they stand.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Count {
    /// Nothing was decided.
    pub waiting: usize,
    /// The last decision was to send the record again.
    pub redriven: usize,
    /// The last decision was to let it be.
    pub discarded: usize,
}

/// A listing as a JSON document.
#[derive(Debug, Clone, Serialize)]
pub struct Document<'l> {
    letters: Vec<&'l Entry>,
    /// Dead letters that were found, whether listed or not.
    found: usize,
    counts: Vec<CountOf<'l>>,
    /// Older records that were not looked at.
    passed_over: i64,
}

#[derive(Debug, Clone, Serialize)]
struct CountOf<'l> {
    stage: Agent,
    reason: &'l str,
    #[serde(flatten)]
    count: Count,
}

impl Listing {
    /// Begins a listing of at most `limit` letters.
    pub fn new(limit: usize) -> Self {
        Self { limit, letters: BTreeMap::new(), found: 0, counts: BTreeMap::new(), passed_over: 0 }
    }

    /// Takes a letter in.
    pub fn take(&mut self, letter: &DeadLetter) {
        self.found += 1;
        let stage = letter.address.stage;
        let mut of = (stage, kind(letter.reason()));
        if self.counts.len() >= KINDS && !self.counts.contains_key(&of) {
            OTHERS.clone_into(&mut of.1);
        }
        let counts = self.counts.entry(of).or_default();
        match letter.decision() {
            None => counts.waiting += 1,
            Some(Decision::Redriven) => counts.redriven += 1,
            Some(Decision::Discarded) => counts.discarded += 1,
        }
        self.letters.insert((letter.at, letter.address), Entry::of(letter));
        if self.letters.len() > self.limit {
            self.letters.pop_first();
        }
    }

    /// Returns the listing as a JSON document.
    pub fn document(&self) -> Document<'_> {
        Document {
            letters: self.letters.values().collect(),
            found: self.found,
            counts: self.loudest().collect(),
            passed_over: self.passed_over,
        }
    }

    /// Returns the counts, those with the most letters waiting first.
    fn loudest(&self) -> impl Iterator<Item = CountOf<'_>> {
        let mut counts: Vec<_> = self
            .counts
            .iter()
            .map(|((stage, reason), count)| CountOf { stage: *stage, reason, count: *count })
            .collect();
        counts.sort_by_key(|of| Reverse((of.count.waiting, of.count.redriven + of.count.discarded)));
        counts.into_iter()
    }
}

/// Returns what reasons that differ in figures only have in common.
fn kind(reason: &str) -> String {
    let mut kind = String::new();
    let mut figure = false;
    for char in clean(reason, KIND).chars() {
        if !char.is_ascii_digit() {
            kind.push(char);
        } else if !figure {
            kind.push('#');
        }
        figure = char.is_ascii_digit();
    }
    kind
}

/// Renders a listing: one line a letter, then the counts.
pub fn render(listing: &Listing, screen: &Screen) -> String {
    let mut text = if listing.found == 0 { "no dead letters\n".to_owned() } else { letters(listing, screen) };
    if listing.found > 0 {
        text += "\n";
        text += &counts(listing, screen);
    }
    if listing.found > listing.letters.len() {
        let (shown, found) = (count(listing.letters.len() as i64), counted(listing.found, "letter"));
        let _ = writeln!(text, "\nthe newest {shown} of {found}; --limit lists more, filters fewer");
    }
    if listing.passed_over > 0 {
        let older = counted(listing.passed_over as usize, "older record");
        let window = count(WINDOW);
        let _ = writeln!(text, "\n{older} not looked at: only the last {window} of each partition are");
    }
    text
}

fn letters(listing: &Listing, screen: &Screen) -> String {
    let mut table = screen.table(&["ADDRESS", "WHEN", "STATE", "CAME FROM", "KEY", "TRIES", "REASON"]);
    for ((_, address), entry) in &listing.letters {
        let decision = entry.decisions.last();
        let tone = match decision.map(|decided| decided.decision) {
            None => state(None).1,
            Some(_) => Tone::Faint,
        };
        let origin = entry.origin.as_ref().map_or_else(
            || "unknown".to_owned(),
            |origin| format!("{}[{}]@{}", clean(&origin.topic, KEY), origin.partition, origin.offset),
        );
        table.add_row([
            cell(Tone::Strong, address),
            cell(Tone::Plain, entry.at.map_or_else(String::new, moment)),
            cell(tone, entry.state),
            cell(Tone::Plain, origin),
            cell(Tone::Plain, entry.key.as_deref().map_or_else(String::new, |key| clean(key, KEY))),
            cell(Tone::Plain, entry.attempts.map_or_else(String::new, |attempts| attempts.to_string())),
            cell(Tone::Plain, clean(&entry.reason, REASON)),
        ]);
    }
    // an address is there to be copied
    for narrow in [0, 1, 2, 5] {
        if let Some(column) = table.column_mut(narrow) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    finished(&table)
}

fn counts(listing: &Listing, screen: &Screen) -> String {
    let mut table = screen.table(&["STAGE", "WAITING", "REDRIVEN", "DISCARDED", "REASON"]);
    let figure =
        |tone, figure: usize| cell(if figure > 0 { tone } else { Tone::Plain }, count(figure as i64));
    for CountOf { stage, reason, count } in listing.loudest().take(ROWS) {
        table.add_row([
            cell(Tone::Strong, stage.name()),
            figure(Tone::Warning, count.waiting),
            figure(Tone::Plain, count.redriven),
            figure(Tone::Plain, count.discarded),
            cell(Tone::Plain, reason),
        ]);
    }
    for numbers in [1, 2, 3] {
        if let Some(column) = table.column_mut(numbers) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let mut text = finished(&table);
    if listing.counts.len() > ROWS {
        let more = counted(listing.counts.len() - ROWS, "more reason");
        let _ = writeln!(text, "and {more}; --json counts up to {}", count(KINDS as i64));
    }
    text
}
