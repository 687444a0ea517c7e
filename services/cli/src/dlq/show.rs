//! One dead letter on a page.

use std::fmt::Write as _;

use shared::bus::dead_letter::DeadLetter;
use shared::text::format::count;

use super::state;
use crate::failure::CliError;
use crate::figures::{counted, moment};
use crate::terminal::{self, Screen, Tone, clean, cleaned_json};

/// Most lines of a payload.
const LINES: usize = 400;
/// Most bytes of a payload that is no text.
const BYTES: usize = 1_024;
/// Bytes on one line.
const ROW: usize = 16;
/// Most characters of a line.
const LONGEST: usize = 1_000;

/// Renders a letter.
pub fn render(letter: &DeadLetter, screen: &Screen) -> Result<String, CliError> {
    let (state, tone) = state(letter.decision());
    let mut text = format!(
        "{}  {}\n",
        screen.paint(Tone::Strong, &format!("Dead letter {}", letter.address)),
        screen.paint(tone, state)
    );
    let mut line = |name: &str, value: &str| {
        let _ = writeln!(text, "  {}  {value}", screen.paint(Tone::Faint, &format!("{name:<9}")));
    };
    line("refused", &screen.paint(Tone::Alarm, &clean(letter.reason(), LONGEST)));
    let at = letter.at.map_or_else(|| "at an unknown time".to_owned(), moment);
    let tries = letter.attempts().map_or_else(String::new, |tries| match tries {
        1 => ", after 1 attempt".to_owned(),
        _ => format!(", after {tries} attempts"),
    });
    line("written", &format!("{at}{tries}"));
    line(
        "came",
        &letter.origin().map_or_else(
            || "from an unknown place".to_owned(),
            |origin| {
                let topic = clean(&origin.topic, LONGEST);
                format!("from {topic}, partition {}, offset {}", origin.partition, origin.offset)
            },
        ),
    );
    line("key", &letter.key.as_deref().map_or_else(|| "none".to_owned(), |key| clean(key, LONGEST)));
    line("event", &letter.event_id().map_or_else(|| "unknown".to_owned(), |id| id.to_string()));
    if let Err(unfit) = letter.destination() {
        let why = clean(&unfit.to_string(), LONGEST);
        line("unfit", &screen.paint(Tone::Warning, &format!("cannot be redriven: {why}")));
    }
    for mark in &letter.marks {
        let at = mark.at.map_or_else(|| "at an unknown time".to_owned(), moment);
        let because = mark
            .because
            .as_deref()
            .map_or_else(String::new, |because| format!(": {}", clean(because, LONGEST)));
        line(mark.decision.name(), &format!("{at} by {}{because}", clean(&mark.by, LONGEST)));
    }

    section(&mut text, screen, "HEADERS", &counted(letter.headers.len(), "header"));
    let widest = letter.headers.iter().map(|(name, _)| clean(name, 40).chars().count()).max().unwrap_or(0);
    for (name, value) in &letter.headers {
        let _ = writeln!(text, "  {:<widest$}  {}", clean(name, 40), clean(value, LONGEST));
    }

    let (kind, lines) = payload(&letter.payload)?;
    let size = counted(letter.payload.len(), "byte");
    let kept = letter.cut_from().map_or_else(String::new, |of| format!(" kept of {}", clean(of, 20)));
    section(&mut text, screen, "PAYLOAD", &format!("{size}{kept}, {kind}"));
    for line in lines.iter().take(LINES) {
        let _ = writeln!(text, "  {line}");
    }
    if lines.len() > LINES {
        let more = counted(lines.len() - LINES, "more line");
        let _ = writeln!(text, "  {}", screen.paint(Tone::Faint, &format!("and {more}; --json prints all")));
    }
    Ok(text)
}

fn section(text: &mut String, screen: &Screen, name: &str, of: &str) {
    let _ = writeln!(text, "\n{}  {}", screen.paint(Tone::Strong, name), screen.paint(Tone::Faint, of));
}

/// Returns what a payload is, and its lines, fit for a terminal.
fn payload(payload: &[u8]) -> Result<(&'static str, Vec<String>), CliError> {
    if payload.is_empty() {
        return Ok(("empty", Vec::new()));
    }
    if let Ok(value) = serde_json::from_slice(payload) {
        let json = terminal::json(&cleaned_json(value), true)?;
        return Ok(("JSON", json.lines().map(str::to_owned).collect()));
    }
    let is_text = |text: &&str| !text.chars().any(|char| char.is_control() && !"\n\r\t".contains(char));
    if let Some(text) = std::str::from_utf8(payload).ok().filter(is_text) {
        return Ok(("text", text.lines().map(|line| clean(line, LONGEST)).collect()));
    }
    let mut rows: Vec<String> = payload[..payload.len().min(BYTES)]
        .chunks(ROW)
        .enumerate()
        .map(|(row, bytes)| dump(row * ROW, bytes))
        .collect();
    if payload.len() > BYTES {
        rows.push(format!("and {} more bytes; --json prints all", count((payload.len() - BYTES) as i64)));
    }
    Ok(("no text", rows))
}

/// Returns a line of bytes: where they are, their digits, and those that are plain characters.
fn dump(at: usize, bytes: &[u8]) -> String {
    let digits: Vec<String> = bytes.iter().map(|byte| format!("{byte:02x}")).collect();
    let shown = |byte: &u8| if byte.is_ascii_graphic() || *byte == b' ' { *byte as char } else { '.' };
    let plain: String = bytes.iter().map(shown).collect();
    format!("{at:06x}  {:<width$}  {plain}", digits.join(" "), width = ROW * 3 - 1)
}
