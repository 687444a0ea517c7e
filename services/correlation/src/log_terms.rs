//! Which kind of cause the words of log lines name: a table of terms, `log_terms.toml`, that the configuration extends
//! or replaces.

use std::collections::BTreeMap;
use std::sync::LazyLock;

use serde::{Deserialize, Serialize};
use shared::events::incident::Signal;
use shared::events::raw::Level;
use shared::events::{Category, Kind};

static EMBEDDED: LazyLock<BTreeMap<Category, Vec<String>>> =
    LazyLock::new(|| toml::from_str(include_str!("log_terms.toml")).expect("a test reads it"));

/// Longest term, bytes, and most terms of a category.
const LONGEST: usize = 100;
const MOST: usize = 200;

/// Terms by the category they name, in lower case. Categories that the configuration does not list keep those of the
/// embedded table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct LogTerms(BTreeMap<Category, Vec<String>>);

impl Default for LogTerms {
    fn default() -> Self {
        Self(EMBEDDED.clone())
    }
}

impl LogTerms {
    /// Returns the table with what the configuration does not list filled in, all terms in lower case.
    #[must_use]
    pub fn completed(mut self) -> Self {
        for terms in self.0.values_mut().flatten() {
            *terms = terms.to_lowercase();
        }
        for (category, terms) in EMBEDDED.iter() {
            self.0.entry(*category).or_insert_with(|| terms.clone());
        }
        self
    }

    /// Returns what is wrong with the table, one sentence each.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        for (category, terms) in &self.0 {
            if *category == Category::Unknown {
                problems.push("log_terms: no term can name the category unknown".to_owned());
            }
            if terms.len() > MOST {
                problems.push(format!("log_terms.{category}: more than {MOST} terms"));
            }
            for term in terms.iter().filter(|term| term.trim().is_empty() || term.len() > LONGEST) {
                problems
                    .push(format!("log_terms.{category}: {term:?} is empty or longer than {LONGEST} bytes"));
            }
        }
        problems
    }

    /// Returns the category that the lines of a log signal name, if they name one: the one with the most lines.
    pub fn named_by(&self, signal: &Signal) -> Option<Category> {
        if signal.kind != Kind::Logs {
            return None;
        }
        let templates = signal
            .logs
            .iter()
            .filter(|log| log.level >= Level::Warn)
            .map(|log| (log.example.as_str(), log.count.max(1)));
        let mut lines: BTreeMap<Category, u64> = BTreeMap::new();
        // the sentence quotes what raised it; the templates are all that the service complains of
        for (text, count) in std::iter::once((signal.explanation.as_str(), 1)).chain(templates) {
            if let Some(category) = self.category(text) {
                *lines.entry(category).or_default() += count;
            }
        }
        lines
            .into_iter()
            .max_by_key(|(category, lines)| (*lines, std::cmp::Reverse(*category)))
            .map(|(category, _)| category)
    }

    /// Returns the category with the longest term in `text`.
    pub fn category(&self, text: &str) -> Option<Category> {
        let text = text.to_lowercase();
        let found = |term: &&String| {
            text.match_indices(term.as_str())
                .any(|(at, _)| !text[..at].ends_with(|before: char| before.is_alphanumeric()))
        };
        self.0
            .iter()
            .filter_map(|(category, terms)| {
                Some((terms.iter().filter(found).map(String::len).max()?, *category))
            })
            .max_by_key(|(length, category)| (*length, std::cmp::Reverse(*category)))
            .map(|(_, category)| category)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn words_name_what_they_are_about() {
        let terms = LogTerms::default();
        for (line, category) in [
            ("java.lang.OutOfMemoryError: Java heap space", Some(Category::Memory)),
            ("FATAL: remaining connection slots are reserved", Some(Category::Pool)),
            ("dial tcp 10.0.0.1:443: connect: connection refused", Some(Category::Dependency)),
            ("write /var/lib/x: no space left on device", Some(Category::Disk)),
            ("x509: certificate has expired or is not yet valid", Some(Category::Certificate)),
            ("a cheap flight was booked", None),
            ("request 17 failed", None),
        ] {
            assert_eq!(terms.category(line), category, "{line}");
        }
    }

    #[test]
    fn the_configuration_replaces_the_terms_of_a_category_and_keeps_the_others() {
        let own: LogTerms = toml::from_str(r#"memory = ["Arena Used Up"]"#).unwrap();
        let terms = own.completed();
        assert_eq!(terms.category("arena used up in worker 3"), Some(Category::Memory));
        assert_eq!(terms.category("java heap space"), None);
        assert_eq!(terms.category("no space left on device"), Some(Category::Disk));
        let bad: LogTerms = toml::from_str("disk = [\"\"]\nunknown = [\"x\"]").unwrap();
        assert_eq!(bad.validate().len(), 2);
    }
}
