//! `remediation.plans`: what should be done, by whom, at what risk.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::IntoStaticStr;

use super::{Category, Event, Refusal, named};
use crate::ids::{IncidentId, PlanId};

/// Time by which a step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// Immediately.
    #[serde(rename = "IMMEDIATE")]
    Immediate,
    /// Within 15 minutes.
    #[serde(rename = "WITHIN_15MIN")]
    Within15Min,
    /// Within 1 hour.
    #[serde(rename = "WITHIN_1HOUR")]
    Within1Hour,
}

impl Priority {
    /// Returns it in words, for a heading.
    pub fn words(self) -> &'static str {
        match self {
            Self::Immediate => "Immediately",
            Self::Within15Min => "Within 15 minutes",
            Self::Within1Hour => "Within 1 hour",
        }
    }
}

/// Risk of a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Reversible immediately; affects one instance.
    Low,
    /// Users may notice.
    Medium,
    /// May aggravate the fault, or cannot be undone.
    High,
}

/// A typed action. Nothing is executed yet; an executor will check the type. An absent parameter is unknown: an
/// executor refuses the step, a person looks it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema, IntoStaticStr)]
#[serde(tag = "type", rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Action {
    /// Restart instances one after another.
    Restart {
        /// Service.
        service: String,
    },
    /// Add instances.
    Scale {
        /// Service.
        service: String,
        /// Factor on the current number of instances, at most 2.
        factor: u32,
        /// Target number of instances; absent if the current number is unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instances: Option<u32>,
    },
    /// Return to the previous version.
    RollbackDeployment {
        /// Service.
        service: String,
        /// Running version, as named by its deployment; absent if unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_version: Option<String>,
        /// Version to return to; absent if unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        to_version: Option<String>,
    },
    /// Replace a certificate.
    RotateCertificate {
        /// Service.
        service: String,
    },
    /// Free disk space taken by logs.
    TruncateLogs {
        /// Service.
        service: String,
    },
    /// Close idle or leaked connections.
    ClearConnections {
        /// Service.
        service: String,
    },
    /// Turn a feature on or off.
    ToggleFlag {
        /// Service.
        service: String,
        /// Name of the flag; absent if unknown.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flag: Option<String>,
    },
    /// A step for a person.
    Manual,
}

impl Action {
    /// Returns the action's name as it stands in a runbook, e.g. `restart`.
    pub fn name(&self) -> &'static str {
        self.into()
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Position in the plan, from 1.
    pub order: u32,
    /// Time by which it is due.
    pub priority: Priority,
    /// Typed action.
    pub action: Action,
    /// The step in one line.
    pub title: String,
    /// Instructions in a few lines.
    pub detail: String,
    /// Risk of the step.
    pub risk: Risk,
    /// How to undo the step.
    pub rollback: String,
    /// Person or team that performs it.
    pub owner: String,
    /// Observable sign of success.
    pub expected_outcome: String,
    /// Runbook section that justifies it, `doc_id#section`.
    pub source: String,
}

impl Step {
    /// Returns whether the step is from a runbook, so that its texts are Markdown. Others hold words of telemetry, which
    /// are shown and not interpreted.
    pub fn is_from_runbook(&self) -> bool {
        !self.source.starts_with("triage#")
    }
}

/// Escalation if the plan does not help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// Team that owns the service.
    pub team: String,
    /// Contact of the team.
    pub contact: String,
    /// Time of the escalation, minutes after the plan.
    pub after_minutes: u32,
    /// One sentence for people.
    pub note: String,
}

/// A plan. In this version it is for people: nothing executes it.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Plan {
    /// Derived from incident and revision.
    pub plan_id: PlanId,
    /// Incident.
    pub incident_id: IncidentId,
    /// Incident number, for people.
    pub number: i64,
    /// Counts the plans of the incident from 1.
    pub revision: u32,
    /// Environment.
    pub environment: String,
    /// Service that the plan addresses.
    pub service: String,
    /// Kind of cause that the plan addresses.
    pub category: Category,
    /// One sentence: the plan and its reason.
    pub summary: String,
    /// Steps, most urgent first; never empty.
    pub steps: Vec<Step>,
    /// Next escalation.
    pub escalation: Escalation,
    /// Event time of the result it answers.
    pub created_at: Timestamp,
}

impl Event for Plan {
    const TYPE: &'static str = "firewatch.plan.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }

    fn validate(&self) -> Result<(), Refusal> {
        named("environment", &self.environment)?;
        if self.steps.is_empty() {
            return Err(Refusal::Invalid("a plan has no steps".into()));
        }
        Ok(())
    }
}

/// Result of one action (`remediation.actions`). Reserved: nothing writes it yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionResult {
    /// Incident.
    pub incident_id: IncidentId,
    /// Plan.
    pub plan_id: PlanId,
    /// Step of the plan.
    pub order: u32,
    /// Decision or result, one sentence for people; not an enum.
    pub outcome: String,
    /// Time of the decision or result.
    pub at: Timestamp,
}

impl Event for ActionResult {
    const TYPE: &'static str = "firewatch.action.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }
}
