//! Samples as they lie in a record: borrowed from its payload wherever JSON allows it.

mod detail;
mod fast_json;
mod lenient;

use std::borrow::Cow;
use std::fmt;
use std::ops::Range;

use serde::de::{Deserializer, Error, Visitor};
use serde::{Deserialize, de::IgnoredAny};
use shared::events::raw::{NoEventTime, TimeUnit, event_time, whole};
use shared::events::{MAX_PAYLOAD, Refusal};

pub use detail::Detail;
use fast_json::Plain;
pub use lenient::Source;
use lenient::{elements, without_bare_words};

/// Largest magnitude that is accepted; beyond it sums could overflow.
const MAX_MAGNITUDE: f64 = 1e30;

/// Longest name, bytes.
const MAX_NAME_BYTES: usize = 256;
/// Length from which a record is no tick, bytes.
const MAX_TICK_BYTES: usize = 16;
/// Reasons that are spelled out for one record.
const MAX_REASONS: usize = 5;
/// Words for a value that is no finite number, besides `null`: bare or in quotes, with a sign or without. Writers that
/// follow ECMAScript, Python, Go, Java or Prometheus use them.
const NO_NUMBERS: [&str; 7] = ["NaN", "nan", "NAN", "Infinity", "Inf", "inf", "INF"];

/// One sample. The fields and their rules are those of [`shared::events::MetricSample`].
#[derive(Debug, Deserialize)]
pub struct Sample<'a> {
    /// Service that was measured.
    #[serde(borrow)]
    pub service: Cow<'a, str>,
    /// Metric name.
    #[serde(borrow)]
    pub metric: Cow<'a, str>,
    /// Value; not a number where it is missing.
    #[serde(deserialize_with = "number")]
    pub value: f64,
    /// Event time, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "whole")]
    pub ts_ms: i64,
    #[serde(borrow, default)]
    environment: Option<Text<'a>>,
    #[serde(borrow, default)]
    unit: Option<Text<'a>>,
    /// What else it holds; nothing where that is all.
    #[serde(skip)]
    detail: Option<Box<Detail<'a>>>,
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
            detail: None,
        }
    }

    /// Reads what else it holds from the text of its element.
    fn read_detail(&mut self, element: &'a [u8]) -> Result<(), Fault> {
        let detail = Detail::read(element)?;
        self.detail = (!detail.is_empty()).then(|| Box::new(detail));
        Ok(())
    }

    /// Returns its labels and whatever else it holds, if there is anything.
    pub fn detail(&self) -> Option<&Detail<'a>> {
        self.detail.as_deref()
    }

    /// Returns the environment.
    pub fn environment(&self) -> &str {
        self.environment.as_ref().map_or("production", |text| &text.0)
    }

    /// Returns the unit, or an empty string.
    pub fn unit(&self) -> &str {
        self.unit.as_ref().map_or("", |text| &text.0)
    }

    /// Returns whether it says that there is no value.
    pub fn is_missing(&self) -> bool {
        self.value.is_nan()
    }

    fn validate(&self) -> Result<(), Fault> {
        for (field, name) in
            [("service", &*self.service), ("metric", &*self.metric), ("environment", self.environment())]
        {
            named(field, name)?;
        }
        if self.unit().len() > MAX_NAME_BYTES {
            return Err(format!("unit is longer than {MAX_NAME_BYTES} bytes").into());
        }
        // serde_json refuses 1e999
        if self.value.abs() > MAX_MAGNITUDE {
            return Err(format!("value is beyond {MAX_MAGNITUDE:e}").into());
        }
        event_time(self.ts_ms)?;
        self.detail.as_ref().map_or(Ok(()), |detail| detail.validate())
    }
}

/// Why an element is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Fault {
    /// Unit of its time, if that is what is wrong.
    pub time_unit: Option<TimeUnit>,
    is_malformed: bool,
    reason: String,
}

impl From<String> for Fault {
    fn from(reason: String) -> Self {
        Self { time_unit: None, is_malformed: false, reason }
    }
}

impl From<Fault> for Refusal {
    fn from(fault: Fault) -> Self {
        if fault.is_malformed {
            Self::Malformed(serde_json::Error::custom(fault.reason))
        } else {
            Self::Invalid(fault.reason)
        }
    }
}

impl From<NoEventTime> for Fault {
    fn from(error: NoEventTime) -> Self {
        let time_unit = match error {
            NoEventTime::Unit(unit) => Some(unit),
            NoEventTime::Other => None,
        };
        Self { time_unit, ..error.to_string().into() }
    }
}

