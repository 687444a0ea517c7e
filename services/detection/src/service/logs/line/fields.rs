//! Records that are made of fields: JSON and logfmt. What they state stands in few of the fields.

use std::borrow::Cow;

use shared::events::raw::Level;

use super::prefix::level_of;

/// Fields of a record that are read, and objects within objects.
const MAX_FIELDS: usize = 200;
const MAX_DEPTH: usize = 8;
/// Pairs that make a line logfmt: so many, or one less where a key is a usual one.
const MIN_PAIRS: usize = 3;

/// What a key says about its value.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Class {
    Level,
    Time,
    /// What the record is about.
    Message,
    /// What went wrong.
    Error,
    /// Distinguishes errors: a status, a number, a name.
    Code,
    /// Is a code where it is a field of an error.
    CodeOfError,
    /// Text that is somebody else's.
    Foreign,
    Other,
}

/// Returns the class of a key: letters and digits only, in lower case.
fn class(name: &str) -> Class {
    match name {
        "level" | "lvl" | "severity" | "loglevel" | "levelname" | "l" | "s" | "priority" => Class::Level,
        "ts" | "time" | "timestamp" | "t" => Class::Time,
        "msg" | "message" | "log" | "event" | "mt" | "text" | "shortmessage" | "textpayload"
        | "messagetemplate" | "title" | "summary" | "description" | "body" | "m" => Class::Message,
        "error" | "err" | "errors" | "exception" | "reason" | "cause" | "detail" | "details" | "errmsg"
        | "errormessage" | "exceptionmessage" | "stack" | "stacktrace" | "trace" | "x" | "failure"
        | "problem" | "exc" | "excinfo" | "backtrace" | "panic" | "diagnostic" => Class::Error,
        "status" | "statuscode" | "httpstatus" | "httpstatuscode" | "httpcode" | "code" | "errorcode"
        | "errcode" | "errno" | "exitcode" | "exitstatus" | "signal" | "sqlstate" | "rc" | "returncode"
        | "grpccode" | "grpcstatus" | "codename" | "responsecode" | "responsestatus" | "errortype"
        | "exceptiontype" => Class::Code,
        "type" | "kind" | "name" | "class" | "number" => Class::CodeOfError,
        "useragent" | "agent" | "query" | "sql" | "statement" | "request" | "headers" | "payload"
        | "params" | "args" | "argv" | "command" | "cmd" | "address" | "comment" | "file" | "caller"
        | "logger" | "thread" => Class::Foreign,
        _ => Class::Other,
    }
}

/// What the fields of a record say.
#[derive(Debug, Default)]
pub(super) struct Record<'a> {
    pub(super) level: Option<Level>,
    /// Message, errors and codes, each as it is to be read further.
    pub(super) parts: Vec<Cow<'a, str>>,
}

/// Fields by what they are good for.
#[derive(Debug, Default)]
struct Found<'a> {
    level: Option<Level>,
    messages: Vec<Cow<'a, str>>,
    errors: Vec<Cow<'a, str>>,
    codes: Vec<Cow<'a, str>>,
    /// Sentences in other fields, and all fields, for records without a message.
    sentences: Vec<Cow<'a, str>>,
    all: Vec<(&'a str, &'a str)>,
    count: usize,
    has_signs: bool,
}

/// One value of a record.
#[derive(Debug, Clone, Copy)]
struct Value<'a> {
    /// What stands in the record: of text what is between its quotes.
    raw: &'a str,
    is_text: bool,
}

/// Reads a record, if it is one.
pub(super) fn read(text: &str) -> Option<Record<'_>> {
    let mut found = Found::default();
    let mut bare = None;
    if text.starts_with('{') {
        Json { text, at: 0 }.object("", 0, &mut found)?;
    } else {
        bare = Some(logfmt(text, &mut found)?);
    }
    let Found { level, mut messages, errors, codes, sentences, all, .. } = found;
    messages.extend(bare.filter(|bare| !bare.is_empty()).map(Cow::Owned));
    let mut parts = messages;
    parts.extend(errors);
    if parts.is_empty() {
        let pairs = all.iter().map(|(key, raw)| format!("{key}={}", unescaped(raw)));
        parts.push(Cow::Owned(pairs.collect::<Vec<_>>().join(" ")));
    } else {
        parts.extend(sentences);
        parts.extend(codes);
    }
    Some(Record { level, parts })
}

