//! What is asked of a system that keeps telemetry, and what the answer says of the time since a fault began.

use jiff::Timestamp;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use strum::{Display, EnumString, IntoStaticStr};

/// One question: something of a service, over a time. The time before `onset` is what the rest is compared with.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
pub struct Question {
    /// Service.
    pub service: String,
    /// What is asked of it.
    pub subject: Subject,
    /// Begin of the window.
    pub from: Timestamp,
    /// First symptom of the service.
    pub onset: Timestamp,
    /// End of the window.
    pub to: Timestamp,
}

/// What is asked.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(tag = "kind", rename_all = "snake_case")]
pub enum Subject {
    /// A series.
    Series {
        /// What it measures.
        role: Role,
    },
    /// Lines of the log.
    Lines {
        /// What they are about.
        about: LogTopic,
    },
    /// Calls that the service makes.
    Calls {
        /// What is read of them.
        aspect: Aspect,
    },
    /// Events of the cluster about the workload.
    Events {
        /// What they report.
        about: Report,
    },
}

/// What a series measures. Its unit is fixed, so that a template cannot change the meaning of an answer.
#[derive(
    Debug,
    Clone,
    Copy,
    PartialEq,
    Eq,
    PartialOrd,
    Ord,
    Hash,
    Serialize,
    Deserialize,
    JsonSchema,
    Display,
    EnumString,
    IntoStaticStr,
)]
#[serde(rename_all = "snake_case")]
#[strum(serialize_all = "snake_case")]
pub enum Role {
    /// CPU time, percent of the limit.
    CpuUsage,
    /// CPU periods that were throttled, percent.
    CpuThrottling,
    /// Working set, percent of the limit.
    MemoryUsage,
    /// Restarts of containers so far.
    Restarts,
    /// Instances that are up.
    Instances,
    /// Requests that wait for a connection.
    PoolWaiting,
    /// Messages that a consumer has not read yet.
    ConsumerLag,
    /// Space that is used on the fullest volume, percent.
    DiskUsage,
    /// Requests per second.
    Requests,
    /// Packets that were dropped per second.
    DroppedPackets,
}

/// What lines of a log are about.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum LogTopic {
    /// Memory that ran out.
    Memory,
    /// Waiting for a connection.
    Pool,
    /// Disks that are full.
    Disk,
    /// Certificates that are refused.
    Certificate,
    /// Timeouts, and connections that were refused or reset.
    Network,
    /// Exceptions and panics.
    Exception,
}

/// What is read of calls.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Aspect {
    /// How long they take.
    Duration,
    /// Which of them fail.
    Failures,
}

/// What events of a cluster report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Report {
    /// A container was killed because memory ran out.
    OutOfMemory,
    /// A pod cannot start, is not ready, or restarts again and again.
    Failing,
    /// A pod was evicted, or its volume or node is full.
    Storage,
}

/// What happened since a fault began, against the time before.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Trend {
    /// It rose above what it was.
    Rose,
    /// It fell below what it was.
    Fell,
    /// It is as it was.
    AsBefore,
}
