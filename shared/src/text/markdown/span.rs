//! The little Markdown that a sentence may hold: code spans.

use super::CodeSpans;

/// Stands for a blank inside a code span while lines are wrapped: a command stays on one line, so that it can be pasted.
pub const KEPT_BLANK: char = '\u{e01f}';

/// A piece of a sentence.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Span<'a> {
    /// As it stands.
    Text(&'a str),
    /// Between backticks.
    Code(&'a str),
}

/// Splits a sentence at its code spans (CommonMark 6.1). A span that an ellipsis has cut off ends with the sentence; a backtick
/// without a partner is text.
pub fn spans(sentence: &str) -> Vec<Span<'_>> {
    let mut spans = Vec::new();
    let (mut text, mut at) = (0, 0);
    while let Some(found) = sentence[at..].find('`') {
        let open = at + found;
        let content = open + run(&sentence[open..]);
        let ticks = content - open;
        let close = closing(sentence, content, ticks)
            .or_else(|| sentence.ends_with('…').then_some((sentence.len(), sentence.len())));
        let Some((end, after)) = close else {
            at = content;
            continue;
        };
        if text < open {
            spans.push(Span::Text(&sentence[text..open]));
        }
        spans.push(Span::Code(trimmed(&sentence[content..end])));
        (text, at) = (after, after);
    }
    if text < sentence.len() {
        spans.push(Span::Text(&sentence[text..]));
    }
    spans
}

/// Returns how many backticks a text begins with.
fn run(text: &str) -> usize {
    text.bytes().take_while(|byte| *byte == b'`').count()
}

/// Returns where the next run of exactly `ticks` backticks begins and ends.
fn closing(sentence: &str, from: usize, ticks: usize) -> Option<(usize, usize)> {
    let mut at = from;
    loop {
        let begin = at + sentence[at..].find('`')?;
        let end = begin + run(&sentence[begin..]);
        if end - begin == ticks {
            return Some((begin, end));
        }
        at = end;
    }
}

/// Removes the one blank on each side that lets a code span begin or end with a backtick.
fn trimmed(code: &str) -> &str {
    match code.strip_prefix(' ').and_then(|code| code.strip_suffix(' ')) {
        Some(inner) if !inner.trim().is_empty() => inner,
        _ => code,
    }
}

/// Returns a sentence without the backticks of its code spans.
pub fn sentence_text(sentence: &str) -> String {
    let text = |span| match span {
        Span::Text(text) | Span::Code(text) => text,
    };
    spans(sentence).into_iter().map(text).collect()
}

/// Returns a sentence for a text that is wrapped, its code spans as they are to be shown.
pub fn sentence_kept(sentence: &str, marks: CodeSpans) -> String {
    let mut kept = String::with_capacity(sentence.len());
    for span in spans(sentence) {
        match span {
            Span::Text(text) => kept.push_str(text),
            Span::Code(code) => marks.write(&mut kept, code),
        }
    }
    kept
}
