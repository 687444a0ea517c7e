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
    /// The card network behind payment fails.
    DependencyOutage,
    /// Calls to payment are lost and delayed on their way.
    NetworkPartition,
    /// Fewer requests arrive at api-gateway.
    TrafficDrop,
    /// The disk of order fills up.
    DiskFilling,
    /// The certificate of inventory expires.
    CertificateExpiry,
    /// A batch of notification takes the CPU of the host that it shares with inventory.
    NoisyNeighbour,
    /// Notification is taken out of operation. It is no fault, and `sim.faults` does not name it.
    Retirement,
}

impl Scenario {
    /// All of them, in the order of the documentation.
    pub const ALL: [Self; 14] = [
        Self::LatencySpike,
        Self::ErrorSpike,
        Self::CpuSaturation,
        Self::MemoryLeak,
        Self::DbConnections,
        Self::ConsumerLag,
        Self::BadDeployment,
        Self::DependencyOutage,
        Self::NetworkPartition,
        Self::TrafficDrop,
        Self::DiskFilling,
        Self::CertificateExpiry,
        Self::NoisyNeighbour,
        Self::Retirement,
    ];

    /// Those that happen where none is asked for by name: the first seven.
    pub const ROTATION: [Self; 7] = *Self::ALL.first_chunk().unwrap();

    /// Returns the kind of cause that is right; nothing where no incident is right.
    pub fn category(self) -> Option<Category> {
        Some(match self {
            Self::LatencySpike | Self::DependencyOutage => Category::Dependency,
            Self::ErrorSpike => Category::Code,
            Self::CpuSaturation | Self::NoisyNeighbour => Category::Cpu,
            Self::MemoryLeak => Category::Memory,
            Self::DbConnections => Category::Pool,
            Self::ConsumerLag => Category::Lag,
            Self::BadDeployment => Category::Deployment,
            Self::NetworkPartition => Category::Network,
            Self::TrafficDrop => Category::Traffic,
            Self::DiskFilling => Category::Disk,
            Self::CertificateExpiry => Category::Certificate,
            Self::Retirement => return None,
        })
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
