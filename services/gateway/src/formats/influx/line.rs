//! One line: `measurement,tag=value field=1.5,field=2i 1772359210000000000`.

use std::borrow::Cow;

/// Most tags, and most fields, of a line.
const MAX_PAIRS: usize = 1_000;

/// Why a line is none.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("it has no measurement")]
    Measurement,
    #[error("a tag is not name=value")]
    Tag,
    #[error("a field is not name=value")]
    Field,
    #[error("it has no fields")]
    NoFields,
    #[error("a text has no closing quote")]
    OpenText,
    #[error("a field is neither a number, a boolean nor a text in quotes")]
    Value,
    #[error("its time is no whole number")]
    Time,
    #[error("it has more than {MAX_PAIRS} tags or fields")]
    TooMany,
}

/// The value of a field.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(super) enum Field {
    /// A float, an integer, or a boolean as 0 or 1.
    Number(f64),
    /// A text, of which nothing is kept.
    Text,
}

/// Fields with their names.
type Fields<'a> = Vec<(Cow<'a, str>, Field)>;

/// A line.
#[derive(Debug, PartialEq)]
pub(super) struct Line<'a> {
    pub(super) measurement: Cow<'a, str>,
    pub(super) tags: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    pub(super) fields: Fields<'a>,
    /// In the unit of the request.
    pub(super) time: Option<i64>,
}

/// Returns the lines that are neither empty nor comments, with their numbers from 1.
///
/// A text in quotes may have line breaks. Once one is not closed, all lines that follow end at their first line break: the text
/// is looked at as a whole once, whatever it holds.
pub(super) fn split(text: &str) -> impl Iterator<Item = (usize, &str)> {
    let mut rest = text;
    let mut number = 1;
    let mut are_closed = true;
    std::iter::from_fn(move || {
        while !rest.is_empty() {
            let first_end = rest.find('\n').unwrap_or(rest.len());
            let end = if are_closed { end_of_line(rest, first_end) } else { Some(first_end) };
            are_closed &= end.is_some();
            let (line, after) = rest.split_at(end.unwrap_or(first_end));
            let found = (number, line.strip_suffix('\r').unwrap_or(line).trim_start_matches(' '));
            number += 1 + line.matches('\n').count();
            rest = after.strip_prefix('\n').unwrap_or(after);
            if !found.1.is_empty() && !found.1.starts_with('#') {
                return Some(found);
            }
        }
        None
    })
}

/// Returns where the line ends with which a text begins, and whose first line break is at `first_end`; none if it ends within
/// quotes. Quotes count behind the first space that is not escaped alone, for before it they are characters like others.
fn end_of_line(text: &str, first_end: usize) -> Option<usize> {
    let first = text[..first_end].trim_start_matches(' ');
    let indent = first_end - first.len();
    let fields = unescaped(first, |byte| byte == b' ').map(|at| at + indent);
    let Some(fields) = fields.filter(|at| !first.starts_with('#') && text[*at..first_end].contains('"'))
    else {
        return Some(first_end);
    };
    let mut quoted = false;
    let mut escaped = false;
    for (at, byte) in text.bytes().enumerate().skip(fields) {
        match byte {
            _ if escaped => escaped = false,
            b'\\' => escaped = quoted,
            b'"' => quoted = !quoted,
            b'\n' if !quoted => return Some(at),
            _ => {}
        }
    }
    (!quoted).then_some(text.len())
}

/// Returns where the first byte is that is looked for and has no backslash before it.
fn unescaped(text: &str, wanted: impl Fn(u8) -> bool) -> Option<usize> {
    let mut escaped = false;
    text.bytes().position(|byte| {
        let found = !escaped && wanted(byte);
        escaped = byte == b'\\' && !escaped;
        found
    })
}

