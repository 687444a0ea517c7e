//! The comparison can fail: each kind of break is found, and where it is.

use serde_json::{Value, json};

use super::compare::{Difference, What, differences};
use super::kept;
use super::shape::Shape;

/// Changes a kept schema and compares it with itself.
fn after(kind: &str, change: impl FnOnce(&mut Value)) -> Vec<(String, What)> {
    let before = kept(kind, "schema.json");
    let mut today = before.clone();
    change(&mut today);
    assert_ne!(before, today, "nothing was changed");
    let found = differences(&Shape::of(&before), &Shape::of(&today));
    found.into_iter().map(|Difference { path, what }| (path, what)).collect()
}

fn at<'v>(schema: &'v mut Value, place: &str) -> &'v mut Value {
    schema.pointer_mut(place).unwrap_or_else(|| panic!("no {place}"))
}

fn array<'v>(schema: &'v mut Value, place: &str) -> &'v mut Vec<Value> {
    at(schema, place).as_array_mut().unwrap()
}

#[test]
#[expect(clippy::too_many_lines, reason = "data, written out")]
fn each_kind_of_break_is_found_where_it_is() {
    const INCIDENT: &str = "firewatch.incident.v1";
    const PLAN: &str = "firewatch.plan.v1";
    let found = |kind, change: fn(&mut Value), path: &str, what: What| {
        let differences = after(kind, change);
        assert!(differences.contains(&(path.to_owned(), what.clone())), "{path} {what:?}: {differences:?}");
    };
    let other = |was: &str, is: &str| What::OtherType { was: was.to_owned(), is: is.to_owned() };
    found(
        INCIDENT,
        |schema| {
            at(schema, "/properties").as_object_mut().unwrap().remove("title");
            array(schema, "/required").retain(|name| name != "title");
        },
        "title",
        What::Gone,
    );
    found(
        INCIDENT,
        |schema| drop(at(schema, "/properties").as_object_mut().unwrap().remove("deployment")),
        "deployment",
        What::Gone,
    );
    found(
        INCIDENT,
        |schema| {
            at(schema, "/$defs/Suspect/properties")["rank"] = json!({"type": "integer"});
            array(schema, "/$defs/Suspect/required").push(json!("rank"));
        },
        "suspects[].rank",
        What::NewAndRequired,
    );
    found(
        INCIDENT,
        |schema| array(schema, "/required").push(json!("closed_at")),
        "closed_at",
        What::NowRequired,
    );
    found(
        INCIDENT,
        |schema| array(schema, "/$defs/Band/required").retain(|name| name != "center"),
        "signals[].siblings[].expected.center",
        What::NowOptional,
    );
    found(
        INCIDENT,
        |schema| at(schema, "/$defs/Signal/properties/unit")["default"] = json!("1"),
        "signals[].unit",
        What::OtherDefault,
    );
    found(
        INCIDENT,
        |schema| at(schema, "/properties/title")["type"] = json!("integer"),
        "title",
        other("string", "integer"),
    );
    found(
        INCIDENT,
        |schema| at(schema, "/properties/title")["type"] = json!(["string", "null"]),
        "title",
        other("string", "string or null"),
    );
    found(
        INCIDENT,
        |schema| at(schema, "/properties/revision")["format"] = json!("uint64"),
        "revision",
        other("integer (uint32 from 0)", "integer (uint64 from 0)"),
    );
    found(
        INCIDENT,
        |schema| *at(schema, "/properties/members") = json!({"type": "string"}),
        "members",
        other("array of string (uuid)", "string"),
    );
    found(
        INCIDENT,
        |schema| drop(array(schema, "/$defs/State/oneOf").remove(0)),
        "state",
        What::WordGone("detecting".to_owned()),
    );
    found(
        INCIDENT,
        |schema| array(schema, "/$defs/State/oneOf").push(json!({"type": "string", "const": "paused"})),
        "state",
        What::WordAdded("paused".to_owned()),
    );
    found(
        PLAN,
        |schema| {
            array(schema, "/$defs/Action/oneOf").retain(|one| one["properties"]["type"]["const"] != "scale");
        },
        "steps[].action.type",
        What::WordGone("scale".to_owned()),
    );
    found(
        PLAN,
        |schema| {
            let variant = json!({"type": "object", "properties": {"type": {"type": "string", "const": "page"}}, "required": ["type"]});
            array(schema, "/$defs/Action/oneOf").push(variant);
        },
        "steps[].action.type",
        What::WordAdded("page".to_owned()),
    );
    found(
        PLAN,
        |schema| {
            let scale = array(schema, "/$defs/Action/oneOf");
            let scale = scale.iter_mut().find(|one| one["properties"]["type"]["const"] == "scale").unwrap();
            scale["properties"]["factor"]["type"] = json!("number");
            scale["properties"]["factor"]["format"] = json!("double");
        },
        "steps[].action(scale).factor",
        other("integer (uint32 from 0)", "number (double from 0)"),
    );
}

#[test]
fn new_optional_fields_and_other_words_of_explanation_are_no_break() {
    let added = after("firewatch.incident.v1", |schema| {
        at(schema, "/properties")["channel"] = json!({"type": ["string", "null"]});
        at(schema, "/$defs/Band/properties")["spread"] =
            json!({"type": "number", "format": "double", "default": 0.0});
        at(schema, "/$defs/State/oneOf/0")["description"] = json!("Otherwise explained.");
        schema["description"] = json!("Otherwise explained.");
        array(schema, "/required").reverse();
    });
    assert_eq!(added, []);
}
