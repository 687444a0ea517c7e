//! Samples as nearly all of them are written: an object, or an array of them, of plain strings and numbers.
//!
//! Reads them in one pass and allocates nothing. Whatever is written otherwise (escapes, a field twice, deeper nesting, a
//! time with a fraction, a value that is missing, or no JSON at all) is left to serde_json, which alone decides what it
//! means or what is wrong.

use std::ops::Range;

/// Powers of ten that a double holds exactly.
const TENS: [f64; 23] = [
    1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15, 1e16, 1e17, 1e18,
    1e19, 1e20, 1e21, 1e22,
];
/// Largest whole number up to which a double holds all.
const WHOLE: u64 = 1 << 53;
/// Digits that always fit into 64 bits.
const DIGITS: usize = 18;

/// Where a name lies that is not there: no name begins at the first byte.
pub(super) const NOWHERE: Range<usize> = 0..0;

/// One sample, and where its names lie in the text.
#[derive(Debug, Clone)]
pub(super) struct Plain {
    pub(super) service: Range<usize>,
    pub(super) metric: Range<usize>,
    pub(super) environment: Range<usize>,
    pub(super) unit: Range<usize>,
    pub(super) value: f64,
    pub(super) ts_ms: i64,
    /// Where the element lies, if it has more than these fields: labels, an instrument, buckets.
    pub(super) detail: Range<usize>,
}

/// Deepest nesting of what is passed over in a field that is read later.
const MAX_DEPTH: u32 = 8;

/// Reads a whole text into `samples`. `None` means that it is not plain; what was read of it is then worth nothing.
pub(super) fn read(text: &str, samples: &mut Vec<Plain>) -> Option<()> {
    let mut cursor = Cursor { text, at: 0 };
    cursor.space();
    if cursor.is_next(b'[') {
        cursor.space();
        if !cursor.is_next(b']') {
            loop {
                cursor.space();
                samples.push(cursor.sample()?);
                cursor.space();
                if cursor.is_next(b']') {
                    break;
                }
                cursor.expect(b',')?;
            }
        }
    } else {
        samples.push(cursor.sample()?);
    }
    cursor.space();
    (cursor.at == text.len()).then_some(())
}

struct Cursor<'a> {
    text: &'a str,
    at: usize,
}

