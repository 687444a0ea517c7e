//! Blocks from source, with their lines.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::ops::Range;

use pulldown_cmark::{Alignment, BrokenLink, CodeBlockKind, Event, HeadingLevel, Parser, Tag, TagEnd};

use super::inline::Inline;
use super::{Block, Item, Kind, MAX_DEPTH, OPTIONS, flat};

/// A document that would be misread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {fault}")]
pub struct Error {
    /// Line of the source, from 1.
    pub line: usize,
    /// What is wrong.
    pub fault: Fault,
}

/// Why a document would be misread.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Fault {
    /// CommonMark closes such a block where its container or the document ends: what follows would be code.
    #[error("the code fence that begins here is not closed")]
    OpenFence,
    /// The next fence with a language would be content of this one, and its end the end of both.
    #[error("the code fence that begins here is not closed before another begins")]
    FenceInFence,
    /// As with an open fence, what follows would be a comment or HTML.
    #[error("the HTML comment or element that begins here is not closed")]
    OpenHtml,
    /// Nested too deeply to be followed.
    #[error("lists and quotes are nested more than {MAX_DEPTH} levels deep")]
    TooDeep,
}

/// Returns the source as it is read: without byte order mark, lines ended by `\n` alone, NUL as U+FFFD (CommonMark 2.3).
pub fn source(text: &str) -> Cow<'_, str> {
    let text = text.strip_prefix('\u{feff}').unwrap_or(text);
    if text.contains(['\r', '\0']) {
        Cow::Owned(text.replace("\r\n", "\n").replace('\r', "\n").replace('\0', "\u{fffd}"))
    } else {
        Cow::Borrowed(text)
    }
}

/// Reads a [`source`]. HTML comments, empty items and empty code are left out.
pub fn blocks(source: &str) -> Result<Vec<Block>, Error> {
    let mut reader = Reader::new(source);
    for (event, range) in Parser::new_ext(source, OPTIONS).into_offset_iter() {
        reader.event(event, range)?;
    }
    reader.end_text();
    Ok(reader.root)
}

/// The definitions of a document's links by reference, e.g. `[board]: http://grafana/d/1`.
#[derive(Debug)]
pub struct Definitions<'s>(BTreeMap<String, &'s str>);

impl<'s> Definitions<'s> {
    /// Reads a [`source`].
    pub fn of(source: &'s str) -> Self {
        let parser = Parser::new_ext(source, OPTIONS);
        let definitions = parser.reference_definitions().iter();
        Self(definitions.map(|(name, found)| (label(name), &source[found.span.clone()])).collect())
    }

    /// Appends to a part of the document those that it refers to and does not have.
    pub fn append_to(&self, part: &mut String) {
        let mut missing = BTreeSet::new();
        let note = |link: BrokenLink<'_>| {
            missing.insert(label(&link.reference));
            None
        };
        Parser::new_with_broken_link_callback(part, OPTIONS, Some(note)).for_each(drop);
        for definition in missing.iter().filter_map(|label| self.0.get(label)) {
            part.push_str("\n\n");
            part.push_str(definition.trim());
        }
    }
}

/// Returns a label in the form in which labels are compared (CommonMark 4.7).
fn label(name: &str) -> String {
    name.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase()
}

/// A list, an item or a quote whose end has not been read yet.
struct Open {
    line: usize,
    range: Range<usize>,
    blocks: Vec<Block>,
    container: Container,
}

enum Container {
    Quote,
    List { start: Option<u64>, items: Vec<Item> },
    Item,
}

/// A block of lines that are taken verbatim.
struct Verbatim {
    line: usize,
    range: Range<usize>,
    text: String,
    /// Where its last line of text ends.
    end: usize,
    fence: Option<String>,
    is_html: bool,
}

/// A table whose end has not been read yet.
struct Table {
    line: usize,
    range: Range<usize>,
    alignments: Vec<Alignment>,
    rows: Vec<Vec<String>>,
}

struct Reader<'s> {
    source: &'s str,
    root: Vec<Block>,
    open: Vec<Open>,
    /// The text that is being read, with the line and the place where it begins.
    text: Option<(usize, Range<usize>, Inline<'s>)>,
    verbatim: Option<Verbatim>,
    table: Option<Table>,
    /// Lines are counted once, on the way through the source.
    counted: (usize, usize),
}

impl<'s> Reader<'s> {
    fn new(source: &'s str) -> Self {
        Self {
            source,
            root: Vec::new(),
            open: Vec::new(),
            text: None,
            verbatim: None,
            table: None,
            counted: (0, 1),
        }
    }

    fn line(&mut self, at: usize) -> usize {
        let (from, line) = self.counted;
        // the range of an item begins before those of the blocks in it, which are counted first
        let Some(between) = self.source.get(from..at) else {
            return 1 + self.source[..at].matches('\n').count();
        };
        let line = line + between.matches('\n').count();
        self.counted = (at, line);
        line
    }

