//! Settings from files: `<name>_file` stands for the setting `<name>` and names a file that holds it, which is how
//! secrets are handed to containers. It works for every setting that is a text.

use std::path::Path;

use config::{Map, Value, ValueKind};
use serde::Serialize;

/// Most that is read of one file, bytes.
const SIZE: u64 = 64 * 1024;
const SUFFIX: &str = "_file";

/// Replaces, in one section of a configuration, each `<name>_file` by `<name>` with what the file holds, less the line
/// break at its end. `defaults` says which settings there are: one that is itself called `..._file` is left alone.
pub(super) fn resolve<T: Serialize>(
    root: &mut Value,
    section: &str,
    defaults: &T,
    problems: &mut Vec<String>,
) {
    let ValueKind::Table(sections) = &mut root.kind else { return };
    let Some(ValueKind::Table(table)) = sections.get_mut(section).map(|value| &mut value.kind) else {
        return;
    };
    if let Ok(serde_json::Value::Object(known)) = serde_json::to_value(defaults) {
        walk(table, &known, section, problems);
    }
}

fn walk(
    table: &mut Map<String, Value>,
    known: &serde_json::Map<String, serde_json::Value>,
    path: &str,
    problems: &mut Vec<String>,
) {
    let is_text = |name: &str| known.get(name).is_some_and(|value| value.is_string() || value.is_null());
    replace(table, |key, name| !known.contains_key(key) && is_text(name), path, problems);
    for (name, value) in table.iter_mut() {
        let path = format!("{path}.{name}");
        match (&mut value.kind, known.get(name)) {
            // tables under names of the user's own: the settings of one are known when it is read
            (ValueKind::Table(named), Some(serde_json::Value::Object(known))) if known.is_empty() => {
                for (name, value) in named.iter_mut() {
                    if let ValueKind::Table(inner) = &mut value.kind {
                        replace(inner, |_, _| true, &format!("{path}.{name}"), problems);
                    }
                }
            }
            (ValueKind::Table(inner), Some(serde_json::Value::Object(known))) => {
                walk(inner, known, &path, problems);
            }
            _ => {}
        }
    }
}

/// Replaces each `<name>_file` of a table for which `stands_for(key, name)` holds.
fn replace(
    table: &mut Map<String, Value>,
    stands_for: impl Fn(&str, &str) -> bool,
    path: &str,
    problems: &mut Vec<String>,
) {
    let mut found: Vec<(String, String)> = table
        .keys()
        .filter_map(|key| Some((key.clone(), key.strip_suffix(SUFFIX)?.to_owned())))
        .filter(|(key, name)| stands_for(key, name))
        .collect();
    found.sort();
    for (key, name) in found {
        let Some(file) = table.remove(&key).and_then(|value| value.into_string().ok()) else { continue };
        if file.is_empty() {
            continue;
        }
        let is_set = table.get(&name).is_some_and(|value| {
            !matches!(&value.kind, ValueKind::Nil)
                && !matches!(&value.kind, ValueKind::String(text) if text.is_empty())
        });
        if is_set {
            problems.push(format!("{path}.{name} and {path}.{key} are both set"));
            continue;
        }
        match read(Path::new(&file)) {
            Ok(text) => drop(table.insert(name, Value::new(Some(&file), text))),
            Err(problem) => problems.push(format!("{path}.{key}: {file}: {problem}")),
        }
    }
}

fn read(path: &Path) -> Result<String, String> {
    use std::io::Read as _;
    let mut text = String::new();
    std::fs::File::open(path)
        .and_then(|file| file.take(SIZE + 1).read_to_string(&mut text))
        .map_err(|error| error.to_string())?;
    if text.len() as u64 > SIZE {
        return Err(format!("is larger than {SIZE} bytes"));
    }
    text.truncate(text.trim_end_matches(['\r', '\n']).len());
    if text.is_empty() { Err("is empty".to_owned()) } else { Ok(text) }
}