impl<'a> Found<'a> {
    /// Sorts a field in.
    fn add(&mut self, parent: &str, key: &'a str, value: Value<'a>) {
        self.count += 1;
        if self.count > MAX_FIELDS || matches!(value.raw, "" | "null" | "{}" | "[]" | "-") {
            return;
        }
        let mut buffers = ([0; 24], [0; 24]);
        let (name, parent) = (normal(key, &mut buffers.0), normal(parent, &mut buffers.1));
        let (class, of_error) = (class(name), class(parent) == Class::Error);
        // where fields of the format have a sign of their own, others are the service's
        self.has_signs |= matches!(key, "@t" | "@mt" | "@timestamp" | "@level");
        let is_format = !self.has_signs || key.starts_with('@') || key.contains('.') || key == "level";
        match class {
            Class::Level if is_format && (parent.is_empty() || parent == "log") => {
                self.level = self.level.or_else(|| level(value));
            }
            Class::Code => self.add_code(name, value),
            Class::CodeOfError if of_error => self.add_code(name, value),
            Class::Error | Class::Message if value.is_text => {
                let is_error = class == Class::Error || of_error;
                let texts = if is_error { &mut self.errors } else { &mut self.messages };
                texts.push(unescaped(value.raw));
            }
            Class::Time => {}
            _ if class != Class::Foreign && value.is_text && is_sentence(value.raw) => {
                self.sentences.push(unescaped(value.raw));
            }
            _ => self.all.push((key, value.raw)),
        }
    }

    fn add_code(&mut self, name: &str, value: Value<'_>) {
        if value.raw != "0" {
            self.codes.push(Cow::Owned(format!("{name}={}", value.raw)));
        }
    }
}

/// Returns the last part of a key in lower case, letters and digits only: `error.stack_trace` is `stacktrace`.
fn normal<'b>(key: &str, buffer: &'b mut [u8; 24]) -> &'b str {
    let last = key.rsplit('.').next().unwrap_or(key);
    let mut length = 0;
    for byte in last.bytes().filter(u8::is_ascii_alphanumeric) {
        if length == buffer.len() {
            return "";
        }
        buffer[length] = byte.to_ascii_lowercase();
        length += 1;
    }
    std::str::from_utf8(&buffer[..length]).unwrap_or_default()
}

/// Reads a level: a word, a letter, a number of syslog (0 to 7) or of pino and bunyan (10 to 60).
fn level(value: Value<'_>) -> Option<Level> {
    match value.raw.parse::<u32>() {
        Ok(0..=2 | 60) => Some(Level::Fatal),
        Ok(3 | 50) => Some(Level::Error),
        Ok(4 | 40) => Some(Level::Warn),
        Ok(5 | 6 | 30) => Some(Level::Info),
        Ok(_) => Some(Level::Debug),
        Err(_) => match value.raw {
            "F" | "panic" | "PANIC" => Some(Level::Fatal),
            "E" => Some(Level::Error),
            "W" => Some(Level::Warn),
            "I" => Some(Level::Info),
            word => level_of(word),
        },
    }
}

/// Returns whether a value is a sentence rather than a name: three words or more, most of them in lower case.
fn is_sentence(raw: &str) -> bool {
    let words = raw.split(' ').filter(|word| !word.is_empty());
    let (count, lower) = words.fold((0, 0), |(count, lower), word| {
        (count + 1, lower + usize::from(word.starts_with(char::is_lowercase)))
    });
    count >= 3 && lower * 3 >= count * 2
}

/// Resolves the escapes of JSON.
fn unescaped(raw: &str) -> Cow<'_, str> {
    if !raw.contains('\\') {
        return Cow::Borrowed(raw);
    }
    let mut text = String::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.find('\\') {
        text.push_str(&rest[..at]);
        let escaped = rest[at + 1..].chars().next();
        rest = &rest[at + 1 + escaped.map_or(0, char::len_utf8)..];
        match escaped {
            Some('n') => text.push('\n'),
            Some('t') => text.push('\t'),
            Some('r' | 'b' | 'f') => text.push(' '),
            Some('u') => {
                let (letter, after) = unicode(rest);
                text.push(letter);
                rest = after;
            }
            Some(letter) => text.push(letter),
            None => {}
        }
    }
    text.push_str(rest);
    Cow::Owned(text)
}