    fn event(&mut self, event: Event<'s>, range: Range<usize>) -> Result<(), Error> {
        match event {
            Event::Start(tag) => self.start(tag, range)?,
            Event::End(end) => self.end(end, range)?,
            Event::Rule => {
                self.end_text();
                self.push(range, Kind::Rule);
            }
            Event::Text(text) | Event::Html(text) if self.verbatim.is_some() => {
                if let Some(verbatim) = &mut self.verbatim {
                    verbatim.text.push_str(&text);
                    verbatim.end = range.end;
                }
            }
            Event::SoftBreak => self.inline(&range).soft_break(range),
            Event::HardBreak => self.inline(&range).hard_break(range),
            _ => self.inline(&range).raw(range),
        }
        Ok(())
    }

    fn start(&mut self, tag: Tag<'s>, range: Range<usize>) -> Result<(), Error> {
        match tag {
            Tag::Emphasis | Tag::Strong | Tag::Strikethrough => self.inline(&range).open(range),
            Tag::Link { link_type, dest_url, .. } => {
                self.inline(&range).open_link("[", link_type, &dest_url, range);
            }
            Tag::Image { link_type, dest_url, .. } => {
                self.inline(&range).open_link("![", link_type, &dest_url, range);
            }
            Tag::Paragraph | Tag::Heading { .. } | Tag::TableCell => self.begin_text(range),
            Tag::BlockQuote(_) => self.begin(Container::Quote, range)?,
            Tag::List(start) => self.begin(Container::List { start, items: Vec::new() }, range)?,
            Tag::Item => self.begin(Container::Item, range)?,
            Tag::CodeBlock(CodeBlockKind::Fenced(info)) => self.begin_verbatim(range, Some(&info), false),
            Tag::CodeBlock(CodeBlockKind::Indented) => self.begin_verbatim(range, None, false),
            Tag::HtmlBlock => self.begin_verbatim(range, None, true),
            Tag::Table(alignments) => {
                self.end_text();
                let line = self.line(range.start);
                self.table = Some(Table { line, range, alignments, rows: Vec::new() });
            }
            Tag::TableHead | Tag::TableRow => {
                if let Some(table) = &mut self.table {
                    table.rows.push(Vec::new());
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn end(&mut self, end: TagEnd, range: Range<usize>) -> Result<(), Error> {
        match end {
            TagEnd::Emphasis | TagEnd::Strong | TagEnd::Strikethrough => self.inline(&range).close(range),
            TagEnd::Link | TagEnd::Image => self.inline(&range).close_link(range),
            TagEnd::Paragraph => self.end_text(),
            TagEnd::Heading(level) => {
                let text = self.taken();
                self.push(range, Kind::Heading { level: level_of(level), text });
            }
            TagEnd::TableCell => {
                let cell = self.taken();
                if let Some(row) = self.table.as_mut().and_then(|table| table.rows.last_mut()) {
                    row.push(cell);
                }
            }
            TagEnd::Table => {
                if let Some(Table { line, range, alignments, rows }) = self.table.take() {
                    self.append(Block { line, range, kind: Kind::Table { alignments, rows } });
                }
            }
            TagEnd::BlockQuote(_) | TagEnd::List(_) | TagEnd::Item => self.end_container(),
            TagEnd::CodeBlock | TagEnd::HtmlBlock => self.end_verbatim()?,
            _ => {}
        }
        Ok(())
    }

    /// Returns the text that is being read. In a tight list it begins without a sign of its own.
    fn inline(&mut self, range: &Range<usize>) -> &mut Inline<'s> {
        if self.text.is_none() {
            self.begin_text(range.clone());
        }
        let (source, quoted) = (self.source, self.is_quoted());
        &mut self.text.get_or_insert_with(|| (0, range.clone(), Inline::new(source, quoted))).2
    }

    fn is_quoted(&self) -> bool {
        self.open.iter().any(|open| matches!(open.container, Container::Quote))
    }

    fn begin_text(&mut self, range: Range<usize>) {
        self.end_text();
        let line = self.line(range.start);
        self.text = Some((line, range, Inline::new(self.source, self.is_quoted())));
    }

    /// Ends the paragraph that is being read, if there is one.
    fn end_text(&mut self) {
        let Some((line, range, text)) = self.text.take() else { return };
        let range = range.start..range.end.max(text.end());
        let text = text.finish();
        if !text.is_empty() {
            self.append(Block { line, range, kind: Kind::Paragraph(text) });
        }
    }

    /// Returns the text of a heading or cell, without hard line breaks.
    fn taken(&mut self) -> String {
        self.text
            .take()
            .map(|(_, _, text)| flat(&text.finish()).trim_matches([' ', '\t']).to_owned())
            .unwrap_or_default()
    }

    fn begin(&mut self, container: Container, range: Range<usize>) -> Result<(), Error> {
        self.end_text();
        let line = self.line(range.start);
        let depth = self.open.iter().filter(|open| !matches!(open.container, Container::Item)).count();
        if depth >= MAX_DEPTH && !matches!(container, Container::Item) {
            return Err(Error { line, fault: Fault::TooDeep });
        }
        self.open.push(Open { line, range, blocks: Vec::new(), container });
        Ok(())
    }

    fn end_container(&mut self) {
        self.end_text();
        let Some(Open { line, range, blocks, container }) = self.open.pop() else { return };
        match container {
            Container::Item => {
                if let Some(Open { container: Container::List { items, .. }, .. }) = self.open.last_mut()
                    && !blocks.is_empty()
                {
                    items.push(Item { line, range, blocks });
                }
            }
            Container::Quote if blocks.is_empty() => {}
            Container::Quote => self.append(Block { line, range, kind: Kind::Quote(blocks) }),
            Container::List { items, .. } if items.is_empty() => {}
            Container::List { start, items } => {
                self.append(Block { line, range, kind: Kind::List { start, items } });
            }
        }
    }

    fn begin_verbatim(&mut self, range: Range<usize>, fence: Option<&str>, is_html: bool) {
        self.end_text();
        let line = self.line(range.start);
        let end = self.source[range.clone()].find('\n').map_or(range.end, |length| range.start + length);
        let fence = fence.map(str::to_owned);
        self.verbatim = Some(Verbatim { line, range, text: String::new(), end, fence, is_html });
    }

    fn end_verbatim(&mut self) -> Result<(), Error> {
        let Some(Verbatim { line, range, text, end, fence, is_html }) = self.verbatim.take() else {
            return Ok(());
        };
        let refused = |fault| Err(Error { line, fault });
        if is_html {
            if !is_html_closed(&text) {
                return refused(Fault::OpenHtml);
            }
            if !is_comment(&text) {
                self.append(Block { line, range, kind: Kind::Html(text.trim_matches(BLANKS).to_owned()) });
            }
            return Ok(());
        }
        if fence.is_some() {
            let (mark, length) = fence_of(self.source[range.clone()].trim_start_matches(' '));
            let tail = self.source[end.min(range.end)..range.end].trim_matches([' ', '\t', '\n', '>']);
            let (found, run) = fence_of(tail);
            if found != mark || run < length {
                return refused(Fault::OpenFence);
            }
            let opens = |line: &str| {
                let line = line.trim_start_matches(' ');
                let (other, run) = fence_of(line);
                let info = line[run..].trim();
                other == mark && run >= length && !info.is_empty() && !(mark == '`' && info.contains('`'))
            };
            if text.lines().any(opens) {
                return refused(Fault::FenceInFence);
            }
        }
        let text = match fence {
            Some(_) => text.strip_suffix('\n').unwrap_or(&text),
            None => text.trim_end_matches('\n'),
        };
        if !text.trim().is_empty() {
            let kind = Kind::Code { language: language(fence.as_deref()), text: text.to_owned() };
            self.append(Block { line, range, kind });
        }
        Ok(())
    }

    fn push(&mut self, range: Range<usize>, kind: Kind) {
        let line = self.line(range.start);
        self.append(Block { line, range, kind });
    }

    fn append(&mut self, block: Block) {
        match self.open.last_mut() {
            Some(open) => open.blocks.push(block),
            None => self.root.push(block),
        }
    }
}

const BLANKS: [char; 3] = [' ', '\t', '\n'];

fn level_of(level: HeadingLevel) -> u8 {
    match level {
        HeadingLevel::H1 => 1,
        HeadingLevel::H2 => 2,
        HeadingLevel::H3 => 3,
        HeadingLevel::H4 => 4,
        HeadingLevel::H5 => 5,
        HeadingLevel::H6 => 6,
    }
}

/// Returns the character of a fence and how often a text begins with it.
fn fence_of(text: &str) -> (char, usize) {
    let mark = if text.starts_with('~') { '~' } else { '`' };
    (mark, text.chars().take_while(|char| *char == mark).count())
}

/// Returns the first word of a fence's info string if it names a language.
fn language(info: Option<&str>) -> String {
    let word = info.and_then(|info| info.split_whitespace().next()).unwrap_or_default();
    let plain = word.bytes().all(|byte| byte.is_ascii_alphanumeric() || b"+-_.#".contains(&byte));
    if plain { word.to_owned() } else { String::new() }
}

/// Returns whether nothing but a comment is there.
fn is_comment(html: &str) -> bool {
    let html = html.trim_matches(BLANKS);
    html.starts_with("<!--") && html.find("-->").is_some_and(|end| end + 3 == html.len())
}

/// Returns whether a block of HTML ends by itself (CommonMark 4.6, conditions 1 to 5; the others end at a blank line).
fn is_html_closed(html: &str) -> bool {
    const TEXTS: [&str; 4] = ["script", "pre", "style", "textarea"];
    let html = html.trim_start_matches(BLANKS).to_ascii_lowercase();
    let is_text = html.strip_prefix('<').is_some_and(|html| {
        let rest = TEXTS.iter().find_map(|name| html.strip_prefix(name));
        rest.is_some_and(|rest| rest.is_empty() || rest.starts_with([' ', '\t', '\n', '>']))
    });
    if is_text {
        return TEXTS.iter().any(|name| html.contains(&format!("</{name}>")));
    }
    for (begin, end) in [("<!--", "-->"), ("<?", "?>"), ("<![cdata[", "]]>"), ("<!", ">")] {
        if html.starts_with(begin) {
            return html.contains(end);
        }
    }
    true
}
