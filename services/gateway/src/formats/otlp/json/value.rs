//! Attributes and resources.

use opentelemetry_proto::tonic::common::v1::any_value::Value;
use opentelemetry_proto::tonic::common::v1::{AnyValue, ArrayValue, KeyValue, KeyValueList};
use opentelemetry_proto::tonic::resource::v1 as resources;
use serde::Deserialize;

use super::scalar::{Double, Int, Text};
use super::{List, all};

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Resource {
    attributes: List<Attribute>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Attribute {
    key: Option<Text>,
    value: Option<Any>,
}

/// A value. Of one that has several types, which none should, one wins.
#[derive(Debug, Default, Deserialize)]
#[serde(default)]
pub(super) struct Any {
    #[serde(rename = "stringValue", alias = "string_value")]
    string: Option<String>,
    #[serde(rename = "boolValue", alias = "bool_value")]
    bool: Option<bool>,
    #[serde(rename = "intValue", alias = "int_value")]
    int: Option<Int<i64>>,
    #[serde(rename = "doubleValue", alias = "double_value")]
    double: Option<Double>,
    #[serde(rename = "arrayValue", alias = "array_value")]
    array: Option<Array>,
    #[serde(rename = "kvlistValue", alias = "kvlist_value")]
    map: Option<Map>,
    /// Base64, and shown as that.
    #[serde(rename = "bytesValue", alias = "bytes_value")]
    bytes: Option<String>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Array {
    values: List<Any>,
}

#[derive(Debug, Default, Deserialize)]
#[serde(default)]
struct Map {
    values: List<Attribute>,
}

impl From<Any> for AnyValue {
    fn from(read: Any) -> Self {
        let value = match read {
            Any { string: Some(text), .. } | Any { bytes: Some(text), .. } => Some(Value::StringValue(text)),
            Any { bool: Some(value), .. } => Some(Value::BoolValue(value)),
            Any { int: Some(number), .. } => Some(Value::IntValue(number.0)),
            Any { double: Some(number), .. } => Some(Value::DoubleValue(number.0)),
            Any { array: Some(array), .. } => {
                Some(Value::ArrayValue(ArrayValue { values: all(array.values) }))
            }
            Any { map: Some(map), .. } => Some(Value::KvlistValue(KeyValueList { values: all(map.values) })),
            Any { .. } => None,
        };
        Self { value }
    }
}

impl From<Attribute> for KeyValue {
    fn from(read: Attribute) -> Self {
        Self {
            key: read.key.map(|key| key.0).unwrap_or_default(),
            value: read.value.map(Into::into),
            ..Self::default()
        }
    }
}

pub(super) fn attributes(list: List<Attribute>) -> Vec<KeyValue> {
    all(list)
}

pub(super) fn resource(read: Option<Resource>) -> Option<resources::Resource> {
    read.map(|read| resources::Resource {
        attributes: all(read.attributes),
        ..resources::Resource::default()
    })
}
