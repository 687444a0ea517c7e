//! What a reader takes, read from its JSON Schema. Covers what is generated from the types; anything else in a schema is
//! a panic, so that nothing is passed over.

use std::collections::{BTreeMap, BTreeSet};

use serde_json::{Map, Value};

/// What a reader takes in one place.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Shape {
    /// A string, number or boolean: its JSON type, its format (`date-time`, `uint32`, ...) and its least value.
    Plain { kind: String, format: Option<String>, least: Option<i64> },
    /// One of some words.
    Word(BTreeSet<String>),
    /// Something or null.
    Optional(Box<Shape>),
    /// Any number of one thing.
    List(Box<Shape>),
    /// Names of the writer's choice.
    Map(Box<Shape>),
    /// Named fields.
    Object(Object),
    /// Named fields, depending on a word in one of them.
    Tagged { tag: String, variants: BTreeMap<String, Object> },
}

/// Named fields. Unknown ones are ignored.
pub(crate) type Object = BTreeMap<String, Field>;

/// One field of an object.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Field {
    pub(crate) shape: Shape,
    pub(crate) required: bool,
    /// What is assumed where it is absent.
    pub(crate) default: Option<Value>,
}

impl Shape {
    /// Reads a whole schema.
    pub(crate) fn of(schema: &Value) -> Self {
        let definitions = schema.get("$defs").cloned().unwrap_or_default();
        Self::read(schema, &definitions)
    }

    fn read(schema: &Value, definitions: &Value) -> Self {
        let schema = schema.as_object().unwrap_or_else(|| panic!("not a schema: {schema}"));
        for keyword in schema.keys() {
            let known = [
                "$schema",
                "$defs",
                "$ref",
                "title",
                "description",
                "default",
                "type",
                "format",
                "minimum",
                "const",
                "enum",
                "oneOf",
                "anyOf",
                "items",
                "properties",
                "required",
                "additionalProperties",
            ];
            assert!(
                known.contains(&keyword.as_str()),
                "a schema says {keyword:?}, which this test cannot judge yet"
            );
        }
        if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
            let name = name.strip_prefix("#/$defs/").unwrap();
            return Self::read(&definitions[name], definitions);
        }
        if let Some(variants) = schema.get("oneOf") {
            return Self::choice(variants.as_array().unwrap(), definitions);
        }
        if let Some(either) = schema.get("anyOf") {
            let [some, none] = &either.as_array().unwrap()[..] else { panic!("more than two: {either}") };
            assert_eq!(none["type"], "null", "either one thing or another: {either}");
            return Self::Optional(Box::new(Self::read(some, definitions)));
        }
        if schema.contains_key("const") || schema.contains_key("enum") {
            return Self::Word(words(schema));
        }
        match &schema["type"] {
            Value::Array(kinds) => {
                let [some, none] = &kinds[..] else { panic!("more than two: {kinds:?}") };
                assert_eq!(none, "null");
                let mut inner = schema.clone();
                inner.insert("type".to_owned(), some.clone());
                Self::Optional(Box::new(Self::read(&Value::Object(inner), definitions)))
            }
            kind if kind == "object" => match schema.get("additionalProperties") {
                Some(values) => Self::Map(Box::new(Self::read(values, definitions))),
                None => Self::Object(object(schema, definitions)),
            },
            kind if kind == "array" => Self::List(Box::new(Self::read(&schema["items"], definitions))),
            kind => Self::Plain {
                kind: kind.as_str().unwrap().to_owned(),
                format: schema.get("format").and_then(Value::as_str).map(str::to_owned),
                least: schema.get("minimum").and_then(Value::as_i64),
            },
        }
    }

    /// An enum: of words, or of objects that one of their fields tells apart.
    fn choice(variants: &[Value], definitions: &Value) -> Self {
        let variants: Vec<&Map<String, Value>> =
            variants.iter().map(|one| one.as_object().unwrap()).collect();
        if variants.iter().all(|variant| variant["type"] == "string") {
            return Self::Word(variants.into_iter().flat_map(words).collect());
        }
        let fixed = |field: &Value| field.get("const").and_then(Value::as_str).map(str::to_owned);
        let first = variants[0]["properties"].as_object().unwrap();
        let tag = first.iter().find(|(_, field)| fixed(field).is_some()).unwrap().0.clone();
        let variants = variants.into_iter().map(|variant| {
            let mut fields = object(variant, definitions);
            fields.remove(&tag);
            (fixed(&variant["properties"][&tag]).unwrap(), fields)
        });
        Self::Tagged { variants: variants.collect(), tag }
    }

    /// Returns why a reader of this shape refuses a value; none if it takes it.
    pub(crate) fn refusal(&self, value: &Value) -> Option<String> {
        match self {
            Self::Plain { kind, format, least } => {
                let whole = value.is_i64() || value.is_u64();
                let right = match kind.as_str() {
                    "string" => value.is_string(),
                    "number" => value.is_number(),
                    "integer" => {
                        whole && least.is_none_or(|least| value.as_i64().is_none_or(|it| it >= least))
                    }
                    "boolean" => value.is_boolean(),
                    other => panic!("a schema has the type {other:?}, which this test cannot judge yet"),
                };
                let right = right && format.as_deref().is_none_or(|format| fits(format, value));
                (!right).then(|| format!("{value} is no {}", format.as_ref().unwrap_or(kind)))
            }
            Self::Word(words) => {
                let known = value.as_str().is_some_and(|word| words.contains(word));
                (!known).then(|| format!("{value} is none of {words:?}"))
            }
            Self::Optional(inner) => {
                if value.is_null() {
                    None
                } else {
                    inner.refusal(value)
                }
            }
            Self::List(inner) => match value.as_array() {
                None => Some(format!("{value} is no array")),
                Some(items) => items.iter().find_map(|item| inner.refusal(item)),
            },
            Self::Map(inner) => match value.as_object() {
                None => Some(format!("{value} is no object")),
                Some(entries) => entries.values().find_map(|entry| inner.refusal(entry)),
            },
            Self::Object(fields) => refusal_of(fields, value),
            Self::Tagged { tag, variants } => match value.get(tag).and_then(Value::as_str) {
                None => Some(format!("{tag} is missing")),
                Some(word) => match variants.get(word) {
                    None => Some(format!("{tag} {word:?} is none of {:?}", variants.keys())),
                    Some(fields) => refusal_of(fields, value),
                },
            },
        }
    }
}

