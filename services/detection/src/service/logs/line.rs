//! One record of a log, read: its level, what it states, and the shape of that without what varies.
//!
//! A record is taken apart from the outside to the inside: colours, what a transport puts in front (syslog, container
//! runtimes, time, level), then JSON or logfmt, then the frames of a stack trace. What is left is the statement. It is
//! what is shown, what templates are made of, and what is searched for critical words.

mod fields;
mod mask;
mod prefix;
mod trace;

use std::borrow::Cow;

use shared::events::raw::Level;

pub(super) use mask::{MASK, SEAM, Shape, is_empty, mask};

/// Bytes of a record that are read: so many of its begin and of its end.
const HEAD_BYTES: usize = 12_000;
const TAIL_BYTES: usize = 4_000;
/// Characters of a statement that are kept: so many of its begin and of its end.
const HEAD_CHARS: usize = 1200;
const TAIL_CHARS: usize = 800;
/// Formats within formats that are read: a container runtime's JSON around the service's own, say.
const MAX_DEPTH: usize = 3;

/// What platforms write when a function ran into its timeout: AWS Lambda (two), Google Cloud Functions, Azure Functions.
const CUT_OFF: [&str; 4] =
    ["Task timed out after ", "Status: timeout", "finished with status: 'timeout'", " exceeded by function"];
/// Stands between the parts of a statement: message, error, innermost cause.
pub(super) const PART: &str = " | ";
/// Stands where something was left out.
pub(super) const GAP: &str = " ... ";

/// What one record says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Statement {
    /// The level of the record or of the line in it, whichever is higher: what ships logs often knows none.
    pub(super) level: Level,
    /// On one line and fit to be shown.
    pub(super) text: String,
}

/// Reads a record.
pub(super) fn read(level: Level, message: &str) -> Statement {
    let mut level = level;
    let bounded = ends(message, HEAD_BYTES, TAIL_BYTES);
    let plain = without_escapes(&bounded);
    let text = clean(&statement(&plain, &mut level, 0));
    if level < Level::Error && is_cut_off(&text) {
        level = Level::Error;
    }
    Statement { level, text }
}

/// Returns whether it is the platform's line about a function that ran into its timeout, which has no level. Not while an
/// instance started: that is tried again.
fn is_cut_off(text: &str) -> bool {
    CUT_OFF.iter().any(|phrase| text.contains(phrase)) && !text.starts_with("INIT_REPORT")
}

/// Returns whether a record is only a part of the trace that came before it, which says nothing by itself.
pub(super) fn is_frame(message: &str, in_trace: bool) -> bool {
    trace::is_frame(message, in_trace)
}

fn statement<'a>(text: &'a str, level: &mut Level, depth: usize) -> Cow<'a, str> {
    let rest = prefix::strip(text, level);
    if depth < MAX_DEPTH
        && let Some(record) = fields::read(rest)
    {
        *level = record.level.map_or(*level, |own| own.max(*level));
        let mut parts: Vec<String> = Vec::new();
        for part in record.parts {
            let part = statement(&part, level, depth + 1).trim().to_owned();
            if !part.is_empty() && !parts.iter().any(|known| known.contains(&part)) {
                parts.push(part);
            }
        }
        return Cow::Owned(parts.join(PART));
    }
    if rest.contains('\n') { trace::condense(rest) } else { Cow::Borrowed(rest) }
}

/// Returns begin and end of a text that is longer than both together.
fn ends(text: &str, head: usize, tail: usize) -> Cow<'_, str> {
    if text.len() <= head + tail {
        return Cow::Borrowed(text);
    }
    let (head, tail) = (text.floor_char_boundary(head), text.ceil_char_boundary(text.len() - tail));
    Cow::Owned(format!("{}{GAP}{}", &text[..head], &text[tail..]))
}

/// Removes ANSI escape sequences: colours, cursor movements, links and titles.
fn without_escapes(text: &str) -> Cow<'_, str> {
    if !text.as_bytes().contains(&0x1b) && (text.is_ascii() || !text.contains('\u{9b}')) {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        let opens = match letter {
            '\u{9b}' => Some('['),
            '\u{1b}' => letters.next(),
            _ => {
                plain.push(letter);
                continue;
            }
        };
        match opens {
            // parameters, then a letter
            Some('[') => {
                while letters.next_if(|next| matches!(next, ' '..='?')).is_some() {}
                letters.next_if(|next| matches!(next, '@'..='~'));
            }
            // a string up to BEL or ESC \
            Some(']' | 'P' | 'X' | '^' | '_') => {
                while let Some(next) = letters.next() {
                    if next == '\u{7}' || next == '\u{1b}' && letters.next_if_eq(&'\\').is_some() {
                        break;
                    }
                }
            }
            _ => {}
        }
    }
    Cow::Owned(plain)
}

