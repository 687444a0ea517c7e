//! Samples as they lie in a record: borrowed from its payload wherever JSON allows it.

mod fast_json;

use std::borrow::Cow;
use std::ops::Range;

use serde::Deserialize;
use serde_json::value::RawValue;
use shared::events::{MAX_PAYLOAD, Refusal};

use fast_json::Plain;

/// Largest magnitude that is accepted; beyond it sums could overflow.
const MAX_MAGNITUDE: f64 = 1e30;

/// The year 2000. An earlier time is a clock that was never set, or seconds taken for milliseconds; as the first sample
/// of a series it would be taken for its normal.
const EARLIEST_MS: i64 = 946_684_800_000;
/// Longest name, bytes.
const MAX_NAME_BYTES: usize = 256;
/// Length from which a record is no tick, bytes.
const MAX_TICK_BYTES: usize = 16;
/// Reasons that are spelled out for one record.
const MAX_REASONS: usize = 5;

/// One sample. The fields and their rules are those of [`shared::events::MetricSample`].
#[derive(Debug, Deserialize)]
pub struct Sample<'a> {
    /// Service that was measured.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// Metric name.
    #[serde(borrow)]
    pub metric: Cow<'a, str>,
    /// Value.
    pub value: f64,
    /// Event time, milliseconds since the Unix epoch.
    pub ts_ms: i64,
    #[serde(borrow, default)]
    environment: Option<Text<'a>>,
    #[serde(borrow, default)]
    unit: Option<Text<'a>>,
}

/// A string behind an `Option`, where serde would not borrow by itself.
#[derive(Debug, Deserialize)]
struct Text<'a>(#[serde(borrow)] Cow<'a, str>);

impl<'a> Sample<'a> {
    fn of(text: &'a str, plain: &Plain) -> Self {
        let name = |range: &Range<usize>| Cow::Borrowed(&text[range.clone()]);
        let optional = |range: &Range<usize>| (*range != fast_json::NOWHERE).then(|| Text(name(range)));
        Self {
            service: name(&plain.service),
            metric: name(&plain.metric),
            value: plain.value,
            ts_ms: plain.ts_ms,
            environment: optional(&plain.environment),
            unit: optional(&plain.unit),
        }
    }

    /// Returns the environment.
    pub fn environment(&self) -> &str {
        self.environment.as_ref().map_or("production", |text| &text.0)
    }

    /// Returns the unit, or an empty string.
    pub fn unit(&self) -> &str {
        self.unit.as_ref().map_or("", |text| &text.0)
    }

    fn validate(&self) -> Result<(), String> {
        for (field, name) in
            [("service", &*self.service), ("metric", &*self.metric), ("environment", self.environment())]
        {
            named(field, name)?;
        }
        if self.unit().len() > MAX_NAME_BYTES {
            return Err(format!("unit is longer than {MAX_NAME_BYTES} bytes"));
        }
        // infinities cannot be written in JSON, and serde_json refuses 1e999
        if self.value.abs() > MAX_MAGNITUDE {
            return Err(format!("value is beyond {MAX_MAGNITUDE:e}"));
        }
        if self.ts_ms < EARLIEST_MS {
            return Err("ts_ms is before the year 2000; it counts milliseconds since 1970".to_owned());
        }
        Ok(())
    }
}

/// Refuses names that are empty, too long or not fit to be shown.
pub(crate) fn named(field: &str, name: &str) -> Result<(), String> {
    if name.is_empty() {
        Err(format!("{field} is empty"))
    } else if name.len() > MAX_NAME_BYTES {
        Err(format!("{field} is longer than {MAX_NAME_BYTES} bytes"))
    } else if name.bytes().any(|byte| !matches!(byte, b' '..=b'~')) && name.chars().any(char::is_control) {
        Err(format!("{field} has control characters"))
    } else {
        Ok(())
    }
}

/// Refuses what is not worth parsing.
pub(crate) fn sized(payload: &[u8]) -> Result<(), Refusal> {
    match payload.len() {
        0 => Err(Refusal::Empty),
        1..=MAX_PAYLOAD => Ok(()),
        long => Err(Refusal::TooLarge(long)),
    }
}

/// Returns whether a record is a tick: an array without samples, which only says that time has passed.
pub fn is_tick(payload: &[u8]) -> bool {
    payload.len() < MAX_TICK_BYTES && payload.trim_ascii() == b"[]"
}

/// Reads records. Keeps its working memory from one to the next.
#[derive(Debug, Default)]
pub struct Reader {
    plain: Vec<Plain>,
}

