//! Settings.

use serde::{Deserialize, Serialize};
use shared::service::StageOptions;
use shared::text::secrets::Redactor;

use crate::query::{self, Looker};

/// Settings of investigation.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Most candidates in a result.
    pub candidates: usize,
    /// Most similar incidents of a candidate.
    pub similar_incidents: usize,
    /// Most runbooks of a candidate.
    pub runbooks: usize,
    /// Systems that are queried for what confirms or refutes a cause.
    pub queries: query::Options,
}

impl Default for Options {
    fn default() -> Self {
        Self { candidates: 3, similar_incidents: 3, runbooks: 2, queries: query::Options::default() }
    }
}

impl Options {
    /// Makes what asks the configured sources; nothing where none is configured.
    pub fn looker(&self, redactor: &Redactor) -> anyhow::Result<Option<Looker>> {
        self.queries.looker(self.candidates, redactor)
    }
}

impl StageOptions for Options {
    fn validate(&self) -> Vec<String> {
        let counts = [
            ("candidates", self.candidates),
            ("similar_incidents", self.similar_incidents),
            ("runbooks", self.runbooks),
        ];
        let mut problems: Vec<String> = counts
            .into_iter()
            .filter(|(_, value)| !(1..=5).contains(value))
            .map(|(name, value)| format!("{name} {value} is not between 1 and 5"))
            .collect();
        problems.extend(self.queries.validate().into_iter().map(|problem| format!("queries.{problem}")));
        problems
    }
}
