//! The contract: JSON Schema of every payload is checked in, and a change that breaks a reader fails here.

use std::path::PathBuf;

use serde_json::Value;
use shared::events::schema;

fn folder() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../docs/schemas")
}

/// Run with `FIREWATCH_UPDATE_SCHEMAS=1` to write the schemas anew, then read the difference.
#[test]
fn checked_in_schemas_are_those_of_the_types() {
    let update = std::env::var_os("FIREWATCH_UPDATE_SCHEMAS").is_some();
    for (name, generated) in schema::all() {
        let path = folder().join(format!("{name}.json"));
        let text = serde_json::to_string_pretty(&generated).unwrap() + "\n";
        if update {
            std::fs::create_dir_all(folder()).unwrap();
            std::fs::write(&path, &text).unwrap();
        }
        let checked_in = std::fs::read_to_string(&path).unwrap_or_default();
        assert!(checked_in == text, "{} differs from the type; see the head of this file", path.display());
    }
}

/// What an old writer leaves out must stay optional, and what an old reader needs must stay required.
#[test]
fn required_fields_are_those_that_were_promised() {
    for (name, generated) in schema::all() {
        let value = serde_json::to_value(&generated).unwrap();
        let required: Vec<&str> =
            value["required"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        for field in &required {
            assert!(
                value["properties"].get(field).is_some(),
                "{name} requires {field}, which it does not have"
            );
        }
        assert!(!required.is_empty(), "{name} requires nothing: any object would pass for one");
    }
}
