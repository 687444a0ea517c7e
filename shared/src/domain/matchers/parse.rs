//! Reads matchers.

use super::{Error, Fault, MAX_BYTES, MAX_MATCHERS, Matcher, Matchers, Name, Operator};

/// Longest list that is read, bytes: escapes and blanks may double what a matcher has.
const MAX_TEXT: usize = 2 * MAX_MATCHERS * MAX_BYTES;

/// Reads a list: matchers with commas between them, in braces or not. A comma may follow the last one.
pub(super) fn matchers(text: &str) -> Result<Matchers, Error> {
    if text.len() > MAX_TEXT {
        return Err(Error { column: None, fault: Fault::TooLong { bytes: text.len() } });
    }
    let mut reader = Reader { text, at: 0 };
    let mut read = Vec::new();
    reader.skip_blanks();
    let is_braced = reader.skip("{");
    loop {
        reader.skip_blanks();
        if reader.is_at_end(is_braced) {
            break;
        }
        if read.len() == MAX_MATCHERS {
            return Err(reader.error(Fault::TooMany));
        }
        read.push(reader.matcher()?);
        reader.skip_blanks();
        if !reader.skip(",") && !reader.is_at_end(is_braced) {
            return Err(reader.error(Fault::NoComma));
        }
    }
    if is_braced {
        reader.skip("}");
        reader.skip_blanks();
        if !reader.rest().is_empty() {
            return Err(reader.error(Fault::NoComma));
        }
    }
    Ok(Matchers(read))
}

struct Reader<'t> {
    text: &'t str,
    /// Bytes that are read.
    at: usize,
}

impl<'t> Reader<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn is_at_end(&self, is_braced: bool) -> bool {
        if is_braced { self.rest().starts_with('}') } else { self.rest().is_empty() }
    }

    fn error(&self, fault: Fault) -> Error {
        self.error_at(self.at, fault)
    }

    fn error_at(&self, at: usize, fault: Fault) -> Error {
        Error { column: Some(self.text[..at].chars().count() + 1), fault }
    }

    fn skip_blanks(&mut self) {
        self.at = self.text.len() - self.rest().trim_start().len();
    }

    fn skip(&mut self, mark: &str) -> bool {
        let is_there = self.rest().starts_with(mark);
        if is_there {
            self.at += mark.len();
        }
        is_there
    }

    fn while_char(&mut self, is_part: impl Fn(char) -> bool) -> &'t str {
        let rest = self.rest();
        let found = &rest[..rest.find(|char| !is_part(char)).unwrap_or(rest.len())];
        self.at += found.len();
        found
    }

    fn matcher(&mut self) -> Result<Matcher, Error> {
        let start = self.at;
        let name = self.while_char(is_plain);
        if name.is_empty() {
            return Err(self.error(Fault::NoName));
        }
        let Some(known) = Name::read(name) else {
            return Err(self.error_at(start, Fault::UnknownName(name.to_owned())));
        };
        self.skip_blanks();
        let written = Operator::WRITTEN.into_iter().find(|(mark, _)| self.skip(mark));
        let Some((_, operator)) = written else {
            return Err(self.error(Fault::NoOperator(name.to_owned())));
        };
        self.skip_blanks();
        let begin = self.at;
        let value = self.value()?;
        Matcher::new(known, operator, value).map_err(|fault| match fault {
            fault @ Fault::TooLong { .. } => self.error_at(start, fault),
            fault => self.error_at(begin, fault),
        })
    }

    /// Reads a value in double quotes, or a plain word without them, as it is typed on a command line.
    fn value(&mut self) -> Result<String, Error> {
        let begin = self.at;
        if !self.skip("\"") {
            let word = self.while_char(is_plain);
            return if word.is_empty() { Err(self.error(Fault::NoValue)) } else { Ok(word.to_owned()) };
        }
        let mut value = String::new();
        let mut chars = self.rest().char_indices();
        while let Some((place, char)) = chars.next() {
            match char {
                '"' => {
                    self.at += place + 1;
                    return Ok(value);
                }
                '\\' => match chars.next() {
                    Some((_, 'n')) => value.push('\n'),
                    Some((_, char @ ('"' | '\\'))) => value.push(char),
                    Some((_, char)) => return Err(self.error_at(self.at + place, Fault::Escape(char))),
                    None => break,
                },
                char => value.push(char),
            }
        }
        Err(self.error_at(begin, Fault::Unclosed))
    }
}

fn is_plain(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '-' | '.' | ':' | '/' | '@')
}
