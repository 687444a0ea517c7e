//! The recent warnings and errors of one service, by shape.
//!
//! A shape is the line with everything that varies from line to line (numbers, ids, hexadecimal, quoted text) replaced
//! by `<*>`. Only what a person would want to see beside an anomaly is kept; nothing is decided from it.

use serde::{Deserialize, Serialize};
use shared::clock::from_ms;
use shared::events::anomaly::LogTemplate;
use shared::events::raw::Level;

/// Shapes that are kept per service.
const SHAPES: usize = 32;
/// Shapes that an anomaly carries.
const TOLD: usize = 5;
/// Characters that are kept of a line.
const LINE: usize = 400;
/// Length of one of the two windows in which lines are counted, milliseconds.
const WINDOW_MS: i64 = 300_000;
/// Letters from which a word of hexadecimal digits alone is taken for an id.
const HEX_WORD: usize = 8;

/// What stands for whatever varies.
const MASK: &str = "<*>";

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct Shape {
    level: Level,
    template: String,
    example: String,
    last_ms: i64,
    /// Number of the window of the last line, and the lines in it and in the one before.
    window: i64,
    now: u32,
    before: u32,
}

impl Shape {
    /// Moves on to the window of `ts_ms`.
    fn turn(&mut self, ts_ms: i64) {
        let window = ts_ms.div_euclid(WINDOW_MS);
        if window > self.window {
            self.before = if window == self.window + 1 { self.now } else { 0 };
            self.now = 0;
            self.window = window;
        }
    }
}

/// The recent shapes of one service.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub struct Book {
    shapes: Vec<Shape>,
}

impl Book {
    /// Takes a line. Only warnings and worse are kept.
    pub fn add(&mut self, level: Level, message: &str, ts_ms: i64) {
        if level < Level::Warn {
            return;
        }
        let line = clean(message);
        if line.is_empty() {
            return;
        }
        let template = mask(&line);
        let known = self.shapes.iter().position(|shape| shape.level == level && shape.template == template);
        let at = known.unwrap_or_else(|| {
            if self.shapes.len() == SHAPES
                && let Some(oldest) = (0..SHAPES).min_by_key(|&at| self.shapes[at].last_ms)
            {
                self.shapes.swap_remove(oldest);
            }
            let window = ts_ms.div_euclid(WINDOW_MS);
            let example = String::new();
            self.shapes.push(Shape { level, template, example, last_ms: ts_ms, window, now: 0, before: 0 });
            self.shapes.len() - 1
        });
        let shape = &mut self.shapes[at];
        shape.turn(ts_ms);
        shape.now = shape.now.saturating_add(1);
        shape.last_ms = shape.last_ms.max(ts_ms);
        shape.example = line;
    }

    /// Returns the most frequent shapes of the five to ten minutes up to `at_ms`, most severe and frequent first.
    pub fn recent(&self, at_ms: i64) -> Vec<LogTemplate> {
        let mut recent: Vec<(u32, &Shape)> = self
            .shapes
            .iter()
            .filter_map(|shape| {
                let behind = at_ms.div_euclid(WINDOW_MS).saturating_sub(shape.window);
                let count = match behind {
                    ..=0 => shape.now.saturating_add(shape.before),
                    1 => shape.now,
                    2.. => 0,
                };
                (count > 0).then_some((count, shape))
            })
            .collect();
        recent.sort_by(|(a_count, a), (b_count, b)| {
            (b_count, b.level, &a.template).cmp(&(a_count, a.level, &b.template))
        });
        recent
            .into_iter()
            .take(TOLD)
            .map(|(count, shape)| LogTemplate {
                level: shape.level,
                template: shape.template.clone(),
                count: u64::from(count),
                example: shape.example.clone(),
                last_seen: from_ms(shape.last_ms),
            })
            .collect()
    }
}

/// Makes a line fit to be shown: at most 400 characters on one line, without colours, control characters and marks
/// that change the direction of text.
fn clean(message: &str) -> String {
    let mut line = String::with_capacity(message.len().min(4 * LINE));
    let mut letters = message.chars().peekable();
    let mut length = 0;
    while length < LINE
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
fn mask(line: &str) -> String {
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
        || (word.len() >= HEX_WORD && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
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
        assert_eq!(clean(&"é".repeat(500)).chars().count(), LINE);
    }

    #[test]
    fn only_recent_warnings_and_errors_count_and_the_book_is_bounded() {
        let mut book = Book::default();
        book.add(Level::Info, "all is well", 0);
        for i in 0..3 {
            book.add(Level::Error, &format!("charge {i} failed"), i * 1000);
        }
        for i in 0..100_u32 {
            let letters = format!("{i}").replace(|c: char| c.is_ascii_digit(), "x");
            book.add(Level::Warn, &format!("slow {letters} {}", "y".repeat(i as usize)), 5000 + i64::from(i));
        }
        assert!(book.shapes.len() <= SHAPES);
        let mut book = Book::default();
        book.add(Level::Warn, "pool is full", 0);
        book.add(Level::Error, "charge 1 failed", 10);
        book.add(Level::Error, "charge 2 failed", 20);
        let recent = book.recent(1000);
        assert_eq!(recent[0].template, "charge <*> failed");
        assert_eq!((recent[0].count, recent[0].example.as_str()), (2, "charge 2 failed"));
        assert!(book.recent(3 * WINDOW_MS).is_empty());
    }
}
