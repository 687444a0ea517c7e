//! The import rule of a crate, for its tests: a *room* (a module of the crate root) imports only from rooms to its left.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::{fs, io};

/// The rooms of a crate and their order.
#[derive(Debug)]
pub struct Rooms<'o> {
    /// Place of each room from the left, and its neighbourhood: rooms of one import each other.
    places: BTreeMap<&'o str, (usize, usize)>,
}

impl<'o> Rooms<'o> {
    /// Reads an order such as `a, b < c+d < E`. `a` and `b` do not import each other, `c` and `d` do. A name with a
    /// capital is an item of `lib.rs`.
    pub fn new(order: &'o str) -> Self {
        let mut places = BTreeMap::new();
        for (rank, layer) in order.split('<').enumerate() {
            for group in layer.split(',') {
                let group_of = places.len();
                places.extend(group.split('+').map(|room| (room.trim(), (rank, group_of))));
            }
        }
        Self { places }
    }

    /// Returns what is wrong in the sources of a crate, one line each: imports from the right, modules that are in no
    /// room, and rooms without a file.
    pub fn wrong(&self, src: &Path) -> io::Result<Vec<String>> {
        let root = fs::read_to_string(src.join("lib.rs"))?;
        let (mut wrong, mut seen) = (Vec::new(), Vec::new());
        for path in sources(src)? {
            let file = path.strip_prefix(src).unwrap_or(&path);
            let room = room_of(file);
            if matches!(&*room, "lib" | "main") {
                continue;
            }
            if self.places.contains_key(&*room) {
                wrong.extend(self.wrong_imports(&root, file, &fs::read_to_string(&path)?));
            } else {
                wrong.push(format!("{} is in no room", file.display()));
            }
            seen.push(room);
        }
        let is_item = |room: &str| room.starts_with(char::is_uppercase) && root.contains(&format!(" {room}"));
        let empty = self.places.keys().filter(|room| !seen.iter().any(|one| one == *room) && !is_item(room));
        wrong.extend(empty.map(|room| format!("{room} has no files")));
        Ok(wrong)
    }

    /// Returns each import from the right in a file, given the text of the crate root and the path below `src`.
    pub fn wrong_imports(&self, root: &str, file: &Path, text: &str) -> Vec<String> {
        let (origins, room, text) = (origins(root), room_of(file), without_comments(text));
        let own = self.places.get(&*room);
        let is_wrong = |name: &str| {
            let other = self.places.get(name);
            let is_left = |(own, other): (&(usize, usize), &(usize, usize))| other.0 < own.0 || other == own;
            name != room && own.zip(other).is_some_and(|places| !is_left(places))
        };
        names_of_root(&text, file.components().count())
            .into_iter()
            .map(|(at, name)| match origins.get(name) {
                Some(module) if !self.places.contains_key(name) => (at, module.as_str()),
                _ => (at, name),
            })
            .filter(|(_, name)| is_wrong(name))
            .map(|(at, name)| {
                let line = text[..at].lines().count().max(1);
                format!("{}:{line}: {room} imports {name}", file.display())
            })
            .collect()
    }
}

/// Returns the module of the root to which a file below `src` belongs.
fn room_of(file: &Path) -> String {
    let stem = file.iter().next().map(Path::new).and_then(Path::file_stem);
    stem.unwrap_or_default().to_string_lossy().into_owned()
}

/// Returns all source files below a folder.
pub fn sources(folder: &Path) -> io::Result<Vec<PathBuf>> {
    let mut files = Vec::new();
    for entry in fs::read_dir(folder)? {
        let path = entry?.path();
        if path.is_dir() {
            files.extend(sources(&path)?);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
    files.sort();
    Ok(files)
}

/// Returns the module of each name that the root re-exports from one.
fn origins(root: &str) -> BTreeMap<String, String> {
    let mut origins = BTreeMap::new();
    for statement in root.split("\npub use ").skip(1) {
        let statement = statement.split(';').next().unwrap_or_default();
        let mut names = statement.split(|letter: char| !letter.is_alphanumeric() && letter != '_');
        let module = names.next().unwrap_or_default();
        let names = names.filter(|name| !name.is_empty());
        origins.extend(names.map(|name| (name.to_owned(), module.to_owned())));
    }
    origins
}

/// Empties the lines that are comments: documentation may name any room.
fn without_comments(text: &str) -> String {
    let lines = text.lines().map(|line| if line.trim_start().starts_with("//") { "" } else { line });
    lines.collect::<Vec<_>>().join("\n")
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

/// Returns the names of the crate root that a file at this depth of modules uses, each with its place in the text.
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
