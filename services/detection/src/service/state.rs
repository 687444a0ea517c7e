//! What is written to `detection.state`: one record per service, then one for the partition.
//!
//! A value is one byte of format version and then postcard, which keeps every number to the last bit. The record of a
//! service says up to which input offsets it reflects; the record of the partition, written last, says from where to
//! read again. So a crash between the two only means that some services skip what they have already seen.

use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use crate::series::Series;
use crate::series::alarm_budget::Census;
use crate::series::rules::restarts::Restarts;
use crate::service::clock::Pace;
use crate::service::joint::Joint;
use crate::service::logs::{Book, Clock};
use crate::service::regression::{Deployed, Rollout};
use crate::service::silence::Rhythm;

/// Format of the values; a change of any type below needs another one. State of another format is not read, and the
/// series warm up again.
pub const FORMAT: u8 = 5;

/// The last record of each input topic that has been taken in; -1 before the first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub struct Offsets {
    /// Of `raw.metrics`.
    pub metrics: i64,
    /// Of `raw.logs`.
    pub logs: i64,
    /// Of `raw.deployments`.
    pub deployments: i64,
}

impl Default for Offsets {
    fn default() -> Self {
        Self { metrics: -1, logs: -1, deployments: -1 }
    }
}

impl Offsets {
    /// Returns the later one of each topic.
    pub(crate) fn max(self, other: Self) -> Self {
        Self {
            metrics: self.metrics.max(other.metrics),
            logs: self.logs.max(other.logs),
            deployments: self.deployments.max(other.deployments),
        }
    }
}

/// A record for `detection.state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `PARTITION/ENVIRONMENT/SERVICE`, or `PARTITION` for the partition itself.
    pub key: String,
    /// Format and state.
    pub value: Vec<u8>,
}

/// Everything that has changed since the last snapshot that was saved. The order of the records matters: the
/// partition's own comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Records to write; none if nothing has changed.
    pub records: Vec<Record>,
    /// How far it goes.
    pub version: Version,
}

/// How far a partition has come, in records that were taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(pub(crate) u64);

/// The partition itself.
#[derive(Debug, Serialize, Deserialize)]
pub(crate) struct PartitionState {
    pub(crate) applied: Offsets,
    pub(crate) newest_ms: Option<i64>,
    pub(crate) pace: Pace,
    pub(crate) log_clock: Clock,
    pub(crate) census: Census,
}

/// One service, to be written.
#[derive(Debug, Serialize)]
pub(crate) struct ServiceView<'a> {
    pub(crate) applied: Offsets,
    pub(crate) environment: &'a str,
    pub(crate) name: &'a str,
    pub(crate) series: &'a [Series],
    pub(crate) logs: Option<&'a Book>,
    pub(crate) deployed: Option<&'a Deployed>,
    pub(crate) rhythm: &'a Rhythm,
    pub(crate) joint: Option<&'a Joint>,
    pub(crate) rollout: Option<&'a Rollout>,
    pub(crate) restarts: Option<&'a Restarts>,
}

/// One service, as it was read. The fields are those of [`ServiceView`], in the same order.
#[derive(Debug, Deserialize)]
pub(crate) struct ServiceState {
    pub(crate) applied: Offsets,
    pub(crate) environment: Box<str>,
    pub(crate) name: Box<str>,
    pub(crate) series: Vec<Series>,
    pub(crate) logs: Option<Box<Book>>,
    pub(crate) deployed: Option<Deployed>,
    pub(crate) rhythm: Rhythm,
    pub(crate) joint: Option<Box<Joint>>,
    pub(crate) rollout: Option<Box<Rollout>>,
    pub(crate) restarts: Option<Box<Restarts>>,
}

pub(crate) fn write<T: Serialize>(state: &T) -> Vec<u8> {
    postcard::to_extend(state, vec![FORMAT])
        .expect("writing to memory cannot fail, and postcard can express all of these types")
}

pub(crate) fn read<T: DeserializeOwned>(value: &[u8]) -> Result<T, String> {
    postcard::from_bytes(state(value)?).map_err(|error| error.to_string())
}

/// Reads which offsets the state of a service or a partition reflects: its first field.
pub(crate) fn applied(value: &[u8]) -> Result<Offsets, String> {
    postcard::take_from_bytes(state(value)?).map(|(applied, _)| applied).map_err(|error| error.to_string())
}

fn state(value: &[u8]) -> Result<&[u8], String> {
    match value.split_first() {
        Some((&FORMAT, state)) => Ok(state),
        Some((other, _)) => Err(format!("format {other} is not {FORMAT}")),
        None => Err("empty".to_owned()),
    }
}
