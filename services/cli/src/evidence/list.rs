//! The records of an incident, one line each.

use super::{Shown, source_words};
use crate::terminal::{Screen, Tone, cell, clean, finished};

/// Longest excerpt of a line, characters.
const EXCERPT: usize = 80;

/// Renders records, whose texts are clean.
pub fn render(records: &[Shown], screen: &Screen) -> String {
    let mut table = screen.table(&["CITED AS", "SOURCE", "EXCERPT", "RECORD"]);
    let (cited, others): (Vec<&Shown>, Vec<&Shown>) =
        records.iter().partition(|shown| !shown.pieces.is_empty());
    for shown in cited.into_iter().chain(others) {
        let tone = if shown.pieces.is_empty() { Tone::Faint } else { Tone::Plain };
        let pieces = if shown.pieces.is_empty() { "-".to_owned() } else { shown.pieces.join(", ") };
        table.add_row([
            cell(Tone::Strong, pieces),
            cell(tone, source_words(&shown.record.source)),
            cell(tone, clean(&shown.record.excerpt, EXCERPT)),
            cell(Tone::Faint, shown.record.id),
        ]);
    }
    finished(&table)
}
