//! What a terminal is sent: colours where it shows them, and no control character from anyone but us.
//!
//! Telemetry is written by strangers, and a terminal obeys what it prints. Documents are therefore cleaned as a whole
//! ([`cleaned`]) before anything is rendered from them, so that no field can be forgotten.

pub(crate) mod page;
pub mod sparkline;

use std::fmt::Write as _;
use std::io::{IsTerminal as _, Write as _};

use comfy_table::{Attribute, Cell, Color, ContentArrangement, Table, presets};
use jiff::Timestamp;
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;
use shared::clock::Clock;
use shared::text::sanitize;

use crate::failure::CliError;

/// Longest text that is shown, characters.
const LONGEST: usize = 1_000;

/// Narrowest screen that is written for, columns.
const NARROWEST: u16 = 40;

/// What we write on.
#[derive(Debug, Clone, Copy)]
pub struct Screen {
    /// Whether colours are shown.
    pub colour: bool,
    /// Columns; none where the output is no terminal.
    pub width: Option<u16>,
    /// When, for ages.
    pub now: Timestamp,
}

/// What a colour says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Tone {
    /// Nothing.
    Plain,
    /// A name or a heading.
    Strong,
    /// Of lesser weight.
    Faint,
    /// Bad.
    Alarm,
    /// Not good.
    Warning,
    /// Good.
    Good,
}

impl Screen {
    /// Returns what the standard output is.
    pub fn of_stdout(clock: &dyn Clock) -> Self {
        let terminal = std::io::stdout().is_terminal();
        let refused = std::env::var_os("NO_COLOR").is_some_and(|value| !value.is_empty())
            || std::env::var_os("TERM").is_some_and(|value| value == "dumb");
        // a width that nothing fits in is a terminal that does not know its own
        let width = Table::new().width().filter(|width| terminal && *width >= NARROWEST);
        Self { colour: terminal && !refused, width, now: clock.now() }
    }

    /// Returns the columns that running text may take.
    pub fn columns(&self) -> usize {
        usize::from(self.width.unwrap_or(100).clamp(NARROWEST, 120))
    }

    /// Returns a text in the colour of its tone.
    pub fn paint(&self, tone: Tone, text: &str) -> String {
        let code = match tone {
            _ if !self.colour || text.is_empty() => return text.to_owned(),
            Tone::Plain => return text.to_owned(),
            Tone::Strong => "1",
            Tone::Faint => "2",
            Tone::Alarm => "31",
            Tone::Warning => "33",
            Tone::Good => "32",
        };
        format!("\x1b[{code}m{text}\x1b[0m")
    }

    /// Starts a table without lines, as wide as the screen allows.
    pub fn table(&self, header: &[&str]) -> Table {
        let mut table = Table::new();
        table.load_preset(presets::NOTHING).set_content_arrangement(ContentArrangement::Dynamic);
        table.set_header(header.iter().map(|name| cell(Tone::Strong, *name)));
        if self.colour {
            table.enforce_styling();
        } else {
            table.force_no_tty();
        }
        if let Some(width) = self.width {
            table.set_width(width);
        } else {
            table.set_content_arrangement(ContentArrangement::Disabled);
        }
        for column in table.column_iter_mut() {
            column.set_padding((0, 2));
        }
        table
    }
}

/// Returns a cell of a table in the colour of its tone.
pub fn cell(tone: Tone, text: impl ToString) -> Cell {
    let cell = Cell::new(text);
    match tone {
        Tone::Plain => cell,
        Tone::Strong => cell.add_attribute(Attribute::Bold),
        Tone::Faint => cell.add_attribute(Attribute::Dim),
        Tone::Alarm => cell.fg(Color::DarkRed),
        Tone::Warning => cell.fg(Color::DarkYellow),
        Tone::Good => cell.fg(Color::DarkGreen),
    }
}

/// Returns a table as text.
pub fn finished(table: &Table) -> String {
    let mut text = table.trim_fmt();
    text.push('\n');
    text
}

/// Writes to the standard output at once.
pub fn print(text: &str) -> Result<(), CliError> {
    let mut out = std::io::stdout().lock();
    out.write_all(text.as_bytes())?;
    out.flush()?;
    Ok(())
}

