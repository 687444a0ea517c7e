//! Since when records of each partition are in no snapshot.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::agent::Agent;
use crate::metrics::runtime;

/// When the first record of each partition was taken that no snapshot reflects. Outlives a session: a stage that fails
/// again and again before its snapshot does not look young.
#[derive(Debug, Default)]
pub(super) struct Unsaved(Mutex<BTreeMap<i32, Instant>>);

impl Unsaved {
    fn lock(&self) -> MutexGuard<'_, BTreeMap<i32, Instant>> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that records of a partition were taken.
    pub(super) fn taken(&self, partition: i32, now: Instant) {
        self.lock().entry(partition).or_insert(now);
    }

    /// Notes that a snapshot reflects all that was taken of a partition, or that another replica has it.
    pub(super) fn saved(&self, partition: i32) {
        self.lock().remove(&partition);
    }

    /// Forgets partitions that are not ours.
    pub(super) fn retain(&self, ours: &BTreeSet<i32>) {
        self.lock().retain(|partition, _| ours.contains(partition));
    }

    /// Returns for how long records have been in no snapshot, of the partition where that is longest.
    pub(super) fn longest(&self, now: Instant) -> Duration {
        let first = self.lock().values().min().copied();
        first.map_or(Duration::ZERO, |first| now.saturating_duration_since(first))
    }

    /// Shows it.
    pub(super) fn show(&self, stage: Agent) {
        runtime::UNSAVED_SECONDS.set([stage.name()], self.longest(Instant::now()).as_secs_f64());
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn records_are_unsaved_since_the_first_one_after_the_last_snapshot() {
        let (unsaved, begun) = (Unsaved::default(), Instant::now());
        let at = |s: u64| begun + Duration::from_secs(s);
        assert_eq!(unsaved.longest(at(100)), Duration::ZERO, "nothing came");
        unsaved.taken(0, at(100));
        unsaved.taken(0, at(160));
        unsaved.taken(1, at(150));
        assert_eq!(unsaved.longest(at(170)), Duration::from_secs(70));
        unsaved.saved(0);
        assert_eq!(unsaved.longest(at(170)), Duration::from_secs(20));
        unsaved.retain(&BTreeSet::from([0]));
        assert_eq!(unsaved.longest(at(900)), Duration::ZERO, "another replica has it");
    }
}
