//! What varies from line to line, and what does not: numbers vary, codes of errors do not.

use super::PART;
use super::prefix::MONTHS;
use crate::service::logs::template::fold;

/// What stands for whatever varies.
pub(in crate::service::logs) const MASK: &str = "<*>";
/// Separates tokens where a script does not separate words. A cleaned line has none.
pub(in crate::service::logs) const SEAM: char = '\u{200b}';

/// Letters from which a word of hexadecimal digits alone is taken for an id.
const HEX_WORD_CHARS: usize = 8;
/// Longest number that is taken for a code, digits.
const CODE_DIGITS: usize = 5;

/// Words after which a number is a code.
const BEFORE_CODES: [&str; 20] = [
    "code",
    "errno",
    "errorcode",
    "error_code",
    "errcode",
    "status",
    "statuscode",
    "status_code",
    "http_status",
    "httpstatus",
    "exit",
    "exitcode",
    "exit_code",
    "exitstatus",
    "signal",
    "sqlstate",
    "rc",
    "returncode",
    "hresult",
    "error",
];
/// Words after which a number is a code if it is one of HTTP.
const BEFORE_STATUSES: [&str; 13] = [
    "answered",
    "answer",
    "returned",
    "returns",
    "responded",
    "response",
    "replied",
    "got",
    "received",
    "http",
    "https",
    "request",
    "responding",
];
/// Words that may stand between these and the number.
const BETWEEN: [&str; 9] = ["with", "is", "was", "a", "an", "the", "of", "number", "no"];
/// Words that go on after a status, where a unit would stand after an amount.
const AFTER_STATUSES: [&str; 12] =
    ["in", "for", "on", "to", "from", "after", "by", "at", "with", "while", "because", "and"];
/// Prefixes of numbers of errors; of others (`ORD-1234`) numbers are ids.
const ERROR_PREFIXES: [&str; 14] =
    ["E", "ERR", "ERROR", "ORA", "TNS", "PLS", "SQL", "HTTP", "MY", "AMQ", "CODE", "TS", "CS", "MSB"];

/// A line without what varies.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::service::logs) struct Shape {
    /// Tokens between spaces and seams.
    pub(in crate::service::logs) text: String,
    /// Hash of the codes and exceptions that the line names: lines that differ in them are of different kinds.
    pub(in crate::service::logs) codes: u64,
}

/// Replaces what varies in a cleaned line.
pub(in crate::service::logs) fn mask(line: &str) -> Shape {
    let shape = String::with_capacity(line.len() + 8);
    let mut masking = Masking {
        line,
        shape,
        codes: 0,
        before: [""; 3],
        closes: usize::MAX,
        start: 0,
        has_word: false,
        had_word: true,
    };
    let mut at = 0;
    while at < line.len() {
        at = masking.step(at);
    }
    masking.end_token();
    Shape { text: masking.shape, codes: masking.codes }
}

struct Masking<'a> {
    line: &'a str,
    shape: String,
    codes: u64,
    /// The last words, which may make a number a code; the last one first.
    before: [&'a str; 3],
    /// Where the quote that is open closes.
    closes: usize,
    /// Where the present token begins in the shape, and whether it and the one before have a word.
    start: usize,
    has_word: bool,
    had_word: bool,
}

impl<'a> Masking<'a> {
    /// Takes what begins at a place. Returns the place behind it.
    fn step(&mut self, at: usize) -> usize {
        let rest = &self.line[at..];
        let Some(letter) = rest.chars().next() else { return self.line.len() };
        match letter {
            ' ' => {
                self.end_token();
                self.shape.push(' ');
                self.start = self.shape.len();
                at + 1
            }
            '"' | '\'' | '`' if at != self.closes && !self.shape.ends_with(char::is_alphanumeric) => {
                self.quote(at, letter)
            }
            letter if is_word(letter) && !matches!(letter, '.' | ':') => self.word(at),
            letter if is_unspaced(letter) => {
                (self.before, self.has_word) = ([""; 3], true);
                if !self.shape.is_empty() && !self.shape.ends_with([' ', SEAM]) {
                    self.shape.push(SEAM);
                }
                self.shape.push(letter);
                let next = at + letter.len_utf8();
                if self.line[next..].chars().next().is_some_and(|next| next != ' ') {
                    self.shape.push(SEAM);
                }
                next
            }
            letter => {
                self.shape.push(letter);
                at + letter.len_utf8()
            }
        }
    }

