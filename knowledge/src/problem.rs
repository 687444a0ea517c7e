//! What is wrong with the content: file, line, field, reason. All problems are reported at once.

use std::fmt;

/// One problem.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct Problem {
    /// File, relative to the content directory.
    pub file: String,
    /// Line of the file, from 1, where it is known.
    pub line: Option<usize>,
    /// Field or section; empty where the file as a whole is meant.
    pub field: String,
    /// What is wrong.
    pub reason: String,
}

/// All problems, by file and line.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct Problems(pub Vec<Problem>);

impl fmt::Display for Problems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for (index, Problem { file, line, field, reason }) in self.0.iter().enumerate() {
            let (start, colon) =
                (if index > 0 { "\n" } else { "" }, if field.is_empty() { "" } else { ": " });
            write!(f, "{start}{file}")?;
            if let Some(line) = line {
                write!(f, ":{line}")?;
            }
            write!(f, ": {field}{colon}{reason}")?;
        }
        Ok(())
    }
}

impl std::error::Error for Problems {}

/// Collects the problems of one file.
pub(crate) struct Report<'a> {
    file: &'a str,
    line: Option<usize>,
    problems: &'a mut Vec<Problem>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(file: &'a str, problems: &'a mut Vec<Problem>) -> Self {
        Self { file, line: None, problems }
    }

    /// Returns a report of problems on one line of the file.
    pub(crate) fn at(&mut self, line: usize) -> Report<'_> {
        Report { file: self.file, line: Some(line), problems: self.problems }
    }

    pub(crate) fn add(&mut self, field: impl Into<String>, reason: impl Into<String>) {
        self.problems.push(Problem {
            file: self.file.to_owned(),
            line: self.line,
            field: field.into(),
            reason: reason.into(),
        });
    }

    pub(crate) fn unless(&mut self, fine: bool, field: &str, reason: impl FnOnce() -> String) {
        if !fine {
            self.add(field, reason());
        }
    }

    /// Reports a text that is empty or longer than `most` characters.
    pub(crate) fn text(&mut self, field: &str, text: &str, most: usize) {
        self.unless(!text.trim().is_empty(), field, || "is empty".into());
        let length = text.chars().count();
        self.unless(length <= most, field, || format!("has {length} characters, more than {most}"));
    }

    /// Reports a list that is empty or holds an item that is.
    pub(crate) fn list(&mut self, field: &str, items: &[String], most: usize) {
        self.unless(!items.is_empty(), field, || "is empty".into());
        for (index, item) in items.iter().enumerate() {
            self.text(&format!("{field}[{index}]"), item, most);
        }
    }

    /// Reports items that are not `known`.
    pub(crate) fn known<'i>(
        &mut self,
        field: &str,
        items: impl IntoIterator<Item = &'i String>,
        known: impl Fn(&str) -> bool,
    ) {
        for item in items {
            self.unless(known(item), field, || format!("{item:?} does not exist"));
        }
    }
}