impl From<serde_json::Error> for Fault {
    fn from(error: serde_json::Error) -> Self {
        Self { is_malformed: true, ..error.to_string().into() }
    }
}

/// One element of a record, as it is handed on.
#[derive(Debug)]
pub enum Element<'a> {
    /// A sample that keeps the rules. Its value may be missing.
    Sample(&'a Sample<'a>),
    /// One that is refused, and who sent it, where that can be read.
    Refused(Option<Source<'a>>, &'a Fault),
}

/// Reads a number, or one of the ways to write that there is none.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<f64, D::Error> {
    struct Number;

    impl Visitor<'_> for Number {
        type Value = f64;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a number")
        }

        fn visit_f64<E: Error>(self, number: f64) -> Result<f64, E> {
            Ok(number)
        }

        fn visit_i64<E: Error>(self, number: i64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_u64<E: Error>(self, number: u64) -> Result<f64, E> {
            Ok(number as f64)
        }

        fn visit_unit<E: Error>(self) -> Result<f64, E> {
            Ok(f64::NAN)
        }

        fn visit_str<E: Error>(self, text: &str) -> Result<f64, E> {
            if NO_NUMBERS.contains(&text.trim_start_matches(['+', '-'])) {
                Ok(f64::NAN)
            } else {
                Err(E::invalid_type(serde::de::Unexpected::Str(text), &self))
            }
        }
    }

    deserializer.deserialize_any(Number)
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
    /// Reads a record, which holds one sample or an array of them, and hands each element to `take`.
    ///
    /// If some elements of an array are bad, the good ones are used and the record is refused once, with the reasons.
    pub fn read(&mut self, payload: &[u8], mut take: impl FnMut(Element<'_>)) -> Result<(), Refusal> {
        if let Err(refusal) = sized(payload) {
            take(Element::Refused(Source::find(payload), &refusal.to_string().into()));
            return Err(refusal);
        }
        self.plain.clear();
        let text = str::from_utf8(payload).ok();
        let Some(text) = text.filter(|text| fast_json::read(text, &mut self.plain).is_some()) else {
            return read(payload, take);
        };
        let is_array = text.trim_start().starts_with('[');
        let mut refused = Reasons::default();
        for (index, plain) in self.plain.iter().enumerate() {
            let mut sample = Sample::of(text, plain);
            let is_plain = plain.detail == fast_json::NOWHERE;
            let detailed =
                if is_plain { Ok(()) } else { sample.read_detail(&text.as_bytes()[plain.detail.clone()]) };
            let Err(fault) = detailed.and_then(|()| sample.validate()) else {
                take(Element::Sample(&sample));
                continue;
            };
            let source = Source::of(&sample.service, sample.environment());
            take(Element::Refused(source, &fault));
            if !is_array {
                return Err(fault.into());
            }
            refused.add(index, &fault.reason);
        }
        refused.result(self.plain.len())
    }
}

