//! Markdown as plain text: headings in capitals, tables in columns, no markup.

use pulldown_cmark::{Event, HeadingLevel, Options, Parser, Tag, TagEnd};

use super::MAX_DEPTH;
use crate::text::{COLUMNS, wrap};

/// Blanks between two columns of a table.
const GAP: usize = 2;
/// Widest column of a table but the last, characters.
const WIDEST: usize = 28;

/// Renders a document.
pub fn to_text(markdown: &str) -> String {
    let parser = Parser::new_ext(markdown, Options::ENABLE_TABLES | Options::ENABLE_STRIKETHROUGH);
    let mut text = Text::default();
    for event in parser {
        text.event(event);
    }
    text.end_block();
    text.out.trim_end().to_owned()
}

#[derive(Default)]
struct Text {
    out: String,
    /// The block that is being read.
    line: String,
    heading: Option<HeadingLevel>,
    /// Lists around the current block: the number of the next item, or none for a bulleted list.
    lists: Vec<Option<u64>>,
    /// What comes before the next block, e.g. `- `.
    lead: String,
    /// A link's address, and where its text begins.
    link: Option<(String, usize)>,
    is_code: bool,
    /// The last block was a heading: the next one follows without an empty line.
    is_below_heading: bool,
    rows: Vec<Vec<String>>,
}

