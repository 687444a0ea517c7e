//! Attributes: their values as text, and what those of a resource say.

use std::borrow::Cow;

use base64::Engine as _;
use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, KeyValue};
use opentelemetry_proto::tonic::resource::v1::Resource;

use crate::identity::Rules;

/// A label.
pub(super) type Label<'a> = (Cow<'a, str>, Cow<'a, str>);

/// Longest text of an attribute that is an array or a map, bytes.
pub(super) const MAX_TEXT: usize = 4_096;
/// Deepest nesting that is written.
const MAX_DEPTH: usize = 16;

/// Whom a resource is of.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Origin<'a> {
    /// Service; none where nothing names one.
    pub(super) service: Option<&'a str>,
    /// Environment.
    pub(super) environment: &'a str,
    /// Which replica it is.
    pub(super) labels: Vec<Label<'a>>,
}

impl<'a> Origin<'a> {
    pub(super) fn of(resource: Option<&'a Resource>, rules: &'a Rules) -> Self {
        let attributes = resource.map_or(&[][..], |resource| &resource.attributes);
        let named = |name: &str| attributes.iter().find(|one| one.key == name);
        let label = |name: &str| named(name).and_then(string);
        let labels = rules.resource_labels.iter().filter_map(|name| {
            let found = named(name)?;
            Some((Cow::Borrowed(&*found.key), text(found.value.as_ref()?, MAX_TEXT)))
        });
        Self {
            service: rules.service(label),
            environment: rules.environment(label),
            labels: labels.filter(|(_, value)| !value.is_empty()).collect(),
        }
    }
}

/// Says that a resource names no service.
pub(super) const NO_SERVICE: &str =
    "the resource names no service; set service.name (OTEL_SERVICE_NAME), or gateway.identity.service_labels";

/// Returns an attribute that is a text.
pub(super) fn string(attribute: &KeyValue) -> Option<&str> {
    match attribute.value.as_ref()?.value.as_ref()? {
        Value::StringValue(value) => Some(value),
        _ => None,
    }
}

/// Returns the attribute of a name, if it is a text and not empty.
pub(super) fn find<'a>(attributes: &'a [KeyValue], name: &str) -> Option<&'a str> {
    attributes.iter().find(|one| one.key == name).and_then(string).filter(|value| !value.is_empty())
}

/// Returns attributes as labels, after those in front.
pub(super) fn labels<'a>(front: &[Label<'a>], attributes: &'a [KeyValue]) -> Vec<Label<'a>> {
    let own = attributes.iter().filter_map(|one| {
        Some((Cow::Borrowed(&*one.key), one.value.as_ref().map(|value| text(value, MAX_TEXT))?))
    });
    front.iter().cloned().chain(own).collect()
}

/// Returns a value as text: arrays and maps as JSON, bytes as base64. One of more than `limit` bytes is cut.
pub(super) fn text(value: &AnyValue, limit: usize) -> Cow<'_, str> {
    match &value.value {
        None => Cow::Borrowed(""),
        Some(Value::StringValue(text)) => Cow::Borrowed(&text[..text.floor_char_boundary(limit)]),
        Some(Value::BoolValue(value)) => Cow::Borrowed(if *value { "true" } else { "false" }),
        Some(Value::IntValue(number)) => Cow::Owned(number.to_string()),
        Some(Value::DoubleValue(number)) => Cow::Owned(number.to_string()),
        Some(Value::BytesValue(bytes)) => {
            Cow::Owned(base64::engine::general_purpose::STANDARD.encode(&bytes[..bytes.len().min(limit)]))
        }
        Some(_) => {
            let mut out = String::new();
            write_json(value, limit, MAX_DEPTH, &mut out);
            out.truncate(out.floor_char_boundary(limit));
            Cow::Owned(out)
        }
    }
}

/// Writes a value as JSON, until there is more than `limit`.
fn write_json(value: &AnyValue, limit: usize, depth: usize, out: &mut String) {
    if out.len() > limit {
        return;
    }
    match &value.value {
        Some(Value::StringValue(text)) => out.push_str(&quoted(text, limit)),
        Some(Value::BoolValue(value)) => out.push_str(if *value { "true" } else { "false" }),
        Some(Value::IntValue(number)) => out.push_str(&number.to_string()),
        Some(Value::DoubleValue(number)) if number.is_finite() => out.push_str(&number.to_string()),
        Some(Value::BytesValue(_)) => out.push_str(&quoted(&text(value, limit), limit)),
        Some(Value::ArrayValue(array)) if depth > 0 => {
            write_all(&array.values, ['[', ']'], limit, out, |one, out| {
                write_json(one, limit, depth - 1, out);
            });
        }
        Some(Value::KvlistValue(list)) if depth > 0 => {
            write_all(&list.values, ['{', '}'], limit, out, |one, out| {
                out.push_str(&quoted(&one.key, limit));
                out.push(':');
                match &one.value {
                    Some(value) => write_json(value, limit, depth - 1, out),
                    None => out.push_str("null"),
                }
            });
        }
        _ => out.push_str("null"),
    }
}

fn write_all<T>(
    items: &[T],
    [open, close]: [char; 2],
    limit: usize,
    out: &mut String,
    write: impl Fn(&T, &mut String),
) {
    out.push(open);
    for (place, item) in items.iter().enumerate() {
        if out.len() > limit {
            break;
        }
        if place > 0 {
            out.push(',');
        }
        write(item, out);
    }
    out.push(close);
}

fn quoted(text: &str, limit: usize) -> String {
    serde_json::Value::from(&text[..text.floor_char_boundary(limit)]).to_string()
}

#[cfg(test)]
mod tests {
    use opentelemetry_proto::tonic::common::v1::{ArrayValue, KeyValueList};

    use super::*;

    fn any(value: Value) -> AnyValue {
        AnyValue { value: Some(value) }
    }

    #[test]
    fn values_of_every_type_are_text() {
        let list = any(Value::ArrayValue(ArrayValue {
            values: vec![any(Value::StringValue("a\"b".into())), any(Value::DoubleValue(f64::NAN))],
        }));
        let map = any(Value::KvlistValue(KeyValueList {
            values: vec![KeyValue { key: "k".into(), value: Some(list), ..KeyValue::default() }],
        }));
        for (value, shown) in [
            (any(Value::StringValue("x".into())), "x"),
            (any(Value::BoolValue(true)), "true"),
            (any(Value::IntValue(-3)), "-3"),
            (any(Value::DoubleValue(1.5)), "1.5"),
            (any(Value::BytesValue(vec![1, 2])), "AQI="),
            (map, r#"{"k":["a\"b",null]}"#),
            (AnyValue { value: None }, ""),
        ] {
            assert_eq!(text(&value, 100), shown);
        }
    }

    #[test]
    fn what_is_large_or_deep_is_cut() {
        let many = any(Value::ArrayValue(ArrayValue { values: vec![any(Value::IntValue(7)); 100_000] }));
        assert_eq!(text(&many, 100).len(), 100);
        let deep = (0..60).fold(any(Value::IntValue(1)), |inner, _| {
            any(Value::ArrayValue(ArrayValue { values: vec![inner] }))
        });
        assert!(text(&deep, 1_000).contains("null"));
    }
}
