//! What travels on the bus: the type of every topic's payload, the topics, the envelope and the schemas.
//!
//! Payloads are flat JSON. Unknown fields are ignored; missing required ones, unknown enum values and numbers that
//! are not finite are refused ([`decode`]), and the record goes to the dead-letter topic with the reason.

pub mod anomaly;
pub mod catalogue_service;
pub mod command;
pub mod envelope;
pub mod evidence;
pub mod fault;
pub mod incident;
pub mod outgoing;
pub mod postmortem;
pub mod question;
pub mod raw;
pub mod rca;
pub mod remediation;
pub mod schema;
pub mod topic;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

pub use anomaly::Anomaly;
pub use catalogue_service::CatalogueService;
pub use command::Command;
pub use envelope::Envelope;
pub use evidence::EvidenceRecord;
pub use fault::Fault;
pub use incident::Incident;
pub use outgoing::Outgoing;
pub use postmortem::Postmortem;
pub use question::Question;
pub use raw::{Alert, Deployment, Histogram, LogRecord, MetricSample, Span};
pub use rca::RootCause;
pub use remediation::Plan;
pub use topic::Topic;

/// Returns whether a count is left out.
#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde passes references")]
fn is_zero(count: &u32) -> bool {
    *count == 0
}

/// Largest payload that is read, in bytes. A larger one is refused before it is parsed.
pub const MAX_PAYLOAD: usize = 512 * 1024;

/// Severity, from 1 (everything is down) to 4 (informational).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Severity {
    /// Informational; nobody is paged.
    Sev4,
    /// Degraded, no or little user impact.
    Sev3,
    /// Noticeable to users.
    Sev2,
    /// A critical path is failing.
    Sev1,
}

impl Severity {
    /// Returns the name people use, e.g. `SEV2`.
    pub fn label(self) -> &'static str {
        match self {
            Self::Sev1 => "SEV1",
            Self::Sev2 => "SEV2",
            Self::Sev3 => "SEV3",
            Self::Sev4 => "SEV4",
        }
    }
}

/// What a series measures, as far as causes are concerned.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// Time a request takes.
    Latency,
    /// Share or rate of failures.
    Errors,
    /// Processor use.
    Cpu,
    /// Memory use.
    Memory,
    /// A pool with a ceiling: connections, threads, file descriptors.
    Pool,
    /// Distance behind the head of a queue or log.
    Lag,
    /// Disk use.
    Disk,
    /// Requests per second.
    Traffic,
    /// Remaining life of a certificate.
    Certificate,
    /// A source that has stopped reporting.
    Silence,
    /// Restarts of a process.
    Restarts,
    /// Log lines.
    Logs,
    /// Lost or damaged data. No name of a metric means this: only the configuration of detection says so.
    DataLoss,
    /// A breach of security. Only the configuration of detection says so, too.
    Security,
    /// Anything else.
    Other,
}

/// The kind of cause, as runbooks and past incidents name it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Category {
    /// Processor exhaustion.
    Cpu,
    /// Memory exhaustion or leak.
    Memory,
    /// Slow or lossy network.
    Network,
    /// A fault in the service's own code or configuration.
    Code,
    /// A change that was just rolled out.
    Deployment,
    /// A pool of the service ran out: database connections, threads.
    Pool,
    /// A consumer does not keep up with its topic.
    Lag,
    /// The fault is in a dependency that is not monitored.
    Dependency,
    /// Disk exhaustion.
    Disk,
    /// An expired or expiring certificate.
    Certificate,
    /// A surge or drop of traffic.
    Traffic,
    /// The service is not there: it stopped reporting, or restarts again and again.
    Down,
    /// Not visible in this telemetry.
    Unknown,
}

impl Category {
    /// All kinds of cause: every category but [`Category::Unknown`].
    pub const CAUSES: [Self; 12] = [
        Self::Cpu,
        Self::Memory,
        Self::Network,
        Self::Code,
        Self::Deployment,
        Self::Pool,
        Self::Lag,
        Self::Dependency,
        Self::Disk,
        Self::Certificate,
        Self::Traffic,
        Self::Down,
    ];

    /// Returns the category in words, for a sentence.
    pub fn words(self) -> &'static str {
        match self {
            Self::Cpu => "CPU saturation",
            Self::Memory => "memory pressure",
            Self::Network => "slow network",
            Self::Code => "a fault in its code or configuration",
            Self::Deployment => "a bad deployment",
            Self::Pool => "an exhausted connection pool",
            Self::Lag => "consumer lag",
            Self::Dependency => "a failing dependency",
            Self::Disk => "a full disk",
            Self::Certificate => "an expiring certificate",
            Self::Traffic => "a change of traffic",
            Self::Down => "a service that is down",
            Self::Unknown => "an unknown cause",
        }
    }
}