    /// Ends a token. Drops it if it says no more than the one before: a list of numbers is as one number.
    fn end_token(&mut self) {
        let has_word = self.has_word || &self.shape[self.start..] == PART.trim();
        if !has_word && !self.had_word && self.start > 0 {
            self.shape.truncate(self.start - 1);
        }
        (self.had_word, self.has_word) = (has_word, false);
    }

    /// Returns the last word that may make a number a code.
    fn context(&self) -> &'a str {
        self.before.into_iter().find(|word| !is_any(&BETWEEN, word)).unwrap_or_default()
    }

    fn quote(&mut self, at: usize, quote: char) -> usize {
        let inner = &self.line[at + 1..];
        let Some(length) = closing(inner, quote) else {
            self.shape.push(quote);
            return at + 1;
        };
        let (content, after) = (&inner[..length], &inner[length + 1..]);
        let is_key = after.starts_with(':') && !content.contains(' ');
        if is_key || is_text(content) || is_code_word(content) {
            self.closes = at + 1 + length;
            self.shape.push(quote);
            return at + 1;
        }
        // a request line is followed by its status
        self.before = [if content.contains(" HTTP/") { "status" } else { "" }, "", ""];
        self.shape.push_str(MASK);
        at + length + 2
    }

    fn word(&mut self, at: usize) -> usize {
        let rest = &self.line[at..];
        let ascii = rest.bytes().position(|byte| !is_word(char::from(byte)) || !byte.is_ascii());
        let end = match ascii {
            None => rest.len(),
            Some(end) if rest.as_bytes()[end].is_ascii() => end,
            Some(_) => rest.find(|next| !is_word(next)).unwrap_or(rest.len()),
        };
        // a dot or colon at the end belongs to the sentence
        let word = rest[..end].trim_end_matches(['.', ':', '-', '_']);
        let mut word = if word.is_empty() { &rest[..end] } else { word };
        if let Some((key, value)) = word.split_once(':')
            && !value.is_empty()
            && is_any(&BEFORE_CODES, key)
        {
            word = key;
        }
        let next = at + word.len();
        if word.len() == 3
            && MONTHS.contains(&word)
            && self.shape.trim_end_matches([' ', '/', '-']).ends_with(MASK)
        {
            // of a date in the middle of a line
            self.shape.push_str(MASK);
        } else if self.shape.len() == MASK.len() + 1
            && self.line[next..].starts_with(" [")
            && self.shape.starts_with(MASK)
        {
            // address, user and time of the common log format
            self.shape.push_str(MASK);
        } else if !varies(word) {
            if is_code_word(word) {
                self.codes = fold(self.codes, word);
            }
            self.before = [word, self.before[0], self.before[1]];
            self.has_word |= word.contains(char::is_alphabetic);
            self.shape.push_str(word);
        } else if self.is_code(word, next) {
            self.codes = fold(self.codes, word);
            (self.before, self.has_word) = ([""; 3], true);
            self.shape.push_str(word);
        } else {
            self.shape.push_str(MASK);
        }
        next
    }

    /// Returns whether a word with digits is the number of an error or a status rather than an amount or an id.
    fn is_code(&self, word: &str, next: usize) -> bool {
        let bare = word.trim_start_matches('-');
        let context = self.context();
        let is_number = bare.bytes().all(|byte| byte.is_ascii_digit()) && !bare.is_empty();
        if is_number {
            let rest = &self.line[next..];
            return bare.len() <= CODE_DIGITS && is_any(&BEFORE_CODES, context)
                || is_http_status(bare)
                    && (is_any(&BEFORE_STATUSES, context) && !is_unit(rest) || is_reason(rest));
        }
        if !word.is_ascii() {
            return false;
        }
        let is_short = word.len() <= CODE_DIGITS || word.starts_with("0x") && word.len() <= 10;
        is_short && is_any(&BEFORE_CODES, context) && word.bytes().all(|byte| byte.is_ascii_alphanumeric())
            || is_error_number(word, &self.line[next..])
    }
}

/// Returns where a quote closes.
fn closing(inner: &str, quote: char) -> Option<usize> {
    let mut from = 0;
    while let Some(at) = inner[from..].find(quote).map(|at| at + from) {
        if !inner[..at].ends_with('\\') {
            return Some(at);
        }
        from = at + 1;
    }
    None
}

