//! Settings.

use serde::{Deserialize, Serialize};
use shared::service::StageOptions;

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
}

impl Default for Options {
    fn default() -> Self {
        Self { candidates: 3, similar_incidents: 3, runbooks: 2 }
    }
}

impl StageOptions for Options {
    fn validate(&self) -> Vec<String> {
        [
            ("candidates", self.candidates),
            ("similar_incidents", self.similar_incidents),
            ("runbooks", self.runbooks),
        ]
        .into_iter()
        .filter(|(_, value)| !(1..=5).contains(value))
        .map(|(name, value)| format!("{name} {value} is not between 1 and 5"))
        .collect()
    }
}