impl Cursor<'_> {
    fn peek(&self) -> Option<u8> {
        self.text.as_bytes().get(self.at).copied()
    }

    fn space(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\n' | b'\r' | b'\t')) {
            self.at += 1;
        }
    }

    fn is_next(&mut self, byte: u8) -> bool {
        let is_next = self.peek() == Some(byte);
        self.at += usize::from(is_next);
        is_next
    }

    fn expect(&mut self, byte: u8) -> Option<()> {
        self.is_next(byte).then_some(())
    }

    fn word(&mut self, word: &str) -> Option<()> {
        self.text.as_bytes()[self.at..].starts_with(word.as_bytes()).then(|| self.at += word.len())
    }

    fn sample(&mut self) -> Option<Plain> {
        let (mut service, mut metric, mut environment, mut unit) = (None, None, None, None);
        let (mut value, mut ts_ms) = (None, None);
        let (from, mut is_detailed) = (self.at, false);
        self.expect(b'{')?;
        loop {
            self.space();
            let name = self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            match &self.text[name] {
                "service" => once(&mut service, self.string()?)?,
                "metric" => once(&mut metric, self.string()?)?,
                "value" => once(&mut value, self.number()?)?,
                "ts_ms" => once(&mut ts_ms, self.time()?)?,
                "environment" => once(&mut environment, self.optional()?)?,
                "unit" => once(&mut unit, self.optional()?)?,
                "labels" | "instrument" | "temporality" | "start_ms" | "histogram" => {
                    is_detailed |= !self.is_empty();
                    self.pass_nested(MAX_DEPTH)?;
                }
                _ => self.pass()?,
            }
            self.space();
            if self.is_next(b'}') {
                break;
            }
            self.expect(b',')?;
        }
        Some(Plain {
            detail: if is_detailed { from..self.at } else { NOWHERE },
            service: service?,
            metric: metric?,
            environment: environment.unwrap_or(NOWHERE),
            unit: unit.unwrap_or(NOWHERE),
            value: value?,
            ts_ms: ts_ms?,
        })
    }

    /// Reads a string without escapes and returns where its text lies.
    fn string(&mut self) -> Option<Range<usize>> {
        self.expect(b'"')?;
        let from = self.at;
        let rest = &self.text.as_bytes()[from..];
        let length = rest.iter().position(|&byte| byte == b'"' || byte == b'\\' || byte < b' ')?;
        self.at = from + length + 1;
        (rest[length] == b'"').then_some(from..from + length)
    }

    /// Reads a string, or null.
    fn optional(&mut self) -> Option<Range<usize>> {
        if self.peek() == Some(b'n') { self.word("null").map(|()| NOWHERE) } else { self.string() }
    }

    /// Reads a number as RFC 8259 writes it; not one that is beyond a double.
    fn number(&mut self) -> Option<f64> {
        let from = self.at;
        let is_negative = self.is_next(b'-');
        let mut mantissa = 0;
        let (first, whole) = (self.peek(), self.digits(&mut mantissa)?);
        if first == Some(b'0') && whole > 1 {
            return None;
        }
        let mut fraction = 0;
        if self.is_next(b'.') {
            fraction = self.digits(&mut mantissa)?;
        }
        let is_scaled = matches!(self.peek(), Some(b'e' | b'E'));
        if is_scaled {
            self.at += 1;
            if matches!(self.peek(), Some(b'+' | b'-')) {
                self.at += 1;
            }
            self.digits(&mut 0)?;
        }
        // a quotient of two exact numbers is rounded once, so it is the nearest double: Clinger, PLDI (1990)
        if !is_scaled && whole + fraction <= DIGITS && mantissa <= WHOLE {
            let size = mantissa as f64 / TENS[fraction];
            return Some(if is_negative { -size } else { size });
        }
        self.text[from..self.at].parse().ok().filter(|number: &f64| number.is_finite())
    }

    fn time(&mut self) -> Option<i64> {
        let mut ts_ms = 0;
        let (first, digits) = (self.peek(), self.digits(&mut ts_ms)?);
        let is_plain = digits <= DIGITS && (first != Some(b'0') || digits == 1);
        // whole milliseconds, as programs write them that have no whole numbers
        if is_plain && ts_ms <= WHOLE && self.is_next(b'.') {
            let mut fraction = 0;
            self.digits(&mut fraction).filter(|&digits| digits <= DIGITS && fraction == 0)?;
        }
        (is_plain && !matches!(self.peek(), Some(b'.' | b'e' | b'E'))).then_some(ts_ms as i64)
    }

    /// Reads one digit or more, behind those of `number`. Returns how many; beyond [`DIGITS`] the number means nothing.
    fn digits(&mut self, number: &mut u64) -> Option<usize> {
        let from = self.at;
        while let Some(digit @ b'0'..=b'9') = self.peek() {
            *number = number.wrapping_mul(10).wrapping_add(u64::from(digit - b'0'));
            self.at += 1;
        }
        (self.at > from).then_some(self.at - from)
    }

    /// Passes over the value of a field that is not ours: a plain one, or labels.
    fn pass(&mut self) -> Option<()> {
        if !self.is_next(b'{') {
            return self.pass_plain();
        }
        self.space();
        if self.is_next(b'}') {
            return Some(());
        }
        loop {
            self.space();
            self.string()?;
            self.space();
            self.expect(b':')?;
            self.space();
            self.pass_plain()?;
            self.space();
            if self.is_next(b'}') {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    /// Returns whether what follows says nothing: null, or an object without fields.
    fn is_empty(&self) -> bool {
        let rest = &self.text.as_bytes()[self.at..];
        rest.starts_with(b"null") || rest.starts_with(b"{}")
    }

    /// Passes over a value of any kind, which is read later if the rest of the element can be.
    fn pass_nested(&mut self, depth: u32) -> Option<()> {
        let end = match self.peek()? {
            b'{' => b'}',
            b'[' => b']',
            _ => return self.pass_plain(),
        };
        let depth = depth.checked_sub(1)?;
        self.at += 1;
        self.space();
        if self.is_next(end) {
            return Some(());
        }
        loop {
            self.space();
            if end == b'}' {
                self.string()?;
                self.space();
                self.expect(b':')?;
                self.space();
            }
            self.pass_nested(depth)?;
            self.space();
            if self.is_next(end) {
                return Some(());
            }
            self.expect(b',')?;
        }
    }

    fn pass_plain(&mut self) -> Option<()> {
        match self.peek()? {
            b'"' => self.string().map(drop),
            b'n' => self.word("null"),
            b't' => self.word("true"),
            b'f' => self.word("false"),
            _ => self.number().map(drop),
        }
    }
}

/// Fills a field that must not be there twice.
fn once<T>(field: &mut Option<T>, value: T) -> Option<()> {
    field.is_none().then(|| *field = Some(value))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::super::Sample;
    use super::*;

    fn plain(text: &str) -> Option<Vec<Plain>> {
        let mut samples = Vec::new();
        read(text, &mut samples).map(|()| samples)
    }

    /// Checks that what is read here is what serde_json reads.
    fn agrees(text: &str) -> Option<Vec<Plain>> {
        let samples = plain(text)?;
        let theirs: Vec<Sample<'_>> = match serde_json::from_str(text) {
            Ok(one) => vec![one],
            Err(_) => serde_json::from_str(text).unwrap_or_else(|error| panic!("{text}: {error}")),
        };
        let ours = samples.iter().map(|sample| {
            let name = |range: &Range<usize>| text[range.clone()].to_owned();
            let optional = |range: &Range<usize>, absent: &str| {
                if *range == NOWHERE { absent.to_owned() } else { name(range) }
            };
            (
                name(&sample.service),
                name(&sample.metric),
                optional(&sample.environment, "production"),
                optional(&sample.unit, ""),
                sample.value.to_bits(),
                sample.ts_ms,
            )
        });
        let theirs = theirs.iter().map(|sample| {
            let (environment, unit) = (sample.environment().to_owned(), sample.unit().to_owned());
            let (service, metric) = (sample.service.to_string(), sample.metric.to_string());
            (service, metric, environment, unit, sample.value.to_bits(), sample.ts_ms)
        });
        assert!(ours.eq(theirs), "{text}");
        Some(samples)
    }

    const PLAIN: &str = r#"{"service":"payment","metric":"m","value":-0.125,"ts_ms":1750000000000,
        "environment":"pröd","unit":null,"labels":{"a":"b","n":1e3},"x":true}"#;

    #[test]
    fn what_is_plain_is_read_and_what_is_not_is_left() {
        assert_eq!(agrees(PLAIN).unwrap().len(), 1);
        assert_eq!(agrees(&format!(" [ {PLAIN} , {PLAIN}\n] ")).unwrap().len(), 2);
        assert_eq!(agrees("[]").unwrap().len(), 0);
        assert_eq!(agrees(&PLAIN.replace("0000,", "0000.00,")).unwrap()[0].ts_ms, 1_750_000_000_000);
        for (from, to) in [
            ("\"m\"", r#""a\u0062""#),
            ("\"m\"", "7"),
            ("\"m\"", "\"\t\""),
            ("-0.125", "1e999"),
            ("-0.125", "01"),
            ("-0.125", "1."),
            ("-0.125", "+1"),
            ("-0.125", "NaN"),
            ("-0.125", "\"1\""),
            ("1750000000000", "1.5"),
            ("1750000000000", "1750000000000."),
            ("1750000000000", "1750000000000.000000000000000000001"),
            ("1750000000000", "-1"),
            ("1750000000000", "1e3"),
            ("1750000000000", "99999999999999999999"),
            ("\"metric\"", "\"service\""),
            ("\"metric\"", "\"other\""),
            ("true}", "true,}"),
            ("true}", "true}{}"),
            ("true}", "true"),
        ] {
            let changed = PLAIN.replacen(from, to, 1);
            assert!(changed != PLAIN && plain(&changed).is_none(), "{changed}");
        }
    }

    proptest! {
        #![proptest_config(ProptestConfig { cases: 4096, ..ProptestConfig::default() })]

        #[test]
        fn numbers_are_read_to_the_last_bit(
            number in r"-?(0|[1-9][0-9]{0,20})(\.[0-9]{1,20})?([eE][+-]?[0-9]{1,2})?",
            double in prop::num::f64::NORMAL | prop::num::f64::SUBNORMAL | prop::num::f64::ZERO,
        ) {
            let sample = |number: &str| {
                format!(r#"{{"service":"s","metric":"m","value":{number},"ts_ms":0}}"#)
            };
            prop_assert!(agrees(&sample(&number)).is_some());
            prop_assert!(agrees(&sample(&serde_json::to_string(&double).unwrap())).is_some());
        }

        #[test]
        fn damaged_text_is_never_read_as_something_else(
            damage in prop::collection::vec((0_usize..170, r#"["\\{}\[\],:0-9eE.n\-+a ]{0,2}"#, 0_usize..3), 1..4),
        ) {
            let mut text: Vec<char> = PLAIN.chars().collect();
            for (at, new, old) in damage {
                let at = at.min(text.len());
                let end = (at + old).min(text.len());
                text.splice(at..end, new.chars());
            }
            agrees(&text.into_iter().collect::<String>());
        }
    }
}