impl Reader {
    /// Reads a record, which holds one sample or an array of them, and hands each good sample to `take`.
    ///
    /// If some elements of an array are bad, the good ones are used and the record is refused once, with the reasons.
    pub fn read<'a>(&mut self, payload: &'a [u8], mut take: impl FnMut(&Sample<'a>)) -> Result<(), Refusal> {
        sized(payload)?;
        self.plain.clear();
        let text = str::from_utf8(payload).ok();
        let Some(text) = text.filter(|text| fast_json::read(text, &mut self.plain).is_some()) else {
            return read(payload, take);
        };
        let is_array = text.trim_start().starts_with('[');
        let mut refused = Reasons::default();
        for (index, plain) in self.plain.iter().enumerate() {
            let sample = Sample::of(text, plain);
            match sample.validate() {
                Ok(()) => take(&sample),
                Err(reason) if is_array => refused.add(index, &reason),
                Err(reason) => return Err(Refusal::Invalid(reason)),
            }
        }
        refused.result(self.plain.len())
    }
}

/// Reads a record that may be written in any way JSON allows, by serde_json alone. [`Reader`] reads it alike.
pub fn read<'a>(payload: &'a [u8], mut take: impl FnMut(&Sample<'a>)) -> Result<(), Refusal> {
    if payload.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        let sample: Sample<'a> = serde_json::from_slice(payload)?;
        sample.validate().map_err(Refusal::Invalid)?;
        take(&sample);
        return Ok(());
    }
    let mut refused = Reasons::default();
    // one that is bad must not spoil the others
    let elements: Vec<&'a RawValue> = serde_json::from_slice(payload)?;
    for (index, element) in elements.iter().enumerate() {
        let sample = serde_json::from_str::<Sample<'a>>(element.get()).map_err(|error| error.to_string());
        match sample.and_then(|sample| sample.validate().map(|()| sample)) {
            Ok(sample) => take(&sample),
            Err(reason) => refused.add(index, &reason),
        }
    }
    refused.result(elements.len())
}

/// What was wrong with the elements of one record.
#[derive(Default)]
struct Reasons {
    count: usize,
    first: Vec<String>,
}

impl Reasons {
    fn add(&mut self, index: usize, reason: &str) {
        self.count += 1;
        if self.first.len() < MAX_REASONS {
            self.first.push(format!("[{index}] {reason}"));
        }
    }

    fn result(self, of: usize) -> Result<(), Refusal> {
        if self.count == 0 {
            return Ok(());
        }
        let more = if self.count > self.first.len() { "; ..." } else { "" };
        let reasons = self.first.join("; ");
        Err(Refusal::Invalid(format!("{} of {of} samples refused: {reasons}{more}", self.count)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn values(payload: &str) -> (Vec<f64>, Result<(), String>) {
        let mut values = Vec::new();
        let result = Reader::default().read(payload.as_bytes(), |sample| values.push(sample.value));
        (values, result.map_err(|refusal| refusal.to_string()))
    }

    fn one(value: &str) -> String {
        format!(
            r#"{{"service":"user","metric":"m","value":{value},"ts_ms":1750000000000,"unit":null,"labels":{{"a":"b"}}}}"#
        )
    }

    #[test]
    fn one_object_and_an_array_are_read_alike() {
        assert_eq!(values(&one("1.5")), (vec![1.5], Ok(())));
        assert_eq!(values(&format!(" [{},{}]", one("1"), one("2"))), (vec![1.0, 2.0], Ok(())));
        assert_eq!(values("[]"), (vec![], Ok(())));
    }

    #[test]
    fn what_is_no_number_is_refused() {
        for value in ["NaN", "\"NaN\"", "null", "1e999", "-1e999", "1e101", "true", "[1]"] {
            let (used, result) = values(&one(value));
            assert!(used.is_empty() && result.is_err(), "{value} passed");
        }
    }

    #[test]
    fn good_elements_of_an_array_are_used_and_the_bad_ones_named() {
        let payload = format!(r#"[{},{{"service":"user"}},{},{}]"#, one("1"), one("null"), one("4"));
        let (used, result) = values(&payload);
        assert_eq!(used, [1.0, 4.0]);
        let reason = result.unwrap_err();
        assert!(reason.contains("2 of 4 samples refused: [1] missing field `metric`"), "{reason}");
    }

    #[test]
    fn hostile_records_are_refused_whole() {
        for payload in ["", "{", "[1", "\u{0}", "{\"service\":\"\"}", "7", "[[]]", "\"[\""] {
            assert!(values(payload).1.is_err(), "{payload:?} passed");
        }
        let long = "x".repeat(257);
        assert!(values(&one("1").replace("user", &long)).1.is_err());
        assert!(values(&one("1").replace("user", "us\\u0007er")).1.is_err());
        assert!(Reader::default().read(&vec![b' '; MAX_PAYLOAD + 1], |_| ()).is_err());
        let deep = "[".repeat(100_000);
        assert!(values(&deep).1.is_err());
    }
}
