//! A past incident.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use jiff::Timestamp;
use serde::{Deserialize, Serialize};
use shared::events::{Category, Kind, Severity};
use shared::knowledge::{Chunk, DocumentKind, YES, facet};

use crate::problem::{Problems, Report};
use crate::yaml;

/// Longest title, characters.
pub const MAX_TITLE: usize = 120;
/// Longest cause and longest resolution, characters.
pub const MAX_TEXT: usize = 1_200;
/// Longest symptom and longest contributing factor, characters.
pub const MAX_ITEM: usize = 300;

/// A past incident, as its file has it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
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

    /// Reads an incident from a document of its own, YAML or JSON.
    ///
    /// # Errors
    /// Everything that is wrong with it, by lines of `file`.
    pub fn read(file: &str, text: &str) -> Result<Self, Problems> {
        let mut problems = Vec::new();
        let mut report = Report::new(file, &mut problems);
        let incident = yaml::read::<Self>(text).map_err(|error| error.report(0, "", &mut report));
        if let Ok(incident) = &incident {
            incident.check(&mut report);
        }
        match incident {
            Ok(incident) if problems.is_empty() => Ok(incident),
            _ => Err(Problems(problems)),
        }
    }

    /// Writes it as a document that [`Self::read`] reads.
    ///
    /// # Errors
    /// If it cannot be written as YAML.
    pub fn to_yaml(&self) -> Result<String, serde_saphyr::ser::Error> {
        serde_saphyr::to_string(self)
    }

    pub(crate) fn check(&self, report: &mut Report<'_>) {
        report.text("title", &self.title, MAX_TITLE);
        report.text("root_cause", &self.root_cause, MAX_TEXT);
        report.text("resolution", &self.resolution, MAX_TEXT);
        report.list("services", &self.services, 60);
        report.list("symptoms", &self.symptoms, MAX_ITEM);
        report.list("contributing_factors", &self.contributing_factors, MAX_ITEM);
        report.list("tags", &self.tags, 40);
        report.unless(self.category != Category::Unknown, "category", || "names no cause".into());
        report.unless(self.started_at <= self.detected_at, "detected_at", || "is before started_at".into());
        report
            .unless(self.detected_at < self.resolved_at, "resolved_at", || "is not after detected_at".into());
    }

    /// Returns its four chunks: summary, cause, resolution, factors.
    pub fn chunks(&self) -> Vec<Chunk> {
        let sections = [
            ("summary", self.summary()),
            ("cause", self.root_cause.clone()),
            ("resolution", self.how_it_was_resolved()),
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

    fn how_it_was_resolved(&self) -> String {
        if self.runbooks.is_empty() {
            return self.resolution.clone();
        }
        format!("{}\n\nRunbooks: {}.", self.resolution, self.runbooks.join(", "))
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
