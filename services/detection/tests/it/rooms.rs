//! A room of the crate imports only from the rooms on its left, as the head of `lib.rs` says.

use std::fs;
use std::path::{Path, PathBuf};

/// The rooms from left to right. Those of one entry do not import each other.
const ROOMS: [&[&str]; 8] = [
    &["sections", "stats"],
    &["sample", "metric_profile"],
    &["config"],
    &["alert"],
    &["series"],
    &["service"],
    &["partition"],
    &["tools"],
];

fn rank(room: &str) -> Option<usize> {
    ROOMS.iter().position(|rooms| rooms.contains(&room))
}

/// Returns all source files below a folder.
fn sources(folder: &Path) -> Vec<PathBuf> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files.extend(sources(&path));
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    files
}

fn word(text: &str) -> &str {
    let end = text.find(|letter: char| !letter.is_alphanumeric() && letter != '_');
    &text[..end.unwrap_or(text.len())]
}

/// Returns the first names of what a path goes on with: one, or each one in braces.
fn first_names(rest: &str) -> Vec<&str> {
    let Some(group) = rest.strip_prefix('{') else { return vec![word(rest)] };
    let (mut depth, mut start, mut names) = (0, 0, Vec::new());
    for (at, letter) in group.char_indices() {
        match letter {
            '{' => depth += 1,
            ',' | '}' if depth == 0 => {
                names.push(word(group[start..at].trim_start()));
                start = at + 1;
                if letter == '}' {
                    break;
                }
            }
            '}' => depth -= 1,
            _ => {}
        }
    }
    names
}

/// Returns the modules of the crate root that a file at this depth of modules names, each with its place in the text.
fn names_of_root(text: &str, depth: usize) -> Vec<(usize, &str)> {
    let mut found = Vec::new();
    for (at, _) in text.match_indices("crate::") {
        found.extend(first_names(&text[at + "crate::".len()..]).into_iter().map(|name| (at, name)));
    }
    let tests = text.find("\nmod tests {").unwrap_or(text.len());
    let mut next = 0;
    while let Some(at) = text[next..].find("super::").map(|at| at + next) {
        let mut rest = &text[at..];
        let mut up = 0;
        while let Some(further) = rest.strip_prefix("super::") {
            (rest, up) = (further, up + 1);
        }
        if up >= depth + usize::from(at > tests) {
            found.extend(first_names(rest).into_iter().map(|name| (at, name)));
        }
        next = text.len() - rest.len();
    }
    found
}

/// Returns each import from the right in a file of a room.
fn imports_from_the_right(room: &str, file: &str, text: &str, depth: usize) -> Vec<String> {
    let own = rank(room).unwrap_or_else(|| panic!("{file} is in no room"));
    let is_wrong = |name: &str| name != room && rank(name).is_some_and(|other| other >= own);
    let wrong = names_of_root(text, depth).into_iter().filter(|(_, name)| is_wrong(name));
    wrong
        .map(|(at, name)| format!("{file}:{}: {room} imports {name}", text[..at].lines().count().max(1)))
        .collect()
}

#[test]
fn a_room_imports_only_from_its_left() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("src");
    let (mut wrong, mut seen) = (Vec::new(), Vec::new());
    for path in sources(&folder) {
        let inside = path.strip_prefix(&folder).unwrap();
        let modules: Vec<String> =
            inside.with_extension("").iter().map(|part| part.to_string_lossy().into_owned()).collect();
        if matches!(modules[0].as_str(), "lib" | "main") {
            continue;
        }
        let text = fs::read_to_string(&path).unwrap();
        wrong.extend(imports_from_the_right(
            &modules[0],
            &inside.display().to_string(),
            &text,
            modules.len(),
        ));
        seen.push(modules[0].clone());
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
    for room in ROOMS.concat() {
        assert!(seen.iter().any(|one| one == room), "{room} has no files");
    }
}

#[test]
fn an_import_from_the_right_is_found_however_it_is_written() {
    let found = |text: &str, depth| imports_from_the_right("series", "file", text, depth).len();
    assert_eq!(found("use crate::alert::Alert;", 1), 0);
    assert_eq!(found("use crate::series::buffer::Buffer;\nuse crate::stats;", 2), 0);
    assert_eq!(found("use crate::service::state;", 2), 1);
    assert_eq!(found("use crate::{alert::Alert, service::{state, clock}, tools};", 2), 2);
    assert_eq!(found("fn f() { crate::partition::metrics::count() }", 3), 1);
    assert_eq!(found("use super::service;", 1), 1);
    assert_eq!(found("use super::service;", 2), 0);
    assert_eq!(found("use super::super::service;", 2), 1);
    assert_eq!(found("\nmod tests {\n    use super::service;\n}", 1), 0);
}