/// Reads what follows `\u`, with the second half of a pair.
fn unicode(rest: &str) -> (char, &str) {
    let half = |text: &str| text.get(..4).and_then(|digits| u32::from_str_radix(digits, 16).ok());
    let Some(first) = half(rest) else { return (char::REPLACEMENT_CHARACTER, rest) };
    let rest = &rest[4..];
    if (0xd800..0xdc00).contains(&first)
        && let Some(second) = rest.strip_prefix("\\u").and_then(half)
        && (0xdc00..0xe000).contains(&second)
    {
        let code = 0x1_0000 + ((first - 0xd800) << 10) + (second - 0xdc00);
        return (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), &rest[6..]);
    }
    (char::from_u32(first).unwrap_or(char::REPLACEMENT_CHARACTER), rest)
}

/// A reader of JSON that takes what was cut off as it is.
struct Json<'a> {
    text: &'a str,
    at: usize,
}

impl<'a> Json<'a> {
    fn peek(&mut self) -> Option<u8> {
        let rest = self.text.as_bytes().get(self.at..)?;
        self.at += rest.iter().take_while(|byte| byte.is_ascii_whitespace()).count();
        self.text.as_bytes().get(self.at).copied()
    }

    /// Reads an object up to its end, or to where it was cut off. Returns nothing if it is none.
    fn object(&mut self, parent: &str, depth: usize, found: &mut Found<'a>) -> Option<()> {
        self.at += 1;
        let mut is_first = true;
        loop {
            match self.peek() {
                Some(b'"') => {}
                Some(b'}') => {
                    self.at += 1;
                    return Some(());
                }
                Some(b',') if !is_first => {
                    self.at += 1;
                    continue;
                }
                None if !is_first => return Some(()),
                _ => return None,
            }
            let key = self.string();
            if self.peek() != Some(b':') {
                return (!is_first).then_some(());
            }
            self.at += 1;
            self.value(parent, key, depth, found)?;
            is_first = false;
        }
    }

    fn value(&mut self, parent: &str, key: &'a str, depth: usize, found: &mut Found<'a>) -> Option<()> {
        match self.peek() {
            Some(b'{') if depth < MAX_DEPTH => {
                // what is said of an error is said in what the error consists of
                let mut buffer = [0; 24];
                let is_plain = class(normal(key, &mut buffer)) != Class::Error;
                let of = if is_plain && !parent.is_empty() && depth > 0 { parent } else { key };
                return self.object(of, depth + 1, found);
            }
            Some(b'[') if depth < MAX_DEPTH => {
                self.at += 1;
                while let Some(byte) = self.peek() {
                    match byte {
                        b']' => {
                            self.at += 1;
                            break;
                        }
                        b',' => self.at += 1,
                        _ => self.value(parent, key, depth + 1, found)?,
                    }
                }
            }
            Some(b'"') => {
                let raw = self.string();
                found.add(parent, key, Value { raw, is_text: true });
            }
            Some(b'{' | b'[') => self.at = self.text.len(),
            Some(_) => {
                let rest = &self.text[self.at..];
                let end = rest.find([',', '}', ']', '\n', ' ']).unwrap_or(rest.len());
                if end == 0 {
                    return None;
                }
                found.add(parent, key, Value { raw: &rest[..end], is_text: false });
                self.at += end;
            }
            None => {}
        }
        Some(())
    }

    /// Reads a string; the next byte is its quote.
    fn string(&mut self) -> &'a str {
        let begin = self.at + 1;
        let rest = &self.text.as_bytes()[begin..];
        let mut end = 0;
        while end < rest.len() && rest[end] != b'"' {
            end += if rest[end] == b'\\' { 2 } else { 1 };
        }
        let end = end.min(rest.len());
        self.at = (begin + end + 1).min(self.text.len());
        self.text.get(begin..begin + end).unwrap_or_default()
    }
}

