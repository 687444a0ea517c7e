//! The results of a search.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ColumnConstraint};
use investigation::similar::{FLOOR, is_similar};
use serde::{Deserialize, Serialize};
use shared::events::Category;
use shared::knowledge::DocumentKind;
use shared::knowledge::retrieval::{By, Found};

use super::arguments::Question;
use crate::figures::counted;
use crate::terminal::{Screen, Tone, cell, finished};

/// A search and its results.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// What was searched for.
    pub query: Asked,
    /// Least similarity of an incident that investigation calls similar, cosine.
    pub floor: f32,
    /// Documents, best first.
    pub results: Vec<Row>,
}

/// What was searched for.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Asked {
    /// Text, as it was searched for.
    pub text: String,
    /// Which rankings count.
    pub by: By,
    /// Only documents of this kind.
    pub kind: Option<DocumentKind>,
    /// Only documents that name this service.
    pub service: Option<String>,
    /// Only documents about this kind of cause.
    pub category: Option<Category>,
    /// Most documents.
    pub limit: usize,
}

/// One document, by its best chunk.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Row {
    /// Rank, from 1.
    pub rank: usize,
    /// Document.
    pub doc_id: String,
    /// What it is.
    pub kind: DocumentKind,
    /// Title.
    pub title: String,
    /// Section of the chunk.
    pub section: String,
    /// How it stands among the results, 0 to 1.
    pub score: f64,
    /// Cosine similarity of text and chunk; none where it was not found by meaning.
    pub similarity: Option<f32>,
    /// Whether investigation would name the incident as similar; none for other documents, and for a search by words, which
    /// knows no similarity.
    pub is_similar: Option<bool>,
    /// Text of the chunk, Markdown.
    pub text: String,
}

impl Document {
    /// Describes the results of a search for `text`.
    pub fn of(question: &Question, text: String, found: Vec<Found>) -> Self {
        let by = By::from(question.by);
        let row = |(rank, found): (usize, Found)| {
            let can_tell = found.chunk.kind == DocumentKind::Incident && by != By::Words;
            Row {
                rank,
                score: found.score,
                similarity: found.similarity,
                is_similar: can_tell.then(|| is_similar(&found)),
                doc_id: found.chunk.doc_id,
                kind: found.chunk.kind,
                title: found.chunk.title,
                section: found.chunk.section,
                text: found.chunk.text,
            }
        };
        Self {
            query: Asked {
                text,
                by,
                kind: question.kind.map(DocumentKind::from),
                service: question.service.clone(),
                category: question.category,
                limit: usize::from(question.limit),
            },
            floor: FLOOR,
            results: (1..).zip(found).map(row).collect(),
        }
    }
}

/// Renders results, whose texts are clean, as a table, and what investigation would make of the incidents.
pub fn render(document: &Document, screen: &Screen) -> String {
    let mut table = screen.table(&["#", "DOCUMENT", "SECTION", "TITLE", "SCORE", "SIMILARITY"]);
    for row in &document.results {
        let is_below = row.is_similar == Some(false);
        let similarity = match row.similarity {
            Some(similarity) if is_below => format!("{} (below {FLOOR})", cosine(similarity)),
            Some(similarity) => cosine(similarity),
            None => "-".to_owned(),
        };
        table.add_row([
            cell(Tone::Plain, row.rank),
            cell(Tone::Strong, &row.doc_id),
            cell(Tone::Plain, &row.section),
            cell(Tone::Plain, &row.title),
            cell(Tone::Plain, format!("{:.3}", row.score)),
            cell(if is_below { Tone::Faint } else { Tone::Plain }, similarity),
        ]);
    }
    for figures in [0, 4] {
        if let Some(column) = table.column_mut(figures) {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    // where room is short, titles and sections give way first
    for narrow in [0, 1, 4, 5] {
        if let Some(column) = table.column_mut(narrow) {
            column.set_constraint(ColumnConstraint::ContentWidth);
        }
    }
    let mut text = finished(&table);
    if let Some(note) = note(document) {
        let _ = write!(text, "\n{note}\n");
    }
    text
}

/// Returns what investigation would make of the incidents that were found, where some of them are not similar to it.
fn note(document: &Document) -> Option<String> {
    let known: Vec<bool> = document.results.iter().filter_map(|row| row.is_similar).collect();
    let below = known.iter().filter(|is_similar| !**is_similar).count();
    let incidents = counted(known.len(), "incident");
    let subject = match (below, known.len()) {
        (0, _) => return None,
        (1, 1) => "The incident does not reach".to_owned(),
        (below, all) if below == all => format!("None of the {incidents} reaches"),
        (1, _) => format!("1 of {incidents} does not reach"),
        (below, _) => format!("{below} of {incidents} do not reach"),
    };
    let named = match (below, below == known.len()) {
        (1, _) => "would not name it as a similar past incident",
        (_, true) => "would name none of them as a similar past incident",
        (_, false) => "would not name them as similar past incidents",
    };
    Some(format!("{subject} the similarity {FLOOR}: investigation {named}."))
}

/// Returns a cosine with three places, rounded down: a value below a floor is not shown as the floor.
pub(super) fn cosine(value: f32) -> String {
    // a number such as 0.12 is a little less than that in 32 bits
    const PRECISION: f64 = 1e-4;
    format!("{:.3}", (f64::from(value) * 1_000.0 + PRECISION).floor() / 1_000.0)
}

#[cfg(test)]
mod tests {
    use super::cosine;

    #[test]
    fn a_value_below_the_floor_is_shown_below_it() {
        let shown = [0.599_99, 0.6, 0.12, -0.1234].map(cosine);
        assert_eq!(shown, ["0.599", "0.600", "0.120", "-0.124"]);
    }
}
