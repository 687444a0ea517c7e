//! Text of others inside our Markdown: it is shown, never interpreted.
//!
//! Everything an incident carries (names, log lines, versions, sentences with any of these) may be hostile. It comes
//! into the document through [`text`], [`name`] or [`quote`], and into a table through [`row`].

use std::fmt::Write as _;

use crate::text::sanitize::{NAME, one_line};

/// Longest quote, characters.
const MAX_QUOTE: usize = 240;

/// Returns a sentence of at most `max` characters on one line, with everything escaped that Markdown, inline HTML or
/// automatic links would make something of. Underscores inside words stay: they mean nothing there.
pub fn text(raw: &str, max: usize) -> String {
    let line: Vec<char> = one_line(raw, max).chars().collect();
    let mut out = String::with_capacity(line.len() + 8);
    for (place, &character) in line.iter().enumerate() {
        let word = |at: Option<&char>| at.is_some_and(|c| c.is_alphanumeric());
        let next = line.get(place + 1);
        let active = match character {
            '\\' | '`' | '*' | '[' | ']' | '<' | '>' | '&' | '~' | '$' => true,
            '_' => !(place > 0 && word(line.get(place - 1)) && word(next)),
            // a heading, a list or a rule, were this the start of a line
            '#' | '+' | '-' | '=' => place == 0,
            '.' | ')' => {
                let ends = next.is_none_or(|c| *c == ' ');
                let number = place > 0 && ends && line[..place].iter().all(char::is_ascii_digit);
                number || (character == '.' && line[..place].ends_with(&['w', 'w', 'w']))
            }
            ':' => next == Some(&'/'),
            _ => false,
        };
        if active {
            out.push('\\');
        }
        out.push(character);
    }
    out
}

/// Returns a name (service, metric, version, document) as code. What could end the code, or a table's cell, becomes `?`.
pub fn name(raw: &str) -> String {
    let plain = one_line(raw, NAME).replace(['`', '|', '\\'], "?");
    if plain.is_empty() { "(unnamed)".to_owned() } else { format!("`{plain}`") }
}

/// Returns a quote as code, for anywhere but tables.
pub fn quote(raw: &str) -> String {
    let plain = one_line(raw, MAX_QUOTE).replace('`', "'");
    if plain.is_empty() { "(empty)".to_owned() } else { format!("`{plain}`") }
}

/// Returns one row of a table from cells that are Markdown already.
pub fn row<const N: usize>(cells: [&str; N]) -> String {
    let cells: Vec<String> = cells.iter().map(|cell| cell.replace('|', "\\|")).collect();
    format!("| {} |\n", cells.join(" | "))
}

/// Returns lines, each a list item already, with a blank line after them; of more than `most` it says how many there are.
pub fn items(lines: &[String], most: usize) -> String {
    let mut out = String::new();
    for line in lines.iter().take(most) {
        out.push_str(line);
        out.push('\n');
    }
    if lines.len() > most {
        let _ = writeln!(out, "- and {} more", lines.len() - most);
    }
    if !lines.is_empty() {
        out.push('\n');
    }
    out
}

/// Returns words as a list in a sentence, e.g. `a, b and c`; more than `most` are counted.
pub fn listed(mut words: Vec<String>, most: usize) -> String {
    if words.len() > most {
        let more = words.len() - most;
        words.truncate(most);
        words.push(format!("{more} more"));
    }
    match words.pop() {
        None => String::new(),
        Some(last) if words.is_empty() => last,
        Some(last) => format!("{} and {last}", words.join(", ")),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn markdown_in_a_sentence_is_shown() {
        assert_eq!(text("a *b* `c` <d>\n[e](f)", 80), r"a \*b\* \`c\` \<d\> \[e\](f)");
        assert_eq!(text("db_connections _x_", 80), r"db_connections \_x\_");
        assert_eq!(text("# 1", 80), r"\# 1");
        assert_eq!(text("12. item", 80), r"12\. item");
        assert_eq!(text("12.5 %", 80), "12.5 %");
        assert_eq!(
            text("see https://evil.example, www.evil.example", 80),
            r"see https\://evil.example, www\.evil.example"
        );
    }

    #[test]
    fn a_name_cannot_leave_its_code_or_its_cell() {
        assert_eq!(name("pay`|\\\nment"), "`pay??? ment`");
        assert_eq!(name("\u{200B}"), "(unnamed)");
    }

    #[test]
    fn lists_read_like_sentences() {
        let words = |n: usize| (1..=n).map(|i| i.to_string()).collect();
        assert_eq!(
            [listed(words(1), 3), listed(words(2), 3), listed(words(5), 3)],
            ["1", "1 and 2", "1, 2, 3 and 2 more"]
        );
    }
}
