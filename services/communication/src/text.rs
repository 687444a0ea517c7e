//! The text part of a mail: its width, documents and wrapped sentences.

use shared::text::sanitize::one_line;

/// Columns of a text part.
pub const COLUMNS: usize = 72;

/// Returns several lines, each cleaned as by [`one_line`] but with its indentation, at most `lines` of them.
pub fn document(text: &str, lines: usize) -> String {
    let mut kept: Vec<String> = text
        .lines()
        .take(lines)
        .map(|line| {
            let indent: String = line.chars().take_while(|c| *c == ' ').take(16).collect();
            format!("{indent}{}", one_line(line, 2000))
        })
        .collect();
    if text.lines().nth(lines).is_some() {
        kept.push("…".to_owned());
    }
    kept.join("\n")
}

/// Breaks a sentence into lines of at most [`COLUMNS`], the first after `lead`, the others indented by as much.
/// A word longer than a line stays whole, so that addresses and ids can be copied.
pub fn wrap(lead: &str, text: &str) -> String {
    let indent = lead.chars().count();
    let mut out = lead.to_owned();
    let mut column = indent;
    // a non-breaking blank keeps a figure and its unit on one line
    for word in text.split(|c: char| c.is_whitespace() && c != '\u{a0}').filter(|word| !word.is_empty()) {
        let length = word.chars().count();
        if column > indent && column + 1 + length > COLUMNS {
            out.push('\n');
            out.extend(std::iter::repeat_n(' ', indent));
            column = indent;
        }
        if column > indent {
            out.push(' ');
            column += 1;
        }
        out.push_str(word);
        column += length;
    }
    out.truncate(out.trim_end().len());
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_figure_and_its_unit_stay_on_one_line() {
        let text = wrap("", &format!("{} 93\u{a0}%", "x".repeat(COLUMNS - 3)));
        assert_eq!(text.lines().nth(1), Some("93\u{a0}%"));
    }

    #[test]
    fn wrapped_lines_hang_under_their_lead() {
        let text = wrap("  - ", &"word ".repeat(40));
        assert!(text.lines().all(|line| line.chars().count() <= COLUMNS));
        assert!(text.lines().skip(1).all(|line| line.starts_with("    word")));
    }
}
