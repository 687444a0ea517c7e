//! `sim.faults`: the simulator's ground truth. Only tests and scoreboards may read it.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::{Category, Event};

/// Scenarios of the simulator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "kebab-case")]
pub enum Scenario {
    /// The p99 of payment rises.
    LatencySpike,
    /// Errors of order rise.
    ErrorSpike,
    /// CPU use of api-gateway rises to saturation.
    CpuSaturation,
    /// Memory use of notification rises.
    MemoryLeak,
    /// The connection pool of payment is exhausted.
    DbConnections,
    /// Consumer lag of order rises.
    ConsumerLag,
    /// A faulty version of user is deployed.
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

/// Start or end of a fault.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// First tick with the fault.
    Started,
    /// First tick without the fault.
    Ended,
}

/// Start or end of one fault.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Fault {
    /// Number of the fault within a run, from 1.
    pub fault: u32,
    /// Scenario of the fault.
    pub scenario: Scenario,
    /// Faulty service.
    pub service: String,
    /// Start or end.
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
