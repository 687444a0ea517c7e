//! Lines of a page, wrapped to the screen with hanging indents.

use shared::text::markdown::{CodeSpans, Layout, Line, hanging, sentence_kept, to_lines};

use super::{Screen, Tone};

/// A page while it is written.
pub(crate) struct Page<'s> {
    screen: &'s Screen,
    text: String,
}

impl<'s> Page<'s> {
    pub(crate) fn new(screen: &'s Screen) -> Self {
        Self { screen, text: String::new() }
    }

    pub(crate) fn finish(self) -> String {
        self.text
    }

    pub(crate) fn columns(&self) -> usize {
        self.screen.columns()
    }

    pub(crate) fn paint(&self, tone: Tone, text: &str) -> String {
        self.screen.paint(tone, text)
    }

    pub(crate) fn strong(&self, text: &str) -> String {
        self.paint(Tone::Strong, text)
    }

    /// An empty line.
    pub(crate) fn gap(&mut self) {
        self.text.push('\n');
    }

    /// A line that is left as it is.
    pub(crate) fn line(&mut self, line: &str) {
        self.text.push_str(line.trim_end());
        self.text.push('\n');
    }

    /// A heading with a remark behind it.
    pub(crate) fn heading(&mut self, heading: &str, remark: &str) {
        self.gap();
        self.line(&format!("{}  {remark}", self.strong(&heading.to_uppercase())));
    }

    /// A text, indented and wrapped.
    pub(crate) fn text(&mut self, indent: &str, text: &str) {
        self.wrap(indent, indent, text);
    }

    /// A text of lesser weight, indented and wrapped.
    pub(crate) fn faint(&mut self, indent: &str, text: &str) {
        let room = self.screen.columns().saturating_sub(indent.len()).max(20);
        for line in textwrap::wrap(text, whole_words(room)) {
            self.line(&format!("{indent}{}", self.paint(Tone::Faint, &line)));
        }
    }

    /// Markdown of a runbook: text of lesser weight, indented and wrapped; code as it is, from the first column, so that it
    /// can be pasted.
    pub(crate) fn instructions(&mut self, indent: &str, markdown: &str) {
        let layout =
            Layout { columns: self.screen.columns(), indent: indent.len(), spans: CodeSpans::Marked };
        let lines = to_lines(markdown, layout);
        let ends_in_code = matches!(lines.last(), Some(Line::Code(_)));
        for line in lines {
            match line {
                Line::Text(text) => {
                    let words = text.trim_start();
                    let blanks = &text[..text.len() - words.len()];
                    self.line(&format!("{blanks}{}", self.paint(Tone::Faint, words)));
                }
                Line::Code(code) => {
                    self.text.push_str(&code);
                    self.text.push('\n');
                }
            }
        }
        if ends_in_code {
            self.gap();
        }
    }

    /// A sentence of a runbook behind a label; its code spans stay on one line.
    pub(crate) fn sentence(&mut self, label: &str, sentence: &str) {
        let sentence = sentence_kept(sentence, CodeSpans::Marked);
        let wrapped = hanging(label, &sentence, self.screen.columns());
        self.text.extend([&wrapped, "\n"]);
    }

    /// One item of a list.
    pub(crate) fn item(&mut self, indent: &str, text: &str) {
        self.wrap(&format!("{indent}- "), &format!("{indent}  "), text);
    }

    /// A text behind a label; its further lines begin below its first, unless the label takes the room for it.
    pub(crate) fn hanging(&mut self, label: &str, text: &str) {
        let indent = textwrap::core::display_width(label).min(self.screen.columns() / 3);
        self.wrap(label, &" ".repeat(indent), text);
    }

    /// One of the facts at the top.
    pub(crate) fn field(&mut self, name: &str, text: &str) {
        self.hanging(&format!("  {}  ", self.paint(Tone::Faint, &format!("{name:<12}"))), text);
    }

    fn wrap(&mut self, first: &str, rest: &str, text: &str) {
        let options = whole_words(self.screen.columns()).initial_indent(first).subsequent_indent(rest);
        for line in textwrap::wrap(text, options) {
            self.line(&line);
        }
    }
}

/// Wraps between words only: commands and names with hyphens stay whole where they can.
fn whole_words<'o>(width: usize) -> textwrap::Options<'o> {
    textwrap::Options::new(width).word_splitter(textwrap::WordSplitter::NoHyphenation)
}