/// Reads `key=value key="other value"`. Returns what stands between the pairs, or nothing if it is no logfmt.
fn logfmt<'a>(text: &'a str, found: &mut Found<'a>) -> Option<String> {
    pair(text)?;
    let (mut pairs, mut usual, mut bare) = (0, 0, String::new());
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        if rest.is_empty() {
            break;
        }
        if let Some((key, value, after)) = pair(rest) {
            pairs += 1;
            let mut buffer = [0; 24];
            let class = class(normal(key, &mut buffer));
            usual += usize::from(matches!(class, Class::Message | Class::Error | Class::Level | Class::Time));
            let parent = key.rsplit_once('.').map_or("", |(parent, _)| parent);
            found.add(parent, key, value);
            rest = after;
        } else {
            let end = rest.find(' ').unwrap_or(rest.len());
            if !bare.is_empty() {
                bare.push(' ');
            }
            bare.push_str(&rest[..end]);
            rest = &rest[end..];
        }
    }
    let words = bare.split(' ').filter(|word| !word.is_empty()).count();
    let is_logfmt = pairs + usize::from(usual > 0) >= MIN_PAIRS && (usual > 0 || pairs > words);
    is_logfmt.then_some(bare)
}

/// Splits off a pair.
fn pair(text: &str) -> Option<(&str, Value<'_>, &str)> {
    let is_key =
        |letter: char| letter.is_ascii_alphanumeric() || matches!(letter, '_' | '.' | '-' | '@' | '/');
    let end = text.find(|letter| !is_key(letter))?;
    let rest = text[end..].strip_prefix('=').filter(|_| end > 0)?;
    if rest.starts_with('"') {
        let mut json = Json { text: rest, at: 0 };
        let raw = json.string();
        return Some((&text[..end], Value { raw, is_text: true }, &rest[json.at..]));
    }
    let length = rest.find(char::is_whitespace).unwrap_or(rest.len());
    let raw = &rest[..length];
    let is_text = raw.parse::<f64>().is_err() && !matches!(raw, "true" | "false");
    Some((&text[..end], Value { raw, is_text }, &rest[length..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parts(line: &str) -> Option<(Option<Level>, String)> {
        read(line).map(|record| (record.level, record.parts.join(" | ")))
    }

    #[test]
    fn message_errors_and_codes_are_what_a_record_says() {
        for (line, level, said) in [
            (r#"{"level":"error","logger":"a","msg":"no balance","id":7}"#, Level::Error, "no balance"),
            (
                r#"{"severity":"WARNING","message":"slow","http":{"status_code":503}}"#,
                Level::Warn,
                "slow | statuscode=503",
            ),
            (
                r#"{"level":50,"time":1,"pid":7,"err":{"type":"TypeError","message":"x is null","stack":"at f"},"msg":"failed"}"#,
                Level::Error,
                "failed | x is null | at f | type=TypeError",
            ),
            (
                r#"{"t":{"$date":"2026"},"s":"W","c":"N","id":1,"msg":"Lost","attr":{"error":{"code":6,"codeName":"Host","errmsg":"no route"}}}"#,
                Level::Warn,
                "Lost | no route | code=6 | codename=Host",
            ),
            (r#"{"@t":"2026","@mt":"Paid {Id}","@l":"Error","@x":"A: b"}"#, Level::Error, "Paid {Id} | A: b"),
            (
                "ts=1 level=warn caller=a.go:7 msg=\"no \\\"x\\\"\" err=\"i/o timeout\"",
                Level::Warn,
                "no \"x\" | i/o timeout",
            ),
            (r#"{"level":"error","msg":"\u4f59\u989d\ud83d\ude00 cut o"#, Level::Error, "余额😀 cut o"),
        ] {
            assert_eq!(parts(line), Some((Some(level), said.to_owned())), "{line}");
        }
    }

    #[test]
    fn a_record_without_a_message_is_all_its_fields() {
        assert_eq!(
            parts(r#"{"op":"charge","result":"declined","ts":1}"#).unwrap().1,
            "op=charge result=declined"
        );
        assert_eq!(parts("op=charge result=declined ms=7").unwrap().1, "op=charge result=declined ms=7");
    }

    #[test]
    fn text_is_no_record() {
        for line in [
            "{user} is gone",
            "{}x",
            "{\"a\" is no key",
            "a=1 is too little",
            "user=7 b=8 was not found at all",
            "plain",
        ] {
            let said = parts(line).filter(|(_, said)| !said.is_empty());
            assert_eq!(said, None, "{line}");
        }
    }
}
