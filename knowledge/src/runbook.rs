//! A runbook: YAML front matter, a title, an introduction and seven sections.

use std::collections::BTreeMap;
use std::ops::Range;

use serde::Deserialize;
use shared::events::Category;
use shared::knowledge::{Chunk, DocumentKind, YES, facet};
use shared::runbook::{self, ACTIONS, ESCALATION, escalation, steps};
use shared::text::markdown::{self, Block, Definitions, Kind};

use crate::problem::Report;
use crate::yaml;

/// The sections of a runbook, in order.
pub const SECTIONS: [&str; 7] =
    ["Symptoms", "Diagnosis", ACTIONS[0].0, ACTIONS[1].0, ACTIONS[2].0, "Verification", ESCALATION];

/// Section of the introduction, in the index.
pub const OVERVIEW: &str = "Overview";

/// What stands above the title.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Front {
    /// Document id, `runbook/<slug>`.
    pub id: String,
    /// Title, as in the text.
    pub title: String,
    /// Kinds of cause it is for.
    pub categories: Vec<Category>,
    /// Team that keeps it.
    pub owner: String,
}

/// A runbook, as its file has it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Runbook {
    /// What stands above the title.
    pub front: Front,
    /// The introduction and each section, in order.
    pub sections: Vec<Section>,
}

/// The introduction or a section.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Section {
    /// Its heading, or [`OVERVIEW`].
    pub name: String,
    /// Its Markdown, with the definitions of the links in it.
    pub text: String,
    /// Line of the file on which the heading begins.
    heading: usize,
    /// Line of the file on which the text begins.
    line: usize,
}

impl Runbook {
    /// Reads a file's text.
    pub(crate) fn read(text: &str, report: &mut Report<'_>) -> Option<Self> {
        let text = markdown::source(text);
        let (first, front, body) = match front_matter(&text) {
            Ok(found) => found,
            Err((line, reason)) => {
                report.at(line).add("", reason);
                return None;
            }
        };
        let front: Front = match yaml::read(front) {
            Ok(front) => front,
            Err(error) => {
                error.report(first - 1, "front matter", report);
                return None;
            }
        };
        let above = text[..text.len() - body.len()].matches('\n').count();
        match split(body, above) {
            Ok(Body { title, sections }) => {
                let (line, title) = title.unwrap_or((above + 1, String::new()));
                report.at(line).unless(title == front.title, "title", || {
                    format!("{:?} is not the heading of the text, {title:?}", front.title)
                });
                Some(Self { front, sections })
            }
            Err((line, reason)) => {
                report.at(line).add("", reason);
                None
            }
        }
    }

    pub(crate) fn check(&self, slug: &str, report: &mut Report<'_>) {
        let expected = format!("runbook/{slug}");
        report.unless(self.front.id == expected, "id", || format!("{:?} is not {expected:?}", self.front.id));
        report.text("title", &self.front.title, 120);
        report.text("owner", &self.front.owner, 60);
        report.unless(!self.front.categories.is_empty(), "categories", || "is empty".into());
        for (index, category) in self.front.categories.iter().enumerate() {
            let fine = *category != Category::Unknown && !self.front.categories[..index].contains(category);
            report.unless(fine, "categories", || format!("{category} appears twice or names no cause"));
        }
        let names: Vec<&str> = self.sections.iter().map(|section| &*section.name).collect();
        let wanted: Vec<&str> = std::iter::once(OVERVIEW).chain(SECTIONS).collect();
        if names != wanted {
            let first = names.iter().zip(&wanted).take_while(|(name, wanted)| name == wanted).count();
            let at = self.sections.get(first).or(self.sections.last()).map_or(1, |section| section.heading);
            report.at(at).add(
                "sections",
                format!("are {names:?} and not {OVERVIEW:?} (the text below the title), {SECTIONS:?}"),
            );
        }
        for section in &self.sections {
            section.check(report);
        }
    }

    /// Returns one chunk for the introduction and one for each section.
    pub fn chunks(&self) -> Vec<Chunk> {
        let categories = self.front.categories.iter();
        let mut facets: BTreeMap<String, String> =
            categories.map(|category| (facet("category", &category.to_string()), YES.to_owned())).collect();
        facets.insert("owner".to_owned(), self.front.owner.clone());
        (0..)
            .zip(&self.sections)
            .map(|(ordinal, section)| Chunk {
                doc_id: self.front.id.clone(),
                kind: DocumentKind::Runbook,
                title: self.front.title.clone(),
                section: section.name.clone(),
                ordinal,
                text: section.text.clone(),
                facets: facets.clone(),
            })
            .collect()
    }
}

