//! The text part of a mail: its width, documents and wrapped sentences.

use shared::text::markdown::hanging;
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

/// Breaks a sentence into lines of at most [`COLUMNS`], as [`hanging`] does.
pub fn wrap(lead: &str, text: &str) -> String {
    hanging(lead, text, COLUMNS)
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
