//! The field list of a step or of the escalation, and the text below it.

use std::collections::BTreeMap;
use std::ops::Range;

use super::{Error, Fault, Part, first_line};
use crate::text::markdown::{self, Block, Item, Kind};

/// The field list of a part; each field once, none empty.
pub(super) struct Fields<const N: usize> {
    pub(super) place: String,
    line: usize,
    names: [&'static str; N],
    /// Values with their lines.
    values: [Option<(usize, String)>; N],
}

impl<const N: usize> Fields<N> {
    /// Reads the list that a part begins with; what follows is the text.
    pub(super) fn read(source: &str, part: Part, names: [&'static str; N]) -> Result<(Self, String), Error> {
        let Part { title, line, blocks } = part;
        let mut fields = Self { place: title, line, names, values: [const { None }; N] };
        let mut blocks = blocks.into_iter();
        let mut text = Vec::new();
        match blocks.next() {
            Some(Block { kind: Kind::List { start: None, items }, line, range }) => {
                let rest = fields.list(source, items, &mut text)?;
                if !rest.is_empty() {
                    text.push(Block { kind: Kind::List { start: None, items: rest }, line, range });
                }
            }
            Some(block) => return Err(fields.unknown(block.line, first_line(source, &block.range))),
            None => {}
        }
        text.extend(blocks);
        // a line between two steps
        while text.last().is_some_and(|block| block.kind == Kind::Rule) {
            text.pop();
        }
        if let Some(line) = fields_in(&text, &names) {
            return Err(Error { line, fault: Fault::StepInText(fields.place) });
        }
        let text = markdown::write(&text);
        if text.trim().is_empty() {
            return Err(Error { line, fault: Fault::NoText(fields.place) });
        }
        Ok((fields, text))
    }

    /// Reads the fields and returns the items below them. Behind a blank line, once all fields are there, a list is text,
    /// and so is what is indented as if it belonged to the last field.
    fn list(&mut self, source: &str, items: Vec<Item>, text: &mut Vec<Block>) -> Result<Vec<Item>, Error> {
        let mut items = items.into_iter().peekable();
        let mut end = 0;
        while let Some(item) =
            items.next_if(|item| !self.is_full() || !is_apart(source, end, item.range.start))
        {
            let Item { line, range, mut blocks } = item;
            end = range.start;
            let rest = blocks.split_off(blocks.len().min(1));
            self.add(source, line, &range, blocks.pop())?;
            match rest.first() {
                Some(next) if self.is_full() && is_apart(source, end, next.range.start) => text.extend(rest),
                Some(_) => return Err(self.not_one_text(line)),
                None => {}
            }
        }
        Ok(items.collect())
    }

    fn is_full(&self) -> bool {
        self.values.iter().all(Option::is_some)
    }

    fn add(
        &mut self,
        source: &str,
        line: usize,
        range: &Range<usize>,
        block: Option<Block>,
    ) -> Result<(), Error> {
        let unknown = || self.unknown(line, first_line(source, range));
        let Some(Block { kind: Kind::Paragraph(text), .. }) = block else { return Err(unknown()) };
        let (name, value) = field(&text).ok_or_else(unknown)?;
        let index = self.names.iter().position(|known| *known == name).ok_or_else(unknown)?;
        let (place, field) = (self.place.clone(), self.names[index]);
        let fault = if value.trim().is_empty() {
            Fault::Missing { place, field }
        } else if self.values[index].is_some() {
            Fault::Twice { place, field }
        } else {
            self.values[index] = Some((line, value));
            return Ok(());
        };
        Err(Error { line, fault })
    }

    /// Takes a value with its line.
    pub(super) fn take(&mut self, field: &'static str) -> Result<(usize, String), Error> {
        self.names
            .iter()
            .position(|name| *name == field)
            .and_then(|index| self.values[index].take())
            .ok_or_else(|| Error {
                line: self.line,
                fault: Fault::Missing { place: self.place.clone(), field },
            })
    }

    fn not_one_text(&self, line: usize) -> Error {
        let is_of_line = |value: &Option<(usize, String)>| value.as_ref().is_some_and(|(at, _)| *at == line);
        let index = self.values.iter().position(is_of_line).unwrap_or_default();
        Error { line, fault: Fault::NotOneText { place: self.place.clone(), field: self.names[index] } }
    }

    fn unknown(&self, line: usize, text: String) -> Error {
        Error { line, fault: Fault::UnknownField { place: self.place.clone(), line: text } }
    }

    pub(super) fn invalid(&self, line: usize, field: &'static str, value: &str) -> Error {
        Error { line, fault: Fault::Invalid { place: self.place.clone(), field, value: value.to_owned() } }
    }
}

/// Splits `Name: value`; the name may be emphasised (`**Name**: value`, `**Name:** value`).
fn field(text: &str) -> Option<(&str, String)> {
    let bare = text.trim_start_matches(['*', '_']);
    let mark = &text[..text.len() - bare.len()];
    let (name, value) = bare.split_once(':')?;
    let value = if mark.is_empty() {
        value
    } else if let Some(name) = name.strip_suffix(mark) {
        return Some((name.trim_end(), one_line(value)));
    } else {
        value.strip_prefix(mark)?
    };
    Some((name, one_line(value)))
}

fn one_line(value: &str) -> String {
    markdown::flat(value).trim_matches([' ', '\t']).to_owned()
}

/// Returns whether a blank line is between the line that begins at a place of the source and a later place.
fn is_apart(source: &str, from: usize, to: usize) -> bool {
    // the last piece is the indentation of the later place
    source
        .get(from..to)
        .is_some_and(|between| between.rsplit('\n').skip(1).any(|line| line.trim().is_empty()))
}

/// Returns the line of the first field in a list of a text that has most of a step's fields.
fn fields_in(text: &[Block], names: &[&'static str]) -> Option<usize> {
    text.iter().find_map(|block| {
        let Kind::List { items, .. } = &block.kind else { return None };
        let known = items.iter().filter_map(|item| match item.blocks.first().map(|block| &block.kind) {
            Some(Kind::Paragraph(text)) => {
                let (name, _) = field(text)?;
                names.iter().find(|known| **known == name).map(|name| (*name, item.line))
            }
            _ => None,
        });
        let known: BTreeMap<&str, usize> = known.collect();
        let first = known.values().min().filter(|_| known.len() >= 3).copied();
        first.or_else(|| items.iter().find_map(|item| fields_in(&item.blocks, names)))
    })
}