impl Section {
    fn check(&self, report: &mut Report<'_>) {
        let Self { name, text, line: first, heading } = self;
        report.at(*heading).text(name, text, 8_000);
        for (at, placeholder) in placeholders(text) {
            let line = first + text[..at].matches('\n').count();
            report
                .at(line)
                .unless(placeholder == "service", name, || format!("unknown placeholder {{{placeholder}}}"));
        }
        let refused = if ACTIONS.iter().any(|(action, _)| action == name) {
            steps(name, text, "payment").err()
        } else if name == ESCALATION {
            escalation(text).err()
        } else {
            None
        };
        if let Some(runbook::Error { line, fault }) = refused {
            report.at(first + line - 1).add(name, fault.to_string());
        }
    }
}

/// What is below the front matter.
struct Body {
    /// The title and its line.
    title: Option<(usize, String)>,
    sections: Vec<Section>,
}

/// What is wrong, with its line.
type Refused = (usize, String);

/// Returns the line on which the front matter begins, the front matter and the text below it.
fn front_matter(text: &str) -> Result<(usize, &str, &str), Refused> {
    let is_mark = |line: &str| line.trim_end() == "---";
    let (mut at, mut begin) = (0, None);
    for (number, line) in (1..).zip(text.split_inclusive('\n')) {
        match begin {
            None if is_mark(line) => begin = Some((number, at + line.len())),
            None if line.trim().is_empty() => {}
            None => return Err((number, "does not begin with front matter between two lines of ---".into())),
            Some((mark, start)) if is_mark(line) => {
                return Ok((mark + 1, &text[start..at], &text[at + line.len()..]));
            }
            Some(_) => {}
        }
        at += line.len();
    }
    let line = begin.map_or(1, |(number, _)| number);
    Err((line, "does not begin with front matter between two lines of ---".into()))
}

/// Splits a text at its level-2 headings; what stands between the title and the first is the overview. `above` is how many
/// lines of the file are above the text.
fn split(body: &str, above: usize) -> Result<Body, Refused> {
    let refused = |markdown::Error { line, fault }| (above + line, fault.to_string());
    let mut title = None;
    // name and line of each heading, and where its text begins and ends
    let mut parts: Vec<(String, usize, Range<usize>)> = Vec::new();
    for Block { line, range, kind } in markdown::blocks(body).map_err(refused)? {
        let name = match kind {
            Kind::Heading { level: 1, text } if title.is_none() && parts.is_empty() => {
                title = Some((above + line, text));
                OVERVIEW.to_owned()
            }
            Kind::Heading { level: 1, text } => {
                return Err((above + line, format!("{text:?} is a second title; a section has level 2")));
            }
            Kind::Heading { level: 2, text } => text,
            _ if parts.is_empty() => return Err((above + line, "text above the title".into())),
            _ => continue,
        };
        if let Some((_, _, text)) = parts.last_mut() {
            text.end = range.start;
        }
        parts.push((name, above + line, range.end..body.len()));
    }
    let definitions = Definitions::of(body);
    let section = |(name, heading, range): (String, usize, Range<usize>)| {
        let blank: usize = body[range.clone()]
            .split_inclusive('\n')
            .take_while(|line| line.trim().is_empty())
            .map(str::len)
            .sum();
        let start = range.start + blank;
        let mut text = body[start..range.end.max(start)].trim_end().to_owned();
        definitions.append_to(&mut text);
        let line = above + 1 + body[..start].matches('\n').count();
        Section { name, text, heading, line }
    };
    Ok(Body { title, sections: parts.into_iter().map(section).collect() })
}

