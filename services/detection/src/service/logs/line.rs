//! One line, made fit to be shown, and without what varies from line to line.

/// Characters that are kept of a line.
const LINE_CHARS: usize = 400;
/// Letters from which a word of hexadecimal digits alone is taken for an id.
const HEX_WORD_CHARS: usize = 8;

/// What stands for whatever varies.
pub(super) const MASK: &str = "<*>";

/// Makes a line fit to be shown: at most 400 characters on one line, without colours, control characters and marks
/// that change the direction of text.
pub(super) fn clean(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(4 * LINE_CHARS));
    let mut letters = message.chars().peekable();
    let mut length = 0;
    while length < LINE_CHARS
        && let Some(letter) = letters.next()
    {
        let kept = match letter {
            '\u{1b}' => {
                // an ANSI sequence: ESC [ parameters letter
                if letters.next_if_eq(&'[').is_some() {
                    while letters.next_if(|next| !next.is_ascii_alphabetic()).is_some() {}
                    letters.next();
                }
                continue;
            }
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
        length += 1;
    }
    line.truncate(line.trim_end().len());
    line
}

/// Replaces what varies in a cleaned line.
pub(super) fn mask(line: &str) -> String {
    let mut shape = String::with_capacity(line.len());
    let mut rest = line;
    while let Some(letter) = rest.chars().next() {
        let opens = matches!(letter, '"' | '\'' | '`') && !shape.ends_with(char::is_alphanumeric);
        let length = if opens && let Some(end) = rest[1..].find(letter) {
            shape.push_str(MASK);
            end + 2
        } else if is_word(letter) {
            let end = rest.find(|next| !is_word(next)).unwrap_or(rest.len());
            // a dot or colon at the end belongs to the sentence
            let word = rest[..end].trim_end_matches(['.', ':', '-', '_']);
            let word = if word.is_empty() { &rest[..end] } else { word };
            shape.push_str(if varies(word) { MASK } else { word });
            word.len()
        } else {
            shape.push(letter);
            letter.len_utf8()
        };
        rest = &rest[length..];
    }
    shape
}

fn is_word(letter: char) -> bool {
    letter.is_alphanumeric() || matches!(letter, '-' | '_' | '.' | ':')
}

fn varies(word: &str) -> bool {
    word.contains(|letter: char| letter.is_ascii_digit())
        || (word.len() >= HEX_WORD_CHARS && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_what_varies_have_one_shape() {
        for (line, shape) in [
            ("timeout after 3000 ms calling payment", "timeout after <*> ms calling payment"),
            ("order 4f9c-11ee of 'Jane Doe' failed: code=503.", "order <*> of <*> failed: code=<*>."),
            ("can't reach 10.0.0.7:5432", "can't reach <*>"),
            ("key deadbeefcafe is gone - retrying", "key <*> is gone - retrying"),
            ("unclosed \"quote", "unclosed \"quote"),
        ] {
            assert_eq!(mask(line), shape);
        }
    }

    #[test]
    fn a_line_is_made_fit_to_be_shown() {
        assert_eq!(clean("\u{1b}[31mred\u{1b}[0m\r\n\tline\u{202e}\u{0}"), "red line");
        assert_eq!(clean(&"é".repeat(500)).chars().count(), LINE_CHARS);
    }
}