/// Reads a record that may be written in any way JSON allows, by serde_json alone. [`Reader`] reads it alike.
pub fn read(payload: &[u8], mut take: impl FnMut(Element<'_>)) -> Result<(), Refusal> {
    if payload.iter().find(|byte| !byte.is_ascii_whitespace()) != Some(&b'[') {
        return element(payload, &mut take).map_err(Refusal::from);
    }
    // one that is bad must not spoil the others, whatever is wrong with it
    let Some(elements) = elements(payload) else {
        let error = serde_json::from_slice::<IgnoredAny>(payload).err();
        let refusal =
            error.map_or_else(|| Refusal::Invalid("the array does not end".to_owned()), Refusal::Malformed);
        take(Element::Refused(Source::find(payload), &refusal.to_string().into()));
        return Err(refusal);
    };
    let mut refused = Reasons::default();
    for (index, one) in elements.iter().enumerate() {
        if let Err(fault) = element(one, &mut take) {
            refused.add(index, &fault.reason);
        }
    }
    refused.result(elements.len())
}

/// Reads one element and hands it to `take`. Returns why it is refused, if it is.
fn element(text: &[u8], take: &mut impl FnMut(Element<'_>)) -> Result<(), Fault> {
    let read = match whole_element(text) {
        Ok(sample) => sample.validate().map(|()| take(Element::Sample(&sample))),
        Err(error) => match without_bare_words(text) {
            Some(text) => whole_element(&text)
                .and_then(|sample| sample.validate().map(|()| take(Element::Sample(&sample)))),
            None => Err(error),
        },
    };
    read.inspect_err(|fault| take(Element::Refused(Source::find(text), fault)))
}

fn whole_element(text: &[u8]) -> Result<Sample<'_>, Fault> {
    let mut sample: Sample<'_> = serde_json::from_slice(text)?;
    sample.read_detail(text)?;
    Ok(sample)
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
        let result = Reader::default().read(payload.as_bytes(), |element| {
            if let Element::Sample(sample) = element {
                values.push(sample.value);
            }
        });
        (values, result.map_err(|refusal| refusal.to_string()))
    }

    /// Returns who sent each element that is refused, and the unit of its time if that is why.
    fn refused(payload: &str) -> Vec<(String, Option<TimeUnit>)> {
        let mut refused = Vec::new();
        let result = Reader::default().read(payload.as_bytes(), |element| {
            if let Element::Refused(source, fault) = element {
                let name = source
                    .map_or(String::new(), |source| format!("{}/{}", source.environment, source.service));
                refused.push((name, fault.time_unit));
            }
        });
        assert_eq!(result.is_err(), !refused.is_empty());
        refused
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
        for value in ["1e999", "-1e999", "1e101", "true", "[1]", "\"1\"", "\"n/a\"", "1.2.3", "None", "", "-"]
        {
            let (used, result) = values(&one(value));
            assert!(used.is_empty() && result.is_err(), "{value} passed");
        }
    }

    #[test]
    fn good_elements_of_an_array_are_used_and_the_bad_ones_named() {
        for bad in ["\"none\"", "1.2.3", "undefined", "\"a\\\"],[{\"", "1e999", "{}", "[[]]"] {
            let payload = format!(r#"[{},{{"service":"user"}},{},{}]"#, one("1"), one(bad), one("4"));
            let (used, result) = values(&payload);
            assert_eq!(used, [1.0, 4.0], "{bad}");
            let reason = result.unwrap_err();
            assert!(reason.contains("2 of 4 samples refused: [1] missing field `metric`"), "{reason}");
        }
    }

    #[test]
    fn a_value_that_is_said_to_be_missing_is_no_fault() {
        for word in ["null", "NaN", "nan", "Infinity", "-Infinity", "+Inf", "inf", "\"NaN\"", "\"-Inf\""] {
            for named in [one(word), one(word).replace("user", "us\\u0065r")] {
                let (used, result) = values(&format!("[{},{named}]", one("1")));
                assert!(result.is_ok() && used[0] == 1.0 && used[1].is_nan(), "{named}");
            }
        }
        // what is inside a string is text
        assert_eq!(values(&one("NaN").replace("user", "a: NaN, b")).1, Ok(()));
        assert!(values(&one("NaNs")).1.is_err() && values(&one("xNaN")).1.is_err());
    }

    #[test]
    fn a_time_is_whole_in_any_spelling_and_its_unit_is_named_otherwise() {
        for time in ["1750000000000.0", "1750000000000.000", "1.75e12"] {
            assert_eq!(values(&one("1").replace("1750000000000", time)), (vec![1.0], Ok(())), "{time}");
        }
        for (time, unit) in [
            ("1750000000", TimeUnit::Seconds),
            ("1750000000.25", TimeUnit::Seconds),
            ("1750000000000000", TimeUnit::Microseconds),
            ("1750000000000000000", TimeUnit::Nanoseconds),
            ("1.75e18", TimeUnit::Nanoseconds),
        ] {
            let payload = one("1").replace("1750000000000", time);
            assert_eq!(refused(&payload), [("production/user".to_owned(), Some(unit))], "{time}");
            let reason = values(&payload).1.unwrap_err();
            assert!(reason.contains(unit.name()), "{reason}");
        }
    }

    #[test]
    fn who_sent_what_is_refused_is_read_where_it_can_be() {
        let sent_by =
            |payload: &str| refused(payload).into_iter().map(|(source, _)| source).collect::<Vec<_>>();
        assert_eq!(sent_by(&one("\"x\"")), ["production/user"]);
        assert_eq!(sent_by(r#"{"service": "cart" , "environment":"test", "value": 1.2.3"#), ["test/cart"]);
        assert_eq!(sent_by(&format!("[{},{}]", one("1"), one("[")).replace("[,", "[")), ["production/user"]);
        assert_eq!(sent_by("{\"metric\":\"m\"}"), [""]);
        assert_eq!(sent_by(r#"{"service":7}"#), [""]);
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
        for broken in [&b"[{]"[..], b"[}", b"[\"", b"[\xff,1]", b"{\"service\":\"\xff\"}", b"[,,,]"] {
            assert!(Reader::default().read(broken, |_| ()).is_err());
        }
        let deep = "[".repeat(100_000);
        assert!(values(&deep).1.is_err());
    }
}
