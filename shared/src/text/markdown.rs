//! Markdown: CommonMark with tables and strikethrough, read into blocks, written in one form and laid out as plain text.
//!
//! Text inside a block stays as the author wrote it, with its markup. Only line breaks, the markers of blocks and links by
//! reference are rewritten.

mod inline;
mod links;
mod plain;
mod read;
mod span;
mod write;

use std::ops::Range;

use pulldown_cmark::{Alignment, Options};

pub use links::{Link, anchors, links};
pub use plain::{CodeSpans, Layout, Line, hanging, to_lines, to_text};
pub use read::{Definitions, Error, Fault, blocks, source};
pub use span::{KEPT_BLANK, Span, sentence_kept, sentence_text, spans};
pub use write::{cut, sentence, write};

/// The dialect of every reader.
pub const OPTIONS: Options = Options::ENABLE_TABLES.union(Options::ENABLE_STRIKETHROUGH);

/// Most lists and quotes around a block.
pub const MAX_DEPTH: usize = 8;

/// A block and where it is.
#[derive(Debug, Clone, PartialEq)]
pub struct Block {
    /// Line of the source on which it begins, from 1.
    pub line: usize,
    /// Its bytes in the source.
    pub range: Range<usize>,
    /// What it is.
    pub kind: Kind,
}

/// What a block is. Texts are Markdown on one line; a paragraph has one more for each hard line break ([`flat`]).
#[derive(Debug, Clone, PartialEq)]
pub enum Kind {
    /// Running text.
    Paragraph(String),
    /// A heading, marked by `#` or by a line below it.
    Heading {
        /// 1 to 6.
        level: u8,
        /// Its text; may be empty.
        text: String,
    },
    /// Code in fences or indented.
    Code {
        /// Language of a fence, e.g. `sh`; may be empty.
        language: String,
        /// Verbatim, without the last line break.
        text: String,
    },
    /// HTML that is not a comment, verbatim.
    Html(String),
    /// A thematic break.
    Rule,
    /// A quote.
    Quote(Vec<Block>),
    /// A list.
    List {
        /// Number of the first item, or none for bullets.
        start: Option<u64>,
        /// Its items; none is empty.
        items: Vec<Item>,
    },
    /// A table. Its first row is the header.
    Table {
        /// Alignment of each column.
        alignments: Vec<Alignment>,
        /// Rows of cells.
        rows: Vec<Vec<String>>,
    },
}

/// Returns a text without its hard line breaks.
pub fn flat(text: &str) -> String {
    text.replace("  \n", " ").replace("\\\n", " ")
}

/// An item of a list.
#[derive(Debug, Clone, PartialEq)]
pub struct Item {
    /// Line of the source on which it begins, from 1.
    pub line: usize,
    /// Its bytes in the source.
    pub range: Range<usize>,
    /// What it holds.
    pub blocks: Vec<Block>,
}
