//! Metrics of the stage, besides those every stage has.

/// Name of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Counter by `basis` (`runbook`, `triage`): plans that were proposed.
    Plans,
    /// Counter: results that left the plan as it was.
    Unchanged,
    /// Counter: runbooks that were passed over because a section of theirs cannot be read.
    RunbooksRefused,
    /// Counter: plans that had to be made while the index did not answer.
    IndexFailures,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 4] = [Self::Plans, Self::Unchanged, Self::RunbooksRefused, Self::IndexFailures];

    /// Returns the name as it is exported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Plans => "firewatch_remediation_plans_total",
            Self::Unchanged => "firewatch_remediation_unchanged_total",
            Self::RunbooksRefused => "firewatch_remediation_runbooks_refused_total",
            Self::IndexFailures => "firewatch_remediation_index_failures_total",
        }
    }
}