impl Text {
    fn event(&mut self, event: Event<'_>) {
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            Event::Text(text)
            | Event::Code(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::FootnoteReference(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => self.line.push_str(&text),
            Event::SoftBreak | Event::HardBreak => self.line.push(' '),
            Event::Rule => {
                self.end_block();
                self.gap();
                self.out.push_str(&"-".repeat(COLUMNS));
                self.out.push('\n');
            }
            Event::TaskListMarker(done) => self.line.push_str(if done { "[x] " } else { "[ ] " }),
        }
    }

    fn start(&mut self, tag: Tag<'_>) {
        match tag {
            Tag::Heading { level, .. } => {
                self.end_block();
                self.heading = Some(level);
            }
            Tag::List(first) => {
                self.end_block();
                if self.lists.is_empty() {
                    self.gap();
                }
                self.lists.push(first);
            }
            Tag::Item => {
                self.end_block();
                let indent = "  ".repeat(self.lists.len().saturating_sub(1).min(MAX_DEPTH));
                self.lead = match self.lists.last_mut() {
                    Some(Some(number)) => {
                        let lead = format!("{indent}{number}. ");
                        *number = number.saturating_add(1);
                        lead
                    }
                    _ => format!("{indent}- "),
                };
            }
            Tag::Table(_) => {
                self.end_block();
                self.rows.clear();
            }
            Tag::TableHead | Tag::TableRow => self.rows.push(Vec::new()),
            Tag::CodeBlock(_) => {
                self.end_block();
                self.is_code = true;
            }
            Tag::Paragraph | Tag::BlockQuote(_) => self.end_block(),
            Tag::Link { dest_url, .. } => self.link = Some((dest_url.into_string(), self.line.len())),
            _ => {}
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Heading(_) | TagEnd::Paragraph | TagEnd::Item | TagEnd::BlockQuote(_) => self.end_block(),
            TagEnd::CodeBlock => {
                self.gap();
                for line in std::mem::take(&mut self.line).lines() {
                    self.out.push_str("    ");
                    self.out.push_str(line);
                    self.out.push('\n');
                }
                self.is_code = false;
            }
            TagEnd::List(_) => {
                self.end_block();
                self.lists.pop();
            }
            TagEnd::TableCell => {
                let cell = std::mem::take(&mut self.line);
                if let Some(row) = self.rows.last_mut() {
                    row.push(cell.trim().to_owned());
                }
            }
            TagEnd::Table => self.table(),
            TagEnd::Link => {
                if let Some((url, begin)) = self.link.take()
                    && self.line.get(begin..).is_some_and(|text| text != url)
                {
                    self.line.push_str(" (");
                    self.line.push_str(&url);
                    self.line.push(')');
                }
            }
            _ => {}
        }
    }

    /// Writes the block that was read, if there is one.
    fn end_block(&mut self) {
        if self.is_code {
            return;
        }
        let line = std::mem::take(&mut self.line);
        if line.trim().is_empty() {
            return;
        }
        match self.heading.take() {
            Some(HeadingLevel::H1 | HeadingLevel::H2) => {
                self.is_below_heading = false;
                self.gap();
                self.out.push_str(&wrap("", &line.to_uppercase()));
                self.is_below_heading = true;
            }
            heading => {
                if self.lists.is_empty() || heading.is_some() {
                    self.gap();
                }
                let lead = std::mem::take(&mut self.lead);
                self.out.push_str(&wrap(&lead, &line));
                if !lead.is_empty() {
                    // further paragraphs of the item hang under its text
                    self.lead = " ".repeat(lead.chars().count());
                }
            }
        }
        self.out.push('\n');
    }

    /// Leaves one empty line above the next block, unless it is below a heading.
    fn gap(&mut self) {
        if self.lists.is_empty() {
            self.lead.clear();
        }
        let is_below_heading = std::mem::take(&mut self.is_below_heading);
        if !is_below_heading && !self.out.is_empty() && !self.out.ends_with("\n\n") {
            self.out.push('\n');
        }
    }

    /// Writes a table in columns; the last one wraps.
    fn table(&mut self) {
        let rows = std::mem::take(&mut self.rows);
        let columns = rows.iter().map(Vec::len).max().unwrap_or_default();
        let widths: Vec<usize> = (0..columns)
            .map(|column| {
                rows.iter()
                    .filter_map(|row| row.get(column))
                    .map(|cell| cell.chars().count())
                    .max()
                    .unwrap_or_default()
                    .min(WIDEST)
            })
            .collect();
        self.gap();
        for row in rows {
            let mut lead = String::new();
            let last = row.len().saturating_sub(1);
            for (cell, width) in row.iter().take(last).zip(&widths) {
                lead.extend([format!("{cell:<width$}"), " ".repeat(GAP)]);
            }
            let cell = row.last().map_or("", String::as_str);
            if lead.chars().count() > COLUMNS / 2 && lead.chars().count() + cell.chars().count() > COLUMNS {
                // the last column does not fit beside the others
                self.out.push_str(&wrap("", &lead));
                self.out.push('\n');
                "    ".clone_into(&mut lead);
            }
            self.out.push_str(&wrap(&lead, cell));
            self.out.push('\n');
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_markup_is_left() {
        let document = "# Title\n\nA **bold** `name` with\\_escape and [a link](https://example.com).\n\n\
                        ## Part\n\n- one\n- two\n  - three\n\n1. first\n2. second\n\n\
                        | Time | What |\n|---|---:|\n| 09:00 | **x** |\n\n```sh\nrm -r `x`\n```\n\n> quoted\n";
        let text = to_text(document);
        assert_eq!(
            text,
            "TITLE\nA bold name with_escape and a link (https://example.com).\n\nPART\n- one\n- two\n  - three\n\n\
             1. first\n2. second\n\nTime   What\n09:00  x\n\n    rm -r `x`\n\nquoted"
        );
    }

    #[test]
    fn lines_keep_to_the_columns() {
        let words = "word ".repeat(60);
        let document =
            format!("{words}\n\n- {words}\n\n| a | b |\n|---|---|\n| x | {words} |\n| {words} | y |\n");
        let text = to_text(&document);
        let longest = text.lines().map(|line| line.chars().count()).max();
        assert!(longest <= Some(COLUMNS), "{text}");
    }

    #[test]
    fn a_bottomless_list_ends() {
        let text = to_text(&"> ".repeat(2000));
        assert!(text.is_empty());
        let nested: Vec<String> = (0..200).map(|depth| format!("{}- x\n", "  ".repeat(depth))).collect();
        let nested = nested.concat();
        assert!(to_text(&nested).len() < 40_000);
    }
}
