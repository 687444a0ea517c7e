//! A runbook: YAML front matter, a title, an introduction and seven sections.

use std::collections::BTreeMap;

use serde::Deserialize;
use shared::events::Category;
use shared::knowledge::{Chunk, DocumentKind, YES, facet};
use shared::runbook::{ACTIONS, ESCALATION, escalation, steps};

use crate::problem::Report;

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
    /// Title and text of the introduction and of each section, in order.
    pub sections: Vec<(String, String)>,
}

impl Runbook {
    /// Reads a file's text.
    pub(crate) fn read(text: &str, report: &mut Report<'_>) -> Option<Self> {
        let Some((front, body)) = text.strip_prefix("---\n").and_then(|rest| rest.split_once("\n---\n"))
        else {
            report.add("", "does not begin with front matter between two lines of ---");
            return None;
        };
        let front: Front = match serde_norway::from_str(front) {
            Ok(front) => front,
            Err(error) => {
                report.add("front matter", error.to_string());
                return None;
            }
        };
        let (title, sections) = split(body);
        report.unless(title.as_deref() == Some(&*front.title), "title", || {
            format!("{:?} is not the heading of the text, {:?}", front.title, title.unwrap_or_default())
        });
        Some(Self { front, sections })
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
        let names: Vec<&str> = self.sections.iter().map(|(name, _)| &**name).collect();
        let fine = names.first() == Some(&OVERVIEW) && names[1..] == SECTIONS;
        report.unless(fine, "sections", || {
            format!("are {names:?} and not {OVERVIEW:?} (the text below the title), {SECTIONS:?}")
        });
        for (name, text) in &self.sections {
            report.text(name, text, 8_000);
            for placeholder in placeholders(text) {
                report.unless(placeholder == "service", name, || {
                    format!("unknown placeholder {{{placeholder}}}")
                });
            }
            if ACTIONS.iter().any(|(action, _)| action == name)
                && let Err(error) = steps(name, text, "payment")
            {
                report.add(name, error.to_string());
            }
            if name == ESCALATION
                && let Err(error) = escalation(text)
            {
                report.add(name, error.to_string());
            }
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
            .map(|(ordinal, (section, text))| Chunk {
                doc_id: self.front.id.clone(),
                kind: DocumentKind::Runbook,
                title: self.front.title.clone(),
                section: section.clone(),
                ordinal,
                text: text.clone(),
                facets: facets.clone(),
            })
            .collect()
    }
}

/// Splits a text at its level-2 headings; what stands between the title and the first is the overview.
fn split(body: &str) -> (Option<String>, Vec<(String, String)>) {
    let mut title = None;
    let mut sections: Vec<(String, String)> = Vec::new();
    let mut fenced = false;
    for line in body.lines() {
        fenced ^= line.trim_start().starts_with("```");
        if let Some(name) = line.strip_prefix("# ").filter(|_| !fenced && title.is_none()) {
            title = Some(name.trim().to_owned());
            sections.push((OVERVIEW.to_owned(), String::new()));
        } else if let Some(name) = line.strip_prefix("## ").filter(|_| !fenced) {
            sections.push((name.trim().to_owned(), String::new()));
        } else if let Some((_, text)) = sections.last_mut() {
            text.push_str(line);
            text.push('\n');
        }
    }
    for (_, text) in &mut sections {
        *text = text.trim().to_owned();
    }
    (title, sections)
}

/// Returns the names in braces, e.g. `service` of `{service}`. A brace after `%` is a format of curl's.
fn placeholders(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices('{').filter_map(|(start, _)| {
        let name = text[start + 1..].split_once('}')?.0;
        let plain = !name.is_empty() && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte == b'_');
        (plain && !text[..start].ends_with('%')).then_some(name)
    })
}