/// Returns whether what is quoted is said rather than named: words of which as many begin in lower case as do not.
fn is_text(content: &str) -> bool {
    let words = content.split(' ').filter(|word| !word.is_empty());
    let (count, lower) = words.fold((0, 0), |(count, lower), word| {
        (count + 1, lower + usize::from(word.starts_with(char::is_lowercase)))
    });
    count >= 2 && lower * 2 >= count || content.chars().filter(|letter| is_unspaced(*letter)).nth(3).is_some()
}

fn is_word(letter: char) -> bool {
    matches!(letter, 'a'..='z' | '0'..='9' | 'A'..='Z' | '-' | '_' | '.' | ':')
        || !letter.is_ascii() && letter.is_alphanumeric() && !is_unspaced(letter)
}

/// Returns whether a letter is of a script that writes no spaces between words: of China and Japan, Thai, Lao, Burmese,
/// Khmer and Tibetan.
fn is_unspaced(letter: char) -> bool {
    matches!(letter,
        '\u{2e80}'..='\u{2fdf}' | '\u{3005}'..='\u{3007}' | '\u{3040}'..='\u{30ff}' | '\u{3400}'..='\u{4dbf}'
        | '\u{4e00}'..='\u{9fff}' | '\u{f900}'..='\u{faff}' | '\u{ff66}'..='\u{ff9d}' | '\u{0e00}'..='\u{0e4f}'
        | '\u{0e80}'..='\u{0ecf}' | '\u{0f00}'..='\u{0fff}' | '\u{1000}'..='\u{103f}' | '\u{1780}'..='\u{17df}'
        | '\u{20000}'..='\u{3134f}')
}

fn varies(word: &str) -> bool {
    let has_number = if word.is_ascii() {
        word.bytes().any(|byte| byte.is_ascii_digit())
    } else {
        word.contains(char::is_numeric)
    };
    has_number || (word.len() >= HEX_WORD_CHARS && word.bytes().all(|byte| byte.is_ascii_hexdigit()))
}

/// Returns whether a token has no word in it.
pub(in crate::service::logs) fn is_empty(token: &str) -> bool {
    if token.starts_with(|letter: char| letter.is_ascii_alphabetic()) || token == PART.trim() {
        return false;
    }
    let mut rest = token;
    while let Some(at) = rest.find(MASK) {
        if rest[..at].contains(char::is_alphanumeric) {
            return false;
        }
        rest = &rest[at + MASK.len()..];
    }
    !rest.contains(char::is_alphanumeric)
}

/// Returns whether a word names a kind of error: `TimeoutException`, `ECONNRESET`, `DEADLINE_EXCEEDED`.
fn is_code_word(word: &str) -> bool {
    let is_exception = (word.ends_with("Error") || word.ends_with("Exception"))
        && word.bytes().filter(u8::is_ascii_uppercase).count() >= 2;
    let is_capital = word.len() >= 5 && word.bytes().all(|byte| byte.is_ascii_uppercase() || byte == b'_');
    is_exception || is_capital && (word.starts_with('E') || word.contains('_'))
}

fn is_http_status(digits: &str) -> bool {
    matches!(
        digits.parse::<u16>(),
        Ok(
            100..=103
            | 200..=208
            | 226
            | 300..=308
            | 400..=431
            | 444
            | 451
            | 460
            | 463
            | 494..=499
            | 500..=511
            | 520..=530,
        )
    )
}

/// Returns whether a number is followed by what it counts.
fn is_unit(rest: &str) -> bool {
    let Some(rest) = rest.strip_prefix(' ') else { return rest.starts_with('%') };
    let end = rest.find(|letter: char| !letter.is_alphabetic()).unwrap_or(rest.len());
    rest.starts_with(|letter: char| letter.is_lowercase()) && !is_any(&AFTER_STATUSES, &rest[..end])
}

/// Returns whether a status is followed by its reason phrase.
fn is_reason(rest: &str) -> bool {
    const REASONS: [&str; 12] = [
        "OK",
        "Not",
        "Bad",
        "Service",
        "Gateway",
        "Internal",
        "Unauthorized",
        "Forbidden",
        "Too",
        "Moved",
        "Created",
        "Conflict",
    ];
    rest.strip_prefix(' ').is_some_and(|rest| REASONS.contains(&rest.split(' ').next().unwrap_or_default()))
}

