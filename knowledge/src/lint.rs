//! What is wrong or doubtful in a content directory: what the seeder refuses, and what it cannot know to be meant.
//!
//! An *error* cannot be meant: the seeder refuses the content, or a document refers to what does not exist. A *warning* may be:
//! a word that reads like the name of a service need not be one.

mod links;
mod references;
mod services;

use std::collections::BTreeSet;
use std::fmt;
use std::path::Path;

use serde::{Deserialize, Serialize};
use shared::events::Category;
use shared::text::markdown;

use crate::content::{Files, stem};
use crate::problem::Problem;

/// How bad a finding is.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// It has to be changed.
    Error,
    /// It may be meant.
    Warning,
}

impl fmt::Display for Severity {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.serialize(f)
    }
}

/// One finding.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Finding {
    /// File or folder, relative to the content directory.
    pub file: String,
    /// Line of the file, from 1, where there is one.
    pub line: Option<usize>,
    /// How bad it is.
    pub severity: Severity,
    /// What is wrong.
    pub message: String,
}

/// What was found in a content directory.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Report {
    /// Files that were read.
    pub files: usize,
    /// Findings, by file and line.
    pub findings: Vec<Finding>,
}

impl Report {
    /// Returns how many findings have a severity.
    pub fn count(&self, severity: Severity) -> usize {
        self.findings.iter().filter(|finding| finding.severity == severity).count()
    }
}

/// Checks a content directory. Only files below it are read, and those that links in it lead to.
pub fn lint(directory: &Path) -> Report {
    let files = Files::read(directory);
    let known = Known::of(&files);
    let mut findings = unreached(&files);
    let is_unreached = |file: &String| findings.iter().any(|finding| finding.file == *file);
    // a runbook that nothing selects is reported in the words of that
    let is_told = |problem: &Problem| problem.field == "categories" && is_unreached(&problem.file);
    let refused: Vec<Finding> = files
        .problems
        .iter()
        .filter(|problem| !is_told(problem))
        .map(|problem| (problem, Severity::Error))
        .chain(files.warnings.iter().map(|problem| (problem, Severity::Warning)))
        .map(|(problem, severity)| {
            finding(problem, severity, files.texts.get(&problem.file).map(String::as_str))
        })
        .collect();
    findings.extend(refused);
    if !files.is_compared {
        findings.push(Finding {
            file: "runbooks".to_owned(),
            line: None,
            severity: Severity::Warning,
            message: "a file cannot be read, so it was not checked that each kind of cause has a runbook"
                .to_owned(),
        });
    }
    let mut targets = links::Targets::new(directory);
    for (file, text) in &files.texts {
        let text = markdown::source(text);
        // what the seeder refuses is not reported twice
        let is_new = |name: &str| {
            let mut own = files.problems.iter().filter(|problem| problem.file == *file);
            !own.any(|problem| problem.reason.contains(&format!("{name:?} does not exist")))
        };
        let found = references::check(&text, &known)
            .into_iter()
            .chain(services::check(&text, &known))
            .filter(|found| is_new(&found.name))
            .map(|found| (found.line, found.severity, found.message))
            .chain(links::check(file, &text, &mut targets));
        findings.extend(found.map(|(line, severity, message)| Finding {
            file: file.clone(),
            line: Some(line),
            severity,
            message,
        }));
    }
    findings.sort();
    findings.dedup();
    Report { files: files.texts.len(), findings }
}

/// A name in a text that nothing has.
struct Unknown {
    /// Line of the text, from 1.
    line: usize,
    severity: Severity,
    /// The name, as it stands.
    name: String,
    message: String,
}

/// What documents may refer to. A file that cannot be read counts by its name.
struct Known {
    /// Ids of documents.
    documents: BTreeSet<String>,
    /// Names of services.
    services: BTreeSet<String>,
}

impl Known {
    fn of(files: &Files) -> Self {
        let mut services: BTreeSet<String> =
            files.services.iter().map(|(_, service)| service.name.clone()).collect();
        let runbooks = files.runbooks.iter().map(|(_, runbook)| runbook.front.id.clone());
        let incidents = files.incidents.iter().map(|(_, incident)| incident.doc_id());
        let mut documents: BTreeSet<String> = runbooks.chain(incidents).collect();
        let read: BTreeSet<&String> = files
            .services
            .iter()
            .map(|(file, _)| file)
            .chain(files.runbooks.iter().map(|(file, _)| file))
            .chain(files.incidents.iter().map(|(file, _)| file))
            .collect();
        let all = files.texts.keys().chain(files.problems.iter().map(|problem| &problem.file));
        for file in all.filter(|file| !read.contains(file)) {
            match file.split_once('/') {
                Some(("services", _)) => drop(services.insert(stem(file).to_owned())),
                Some(("runbooks", _)) => drop(documents.insert(format!("runbook/{}", stem(file)))),
                Some(("incidents", _)) => {
                    let number = stem(file).splitn(3, '-').take(2).collect::<Vec<_>>().join("-");
                    documents.insert(format!("incident/{number}"));
                }
                _ => {}
            }
        }
        documents.extend(services.iter().map(|name| format!("service/{name}")));
        Self { documents, services }
    }
}

/// Returns a problem as a finding, with its line where the text of its file shows it.
fn finding(problem: &Problem, severity: Severity, text: Option<&str>) -> Finding {
    let Problem { file, line, field, reason } = problem;
    let colon = if field.is_empty() { "" } else { ": " };
    Finding {
        file: file.clone(),
        line: line.or_else(|| line_of(field, reason, text?)),
        severity,
        message: format!("{field}{colon}{reason}"),
    }
}

/// Returns the line of a field of YAML, or that of the quoted value below it that a reason begins with.
fn line_of(field: &str, reason: &str, text: &str) -> Option<usize> {
    let name = field.split(['[', '.']).next().filter(|name| !name.is_empty())?;
    let is_field = |line: &str| line.strip_prefix(name).is_some_and(|rest| rest.starts_with(':'));
    let begin = text.lines().position(is_field)?;
    let value = reason.strip_prefix('"').and_then(|rest| rest.split_once('"')).map(|(value, _)| value);
    let below = value.filter(|value| !value.is_empty()).and_then(|value| {
        let is_end = |line: &str| line.starts_with(|char: char| char.is_alphanumeric());
        let lines = text.lines().enumerate().skip(begin);
        let mut own = lines.take_while(|(at, line)| *at == begin || !is_end(line));
        own.find(|(_, line)| line.contains(value)).map(|(at, _)| at)
    });
    Some(below.unwrap_or(begin) + 1)
}

/// Returns the runbooks that nothing selects. Investigation and remediation ask for runbooks about a kind of cause
/// (`Query::about`), and for an unknown cause remediation asks for none.
fn unreached(files: &Files) -> Vec<Finding> {
    let is_cause = |category: &Category| *category != Category::Unknown;
    let unreached =
        files.runbooks.iter().filter(|(_, runbook)| !runbook.front.categories.iter().any(is_cause));
    unreached
        .map(|(file, _)| Finding {
            file: file.clone(),
            line: files.texts.get(file).and_then(|text| line_of("categories", "", text)),
            severity: Severity::Error,
            message: "categories: no kind of cause selects this runbook, so no plan is ever made from it"
                .to_owned(),
        })
        .collect()
}

/// Returns the line of a place in a text, from 1.
fn line_at(text: &str, place: usize) -> usize {
    1 + text[..place].matches('\n').count()
}
