//! Where a document links to, and what can be linked to in it.

use std::collections::{BTreeMap, BTreeSet};

use pulldown_cmark::{Event, Parser, Tag, TagEnd};

use super::OPTIONS;

/// A link or a picture.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Link {
    /// Line of the source on which it begins, from 1.
    pub line: usize,
    /// Where it leads, as it was written: an address, a path, or `#` and an anchor.
    pub target: String,
}

/// Returns the links and pictures of a [`source`](super::source), in order. One by reference has the target of its definition;
/// what stands in code, in a comment or in front matter is none.
pub fn links(source: &str) -> Vec<Link> {
    let mut links = Vec::new();
    let body = body(source);
    let above = source[..source.len() - body.len()].matches('\n').count();
    let mut counted = (0, above + 1);
    for (event, range) in Parser::new_ext(body, OPTIONS).into_offset_iter() {
        let Event::Start(Tag::Link { dest_url, .. } | Tag::Image { dest_url, .. }) = event else { continue };
        let between = body.get(counted.0..range.start).unwrap_or_default();
        let line = counted.1 + between.matches('\n').count();
        counted = (range.start, line);
        links.push(Link { line, target: dest_url.into_string() });
    }
    links
}

/// Returns the anchors of a [`source`](super::source): those that forges derive from its headings, and `id` and `name` of its
/// HTML elements.
pub fn anchors(source: &str) -> BTreeSet<String> {
    let mut anchors = BTreeSet::new();
    let mut taken: BTreeMap<String, usize> = BTreeMap::new();
    let mut heading: Option<String> = None;
    for event in Parser::new_ext(body(source), OPTIONS) {
        match (event, &mut heading) {
            (Event::Start(Tag::Heading { .. }), _) => heading = Some(String::new()),
            (Event::Text(text) | Event::Code(text), Some(heading)) => heading.push_str(&text),
            (Event::SoftBreak | Event::HardBreak, Some(heading)) => heading.push(' '),
            (Event::End(TagEnd::Heading(_)), _) => {
                let slug = slug(&heading.take().unwrap_or_default());
                let again = taken.entry(slug.clone()).or_default();
                anchors.insert(if *again == 0 { slug } else { format!("{slug}-{again}") });
                *again += 1;
            }
            (Event::Html(html) | Event::InlineHtml(html), _) => anchors.extend(named(&html)),
            _ => {}
        }
    }
    anchors
}

/// Returns what is below the front matter, which begins a file and stands between two lines of `---`.
fn body(source: &str) -> &str {
    let is_mark = |line: &str| line.trim_end() == "---";
    let (mut end, mut is_open) = (0, false);
    for line in source.split_inclusive('\n') {
        end += line.len();
        if is_mark(line) && is_open {
            return &source[end..];
        }
        is_open |= is_mark(line);
        if !is_open && !line.trim().is_empty() {
            break;
        }
    }
    source
}

/// Returns the anchor of a heading: lower case, blanks as hyphens, without punctuation.
fn slug(heading: &str) -> String {
    let kept = |char: char| match char {
        ' ' => Some('-'),
        '-' | '_' => Some(char),
        _ => char.is_alphanumeric().then_some(char),
    };
    heading.trim().to_lowercase().chars().filter_map(kept).collect()
}

/// Returns the values of `id="..."` and `name="..."`.
fn named(html: &str) -> Vec<String> {
    let values = |attribute: &str| {
        let parts = html.split(attribute).skip(1);
        parts.filter_map(|rest| rest.split_once('"').map(|(value, _)| value.to_owned())).collect::<Vec<_>>()
    };
    [" id=\"", " name=\""].into_iter().flat_map(values).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn links_have_their_lines_and_code_has_none() {
        let source = "---\nid: x\n---\n\n# A\n\n[a](one.md#x) and ![p](two.png)\n[by reference][r]\n\n\
            `[c](no.md)`\n\n```\n[c](no.md)\n```\n\n<!-- [c](no.md) -->\n\n- <https://x.y/>\n\n[r]: three.md\n";
        let found: Vec<_> = links(source).into_iter().map(|link| (link.line, link.target)).collect();
        let expected = [(7, "one.md#x"), (7, "two.png"), (8, "three.md"), (18, "https://x.y/")];
        assert_eq!(found, expected.map(|(line, target)| (line, target.to_owned())));
    }

    #[test]
    fn anchors_are_those_of_forges() {
        let source = "---\ntitle: x\n---\n# One `db_pool`: what's *new*?\n\n## Steps\n\n## Steps\n\n<a id=\"here\"></a>\n\n\
            Two words\n---\n\n---\n## Last\n---\n";
        let expected = ["here", "last", "one-db_pool-whats-new", "steps", "steps-1", "two-words"];
        assert_eq!(anchors(source), expected.map(str::to_owned).into());
    }
}
