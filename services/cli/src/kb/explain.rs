//! Why a document stands where it stands.

use std::fmt::Write as _;

use comfy_table::CellAlignment;
use investigation::similar::FLOOR;
use shared::knowledge::DocumentKind;
use shared::knowledge::explanation::{Exclusion, Explanation, Place, Words};
use shared::knowledge::retrieval::{By, K};

use super::search::cosine;
use crate::figures::counted;
use crate::terminal::{Screen, Tone, cell, finished};

/// Renders an explanation whose texts are clean.
pub fn render(explanation: &Explanation, screen: &Screen) -> String {
    let head = screen.paint(Tone::Strong, &explanation.doc_id);
    let mut text = format!("{head}  {}  {}\n", explanation.kind.name(), explanation.title);
    let _ = writeln!(text, "{}", result(explanation, screen));
    for exclusion in &explanation.excluded_by {
        let _ = writeln!(text, "excluded: {}", excluded(exclusion));
    }
    if let Some(words) = &explanation.words {
        text.push_str(&by_words(words, explanation, screen));
    }
    if explanation.by != By::Words {
        let _ = write!(text, "\n{}  ", screen.paint(Tone::Strong, "BY MEANING"));
        let _ = match &explanation.meaning {
            Some(meaning) => {
                let cosine = format!("cosine {}", cosine(meaning.cosine));
                writeln!(text, "{}", placed(&meaning.place, &cosine, explanation))
            }
            None => writeln!(text, "the index holds no vector of it"),
        };
    }
    text.push_str(&shares(explanation, screen));
    if let Some(note) = floor(explanation) {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

/// Returns where the document stands in the search, in a sentence.
fn result(explanation: &Explanation, screen: &Screen) -> String {
    let Explanation { rank, found, limit, score, fused_rank, .. } = explanation;
    let before =
        fused_rank.map_or_else(String::new, |fused| format!(" (rank {fused} before the cross-encoder)"));
    let (tone, text) = match rank {
        Some(rank) if explanation.is_returned() => (
            Tone::Good,
            format!(
                "rank {rank} of {found} found{before}, score {score:.3}: among the first {limit}, so it is returned"
            ),
        ),
        Some(rank) => (
            Tone::Warning,
            format!(
                "rank {rank} of {found} found{before}, score {score:.3}: not among the first {limit}, so it is not returned"
            ),
        ),
        None if explanation.excluded_by.is_empty() => {
            (Tone::Warning, format!("not found; {} found", counted(*found, "other document")))
        }
        None => {
            (Tone::Warning, format!("excluded by the filters; {} found", counted(*found, "other document")))
        }
    };
    screen.paint(tone, &text)
}

fn excluded(exclusion: &Exclusion) -> String {
    match exclusion {
        Exclusion::Kind { asked, has } => {
            format!("kind {} is asked for, and the document is of the kind {}", asked.name(), has.name())
        }
        Exclusion::Facet { name, asked, has } if has.is_empty() => {
            format!("{name} {asked} is asked for, and the document has no {name}")
        }
        Exclusion::Facet { name, asked, has } => {
            format!("{name} {asked} is asked for, and the document has {name} {}", has.join(", "))
        }
    }
}

fn by_words(words: &Words, explanation: &Explanation, screen: &Screen) -> String {
    let place = match &words.place {
        Some(place) => placed(place, &format!("BM25 {:.3}", words.score), explanation),
        None => "no word of the text stands in the document".to_owned(),
    };
    let mut text = format!("\n{}  {place}\n", screen.paint(Tone::Strong, "BY WORDS"));
    if words.terms.is_empty() {
        return text;
    }
    let mut table = screen.table(&["WORD", "IN THE CHUNK", "CHUNKS WITH IT", "IDF", "ADDS"]);
    for term in &words.terms {
        let tone = if term.frequency == 0 { Tone::Faint } else { Tone::Plain };
        table.add_row([
            cell(tone, &term.word),
            cell(tone, term.frequency),
            cell(tone, term.chunks),
            cell(tone, format!("{:.3}", term.idf)),
            cell(tone, format!("{:.3}", term.score)),
        ]);
    }
    for figures in 1..5 {
        if let Some(column) = table.column_mut(figures) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    text.push_str(&finished(&table));
    text
}

/// Returns rank, figure and best chunk of a ranking.
fn placed(place: &Place, figure: &str, explanation: &Explanation) -> String {
    let rank = place.rank.map_or("no rank".to_owned(), |rank| format!("rank {rank}"));
    let mut text = format!("{rank}, {figure}, best chunk: {}", place.section);
    if place.rank.is_some() && !place.is_within_depth {
        let _ = write!(text, "; not among the first {} chunks, so it adds nothing", explanation.depth);
    }
    text
}

/// Returns how the score is the sum of what the rankings add.
fn shares(explanation: &Explanation, screen: &Screen) -> String {
    let words = explanation.words.as_ref().and_then(|words| words.place.as_ref());
    let meaning = explanation.meaning.as_ref().map(|meaning| &meaning.place);
    let mut table = screen.table(&["RANKING", "1 / (60 + RANK)", "SHARE OF THE SCORE"]);
    let mut row = |name: &str, place: Option<&Place>| {
        let counted = place.filter(|place| place.share > 0.0).and_then(|place| Some((place, place.rank?)));
        let (reciprocal, share) = match counted {
            Some((place, rank)) => {
                (format!("1 / ({K} + {rank}) = {:.4}", place.reciprocal), format!("{:.3}", place.share))
            }
            None => ("-".to_owned(), format!("{:.3}", 0.0)),
        };
        table.add_row([cell(Tone::Plain, name), cell(Tone::Plain, reciprocal), cell(Tone::Plain, share)]);
    };
    if explanation.by != By::Meaning {
        row("words", words);
    }
    if explanation.by != By::Words {
        row("meaning", meaning);
    }
    table.add_row([
        cell(Tone::Strong, "score"),
        cell(Tone::Plain, ""),
        cell(Tone::Strong, format!("{:.3}", explanation.score)),
    ]);
    if let Some(column) = table.column_mut(2) {
        column.set_cell_alignment(CellAlignment::Right);
    }
    format!("\n{}", finished(&table))
}

/// Returns that investigation would not name an incident, where it is not similar enough.
fn floor(explanation: &Explanation) -> Option<String> {
    let cosine = explanation.meaning.as_ref()?.cosine;
    (explanation.kind == DocumentKind::Incident && cosine < FLOOR).then(|| {
        format!("The cosine is below {FLOOR}: investigation would not name this incident as similar.")
    })
}
