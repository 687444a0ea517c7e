//! Markdown as plain text: headings in capitals, tables in columns, no markup. Code stays as it is, each line from the
//! first column, so that it can be pasted.

use pulldown_cmark::{Event, HeadingLevel, Parser, Tag, TagEnd};

use super::{KEPT_BLANK, MAX_DEPTH, OPTIONS};

/// Blanks between two columns of a table.
const GAP: usize = 2;
/// Widest column of a table but the last, characters.
const WIDEST: usize = 28;

/// Where text goes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Layout {
    /// Longest line, with its indentation; words and code spans that are longer stay whole.
    pub columns: usize,
    /// Blanks before each line that is not code.
    pub indent: usize,
    /// What becomes of code spans.
    pub spans: CodeSpans,
}

/// A command of so many bytes mostly has a line of its own.
const LONG_COMMAND: usize = 40;

/// What becomes of code spans.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum CodeSpans {
    /// They keep their backticks and stay on one line.
    Marked,
    /// They lose their backticks and stay on one line, so that they can be pasted.
    Bare,
    /// They lose their backticks and wrap, as quotes do.
    Wrapped,
}

impl CodeSpans {
    /// Writes a code span; where it stays on one line, its blanks as [`KEPT_BLANK`].
    pub(super) fn write(self, out: &mut String, code: &str) {
        match self {
            Self::Wrapped => out.push_str(code),
            Self::Bare => keep(out, code),
            Self::Marked => {
                let run = code.split(|char| char != '`').map(str::len).max().unwrap_or_default();
                let ticks = "`".repeat(run + 1);
                let blank = if code.starts_with('`') || code.ends_with('`') { " " } else { "" };
                keep(out, &format!("{ticks}{blank}{code}{blank}{ticks}"));
            }
        }
    }
}

fn keep(out: &mut String, code: &str) {
    out.extend(code.chars().map(|char| if char.is_whitespace() { KEPT_BLANK } else { char }));
}

/// A line of the text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Line {
    /// Text, indented and wrapped; may be empty.
    Text(String),
    /// A line of code, verbatim.
    Code(String),
}

