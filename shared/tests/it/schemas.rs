//! JSON Schema of every payload is checked in. `evolution` tells whether it may be what it is.

use std::collections::BTreeSet;
use std::path::PathBuf;

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

#[test]
fn no_schema_is_left_of_a_type_that_is_gone() {
    let files =
        std::fs::read_dir(folder()).unwrap().map(|entry| entry.unwrap().file_name().into_string().unwrap());
    let found: BTreeSet<String> = files.filter(|file| file != "README.md").collect();
    let expected: BTreeSet<String> =
        schema::all().into_iter().map(|(name, _)| format!("{name}.json")).collect();
    assert_eq!(found, expected);
}