fn refusal_of(fields: &Object, value: &Value) -> Option<String> {
    let Some(found) = value.as_object() else { return Some(format!("{value} is no object")) };
    fields.iter().find_map(|(name, field)| match found.get(name) {
        None => field.required.then(|| format!("{name} is missing")),
        Some(inner) => field.shape.refusal(inner).map(|why| format!("{name}: {why}")),
    })
}

fn fits(format: &str, value: &Value) -> bool {
    let text = value.as_str().unwrap_or_default();
    match format {
        "date-time" => text.parse::<jiff::Timestamp>().is_ok(),
        "date" => text.parse::<jiff::civil::Date>().is_ok(),
        "uuid" => text.parse::<shared::ids::EventId>().is_ok(),
        "uint32" => value.as_u64().is_some_and(|number| u32::try_from(number).is_ok()),
        "uint64" => value.is_u64(),
        "int64" => value.is_i64(),
        "double" => true,
        other => panic!("a schema has the format {other:?}, which this test cannot judge yet"),
    }
}

fn object(schema: &Map<String, Value>, definitions: &Value) -> Object {
    let required: Vec<&str> = schema
        .get("required")
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
        .filter_map(Value::as_str)
        .collect();
    let fields = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
    fields
        .map(|(name, field)| {
            let shape = Shape::read(field, definitions);
            let required = required.contains(&name.as_str());
            (name.clone(), Field { shape, required, default: field.get("default").cloned() })
        })
        .collect()
}

fn words(schema: &Map<String, Value>) -> BTreeSet<String> {
    let listed = schema.get("enum").and_then(Value::as_array).into_iter().flatten();
    listed.chain(schema.get("const")).map(|word| word.as_str().unwrap().to_owned()).collect()
}
