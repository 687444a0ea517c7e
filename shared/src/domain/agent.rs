//! The six agents, each with what it reads and publishes. Consumer groups, topics, metric prefixes and commands derive from
//! this list.

use serde::Serialize;
use strum::{Display, EnumString, VariantArray};

use crate::events::Topic;

/// An agent of the pipeline, in the order an incident passes them.
#[derive(
    Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord, Serialize, Display, EnumString, VariantArray,
)]
#[serde(rename_all = "lowercase")]
#[strum(serialize_all = "lowercase")]
pub enum Agent {
    /// Finds anomalies in telemetry.
    Detection,
    /// Groups anomalies into incidents.
    Correlation,
    /// Explains an incident.
    Investigation,
    /// Plans what to do about it.
    Remediation,
    /// Notifies people.
    Communication,
    /// Writes the postmortem.
    Postmortem,
}

impl Agent {
    /// All agents.
    pub const ALL: &'static [Self] = Self::VARIANTS;

    /// Returns the name of its binary, consumer group and section of the configuration.
    pub const fn name(self) -> &'static str {
        match self {
            Self::Detection => "detection",
            Self::Correlation => "correlation",
            Self::Investigation => "investigation",
            Self::Remediation => "remediation",
            Self::Communication => "communication",
            Self::Postmortem => "postmortem",
        }
    }

    /// Returns the agent of that name.
    pub fn from_name(name: &str) -> Option<Self> {
        name.parse().ok()
    }

    /// Returns the names of all agents.
    pub fn names() -> Vec<&'static str> {
        Self::ALL.iter().map(|agent| agent.name()).collect()
    }

    /// Returns the topics it reads.
    pub const fn inputs(self) -> &'static [Topic] {
        match self {
            Self::Detection => &[
                Topic::RawMetrics,
                Topic::RawLogs,
                Topic::RawDeployments,
                Topic::RawAlerts,
                Topic::CatalogueServices,
            ],
            Self::Correlation => {
                &[Topic::Anomalies, Topic::RawDeployments, Topic::RawSpans, Topic::OperatorCommands]
            }
            Self::Investigation => &[Topic::IncidentsOpened, Topic::IncidentsUpdated],
            Self::Remediation => &[Topic::RcaCompleted],
            Self::Communication => &[
                Topic::IncidentsOpened,
                Topic::IncidentsUpdated,
                Topic::IncidentsResolved,
                Topic::RcaCompleted,
                Topic::Plans,
                Topic::Postmortems,
                Topic::OperatorCommands,
            ],
            Self::Postmortem => &[Topic::IncidentsResolved, Topic::OperatorCommands],
        }
    }

    /// Returns the topics it publishes its results to, beside its dead letters. A command that retires a service goes on to
    /// `raw.deployments` as well.
    pub const fn outputs(self) -> &'static [Topic] {
        match self {
            Self::Detection => &[Topic::Anomalies, Topic::DetectionState],
            Self::Correlation => &[Topic::IncidentsOpened, Topic::IncidentsUpdated, Topic::IncidentsResolved],
            Self::Investigation => &[Topic::RcaCompleted],
            Self::Remediation => &[Topic::Plans, Topic::Actions],
            Self::Communication => &[],
            Self::Postmortem => &[Topic::Postmortems],
        }
    }

    /// Returns the topic of its dead letters.
    pub const fn dead_letters(self) -> Topic {
        Topic::DeadLetters(self)
    }
}