/// Breaks a sentence into lines of at most `columns`, the first after `lead`, the others indented by as much.
/// A word longer than a line stays whole, so that addresses and ids can be copied.
pub fn hanging(lead: &str, text: &str, columns: usize) -> String {
    let indent = lead.chars().count();
    let mut out = lead.to_owned();
    let mut column = indent;
    // a non-breaking blank keeps a figure and its unit on one line
    for word in text.split(|c: char| c.is_whitespace() && c != '\u{a0}').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if column > indent && column + 1 + length > columns {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.truncate(out.trim_end().len());
    out.replace(KEPT_BLANK, " ")
}

/// Renders a document.
pub fn to_text(markdown: &str, layout: Layout) -> String {
    let lines: Vec<String> = to_lines(markdown, layout)
        .into_iter()
        .map(|line| match line {
            Line::Text(line) | Line::Code(line) => line,
        })
        .collect();
    lines.join("\n")
}

/// Renders a document line by line.
pub fn to_lines(markdown: &str, layout: Layout) -> Vec<Line> {
    let mut text = Text::new(layout);
    for event in Parser::new_ext(markdown, OPTIONS) {
        text.event(event);
    }
    text.end_block();
    while text.out.last() == Some(&Line::Text(String::new())) {
        text.out.pop();
    }
    text.out
}

struct Text {
    layout: Layout,
    out: Vec<Line>,
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
    /// A command without marks was written last.
    is_after_command: bool,
    /// The last block was a heading: the next one follows without an empty line.
    is_below_heading: bool,
    rows: Vec<Vec<String>>,
}

impl Text {
    fn new(layout: Layout) -> Self {
        Self {
            layout,
            out: Vec::new(),
            line: String::new(),
            heading: None,
            lists: Vec::new(),
            lead: String::new(),
            link: None,
            is_code: false,
            is_after_command: false,
            is_below_heading: false,
            rows: Vec::new(),
        }
    }

    fn event(&mut self, event: Event<'_>) {
        let is_after_command = std::mem::take(&mut self.is_after_command);
        match event {
            Event::Start(tag) => self.start(tag),
            Event::End(end) => self.end(end),
            Event::Code(code) => {
                self.layout.spans.write(&mut self.line, &code);
                self.is_after_command = self.layout.spans == CodeSpans::Bare && code.len() >= LONG_COMMAND;
            }
            // a full stop behind a command would be pasted with it
            Event::Text(text) if is_after_command && text.starts_with('.') => {
                self.line.push_str(&text[1..]);
            }
            Event::Text(text)
            | Event::Html(text)
            | Event::InlineHtml(text)
            | Event::FootnoteReference(text)
            | Event::InlineMath(text)
            | Event::DisplayMath(text) => self.line.push_str(&text),
            Event::SoftBreak => self.line.push(' '),
            Event::HardBreak => self.line.push('\n'),
            Event::Rule => {
                self.end_block();
                self.gap();
                let columns = self.layout.columns.saturating_sub(self.layout.indent);
                self.text("", &"-".repeat(columns));
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
            Tag::Paragraph | Tag::BlockQuote(_) | Tag::HtmlBlock => self.end_block(),
            Tag::Link { dest_url, .. } => self.link = Some((dest_url.into_string(), self.line.len())),
            _ => {}
        }
    }

    fn end(&mut self, end: TagEnd) {
        match end {
            TagEnd::Heading(_)
            | TagEnd::Paragraph
            | TagEnd::Item
            | TagEnd::BlockQuote(_)
            | TagEnd::HtmlBlock => self.end_block(),
            TagEnd::CodeBlock => self.code(),
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
        let block = std::mem::take(&mut self.line);
        if block.trim().is_empty() {
            return;
        }
        match self.heading.take() {
            Some(HeadingLevel::H1 | HeadingLevel::H2) => {
                self.is_below_heading = false;
                self.gap();
                self.text("", &block.to_uppercase());
                self.is_below_heading = true;
            }
            heading => {
                if self.lists.is_empty() || heading.is_some() {
                    self.gap();
                }
                for line in block.lines().filter(|line| !line.trim().is_empty()) {
                    let lead = std::mem::take(&mut self.lead);
                    self.text(&lead, line);
                    // further lines and paragraphs of the item hang under its text
                    self.lead = " ".repeat(lead.chars().count());
                }
            }
        }
    }

    /// Writes code between empty lines.
    fn code(&mut self) {
        self.is_code = false;
        let code = std::mem::take(&mut self.line);
        if !self.lead.trim().is_empty() {
            // an item that begins with code
            let lead = self.lead.trim_end().to_owned();
            self.lead = " ".repeat(self.lead.chars().count());
            self.out.push(Line::Text(format!("{}{lead}", " ".repeat(self.layout.indent))));
        }
        self.gap();
        let code = code.strip_suffix('\n').unwrap_or(&code);
        self.out.extend(code.split('\n').map(|line| Line::Code(line.to_owned())));
        self.out.push(Line::Text(String::new()));
    }

    /// Leaves one empty line above the next block, unless it is below a heading.
    fn gap(&mut self) {
        if self.lists.is_empty() {
            self.lead.clear();
        }
        let is_below_heading = std::mem::take(&mut self.is_below_heading);
        let is_apart = self.out.last().is_none_or(|line| *line == Line::Text(String::new()));
        if !is_below_heading && !is_apart {
            self.out.push(Line::Text(String::new()));
        }
    }

    /// Writes a text, wrapped.
    fn text(&mut self, lead: &str, text: &str) {
        let lead = format!("{}{lead}", " ".repeat(self.layout.indent));
        let lines = hanging(&lead, text, self.layout.columns);
        self.out.extend(lines.lines().map(|line| Line::Text(line.to_owned())));
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
        let room = self.layout.columns.saturating_sub(self.layout.indent);
        self.gap();
        for row in rows {
            let mut lead = String::new();
            let last = row.len().saturating_sub(1);
            for (cell, width) in row.iter().take(last).zip(&widths) {
                lead.extend([format!("{cell:<width$}"), " ".repeat(GAP)]);
            }
            let cell = row.last().map_or("", String::as_str);
            if lead.chars().count() > room / 2 && lead.chars().count() + cell.chars().count() > room {
                // the last column does not fit beside the others
                self.text("", &lead);
                "    ".clone_into(&mut lead);
            }
            self.text(&lead, cell);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const COLUMNS: usize = 72;

    fn to_text(markdown: &str) -> String {
        super::to_text(markdown, Layout { columns: COLUMNS, indent: 0, spans: CodeSpans::Bare })
    }

    #[test]
    fn no_markup_is_left() {
        let document = "# Title\n\nA **bold** `name` with\\_escape and [a link](https://example.com).\n\n\
                        ## Part\n\n- one\n- two\n  - three\n\n1. first\n2. second\n\n\
                        | Time | What |\n|---|---:|\n| 09:00 | **x** |\n\n```sh\nrm -r `x`\n```\n\n> quoted\n";
        let text = to_text(document);
        assert_eq!(
            text,
            "TITLE\nA bold name with_escape and a link (https://example.com).\n\nPART\n- one\n- two\n  - three\n\n\
             1. first\n2. second\n\nTime   What\n09:00  x\n\nrm -r `x`\n\nquoted"
        );
    }

    #[test]
    fn a_full_stop_is_not_pasted_with_a_command() {
        let command = "kubectl -n shop rollout undo deployment/payment";
        assert_eq!(to_text(&format!("Undo: `{command}`. Then wait.")), format!("Undo: {command} Then wait."));
        assert_eq!(to_text("Run `make stop`. Then wait."), "Run make stop. Then wait.");
    }

    #[test]
    fn code_is_neither_wrapped_nor_indented() {
        let command = "kubectl -n shop logs deploy/order --since 10m";
        let document =
            format!("Run `{command}`.\n\n1. a\n\n   ```sh\n   {command} \\\n     --tail 5\n\n   ```\n2. b");
        let lines = |spans| super::to_lines(&document, Layout { columns: 30, indent: 4, spans });
        let text = |line: &str| Line::Text(line.to_owned());
        let code = |line: &str| Line::Code(line.to_owned());
        assert_eq!(
            lines(CodeSpans::Marked),
            [
                text("    Run"),
                text(&format!("    `{command}`.")),
                text(""),
                text("    1. a"),
                text(""),
                code(&format!("{command} \\")),
                code("  --tail 5"),
                code(""),
                text(""),
                text("    2. b"),
            ]
        );
        assert_eq!(lines(CodeSpans::Bare)[1], text(&format!("    {command}")));
        assert_eq!(lines(CodeSpans::Wrapped)[0], text("    Run kubectl -n shop logs"));
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
