//! What comes of one record, and where it lies.

use shared::bus::partitioned::Notice;
use shared::events::{Anomaly, Refusal};
use shared::ids::AnomalyId;

use crate::fold::Left;
use crate::series::Unused;
use crate::service::intake::Cause;

/// Where a record lies in its topic.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct At {
    /// Its offset.
    pub offset: i64,
    /// Its own time (of creation or of append), milliseconds, if it has one. It stands for the wall clock: unlike the
    /// clock itself it is the same in a replay.
    pub timestamp_ms: Option<i64>,
}

impl At {
    /// Returns its own time, milliseconds. One that has none is later than all others: it bounds no event time, and no
    /// time passes between two of them.
    pub(crate) fn stamp_ms(self) -> i64 {
        self.timestamp_ms.unwrap_or(i64::MAX)
    }
}

/// Why a sample or a line was dropped.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Reason {
    /// Same time as the sample before it.
    Duplicate,
    /// Older than the sample before it.
    OutOfOrder,
    /// Much older than the sample before it.
    Late,
    /// Far ahead of everything else.
    Ahead,
    /// One series more than the partition or the service may have.
    SeriesLimit,
    /// It says itself that there is no value: `null`, `NaN`, an infinity.
    Missing,
    /// One replica more than a series may have.
    ReplicaLimit,
    /// Its buckets do not fit to those of other replicas, or are too many.
    Buckets,
}

impl Reason {
    /// All reasons.
    pub const ALL: [Self; 8] = [
        Self::Duplicate,
        Self::OutOfOrder,
        Self::Late,
        Self::Ahead,
        Self::SeriesLimit,
        Self::Missing,
        Self::ReplicaLimit,
        Self::Buckets,
    ];

    /// Returns the name for metrics.
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Duplicate => "duplicate",
            Self::OutOfOrder => "out_of_order",
            Self::Late => "late",
            Self::Ahead => "ahead",
            Self::SeriesLimit => "series_limit",
            Self::Missing => "missing",
            Self::ReplicaLimit => "replica_limit",
            Self::Buckets => "buckets",
        }
    }
}

impl From<Unused> for Reason {
    fn from(unused: Unused) -> Self {
        match unused {
            Unused::Duplicate => Self::Duplicate,
            Unused::OutOfOrder => Self::OutOfOrder,
            Unused::Late => Self::Late,
        }
    }
}

impl From<Left> for Reason {
    fn from(left: Left) -> Self {
        match left {
            Left::Duplicate => Self::Duplicate,
            Left::OutOfOrder => Self::OutOfOrder,
            Left::Late => Self::Late,
            Left::Groups => Self::SeriesLimit,
            Left::Replicas => Self::ReplicaLimit,
            Left::Buckets => Self::Buckets,
        }
    }
}

/// How often something was dropped, by reason.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Dropped([u32; Reason::ALL.len()]);

impl Dropped {
    pub(crate) fn count(&mut self, reason: Reason) {
        self.0[reason as usize] += 1;
    }

    /// Returns how much was dropped in all.
    pub fn total(&self) -> u64 {
        self.0.iter().map(|&count| u64::from(count)).sum()
    }

    /// Returns the reasons that occurred, and how often.
    pub fn iter(&self) -> impl Iterator<Item = (Reason, u32)> {
        Reason::ALL.into_iter().zip(self.0).filter(|(_, count)| *count > 0)
    }
}

/// What came of one record.
#[derive(Debug, Default)]
pub struct Outcome {
    /// Revisions to publish, in this order.
    pub anomalies: Vec<Anomaly>,
    /// Episodes in which a sample of this record was found abnormal for certain, be it harmful or not: for the first
    /// time, or anew.
    pub decided: Vec<AnomalyId>,
    /// Why the record belongs into the dead-letter topic, if it does. Its good elements were used all the same.
    pub refused: Option<Refusal>,
    /// What was left out without being wrong.
    pub dropped: Dropped,
    /// Samples that could not be used, by service and cause.
    pub unusable: Vec<Unusable>,
    /// Samples or lines that were used.
    pub used: u32,
    /// Labelled samples among them that were folded, and those of them that belong to sets of dimensions beyond the limit.
    pub folded: [u32; 2],
    /// What other partitions are asked, or answered.
    pub notices: Vec<Notice>,
    /// Services that have stopped reporting here because they report in another partition, with its number.
    pub elsewhere: Vec<(String, i32)>,
}

/// Samples of one service that could not be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Unusable {
    /// Service.
    pub service: Box<str>,
    /// Why.
    pub cause: Cause,
    /// How many.
    pub samples: u64,
}

impl Outcome {
    /// Adds a revision to publish.
    pub(crate) fn add(&mut self, anomaly: Anomaly) {
        self.anomalies.push(anomaly);
    }

    /// Notes that the episode of a revision was found abnormal for certain.
    pub(crate) fn decide(&mut self, id: AnomalyId) {
        self.decided.push(id);
    }

    /// Counts a sample of a service that could not be used.
    pub(crate) fn count_unusable(&mut self, service: &str, cause: Cause) {
        // those of one record are most often of one kind
        match self.unusable.last_mut().filter(|last| *last.service == *service && last.cause == cause) {
            Some(last) => last.samples += 1,
            None => self.unusable.push(Unusable { service: service.into(), cause, samples: 1 }),
        }
    }

    pub(crate) fn refusing(refusal: Refusal) -> Self {
        Self { refused: Some(refusal), ..Self::default() }
    }
}
