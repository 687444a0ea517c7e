//! The text of a block on one line, with its markup as it was written.

use std::ops::Range;

use pulldown_cmark::LinkType;

/// A text while its parts are read.
pub(super) struct Inline<'s> {
    source: &'s str,
    /// Lines may begin with the marker of a quote.
    is_quoted: bool,
    out: String,
    /// What has been read.
    end: usize,
    /// At the start of a line, its indentation is still to be skipped.
    is_fresh: bool,
    /// Links that are open, with the address of those by reference.
    links: Vec<Option<String>>,
}

impl<'s> Inline<'s> {
    pub(super) fn new(source: &'s str, is_quoted: bool) -> Self {
        Self { source, is_quoted, out: String::new(), end: 0, is_fresh: true, links: Vec::new() }
    }

    /// Returns the end of what has been read.
    pub(super) fn end(&self) -> usize {
        self.end
    }

    pub(super) fn finish(self) -> String {
        self.out.trim_matches([' ', '\t']).to_owned()
    }

    pub(super) fn soft_break(&mut self, range: Range<usize>) {
        self.line_break(" ", range);
    }

    /// A hard line break stays one of its kind: a backslash may keep the line before it from being a rule.
    pub(super) fn hard_break(&mut self, range: Range<usize>) {
        if self.source[range.clone()].starts_with('\\') {
            self.raw(range.start..range.start + 1);
            self.out.push('\n');
            self.next_line(range);
        } else {
            self.line_break("  \n", range);
        }
    }

    fn line_break(&mut self, mark: &str, range: Range<usize>) {
        self.reach(range.start);
        self.out.truncate(self.out.trim_end_matches([' ', '\t']).len());
        self.out.push_str(mark);
        self.next_line(range);
    }

    fn next_line(&mut self, range: Range<usize>) {
        self.end = range.end;
        self.is_fresh = true;
    }

    /// A piece that stays as it is; one over several lines is written on one.
    pub(super) fn raw(&mut self, range: Range<usize>) {
        self.reach(range.start);
        self.copy(range);
    }

    /// Emphasis begins.
    pub(super) fn open(&mut self, range: Range<usize>) {
        self.reach(range.start);
    }

    /// Emphasis ends.
    pub(super) fn close(&mut self, range: Range<usize>) {
        if std::mem::take(&mut self.is_fresh) {
            let line = &self.source[self.end..range.end];
            self.end = range.end - self.unmarked(line).len();
        }
        self.reach(range.end);
    }

    /// A link or a picture begins.
    pub(super) fn open_link(&mut self, mark: &str, link: LinkType, url: &str, range: Range<usize>) {
        self.reach(range.start);
        let by_reference = !matches!(link, LinkType::Inline | LinkType::Autolink | LinkType::Email);
        if by_reference {
            self.out.push_str(mark);
            self.end = range.start + mark.len();
        }
        self.links.push(by_reference.then(|| url.to_owned()));
    }

    /// A link or a picture ends. The definition of a reference is no text: the address takes its place.
    pub(super) fn close_link(&mut self, range: Range<usize>) {
        match self.links.pop() {
            Some(Some(url)) => {
                self.out.push_str("](<");
                for char in url.chars() {
                    match char {
                        '<' | '>' | '\\' => self.out.extend(['\\', char]),
                        '&' => self.out.push_str("&amp;"),
                        '\n' => {}
                        char => self.out.push(char),
                    }
                }
                self.out.push_str(">)");
                self.end = range.end;
                self.is_fresh = false;
            }
            _ => self.close(range),
        }
    }

    /// Copies the markup up to a place; at the start of a line it begins there.
    fn reach(&mut self, place: usize) {
        if std::mem::take(&mut self.is_fresh) {
            // the character behind a backslash is a piece of its own
            let is_escaped = place > self.end && self.source[..place].ends_with('\\');
            self.end = if is_escaped { place - 1 } else { place };
        }
        if place > self.end {
            self.copy(self.end..place);
        }
    }

    fn copy(&mut self, range: Range<usize>) {
        let mut lines = self.source[range.clone()].split('\n');
        self.out.push_str(lines.next().unwrap_or_default());
        for line in lines {
            self.out.push(' ');
            self.out.push_str(self.unmarked(line));
        }
        self.end = range.end;
    }

    /// Returns a line without its indentation and the markers of quotes.
    fn unmarked<'l>(&self, line: &'l str) -> &'l str {
        let markers: &[char] = if self.is_quoted { &[' ', '\t', '>'] } else { &[' ', '\t'] };
        line.trim_start_matches(markers)
    }
}