macro_rules! display_as_serialised {
    ($($type:ty),*) => {$(
        impl std::fmt::Display for $type {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                self.serialize(f)
            }
        }
    )*};
}
display_as_serialised!(
    Severity,
    Kind,
    Category,
    anomaly::Status,
    anomaly::Direction,
    incident::State,
    rca::Verdict,
    rca::Method,
    remediation::Priority,
    remediation::Risk,
    raw::Level,
    fault::Scenario
);

/// Why a payload was refused.
#[derive(Debug, thiserror::Error)]
pub enum Refusal {
    /// The record has no value at all.
    #[error("empty payload")]
    Empty,
    /// The record is larger than [`MAX_PAYLOAD`].
    #[error("payload of {0} bytes is larger than {MAX_PAYLOAD}")]
    TooLarge(usize),
    /// Not JSON, or not the JSON this topic carries.
    #[error("malformed: {0}")]
    Malformed(#[from] serde_json::Error),
    /// The envelope names another type, or another version of it, than the topic carries.
    #[error("event type {found:?} where {expected:?} is expected")]
    OtherType {
        /// What the envelope says, shortened.
        found: String,
        /// What the topic carries.
        expected: &'static str,
    },
    /// A topic this reader does not know.
    #[error("unknown event type {0:?}")]
    UnknownType(String),
    /// A rule the types cannot express is broken.
    #[error("invalid: {0}")]
    Invalid(String),
}

impl Refusal {
    /// Returns a short name for metrics.
    pub fn reason(&self) -> &'static str {
        match self {
            Self::Empty => "empty",
            Self::TooLarge(_) => "too_large",
            Self::Malformed(_) => "malformed",
            Self::OtherType { .. } => "other_type",
            Self::UnknownType(_) => "unknown_type",
            Self::Invalid(_) => "invalid",
        }
    }
}

/// An event with its own topic identity: type name, version and what it is about.
pub trait Event: Serialize + DeserializeOwned + JsonSchema + Send + Sync + 'static {
    /// The CloudEvents type with its version, e.g. `firewatch.anomaly.v1`.
    const TYPE: &'static str;

    /// Returns what the event is about (`ce_subject`), usually the key.
    fn subject(&self) -> String;

    /// Checks what the types cannot.
    fn validate(&self) -> Result<(), Refusal> {
        Ok(())
    }
}

/// Reads one event from a payload.
pub fn decode<E: Event>(payload: &[u8]) -> Result<E, Refusal> {
    if payload.is_empty() {
        return Err(Refusal::Empty);
    }
    if payload.len() > MAX_PAYLOAD {
        return Err(Refusal::TooLarge(payload.len()));
    }
    let event: E = serde_json::from_slice(payload)?;
    event.validate()?;
    Ok(event)
}

/// Writes one event as its payload.
///
/// Fails where a number is not finite and where no reader would take it for its size.
pub fn encode<E: Event>(event: &E) -> Result<Vec<u8>, Refusal> {
    event.validate()?;
    let payload = serde_json::to_vec(event)?;
    if payload.len() > MAX_PAYLOAD { Err(Refusal::TooLarge(payload.len())) } else { Ok(payload) }
}

/// Refuses numbers that are not finite.
pub(crate) fn finite(name: &str, value: f64) -> Result<(), Refusal> {
    if value.is_finite() { Ok(()) } else { Err(Refusal::Invalid(format!("{name} is not finite"))) }
}

/// Refuses empty and overlong names.
pub(crate) fn named(name: &str, value: &str) -> Result<(), Refusal> {
    match value.len() {
        0 => Err(Refusal::Invalid(format!("{name} is empty"))),
        1..=256 => Ok(()),
        long => Err(Refusal::Invalid(format!("{name} of {long} bytes is longer than 256"))),
    }
}

/// Returns the environment that is assumed where a record names none.
pub(crate) fn default_environment() -> String {
    "production".to_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_category_but_unknown_is_a_cause() {
        let schema = serde_json::to_value(schemars::schema_for!(Category)).unwrap();
        let names: Vec<_> =
            schema["oneOf"].as_array().unwrap().iter().map(|name| name["const"].clone()).collect();
        let causes = Category::CAUSES.iter().chain([&Category::Unknown]);
        let known: Vec<_> = causes.map(|category| serde_json::to_value(category).unwrap()).collect();
        assert_eq!(names, known);
    }
}