impl<'a> Line<'a> {
    /// Reads a line.
    pub(super) fn parse(line: &'a str) -> Result<Self, Fault> {
        let end = unescaped(line, |byte| byte == b' ').ok_or(Fault::NoFields)?;
        let (series, rest) = line.split_at(end);
        let named = unescaped(series, |byte| byte == b',').unwrap_or(series.len());
        let (measurement, mut tags_text) = series.split_at(named);
        if measurement.is_empty() {
            return Err(Fault::Measurement);
        }
        let mut tags = Vec::new();
        while let Some(text) = tags_text.strip_prefix(',') {
            let end = unescaped(text, |byte| byte == b',').unwrap_or(text.len());
            let (tag, after) = text.split_at(end);
            tags_text = after;
            let (name, value) = pair(tag).ok_or(Fault::Tag)?;
            if value.is_empty() || unescaped(value, |byte| byte == b'=').is_some() {
                return Err(Fault::Tag);
            }
            bounded(&tags)?;
            tags.push((plain(name), plain(value)));
        }
        let (fields, rest) = fields(rest.trim_start_matches(' '))?;
        let time = match rest.trim_matches(' ') {
            "" => None,
            time => Some(time.parse().map_err(|_| Fault::Time)?),
        };
        Ok(Self { measurement: plain(measurement), tags, fields, time })
    }
}

fn bounded<T>(pairs: &[T]) -> Result<(), Fault> {
    if pairs.len() < MAX_PAIRS { Ok(()) } else { Err(Fault::TooMany) }
}

/// Splits at the first equals sign that is not escaped.
fn pair(text: &str) -> Option<(&str, &str)> {
    let at = unescaped(text, |byte| byte == b'=').filter(|at| *at > 0)?;
    Some((&text[..at], &text[at + 1..]))
}

/// Reads fields, and returns them with what follows.
fn fields(mut text: &str) -> Result<(Fields<'_>, &str), Fault> {
    if text.is_empty() {
        return Err(Fault::NoFields);
    }
    let mut fields = Vec::new();
    loop {
        let (name, rest) = pair(text).ok_or(Fault::Field)?;
        if unescaped(name, |byte| byte == b' ' || byte == b',').is_some() {
            return Err(Fault::Field);
        }
        let end = match rest.strip_prefix('"') {
            Some(quoted) => 2 + unescaped(quoted, |byte| byte == b'"').ok_or(Fault::OpenText)?,
            None => rest.find([',', ' ']).unwrap_or(rest.len()),
        };
        let (value, after) = rest.split_at(end);
        bounded(&fields)?;
        fields.push((plain(name), field(value)?));
        match after.as_bytes().first() {
            Some(b',') => text = &after[1..],
            Some(b' ') | None => return Ok((fields, after)),
            Some(_) => return Err(Fault::Value),
        }
    }
}

/// Reads the value of a field. Words that stand for floats elsewhere, such as `inf`, are none here.
fn field(value: &str) -> Result<Field, Fault> {
    let number = match value {
        _ if value.starts_with('"') => return Ok(Field::Text),
        "t" | "T" | "true" | "True" | "TRUE" => 1.0,
        "f" | "F" | "false" | "False" | "FALSE" => 0.0,
        _ => match value.as_bytes().last() {
            Some(b'i') => value[..value.len() - 1].parse::<i64>().map_err(|_| Fault::Value)? as f64,
            Some(b'u') => value[..value.len() - 1].parse::<u64>().map_err(|_| Fault::Value)? as f64,
            Some(byte) if byte.is_ascii_digit() || *byte == b'.' => {
                value.parse().map_err(|_| Fault::Value)?
            }
            _ => return Err(Fault::Value),
        },
    };
    Ok(Field::Number(number))
}

/// Removes the backslash before a comma, an equals sign and a space; before anything else it is a character like others.
fn plain(text: &str) -> Cow<'_, str> {
    if !text.contains('\\') {
        return Cow::Borrowed(text);
    }
    let mut plain = String::with_capacity(text.len());
    let mut characters = text.chars().peekable();
    while let Some(character) = characters.next() {
        if character != '\\' || !characters.peek().is_some_and(|next| matches!(next, ',' | '=' | ' ' | '\\'))
        {
            plain.push(character);
            continue;
        }
        plain.extend(characters.next());
    }
    Cow::Owned(plain)
}
