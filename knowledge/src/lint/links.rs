//! Links in documents. Addresses with a scheme (`https:`) lead elsewhere and are not followed.

use std::borrow::Cow;
use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use shared::text::markdown::{self, Link};

use super::{Severity, line_at};
use crate::content::MAX_FILE;

/// What links of a content directory lead to; each file is read once.
pub(super) struct Targets<'d> {
    directory: &'d Path,
    anchors: BTreeMap<PathBuf, BTreeSet<String>>,
}

impl<'d> Targets<'d> {
    pub(super) fn new(directory: &'d Path) -> Self {
        Self { directory, anchors: BTreeMap::new() }
    }

    /// Returns the anchors of a file; none for one that is no Markdown, too large or unreadable.
    fn anchors(&mut self, path: &Path) -> Option<&BTreeSet<String>> {
        let is_markdown = path.extension().is_some_and(|extension| extension == "md");
        if !is_markdown || std::fs::metadata(path).ok()?.len() > MAX_FILE {
            return None;
        }
        if !self.anchors.contains_key(path) {
            let text = std::fs::read_to_string(path).ok()?;
            self.anchors.insert(path.to_owned(), markdown::anchors(&markdown::source(&text)));
        }
        self.anchors.get(path)
    }
}

/// Returns the dead links of a document, with their lines.
pub(super) fn check(file: &str, text: &str, targets: &mut Targets<'_>) -> Vec<(usize, Severity, String)> {
    let links = if Path::new(file).extension().is_some_and(|end| end == "md") {
        markdown::links(text)
    } else {
        inline(text)
    };
    let dead = |Link { line, target }: Link| {
        let (severity, reason) = fault(file, &target, targets)?;
        Some((line, severity, format!("link to {target}: {reason}")))
    };
    links.into_iter().filter_map(dead).collect()
}

/// Returns why a link is dead, where it is.
fn fault(file: &str, target: &str, targets: &mut Targets<'_>) -> Option<(Severity, &'static str)> {
    if has_scheme(target) || target.starts_with("//") {
        return None;
    }
    if target.starts_with('/') {
        return Some((Severity::Warning, "an absolute path is not checked"));
    }
    let (path, anchor) = target.split_once('#').map_or((target, None), |(path, anchor)| (path, Some(anchor)));
    let path = decoded(path.split('?').next().unwrap_or_default());
    let own = targets.directory.join(file);
    let full = match own.parent() {
        Some(folder) if !path.is_empty() => folder.join(path),
        _ => own,
    };
    if !full.exists() {
        return Some((Severity::Error, "the file does not exist"));
    }
    let anchor = decoded(anchor.filter(|anchor| !anchor.is_empty())?);
    let known = targets.anchors(&full)?;
    (!known.contains(&anchor)).then_some((Severity::Error, "the target has no such heading"))
}

/// Returns whether a target begins with a scheme (RFC 3986, 3.1).
fn has_scheme(target: &str) -> bool {
    target.split_once(':').is_some_and(|(scheme, _)| {
        scheme.starts_with(|char: char| char.is_ascii_alphabetic())
            && scheme.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '+' | '-' | '.'))
    })
}

/// Returns a text with its `%20` and the like replaced, where the result is UTF-8.
fn decoded(text: &str) -> String {
    let decoded = percent_encoding::percent_decode_str(text).decode_utf8();
    decoded.map_or_else(|_| text.to_owned(), Cow::into_owned)
}

/// Returns the inline links of a text of YAML, whose values are Markdown.
fn inline(text: &str) -> Vec<Link> {
    let link = |(place, mark): (usize, &str)| {
        let target = text[place + mark.len()..].split(')').next().unwrap_or_default();
        let is_target = !target.is_empty() && !target.contains(char::is_whitespace);
        is_target.then(|| Link { line: line_at(text, place), target: target.to_owned() })
    };
    text.match_indices("](").filter_map(link).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn targets_are_taken_apart() {
        assert!(
            has_scheme("https://x")
                && has_scheme("mailto:a@b")
                && !has_scheme("a/b:c")
                && !has_scheme("#a:b")
        );
        assert_eq!(decoded("a%20b%2"), "a b%2");
        assert_eq!(decoded("%ff"), "%ff");
        let found = inline("a: [1, 2]\nb: see [x](y.md) [y]( z)\n");
        assert_eq!(found, [Link { line: 2, target: "y.md".into() }]);
    }
}