/// Returns the names in braces, e.g. `service` of `{service}`, and where they are. A brace after `%` is a format of
/// curl's.
fn placeholders(text: &str) -> impl Iterator<Item = (usize, &str)> {
    text.match_indices('{').filter_map(|(start, _)| {
        let name = text[start + 1..].split_once('}')?.0;
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (plain && !text[..start].ends_with('%')).then_some((start, name))
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::problem::Problem;

    const LAG: &str = "\
---
id: runbook/lag
title: Consumer lag
categories: [lag]
owner: streaming
---

# Consumer lag

The backlog of {service} grows.

## Symptoms

- `consumer_lag` grows ([board][1])

## Diagnosis

Compare.

## Immediate actions

### Look
- Action: `manual`
- Risk: low
- Rollback: none needed
- Owner: streaming
- Expected: the offsets move

Ask twice.

## Within 15 minutes

### Restart
- Action: `restart`
- Risk: low
- Rollback: none needed
- Owner: streaming
- Expected: the offsets move

One by one.

## Within 1 hour

### Follow up
- Action: `manual`
- Risk: low
- Rollback: none needed
- Owner: streaming
- Expected: it is known

Write it down.

## Verification

- It falls.

## Escalation

- After: 15 minutes
- To: streaming on-call

At once.

[1]: http://grafana/d/1
";

    fn read(text: &str) -> Result<Runbook, String> {
        let mut problems: Vec<Problem> = Vec::new();
        let mut report = Report::new("lag.md", &mut problems);
        let runbook = Runbook::read(text, &mut report);
        if let Some(runbook) = &runbook {
            runbook.check("lag", &mut report);
        }
        match runbook {
            Some(runbook) if problems.is_empty() => Ok(runbook),
            _ => Err(crate::Problems(problems).to_string()),
        }
    }

    fn changed(from: &str, to: &str) -> Result<Runbook, String> {
        assert!(LAG.contains(from), "{from:?}");
        read(&LAG.replacen(from, to, 1))
    }

    #[test]
    fn a_runbook_reads_the_same_however_it_is_written() {
        let plain = read(LAG).unwrap();
        let chunks = plain.chunks();
        assert_eq!(chunks[1].text, "- `consumer_lag` grows ([board][1])\n\n[1]: http://grafana/d/1");
        let variants = [
            changed("---\n", "\u{feff}---\n"),
            changed("---\n", "\n  \n--- \t\n"),
            changed("---\n\n#", "---  \n\n#"),
            changed("# Consumer lag\n", "Consumer lag\n===\n"),
            changed("# Consumer lag\n", "<!-- kept by\n\n## nobody -->\n\n  # Consumer lag #\n"),
            changed("## Symptoms\n", "Symptoms\n--\n"),
            changed("## Symptoms\n", "## Symptoms ##\n"),
            read(&LAG.replace('\n', "\r\n")),
            read(&LAG.replace('\n', "\r")),
        ];
        for variant in variants {
            assert_eq!(variant.unwrap().chunks(), chunks);
        }
    }

    #[test]
    fn what_is_no_heading_divides_nothing() {
        for text in [
            "```sh\n# all\n## not a section\n```",
            "~~~~\n## not a section\n```\n~~~\n~~~~",
            "- look:\n\n  ```\n  ## not a section\n  ```",
            "    ## not a section",
            "Run:\n\n```ls -l```\n\nThen:\n\n```ps```",
            "<!--\n## not a section\n-->\n\nLook.",
            "> ## not a section",
        ] {
            let runbook = changed("Compare.", text).unwrap();
            assert_eq!(runbook.sections[2].text, text);
        }
    }

    #[test]
    fn what_is_wrong_has_its_line() {
        let line = |refused: Result<Runbook, String>| {
            let refused = refused.unwrap_err();
            let line =
                refused.strip_prefix("lag.md:").and_then(|rest| rest.split_once(':')).map(|(line, _)| line);
            line.and_then(|line| line.parse::<usize>().ok()).ok_or(refused)
        };
        let cases = [
            (changed("---\n", "title: x\n---\n"), 1),
            (changed("---\n\n#", "\n#"), 1),
            (changed("[lag]", "[lags]"), 4),
            (changed("owner:", "owner: : x\nowner:"), 5),
            (changed("# Consumer lag", "# Lag"), 8),
            (changed("# Consumer lag", "Intro\n\n# Consumer lag"), 8),
            (changed("Compare.", "# Compare"), 18),
            (changed("Compare.", "Compare.\n\n```\nls"), 20),
            (changed("## Diagnosis", "## Causes"), 16),
            (changed("Compare.", "Look.\nCompare {pod}."), 19),
            (changed("- Risk: low\n- Rollback", "- Risk: none\n- Rollback"), 24),
            (changed("- After: 15", "\n- After: some"), 60),
        ];
        for (refused, expected) in cases {
            assert_eq!(line(refused), Ok(expected));
        }
    }
}