/// Returns a text as one line without anything a terminal would obey or a reader would be fooled by: escape
/// sequences, control characters, characters that turn or hide their neighbours. Cut after `longest` characters.
pub fn clean(text: &str, longest: usize) -> String {
    let mut cleaned = String::with_capacity(text.len().min(longest));
    let mut kept = 0;
    let mut chars = text.chars().peekable();
    while let Some(char) = chars.next() {
        let char = match char {
            // a control sequence goes as a whole, so that coloured log lines stay readable
            '\u{1b}' if chars.next_if_eq(&'[').is_some() => {
                skip_sequence(&mut chars);
                continue;
            }
            '\u{9b}' => {
                skip_sequence(&mut chars);
                continue;
            }
            '\n' | '\r' | '\t' | '\u{2028}' | '\u{2029}' => ' ',
            hidden if is_hidden(hidden) => continue,
            shown => shown,
        };
        if kept == longest {
            cleaned.push('…');
            break;
        }
        cleaned.push(char);
        kept += 1;
    }
    cleaned
}

/// Returns a text [cleaned](clean) line by line; tabs stay, for code that is pasted.
pub fn clean_lines(text: &str) -> String {
    let clean = |line: &str| line.split('\t').map(|part| clean(part, LONGEST)).collect::<Vec<_>>().join("\t");
    text.lines().map(clean).collect::<Vec<_>>().join("\n")
}

/// Skips parameters and the final byte of a control sequence (ECMA-48, 5.4); stops where it is not one.
fn skip_sequence(chars: &mut std::iter::Peekable<std::str::Chars<'_>>) {
    while chars.next_if(|char| matches!(char, ' '..='?')).is_some() {}
    chars.next_if(|char| matches!(char, '@'..='~'));
}

/// Returns whether a character is sent to the terminal rather than to the reader: controls, line and paragraph
/// separators, and those that change the direction of writing or have no width.
fn is_hidden(char: char) -> bool {
    char.is_control() || sanitize::steers(char) || matches!(char, '\u{2028}' | '\u{2029}')
}

/// Returns a document with every text in it cleaned, names of fields included.
pub fn cleaned<T: Serialize + DeserializeOwned>(document: &T) -> Result<T, serde_json::Error> {
    serde_json::from_value(cleaned_json(serde_json::to_value(document)?))
}

/// Returns JSON with every text in it cleaned.
pub fn cleaned_json(value: Value) -> Value {
    match value {
        Value::String(text) => Value::String(clean(&text, LONGEST)),
        Value::Array(items) => items.into_iter().map(cleaned_json).collect(),
        Value::Object(fields) => {
            fields.into_iter().map(|(name, value)| (clean(&name, LONGEST), cleaned_json(value))).collect()
        }
        other => other,
    }
}

/// Writes a document as JSON, indented or on one line. Its texts are as they were stored; what a terminal would obey
/// is written as `\uXXXX`, which is the same JSON.
pub fn json<T: Serialize>(document: &T, indented: bool) -> Result<String, serde_json::Error> {
    let text =
        if indented { serde_json::to_string_pretty(document)? } else { serde_json::to_string(document)? };
    let mut safe = String::with_capacity(text.len() + 1);
    for char in text.chars() {
        // outside of strings JSON has no such character but our own line feeds
        if char != '\n' && is_hidden(char) {
            let mut units = [0; 2];
            for unit in char.encode_utf16(&mut units) {
                let _ = write!(safe, "\\u{unit:04x}");
            }
        } else {
            safe.push(char);
        }
    }
    safe.push('\n');
    Ok(safe)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_that_a_terminal_obeys_is_left() {
        let hostile = "a\x1b[31mred\x1b[0m\x1b]0;title\x07\u{9b}2Jb\u{202e}c\u{200b}\r\nd\x1b\x1b[";
        assert_eq!(clean(hostile, 100), "ared]0;titlebc  d");
    }

    #[test]
    fn code_keeps_its_lines_and_tabs() {
        assert_eq!(clean_lines("if x\r\n\tls  -l\x1b[31m\u{2028}\rc\n"), "if x\n\tls  -l  c");
    }

    #[test]
    fn a_long_text_is_cut_and_says_so() {
        assert_eq!(clean("abcdef", 3), "abc…");
        assert_eq!(clean("äöü", 3), "äöü");
    }

    #[test]
    fn json_stays_the_same_document_and_harms_no_terminal() {
        let document = Value::String("\u{9b}2J\u{202e}\x1b[31m\u{e0041}\nä".to_owned());
        let text = json(&document, true).unwrap();
        assert_eq!(text, "\"\\u009b2J\\u202e\\u001b[31m\\udb40\\udc41\\nä\"\n");
        assert_eq!(serde_json::from_str::<Value>(&text).unwrap(), document);
    }
}
