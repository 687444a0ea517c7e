//! What can be said of a record that is not JSON, or not a sample: where its elements end, words that stand for no number,
//! and who sent it.

use super::{NO_NUMBERS, named};

/// Bytes of a record within which its sender is looked for.
const SOURCE_BYTES: usize = 4096;

/// Who sent a sample.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Source<'a> {
    /// Service.
    pub service: &'a str,
    /// Environment.
    pub environment: &'a str,
}

impl<'a> Source<'a> {
    /// Returns the sender of these names, if they are fit to be shown.
    pub(super) fn of(service: &'a str, environment: &'a str) -> Option<Self> {
        let is_fit = named("service", service).is_ok() && named("environment", environment).is_ok();
        is_fit.then_some(Self { service, environment })
    }

    /// Looks for the names in a text that need not be JSON.
    pub(super) fn find(text: &'a [u8]) -> Option<Self> {
        let text = &text[..text.len().min(SOURCE_BYTES)];
        Self::of(field(text, b"\"service\"")?, field(text, b"\"environment\"").unwrap_or("production"))
    }
}

/// Returns the string without escapes that follows a name in quotes.
fn field<'a>(text: &'a [u8], name: &[u8]) -> Option<&'a str> {
    let at = text.windows(name.len()).position(|window| window == name)?;
    let rest = text[at + name.len()..].trim_ascii_start().strip_prefix(b":")?;
    let rest = rest.trim_ascii_start().strip_prefix(b"\"")?;
    let end = rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
    str::from_utf8(&rest[..end]).ok().filter(|_| rest[end] == b'"')
}

/// Returns the elements of an array, each as its text: only brackets and strings are looked at. Nothing where the array
/// does not end.
pub(super) fn elements(payload: &[u8]) -> Option<Vec<&[u8]>> {
    let inner = payload.trim_ascii().strip_prefix(b"[")?;
    let (mut elements, mut from, mut depth) = (Vec::new(), 0, 0_usize);
    let mut strings = Strings::default();
    for (at, &byte) in inner.iter().enumerate() {
        if strings.takes(byte) {
            continue;
        }
        match byte {
            b'[' | b'{' => depth += 1,
            b']' if depth == 0 => {
                let last = inner[from..at].trim_ascii();
                if !(elements.is_empty() && last.is_empty()) {
                    elements.push(last);
                }
                return (at + 1 == inner.len()).then_some(elements);
            }
            b']' | b'}' => depth = depth.checked_sub(1)?,
            b',' if depth == 0 => {
                elements.push(inner[from..at].trim_ascii());
                from = at + 1;
            }
            _ => {}
        }
    }
    None
}

/// Replaces bare words that stand for no number by `null`, outside of strings. Nothing where there are none.
pub(super) fn without_bare_words(text: &[u8]) -> Option<Vec<u8>> {
    let mut strings = Strings::default();
    let (mut replaced, mut copied, mut at) = (Vec::new(), 0, 0);
    while at < text.len() {
        at += 1;
        if strings.takes(text[at - 1]) || text[at - 1] != b':' {
            continue;
        }
        at += spaces(&text[at..]);
        if let Some(length) = bare_word(&text[at..]) {
            replaced.extend_from_slice(&text[copied..at]);
            replaced.extend_from_slice(b"null");
            at += length;
            copied = at;
        }
    }
    replaced.extend_from_slice(&text[copied..]);
    (copied > 0).then_some(replaced)
}

fn spaces(text: &[u8]) -> usize {
    text.len() - text.trim_ascii_start().len()
}

/// Returns the length of the word for no number with which a text begins.
fn bare_word(text: &[u8]) -> Option<usize> {
    let sign = usize::from(matches!(text.first(), Some(b'+' | b'-')));
    let word = text[sign..].split(|byte| !byte.is_ascii_alphanumeric()).next()?;
    NO_NUMBERS.iter().any(|no_number| no_number.as_bytes() == word).then_some(sign + word.len())
}

/// Follows a text through its strings.
#[derive(Default)]
struct Strings {
    is_inside: bool,
    is_escaped: bool,
}

impl Strings {
    /// Takes the next byte. Returns whether it belongs to a string.
    fn takes(&mut self, byte: u8) -> bool {
        if !self.is_inside {
            self.is_inside = byte == b'"';
            return self.is_inside;
        }
        match byte {
            _ if self.is_escaped => self.is_escaped = false,
            b'\\' => self.is_escaped = true,
            b'"' => self.is_inside = false,
            _ => {}
        }
        true
    }
}
