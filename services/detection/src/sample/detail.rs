//! What a sample may hold besides service, metric, value and time: labels, what its number is, and buckets.

use std::borrow::Cow;
use std::fmt;

use serde::Deserialize;
use serde::de::{Deserializer, IgnoredAny, MapAccess, Visitor};
use shared::events::raw::{Histogram, Instrument, Temporality, event_time, whole};

use super::Fault;

/// Most labels of a sample.
const MAX_LABELS: usize = 64;
/// Longest name or value of a label, bytes.
const MAX_LABEL_BYTES: usize = 1024;

/// Labels with their values.
pub(crate) type Labels<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Labels of a sample and whatever else it holds. The fields and their rules are those of [`shared::events::MetricSample`].
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub struct Detail<'a> {
    /// Labels with their values, in the order of their names.
    #[serde(borrow, deserialize_with = "labels")]
    pub labels: Labels<'a>,
    /// What the number is; nothing where the name has to tell.
    pub instrument: Option<Instrument>,
    /// Since when it counts; since its start where that is not said.
    pub temporality: Option<Temporality>,
    /// When it began to count, milliseconds since the Unix epoch.
    #[serde(deserialize_with = "optional_time")]
    pub start_ms: Option<i64>,
    /// Values that were counted in buckets.
    pub histogram: Option<Histogram>,
}

impl<'a> Detail<'a> {
    /// Reads it from the text of an element; other fields are passed over.
    pub(super) fn read(element: &'a [u8]) -> Result<Self, Fault> {
        serde_json::from_slice(element).map_err(Fault::from)
    }

    /// Returns whether it says nothing.
    pub(super) fn is_empty(&self) -> bool {
        self.labels.is_empty()
            && self.instrument.is_none()
            && self.temporality.is_none()
            && self.start_ms.is_none()
            && self.histogram.is_none()
    }

    /// Returns the value of a label.
    pub fn label(&self, name: &str) -> Option<&str> {
        self.labels.iter().find(|(label, _)| label == name).map(|(_, value)| &**value)
    }

    pub(super) fn validate(&self) -> Result<(), Fault> {
        if self.labels.len() > MAX_LABELS {
            return Err(format!("it has more than {MAX_LABELS} labels").into());
        }
        let is_long = |text: &Cow<'_, str>| text.len() > MAX_LABEL_BYTES;
        if let Some((label, _)) = self.labels.iter().find(|(label, value)| is_long(label) || is_long(value)) {
            let name: String = label.chars().filter(|letter| !letter.is_control()).take(64).collect();
            return Err(
                format!("the label {name:?} or its value is longer than {MAX_LABEL_BYTES} bytes").into()
            );
        }
        if let Some(start_ms) = self.start_ms {
            event_time(start_ms)
                .map_err(|error| Fault::from(error.to_string().replace("ts_ms", "start_ms")))?;
        }
        match &self.histogram {
            Some(histogram) => histogram.validate().map_err(|refusal| Fault::from(refusal.to_string())),
            None => Ok(()),
        }
    }
}

fn optional_time<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<i64>, D::Error> {
    #[derive(Deserialize)]
    struct Whole(#[serde(deserialize_with = "whole")] i64);

    Ok(Option::<Whole>::deserialize(deserializer)?.map(|Whole(ms)| ms))
}

/// The value of a label as text; nothing where it has none.
struct LabelValue<'a>(Option<Cow<'a, str>>);

impl<'de: 'a, 'a> Deserialize<'de> for LabelValue<'a> {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct Any;

        impl<'de> Visitor<'de> for Any {
            type Value = LabelValue<'de>;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("the value of a label")
            }

            fn visit_borrowed_str<E>(self, text: &'de str) -> Result<Self::Value, E> {
                Ok(LabelValue(Some(Cow::Borrowed(text))))
            }

            fn visit_str<E>(self, text: &str) -> Result<Self::Value, E> {
                Ok(LabelValue(Some(Cow::Owned(text.to_owned()))))
            }

            fn visit_bool<E>(self, is_set: bool) -> Result<Self::Value, E> {
                Ok(LabelValue(Some(Cow::Borrowed(if is_set { "true" } else { "false" }))))
            }

            fn visit_i64<E>(self, number: i64) -> Result<Self::Value, E> {
                Ok(LabelValue(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_u64<E>(self, number: u64) -> Result<Self::Value, E> {
                Ok(LabelValue(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_f64<E>(self, number: f64) -> Result<Self::Value, E> {
                Ok(LabelValue(Some(Cow::Owned(number.to_string()))))
            }

            fn visit_unit<E>(self) -> Result<Self::Value, E> {
                Ok(LabelValue(None))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
                while map.next_entry::<IgnoredAny, IgnoredAny>()?.is_some() {}
                Ok(LabelValue(None))
            }

            fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
                while list.next_element::<IgnoredAny>()?.is_some() {}
                Ok(LabelValue(None))
            }
        }

        deserializer.deserialize_any(Any)
    }
}

/// Reads labels by name, sorted; those without a value are left out.
fn labels<'de: 'a, 'a, D: Deserializer<'de>>(deserializer: D) -> Result<Labels<'a>, D::Error> {
    struct ByName;

    impl<'de> Visitor<'de> for ByName {
        type Value = Labels<'de>;

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("labels by name")
        }

        fn visit_unit<E>(self) -> Result<Self::Value, E> {
            Ok(Vec::new())
        }

        fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<Self::Value, A::Error> {
            let mut labels = Vec::new();
            while let Some((Name(name), LabelValue(value))) =
                map.next_entry::<Name<'de>, LabelValue<'de>>()?
            {
                labels.extend(value.filter(|value| !value.is_empty()).map(|value| (name, value)));
            }
            labels.sort_unstable();
            labels.dedup_by(|(later, _), (first, _)| later == first);
            Ok(labels)
        }
    }

    #[derive(Deserialize)]
    struct Name<'a>(#[serde(borrow)] Cow<'a, str>);

    deserializer.deserialize_any(ByName)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_sorted_and_their_values_are_text() {
        let text = br#"{"service":"user","labels":{"pod":"a-1","code":500,"ok":true,"no":null,"deep":{"a":[1]},"e":"\u0041","x":""}}"#;
        let detail = Detail::read(text).unwrap();
        let labels: Vec<(&str, &str)> =
            detail.labels.iter().map(|(name, value)| (&**name, &**value)).collect();
        assert_eq!(labels, [("code", "500"), ("e", "A"), ("ok", "true"), ("pod", "a-1")]);
        assert!(Detail::read(br#"{"labels":null,"start_ms":null}"#).unwrap().is_empty());
    }

    #[test]
    fn what_breaks_the_rules_is_refused() {
        for broken in [
            r#"{"labels":["a"]}"#,
            r#"{"instrument":"tuba"}"#,
            r#"{"histogram":{"bounds":[2,1],"counts":[0,0,0]}}"#,
            r#"{"histogram":{"bounds":[1],"counts":[0,-1]}}"#,
            r#"{"histogram":{"bounds":[1],"counts":[0]}}"#,
            r#"{"start_ms":5}"#,
        ] {
            let read = Detail::read(broken.as_bytes()).and_then(|detail| detail.validate());
            assert!(read.is_err(), "{broken}");
        }
        let long = format!(r#"{{"labels":{{"a":"{}"}}}}"#, "x".repeat(2000));
        assert!(Detail::read(long.as_bytes()).unwrap().validate().is_err());
    }
}
