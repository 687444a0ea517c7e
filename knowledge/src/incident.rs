//! A past incident.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::Deserialize;
use shared::events::{Category, Kind, Severity};
use shared::knowledge::{Chunk, DocumentKind, YES, facet};

/// A past incident, as its file has it.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Incident {
    /// `INC-` and a number.
    pub id: String,
    /// What happened, in one line.
    pub title: String,
    /// What was noticed first.
    pub kind: Kind,
    /// Kind of cause.
    pub category: Category,
    /// How bad it was.
    pub severity: Severity,
    /// Services that were hurt; the one at fault first.
    pub services: Vec<String>,
    /// First moment of the fault.
    pub started_at: Timestamp,
    /// When somebody knew.
    pub detected_at: Timestamp,
    /// When users were served again.
    pub resolved_at: Timestamp,
    /// What was seen: metrics with figures, log lines, what users noticed.
    pub symptoms: Vec<String>,
    /// Why it happened.
    pub root_cause: String,
    /// What ended it, and what keeps it from coming back.
    pub resolution: String,
    /// What made it possible, longer or worse.
    pub contributing_factors: Vec<String>,
    /// Words to find it by.
    pub tags: Vec<String>,
    /// Runbooks that apply (document ids).
    pub runbooks: Vec<String>,
}

impl Incident {
    /// Returns its id as a document.
    pub fn doc_id(&self) -> String {
        format!("incident/{}", self.id)
    }

    /// Returns how long users were hurt, in minutes.
    pub fn minutes(&self) -> i64 {
        (self.resolved_at.as_second() - self.started_at.as_second()) / 60
    }

    /// Returns its four chunks: summary, cause, resolution, factors.
    pub fn chunks(&self) -> Vec<Chunk> {
        let sections = [
            ("summary", self.summary()),
            ("cause", self.root_cause.clone()),
            ("resolution", format!("{}\n\nRunbooks: {}.", self.resolution, self.runbooks.join(", "))),
            ("factors", bullets(&self.contributing_factors)),
        ];
        let facets = self.facets();
        (0..)
            .zip(sections)
            .map(|(ordinal, (section, text))| Chunk {
                doc_id: self.doc_id(),
                kind: DocumentKind::Incident,
                title: self.title.clone(),
                section: section.to_owned(),
                ordinal,
                text,
                facets: facets.clone(),
            })
            .collect()
    }

    fn summary(&self) -> String {
        let mut text = format!(
            "{} at {}: {}. {}, {} minutes.\n\n{}",
            self.severity.label(),
            self.services.join(", "),
            self.category.words(),
            self.started_at.strftime("%-d %B %Y"),
            self.minutes(),
            bullets(&self.symptoms),
        );
        let _ = write!(text, "\n\nTags: {}.", self.tags.join(", "));
        text
    }

    fn facets(&self) -> BTreeMap<String, String> {
        let one = [
            ("category".to_owned(), self.category.to_string()),
            ("kind".to_owned(), self.kind.to_string()),
            ("severity".to_owned(), self.severity.to_string()),
            (facet("category", &self.category.to_string()), YES.to_owned()),
        ];
        let at_fault = self.services.first().map(|service| ("service".to_owned(), service.clone()));
        let hurt = self.services.iter().map(|service| (facet("service", service), YES.to_owned()));
        one.into_iter().chain(at_fault).chain(hurt).collect()
    }
}

pub(crate) fn bullets(items: &[String]) -> String {
    items.iter().map(|item| format!("- {item}")).collect::<Vec<_>>().join("\n")
}