/// Returns whether a word is `ORA-00600`, `E1234`, or before a colon or bracket `HHH000342`.
fn is_error_number(word: &str, rest: &str) -> bool {
    let letters = word.bytes().take_while(u8::is_ascii_uppercase).count();
    let number = word[letters..].strip_prefix('-').unwrap_or(&word[letters..]);
    let digits = number.bytes().take_while(u8::is_ascii_digit).count();
    let is_number = (3..=6).contains(&digits) && number.len() - digits <= 1 && letters > 0;
    let is_heading = letters >= 3 && number.starts_with('0') && rest.starts_with([':', ']']);
    is_number && (ERROR_PREFIXES.contains(&&word[..letters]) || is_heading)
}

fn is_any(known: &[&str], word: &str) -> bool {
    known.iter().any(|one| one.eq_ignore_ascii_case(word))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_that_differ_in_what_varies_have_one_shape() {
        for (line, shape) in [
            ("timeout after 3000 ms calling payment", "timeout after <*> ms calling payment"),
            ("order 4f9c-11ee of 'Jane Doe' failed: size=503.", "order <*> of <*> failed: size=<*>."),
            ("can't reach 10.0.0.7:5432", "can't reach <*>"),
            ("key deadbeefcafe is gone - retrying", "key <*> is gone - retrying"),
            ("unclosed \"quote", "unclosed \"quote"),
            ("ids 1, 2, 3 and [4] left", "ids <*>, and [<*>] left"),
            ("received 404 bytes, got 503 rows", "received <*> bytes, got <*> rows"),
            ("for anna [7/Oct/2026:10:00:00 +0000] left", "for anna [<*>/<*>/<*> left"),
            ("10.0.0.7 - anna [05/Jan/2026:10:00:00 +0000] left", "<*> left"),
            ("order ORD-1234 is not paid", "order <*> is not paid"),
        ] {
            assert_eq!(mask(line).text, shape);
        }
    }

    #[test]
    fn codes_of_errors_stay() {
        for line in [
            "GET /items answered 404",
            "answered with 503 in <*> ms",
            "status=503 code: 28 errno=-111",
            "status:503 after a while",
            "exited with code 137",
            "killed by signal 9",
            "ORA-00600: internal error",
            "ERROR 1205 (<*>): lock wait",
            "SQLSTATE 42P01",
            "HRESULT 0x80070005",
            "HHH000342: no connection",
            "upstream said 502 Bad Gateway",
            "<*> 404 <*>",
        ] {
            let written = line.replace("<*> 404", "\"GET /a HTTP/1.1\" 404").replace("<*>", "40001");
            assert_eq!(mask(&written).text, line);
        }
        for (one, other) in [
            ("answered 404", "answered 503"),
            ("TimeoutException: x", "SocketException: x"),
            ("reset: ECONNRESET", "reset: ECONNREFUSED"),
            ("failed with 'DEADLINE_EXCEEDED'", "failed with 'UNAVAILABLE_NOW'"),
        ] {
            assert_ne!(mask(one).codes, mask(other).codes);
        }
        assert_eq!(mask("took 404 ms for order 7").codes, mask("took 17 ms for order 8").codes);
    }

    #[test]
    fn what_is_said_in_quotes_stays() {
        for (line, shape) in [
            ("failed: \"signature of 7 is wrong\"", "failed: \"signature of <*> is wrong\""),
            ("user 'jane' and 'Jane Doe' left", "user <*> and <*> left"),
            (
                r#"failed {"code":503,"err":"no balance left","id":7}"#,
                r#"failed {"code":503,"err":"no balance left","id":<*>}"#,
            ),
        ] {
            assert_eq!(mask(line).text, shape);
        }
    }

    #[test]
    fn scripts_without_spaces_are_taken_apart_into_letters() {
        let shape = |line: &str| mask(line).text.replace(SEAM, "_");
        assert_eq!(shape("用户7余额不足: 12元"), "用_户_<*>_余_额_不_足_: <*>_元");
        assert_eq!(shape("결제 77 실패"), "결제 <*> 실패");
        assert_eq!(shape("注文１２が失敗"), "注_文_<*>_が_失_敗");
    }
}
