//! `sim.faults`: the simulator's ground truth. Only tests and scoreboards may read it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Event};

/// What the simulator can set on fire.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// Payment's p99 grows.
    LatencySpike,
    /// Order fails.
    ErrorSpike,
    /// The gateway's CPU fills up.
    CpuSaturation,
    /// Notification leaks memory.
    MemoryLeak,
    /// Payment's database pool runs out.
    DbConnections,
    /// Order falls behind its log.
    ConsumerLag,
    /// A bad version of user.
    BadDeployment,
}

impl Scenario {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 7] = [
        Self::LatencySpike,
        Self::ErrorSpike,
        Self::CpuSaturation,
        Self::MemoryLeak,
        Self::DbConnections,
        Self::ConsumerLag,
        Self::BadDeployment,
    ];

    /// Returns the kind of cause that is right.
    pub fn category(self) -> Category {
        match self {
            Self::LatencySpike => Category::Dependency,
            Self::ErrorSpike => Category::Code,
            Self::CpuSaturation => Category::Cpu,
            Self::MemoryLeak => Category::Memory,
            Self::DbConnections => Category::Pool,
            Self::ConsumerLag => Category::Lag,
            Self::BadDeployment => Category::Deployment,
        }
    }
}

/// Whether a fault begins or ends.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// First tick with the fault.
    Started,
    /// First tick without it.
    Ended,
}

/// One edge of one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// Counts the faults of a run from 1.
    pub fault: u32,
    /// What.
    pub scenario: Scenario,
    /// Where.
    pub service: String,
    /// Begins or ends.
    pub phase: Phase,
    /// Event time of the tick.
    pub at: Timestamp,
    /// Environment.
    pub environment: String,
}

impl Event for Fault {
    const TYPE: &'static str = "firewatch.fault.v1";

    fn subject(&self) -> String {
        self.service.clone()
    }
}
