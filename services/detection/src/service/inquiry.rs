//! Whether a service that has stopped reporting here reports in another partition.
//!
//! A service moves when its topic gets more partitions, when its producer counts them by another rule, or with each
//! batch where records have no key. One partition alone cannot tell that from silence, so before it reports a silence it
//! asks all others, through the log. Who has read up to the question answers; only when all have, and none has a sign of
//! the service that is newer, is the service silent.

use std::collections::BTreeSet;

use serde::{Deserialize, Serialize};

use super::clock::Moment;

/// Time after which a question without all its answers is asked again, milliseconds of the partition's clock.
pub(crate) const RETRY_MS: i64 = 60_000;
/// Time after which it is asked again whether a service that counts as silent reports elsewhere.
pub(crate) const REVIEW_MS: i64 = 60_000;
/// Shortest time between two questions about a service.
pub(crate) const LEAST_MS: i64 = 5_000;

/// A question about one service, and who has answered it.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Inquiry {
    /// Offset of the record with which it was begun. Answers name it.
    pub(crate) number: i64,
    /// When that was.
    pub(crate) at: Moment,
    /// Partitions that were asked; unknown until the partition reads its own question.
    partitions: Option<i32>,
    answered: BTreeSet<i32>,
}

impl Inquiry {
    pub(crate) fn new(number: i64, at: Moment) -> Self {
        Self { number, at, partitions: None, answered: BTreeSet::new() }
    }

    /// Notes that the question of partition `own` was written to so many partitions.
    pub(crate) fn asked(&mut self, own: i32, partitions: i32) {
        self.partitions = Some(partitions);
        self.answered.insert(own);
    }

    /// Notes that a partition knows nothing newer.
    pub(crate) fn answer(&mut self, partition: i32) {
        self.answered.insert(partition);
    }

    /// Returns whether all have answered.
    pub(crate) fn is_complete(&self) -> bool {
        self.partitions.is_some_and(|count| (0..count).all(|partition| self.answered.contains(&partition)))
    }
}

/// A sign of a service that is newer than what the partition that asks has seen.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Sign {
    /// It reported at this time, milliseconds.
    Reported(i64),
    /// It was taken out of operation at this time, milliseconds.
    Retired(i64),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_inquiry_is_complete_once_the_last_partition_has_answered() {
        let mut inquiry = Inquiry::new(7, Moment::default());
        inquiry.answer(0);
        inquiry.answer(2);
        assert!(!inquiry.is_complete(), "it is not known who was asked");
        inquiry.asked(1, 4);
        assert!(!inquiry.is_complete());
        inquiry.answer(3);
        assert!(inquiry.is_complete());
    }
}
