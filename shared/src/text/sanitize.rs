//! Text from telemetry made fit to be read: one line, capped, without anything that steers a terminal or a mail client.

/// Most characters of a sentence.
pub const SENTENCE: usize = 400;
/// Most characters of a name: service, metric, version.
pub const NAME: usize = 80;

/// Returns the text on one line: control and direction characters become spaces or vanish, runs of blanks shrink
/// to one, and what is longer than `max` characters ends in an ellipsis.
pub fn one_line(text: &str, max: usize) -> String {
    let mut line = String::with_capacity(text.len().min(max * 4));
    let mut length = 0;
    let mut gap = false;
    for character in text.chars() {
        if character.is_whitespace() || character.is_control() {
            gap = length > 0;
            continue;
        }
        if steers(character) {
            continue;
        }
        if length + usize::from(gap) >= max {
            line.pop();
            line.push('…');
            return line;
        }
        if gap {
            line.push(' ');
            length += 1;
            gap = false;
        }
        line.push(character);
        length += 1;
    }
    line
}

/// Returns the text with its lines, blanks and tabs, for code that is pasted: other control characters become spaces, and
/// direction characters vanish.
pub fn lines(text: &str) -> String {
    let kept = text.chars().filter(|character| !steers(*character) && *character != '\r');
    kept.map(|character| match character {
        '\n' | '\t' => character,
        '\u{2028}' | '\u{2029}' => ' ',
        control if control.is_control() => ' ',
        other => other,
    })
    .collect()
}

/// Returns whether a character reorders or hides what is around it (Unicode TR 36): direction marks, zero-width
/// characters, interlinear annotation, tags and the byte order mark.
pub fn steers(character: char) -> bool {
    matches!(
        character,
        '\u{00AD}' | '\u{061C}' | '\u{200B}'..='\u{200F}' | '\u{202A}'..='\u{202E}' | '\u{2060}'..='\u{206F}'
            | '\u{FEFF}' | '\u{FFF9}'..='\u{FFFB}' | '\u{E0000}'..='\u{E007F}'
    )
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_line_break_cannot_start_a_header() {
        assert_eq!(one_line("payment\r\nBcc: eve@example.com\0\t x ", 80), "payment Bcc: eve@example.com x");
    }

    #[test]
    fn code_keeps_its_lines_and_steers_nothing() {
        assert_eq!(lines("if x\r\n\tls  -l\u{1b}[31m\u{202E}\u{2028}\0\n"), "if x\n\tls  -l [31m  \n");
    }

    #[test]
    fn text_that_reads_backwards_reads_forwards() {
        assert_eq!(one_line("safe\u{202E}gpj.exe\u{200B}", 80), "safegpj.exe");
    }

    #[test]
    fn long_text_ends_in_an_ellipsis_at_the_bound() {
        let capped = one_line(&"ab ".repeat(1000), 10);
        assert!(capped.ends_with('…') && capped.chars().count() <= 10, "{capped}");
        assert_eq!(one_line("exactly 10", 10), "exactly 10");
    }
}
