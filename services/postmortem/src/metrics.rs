//! Metrics of the stage, besides those every stage has.

/// Name of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Metric {
    /// Counter by `verdict` (`cause`, `likely`, `unknown`, `none`): documents that were written.
    Documents,
    /// Counter by `outcome` (`arrived`, `missed`): incidents that were over before cause and plan were on record.
    Waits,
}

impl Metric {
    /// All of them.
    pub const ALL: [Self; 2] = [Self::Documents, Self::Waits];

    /// Returns the name as it is exported.
    pub fn name(self) -> &'static str {
        match self {
            Self::Documents => "firewatch_postmortem_documents_total",
            Self::Waits => "firewatch_postmortem_waits_total",
        }
    }
}
