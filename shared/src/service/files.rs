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
    let mut stands_for: Vec<(String, String)> = table
        .keys()
        .filter(|key| !known.contains_key(*key))
        .filter_map(|key| Some((key.clone(), key.strip_suffix(SUFFIX)?.to_owned())))
        .filter(|(_, name)| known.get(name).is_some_and(|value| value.is_string() || value.is_null()))
        .collect();
    stands_for.sort();
    for (key, name) in stands_for {
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
    for (name, value) in table.iter_mut() {
        if let (ValueKind::Table(inner), Some(serde_json::Value::Object(known))) =
            (&mut value.kind, known.get(name))
        {
            walk(inner, known, &format!("{path}.{name}"), problems);
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