/// Makes a statement fit to be shown: bounded, on one line, without control characters and marks that change the
/// direction of text.
fn clean(text: &str) -> String {
    let mut before = b' ';
    let is_clean = text.bytes().all(|byte| {
        let is_clean = matches!(byte, b' '..=b'~') && (byte != b' ' || before != b' ');
        before = byte;
        is_clean
    });
    if is_clean && text.len() <= HEAD_CHARS + TAIL_CHARS {
        return text.trim_end().to_owned();
    }
    let mut line = String::with_capacity(text.len());
    for letter in text.chars() {
        let kept = match letter {
            ' '..='~' => letter,
            '\u{200b}'..='\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}' | '\u{feff}' => {
                continue;
            }
            letter if letter.is_whitespace() || letter.is_control() => ' ',
            letter => letter,
        };
        if kept == ' ' && (line.is_empty() || line.ends_with(' ')) {
            continue;
        }
        line.push(kept);
    }
    line.truncate(line.trim_end().len());
    if line.len() > HEAD_CHARS + TAIL_CHARS && line.chars().count() > HEAD_CHARS + TAIL_CHARS {
        let at = |count: usize| line.char_indices().nth(count).map_or(line.len(), |(at, _)| at);
        let (head, tail) = (at(HEAD_CHARS), at(line.chars().count() - TAIL_CHARS));
        line = format!("{}{GAP}{}", &line[..head], &line[tail..]);
    }
    line
}

/// Returns a text in so many bytes: all of it, or its begin and its end, in which lines of one beginning often differ.
pub(super) fn shortened(text: &str, bytes: usize) -> Cow<'_, str> {
    if text.len() <= bytes {
        return Cow::Borrowed(text);
    }
    let room = bytes.saturating_sub(GAP.len());
    let head = &text[..text.floor_char_boundary(room / 2)];
    let tail = &text[text.ceil_char_boundary(text.len() - room / 2)..];
    // whole words where there are any
    let head = head.rfind(' ').filter(|at| *at > room / 4).map_or(head, |at| &head[..at]);
    let tail = tail.find(' ').filter(|at| *at < room / 4).map_or(tail, |at| &tail[at + 1..]);
    Cow::Owned(format!("{head}{GAP}{tail}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(message: &str) -> String {
        read(Level::Info, message).text
    }

    #[test]
    fn a_line_is_made_fit_to_be_shown() {
        assert_eq!(text("\u{1b}[31mred\u{1b}[0m\r\n\tline\u{202e}\u{0}"), "red line");
        assert_eq!(
            text("\u{1b}]8;;http://x\u{7}link\u{1b}]8;;\u{7} \u{1b}[?25lhidden\u{1b}[1;31mred"),
            "link hiddenred"
        );
        let long = text(&format!("begin {} end", "é".repeat(5000)));
        assert!(long.starts_with("begin ") && long.ends_with(" end"), "{long}");
        assert!(long.chars().count() <= HEAD_CHARS + TAIL_CHARS + GAP.len());
    }

    #[test]
    fn a_long_text_is_shortened_in_its_middle() {
        assert_eq!(shortened("short", 10), "short");
        let shown = shortened("one two three four five six seven eight nine ten eleven twelve", 40);
        assert_eq!(shown, "one two three ... eleven twelve");
        assert!(shortened(&"\u{10FFFF}".repeat(50), 41).len() <= 41);
    }

    #[test]
    fn the_statement_is_found_in_formats_within_formats() {
        let inner = r#"{\"level\":\"error\",\"msg\":\"no balance left\",\"status\":402}"#;
        let line = format!(r#"{{"log":"{inner}\n","stream":"stdout","time":"2026-01-05T10:00:00.1Z"}}"#);
        let read = read(Level::Info, &line);
        assert_eq!((read.text.as_str(), read.level), ("no balance left | status=402", Level::Error));
        let line = "<27>1 2026-01-05T10:00:00Z host app 7 - - level=warning msg=\"queue is full\" size=7";
        assert_eq!(text(line), "queue is full");
    }
}
