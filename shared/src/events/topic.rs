//! The topics: names, keys, partitions. Created by the stack, never by auto-creation.

use std::fmt;

use crate::agent::Agent;

/// How a topic forgets.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Retention {
    /// After this many hours.
    Hours(u32),
    /// Keeps the last record of each key.
    Compacted,
}

/// A topic of Firewatch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub enum Topic {
    /// Metric samples, keyed by service.
    RawMetrics,
    /// Log lines, keyed by service.
    RawLogs,
    /// Changes, keyed by service.
    RawDeployments,
    /// Spans, keyed by trace.
    RawSpans,
    /// Alerts of other rule engines, keyed by service.
    RawAlerts,
    /// What the service catalogue states of each service, keyed by service.
    CatalogueServices,
    /// What people ask for, keyed by incident or environment.
    OperatorCommands,
    /// Anomalies, keyed by service.
    Anomalies,
    /// Announced incidents, keyed by incident.
    IncidentsOpened,
    /// Changed incidents, keyed by incident.
    IncidentsUpdated,
    /// Incidents that are over, keyed by incident.
    IncidentsResolved,
    /// Ranked causes, keyed by incident.
    RcaCompleted,
    /// Plans, keyed by incident.
    Plans,
    /// Actions, keyed by incident.
    Actions,
    /// Postmortems, keyed by incident.
    Postmortems,
    /// Detection's baselines, keyed by partition and service.
    DetectionState,
    /// The simulator's ground truth, keyed by service.
    SimFaults,
    /// Dead letters of an agent, keyed as the input was.
    DeadLetters(Agent),
}

impl Topic {
    /// Every topic the stack provisions.
    pub fn all() -> Vec<Self> {
        let mut all = vec![
            Self::RawMetrics,
            Self::RawLogs,
            Self::RawDeployments,
            Self::RawSpans,
            Self::RawAlerts,
            Self::CatalogueServices,
            Self::OperatorCommands,
            Self::Anomalies,
            Self::IncidentsOpened,
            Self::IncidentsUpdated,
            Self::IncidentsResolved,
            Self::RcaCompleted,
            Self::Plans,
            Self::Actions,
            Self::Postmortems,
            Self::DetectionState,
            Self::SimFaults,
        ];
        all.extend(Agent::ALL.iter().map(|agent| agent.dead_letters()));
        all
    }

    /// Returns the topic of that name, if it is ours.
    pub fn from_name(name: &str) -> Option<Self> {
        Self::all().into_iter().find(|topic| topic.name() == name)
    }

    /// Returns the name on the broker.
    pub fn name(self) -> &'static str {
        match self {
            Self::RawMetrics => "raw.metrics",
            Self::RawLogs => "raw.logs",
            Self::RawDeployments => "raw.deployments",
            Self::RawSpans => "raw.spans",
            Self::RawAlerts => "raw.alerts",
            Self::CatalogueServices => "catalogue.services",
            Self::OperatorCommands => "operator.commands",
            Self::Anomalies => "anomalies.detected",
            Self::IncidentsOpened => "incidents.opened",
            Self::IncidentsUpdated => "incidents.updated",
            Self::IncidentsResolved => "incidents.resolved",
            Self::RcaCompleted => "rca.completed",
            Self::Plans => "remediation.plans",
            Self::Actions => "remediation.actions",
            Self::Postmortems => "postmortems.generated",
            Self::DetectionState => "detection.state",
            Self::SimFaults => "sim.faults",
            Self::DeadLetters(Agent::Detection) => "dlq.detection",
            Self::DeadLetters(Agent::Correlation) => "dlq.correlation",
            Self::DeadLetters(Agent::Investigation) => "dlq.investigation",
            Self::DeadLetters(Agent::Remediation) => "dlq.remediation",
            Self::DeadLetters(Agent::Communication) => "dlq.communication",
            Self::DeadLetters(Agent::Postmortem) => "dlq.postmortem",
        }
    }

    /// Returns the number of partitions. All keyed topics share one number, so that the `range` assignor gives one
    /// replica the same partition of each.
    pub fn partitions(self) -> i32 {
        match self {
            Self::DeadLetters(_) | Self::SimFaults => 1,
            _ => 6,
        }
    }

    /// Returns how the topic forgets. Nothing is correct only because of it.
    pub fn retention(self) -> Retention {
        match self {
            Self::DetectionState | Self::CatalogueServices => Retention::Compacted,
            Self::RawMetrics | Self::RawLogs | Self::RawSpans => Retention::Hours(48),
            _ => Retention::Hours(24 * 14),
        }
    }
}

impl fmt::Display for Topic {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.name())
    }
}
