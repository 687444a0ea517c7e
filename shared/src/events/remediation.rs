//! `remediation.plans`: what should be done, by whom, at what risk.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Event, Refusal, named};
use crate::ids::{IncidentId, PlanId};

/// How soon a step is due.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
pub enum Priority {
    /// Now.
    #[serde(rename = "IMMEDIATE")]
    Immediate,
    /// Within a quarter of an hour.
    #[serde(rename = "WITHIN_15MIN")]
    Within15Min,
    /// Within the hour.
    #[serde(rename = "WITHIN_1HOUR")]
    Within1Hour,
}

/// What can go wrong with a step.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Risk {
    /// Can be undone at once, touches one instance.
    Low,
    /// Users may notice.
    Medium,
    /// May make it worse, or cannot be undone.
    High,
}

/// A typed action. Nothing is executed yet; the type is what an executor will check. A parameter that is absent is not known: an
/// executor refuses the step, a person looks it up.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "type", rename_all = "snake_case")]
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
        /// Number of instances to reach, where the current number is known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        instances: Option<u32>,
    },
    /// Go back to the version before.
    RollbackDeployment {
        /// Service.
        service: String,
        /// Version that runs, as its deployment named it.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from_version: Option<String>,
        /// Version to go back to.
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
    /// Turn a feature off or on.
    ToggleFlag {
        /// Service.
        service: String,
        /// Name of the flag.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        flag: Option<String>,
    },
    /// Something a person does or looks at.
    Manual,
}

impl Action {
    /// Returns the action's name as it stands in a runbook, e.g. `restart`.
    pub fn name(&self) -> &'static str {
        match self {
            Self::Restart { .. } => "restart",
            Self::Scale { .. } => "scale",
            Self::RollbackDeployment { .. } => "rollback_deployment",
            Self::RotateCertificate { .. } => "rotate_certificate",
            Self::TruncateLogs { .. } => "truncate_logs",
            Self::ClearConnections { .. } => "clear_connections",
            Self::ToggleFlag { .. } => "toggle_flag",
            Self::Manual => "manual",
        }
    }
}

/// One step of a plan.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Step {
    /// Counts from 1.
    pub order: u32,
    /// How soon.
    pub priority: Priority,
    /// What, typed.
    pub action: Action,
    /// What, in one line.
    pub title: String,
    /// How, in a few.
    pub detail: String,
    /// What can go wrong.
    pub risk: Risk,
    /// How to undo it.
    pub rollback: String,
    /// Who does it.
    pub owner: String,
    /// How to tell that it worked.
    pub expected_outcome: String,
    /// Runbook section that justifies it, `doc_id#section`.
    pub source: String,
}

/// Whom to call when the plan does not help.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Escalation {
    /// Team that owns the service.
    pub team: String,
    /// How to reach it.
    pub contact: String,
    /// When, minutes after the plan.
    pub after_minutes: u32,
    /// Sentence for people.
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
    /// Service it is about.
    pub service: String,
    /// Kind of cause it is for.
    pub category: Category,
    /// One sentence: what the plan is and why.
    pub summary: String,
    /// Steps, most urgent first; never empty.
    pub steps: Vec<Step>,
    /// Whom to call next.
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

/// What became of one action (`remediation.actions`). Reserved: nothing writes it yet.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct ActionResult {
    /// Incident.
    pub incident_id: IncidentId,
    /// Plan.
    pub plan_id: PlanId,
    /// Step of the plan.
    pub order: u32,
    /// Decision or result, in words.
    pub outcome: String,
    /// When.
    pub at: Timestamp,
}

impl Event for ActionResult {
    const TYPE: &'static str = "firewatch.action.v1";

    fn subject(&self) -> String {
        self.incident_id.to_string()
    }
}
