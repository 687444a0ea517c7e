//! Settings.

use serde::{Deserialize, Serialize};
use shared::service::StageOptions;

/// Settings of the stage.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// How long an incident that is over waits for a cause and a plan that are not on record yet, milliseconds.
    pub wait_ms: u64,
    /// Pause between looks for them, milliseconds.
    pub poll_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self { wait_ms: 30_000, poll_ms: 2_000 }
    }
}

impl StageOptions for Options {
    fn validate(&self) -> Vec<String> {
        let mut problems = Vec::new();
        if self.wait_ms > 600_000 {
            problems.push(format!("wait_ms {} is longer than ten minutes", self.wait_ms));
        }
        if !(100..=60_000).contains(&self.poll_ms) {
            problems.push(format!("poll_ms {} is not between 100 and 60000", self.poll_ms));
        }
        problems
    }
}
