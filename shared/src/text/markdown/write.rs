//! Blocks as Markdown in one form: what is written reads as the same blocks.

use pulldown_cmark::Alignment;

use super::{Block, Error, Item, Kind, blocks, flat, source};

/// Largest number of an ordered list (CommonMark 5.2).
const MAX_NUMBER: u64 = 999_999_999;

/// Writes blocks: one line for each paragraph, item and row, code in fences, bullets as `-`.
pub fn write(blocks: &[Block]) -> String {
    lines(blocks).join("\n")
}

/// Stands for the blocks that [`cut`] leaves out.
const REST: &str = "The rest is in the runbook.";

/// Returns the first blocks of a runbook's text, at most `most` bytes; if any is left out, a last sentence says so. None is
/// divided: half of a script does something else.
pub fn cut(markdown: &str, most: usize) -> Result<String, Error> {
    let source = source(markdown);
    let read = blocks(&source)?;
    let (mut kept, mut length) = (0, 0);
    for block in &read {
        // with the blank line above it
        length += write(std::slice::from_ref(block)).len() + 2;
        if length > most + 2 {
            break;
        }
        kept += 1;
    }
    let mut text = write(&read[..kept]);
    if kept < read.len() {
        text.push_str(if kept > 0 { "\n\n" } else { "" });
        text.push_str(REST);
    }
    Ok(text)
}

/// Returns a document as one sentence: `Before: a; b`. Code is put into code spans.
pub fn sentence(markdown: &str) -> String {
    let source = source(markdown);
    let mut joined = String::new();
    if let Ok(blocks) = blocks(&source) {
        join(&mut joined, &blocks, " ");
    }
    joined
}

fn join(joined: &mut String, blocks: &[Block], first: &str) {
    let mut gap = first;
    for block in blocks {
        match &block.kind {
            Kind::Paragraph(text) | Kind::Heading { text, .. } | Kind::Html(text) => {
                part(joined, gap, &flat(text));
            }
            Kind::Code { text, .. } => {
                for line in text.lines().filter(|line| !line.trim().is_empty()) {
                    part(joined, gap, &code(line.trim()));
                    gap = "; ";
                }
            }
            Kind::Quote(blocks) => join(joined, blocks, gap),
            Kind::List { items, .. } => {
                for item in items {
                    join(joined, &item.blocks, "; ");
                }
            }
            Kind::Table { rows, .. } => {
                for row in rows {
                    part(joined, gap, &row.join(", "));
                    gap = "; ";
                }
            }
            Kind::Rule => {}
        }
        gap = " ";
    }
}

fn part(joined: &mut String, gap: &str, text: &str) {
    let is_ended = joined.ends_with(['.', ',', ';', ':', '!', '?']);
    if !joined.is_empty() {
        joined.push_str(if is_ended { " " } else { gap });
    }
    joined.push_str(text);
}

/// Returns one line of code as a code span.
fn code(line: &str) -> String {
    let ticks = "`".repeat(longest_run(line) + 1);
    let blank = if line.starts_with('`') || line.ends_with('`') { " " } else { "" };
    format!("{ticks}{blank}{line}{blank}{ticks}")
}

fn longest_run(text: &str) -> usize {
    text.split(|char| char != '`').map(str::len).max().unwrap_or_default()
}

fn lines(blocks: &[Block]) -> Vec<String> {
    let mut lines = Vec::new();
    let mut bullet = '-';
    for (index, block) in blocks.iter().enumerate() {
        let before = index.checked_sub(1).map(|before| &blocks[before].kind);
        if before.is_some_and(|before| !follows_at_once(before, &block.kind)) {
            lines.push(String::new());
        }
        // two lists side by side would be one if they had the same marker
        let is_beside_list = matches!(before, Some(Kind::List { .. }));
        bullet = if is_beside_list && bullet == '-' { '+' } else { '-' };
        one(&mut lines, &block.kind, bullet);
    }
    lines
}

/// Returns whether a block needs no blank line before it: a list or code can interrupt a paragraph.
fn follows_at_once(before: &Kind, kind: &Kind) -> bool {
    let Kind::Paragraph(text) = before else { return false };
    match kind {
        Kind::Code { .. } => true,
        // with bars, the two could be a table
        Kind::List { start: None | Some(1), .. } => !text.contains('|'),
        _ => false,
    }
}

fn one(lines: &mut Vec<String>, kind: &Kind, bullet: char) {
    match kind {
        Kind::Paragraph(text) => paragraph(lines, text),
        Kind::Heading { level, text } => {
            let marks = "#".repeat(usize::from(*level));
            // a mark at the end would be taken for a closing one
            let close = if text.ends_with('#') { format!(" {marks}") } else { String::new() };
            lines.push(format!("{marks} {text}{close}").trim_end_matches(' ').to_owned());
        }
        Kind::Code { language, text } => {
            let fence = "`".repeat(longest_run(text).max(2) + 1);
            lines.push(format!("{fence}{language}"));
            lines.extend(text.split('\n').map(str::to_owned));
            lines.push(fence);
        }
        Kind::Html(text) => lines.extend(text.split('\n').map(str::to_owned)),
        // hyphens and stars behind a marker would be something else
        Kind::Rule => lines.push("___".to_owned()),
        Kind::Quote(blocks) => {
            let quoted = |line: String| if line.is_empty() { ">".to_owned() } else { format!("> {line}") };
            lines.extend(self::lines(blocks).into_iter().map(quoted));
        }
        Kind::List { start: None, items } => {
            for Item { blocks, .. } in items {
                item(lines, &format!("{bullet} "), blocks);
            }
        }
        Kind::List { start: Some(start), items } => {
            let mark = if bullet == '-' { '.' } else { ')' };
            for (number, Item { blocks, .. }) in (*start..).zip(items) {
                item(lines, &format!("{}{mark} ", number.min(MAX_NUMBER)), blocks);
            }
        }
        Kind::Table { alignments, rows } => table(lines, alignments, rows),
    }
}

fn paragraph(lines: &mut Vec<String>, text: &str) {
    // four blanks keep a line from being a block of its own
    let mut text = text.replace('\n', "\n    ");
    if text.starts_with(|first: char| first.is_ascii_punctuation() || first.is_ascii_digit())
        && !is_paragraph(&text)
    {
        // below the definition of a link, or far indented, it began no block
        text.insert(text.bytes().take_while(u8::is_ascii_digit).count(), '\\');
    }
    lines.extend(text.split('\n').map(str::to_owned));
}

fn is_paragraph(text: &str) -> bool {
    matches!(blocks(text).as_deref(), Ok([Block { kind: Kind::Paragraph(_), .. }]))
}

fn item(lines: &mut Vec<String>, marker: &str, blocks: &[Block]) {
    let indent = " ".repeat(marker.len());
    for (index, line) in self::lines(blocks).into_iter().enumerate() {
        let lead = if index == 0 { marker } else { &indent };
        lines.push(if line.is_empty() { line } else { format!("{lead}{line}") });
    }
}

fn table(lines: &mut Vec<String>, alignments: &[Alignment], rows: &[Vec<String>]) {
    for (index, row) in rows.iter().enumerate() {
        lines.push(format!("| {} |", row.join(" | ")));
        if index == 0 {
            let marks = alignments.iter().map(|alignment| match alignment {
                Alignment::None => "---|",
                Alignment::Left => ":---|",
                Alignment::Center => ":---:|",
                Alignment::Right => "---:|",
            });
            lines.push(format!("|{}", marks.collect::<String>()));
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_too_long_is_left_out_by_whole_blocks() {
        let text = "Look:\n```\nls\n```\n\n- drain\n- restart";
        assert_eq!(cut(text, 100).unwrap(), text);
        assert_eq!(cut(text, 30).unwrap(), format!("Look:\n```\nls\n```\n\n{REST}"));
        assert_eq!(cut(text, 8).unwrap(), format!("Look:\n\n{REST}"));
        assert_eq!(cut(text, 4).unwrap(), REST);
        assert!(cut("```\nls", 100).is_err());
    }

    #[test]
    fn a_document_is_one_sentence() {
        let text = "First:\n- drain the\n  node\n- restart it.\n\nThen:\n```sh\nls -l\nps `x`\n```\n\n| a | b |\n|---|---|\n| c | d |";
        assert_eq!(
            sentence(text),
            "First: drain the node; restart it. Then: `ls -l`; `` ps `x` `` a, b; c, d"
        );
    }
}
