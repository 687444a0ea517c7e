//! Whether a member of a group makes progress, for `/readyz`: Kafka may answer while nothing is handled.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use rdkafka::statistics::Statistics;
use rdkafka::topic_partition_list::{Offset, TopicPartitionList};

use super::tracker::{Place, PlaceStanding};
use crate::events::Topic;

/// Name of a stage's progress among the dependencies of `/readyz`.
pub(crate) const PROGRESS: &str = "progress";
/// Reasons that are named; the rest is counted.
const NAMED: usize = 3;

/// What keeps a member from making progress.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Stalled(Vec<String>);

impl fmt::Display for Stalled {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let named = self.0.len().min(NAMED);
        write!(f, "{}", self.0[..named].join("; "))?;
        match self.0.len() - named {
            0 => Ok(()),
            more => write!(f, "; and {more} more"),
        }
    }
}

/// What the polling thread last saw, shared with whoever asks for it.
pub(super) struct Progress {
    patience: Duration,
    state: Mutex<State>,
}

struct State {
    /// When the polling thread last looked.
    looked: Instant,
    /// Since when no partitions are assigned. A member without partitions of its own has an assignment, an empty one.
    unassigned: Option<Instant>,
    /// Partitions that are ours: the client goes on telling of others.
    ours: BTreeSet<(String, i32)>,
    reasons: Vec<String>,
    /// Ends that were reached with nothing left to hand out, by name of the topic.
    reached: BTreeMap<(String, i32), i64>,
    /// Where the group stood when a partition came to us, until somebody has asked for it.
    committed: BTreeMap<(String, i32), i64>,
    /// Records behind which an open transaction lies: the end of what may be read, and since when it has been there.
    held: BTreeMap<(String, i32), (i64, Instant)>,
}

impl Progress {
    pub(super) fn new(patience: Duration) -> Self {
        let now = Instant::now();
        let state = State {
            looked: now,
            unassigned: Some(now),
            ours: BTreeSet::new(),
            reasons: Vec::new(),
            reached: BTreeMap::new(),
            committed: BTreeMap::new(),
            held: BTreeMap::new(),
        };
        Self { patience, state: Mutex::new(state) }
    }

    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Returns how long nothing may go on before it is reported.
    pub(super) fn patience(&self) -> Duration {
        self.patience
    }

    /// Notes that partitions were assigned, if only none, and where the group stands in them.
    pub(super) fn assigned(&self, partitions: &TopicPartitionList, committed: &TopicPartitionList) {
        let mut state = self.lock();
        state.unassigned = None;
        state.ours =
            partitions.elements().iter().map(|one| (one.topic().to_owned(), one.partition())).collect();
        state.committed.clear();
        for one in committed.elements() {
            if let Offset::Offset(offset) = one.offset() {
                state.committed.insert((one.topic().to_owned(), one.partition()), offset);
            }
        }
        state.reached.clear();
        state.held.clear();
    }

    /// Notes that they were taken away.
    pub(super) fn unassigned(&self) {
        let mut state = self.lock();
        state.unassigned.get_or_insert_with(Instant::now);
        state.reasons.clear();
        state.ours.clear();
        state.held.clear();
    }

    /// Notes what the polling thread sees.
    pub(super) fn note(&self, reasons: Vec<String>) {
        let mut state = self.lock();
        state.looked = Instant::now();
        state.reasons = reasons;
    }

    /// Notes which ends were reached. Transactions leave markers behind, and compaction leaves holes: the end of a log
    /// may lie behind its last record, and only the client knows that there is nothing in between.
    pub(super) fn statistics(&self, statistics: &Statistics) {
        let mut state = self.lock();
        for topic in statistics.topics.values() {
            for partition in topic.partitions.values().filter(|one| one.partition >= 0) {
                let place = (topic.topic.clone(), partition.partition);
                if !state.ours.contains(&place) {
                    continue;
                }
                if partition.ls_offset < 0 || partition.hi_offset <= partition.ls_offset {
                    state.held.remove(&place);
                } else if state.held.get(&place).is_none_or(|(end, _)| *end != partition.ls_offset) {
                    state.held.insert(place.clone(), (partition.ls_offset, Instant::now()));
                }
                if partition.eof_offset >= 0 && partition.fetchq_cnt == 0 {
                    state.reached.insert(place, partition.eof_offset);
                }
            }
        }
    }

    /// Forgets what was known of a log that was made again.
    pub(super) fn began_anew(&self, (topic, partition): Place) {
        let place = (topic.name().to_owned(), partition);
        let mut state = self.lock();
        state.reached.remove(&place);
        state.held.remove(&place);
    }

    /// Returns, once, where the group stood when the partition came to us.
    pub(super) fn take_committed(&self, (topic, partition): Place) -> Option<i64> {
        self.lock().committed.remove(&(topic.name().to_owned(), partition))
    }

    /// Returns the end of a partition that was reached, if one was.
    pub(super) fn reached(&self, (topic, partition): Place) -> Option<i64> {
        self.lock().reached.get(&(topic.name().to_owned(), partition)).copied()
    }

    /// Returns whether the member makes progress.
    pub(super) fn report(&self) -> Result<(), Stalled> {
        let state = self.lock();
        let mut reasons = state.reasons.clone();
        for ((topic, partition), (_, since)) in &state.held {
            if let Some(for_s) = over(Some(*since), self.patience) {
                reasons.push(format!(
                    "{topic} partition {partition}: a transaction that is open for {for_s} s holds back what is behind it"
                ));
            }
        }
        if let Some(for_s) = over(state.unassigned, self.patience) {
            reasons.insert(0, format!("no partitions were assigned for {for_s} s"));
        }
        if let Some(for_s) = over(Some(state.looked), self.patience) {
            reasons.insert(0, format!("the Kafka client has not been polled for {for_s} s"));
        }
        if reasons.is_empty() { Ok(()) } else { Err(Stalled(reasons)) }
    }
}

fn over(since: Option<Instant>, patience: Duration) -> Option<u64> {
    since.map(|since| since.elapsed()).filter(|elapsed| *elapsed > patience).map(|elapsed| elapsed.as_secs())
}

/// Since when records of each partition wait.
#[derive(Debug, Default)]
pub(super) struct Waits(BTreeMap<Place, Instant>);

impl Waits {
    /// Takes in how many records of a partition are not done with, and the end of its log. Returns for how long nothing
    /// of it has gone on although records wait. What only waits for a snapshot is not late.
    pub(super) fn observe(
        &mut self,
        place: Place,
        records: i64,
        end: i64,
        standing: Option<&PlaceStanding>,
        now: Instant,
    ) -> Option<Duration> {
        let waits =
            records > 0 && standing.is_none_or(|standing| standing.waiting > 0 || end > standing.next);
        if !waits {
            self.0.remove(&place);
            return None;
        }
        let behind = *self.0.entry(place).or_insert(now);
        let since = standing.map_or(behind, |standing| standing.moved.max(behind));
        Some(now.saturating_duration_since(since))
    }

    /// Forgets partitions that are no longer ours.
    pub(super) fn retain(&mut self, is_ours: impl Fn(&Place) -> bool) {
        self.0.retain(|place, _| is_ours(place));
    }
}

/// Returns the sentence for records of a partition that wait.
pub(super) fn waiting((topic, partition): Place, records: i64, waited: Duration) -> String {
    format!(
        "{topic} partition {partition}: {records} records wait and none was handled for {} s",
        waited.as_secs()
    )
}

/// Returns the sentence for a topic that is not there.
pub(super) fn missing(topic: Topic) -> String {
    format!("topic {topic} does not exist; create it with `stack topics`")
}

#[cfg(test)]
mod tests {
    use super::*;

    const PLACE: Place = (Topic::RawMetrics, 0);

    #[test]
    fn waiting_counts_from_the_last_record_that_was_handled_and_not_from_an_idle_hour() {
        let begun = Instant::now();
        let at = |s: u64| begun + Duration::from_secs(s);
        let standing = |waiting: usize, next: i64, moved_s: u64| {
            Some(PlaceStanding { safe: 0, next, waiting, moved: at(moved_s) })
        };
        let mut waits = Waits::default();
        let mut observe = |records, end, standing: Option<PlaceStanding>, now_s| {
            waits.observe(PLACE, records, end, standing.as_ref(), at(now_s)).map(|waited| waited.as_secs())
        };
        assert_eq!(observe(0, 10, standing(0, 10, 0), 3600), None);
        assert_eq!(observe(1, 11, standing(0, 10, 0), 3602), Some(0));
        assert_eq!(observe(1, 11, standing(1, 11, 3603), 3663), Some(60));
        assert_eq!(observe(5, 15, standing(2, 15, 3664), 3665), Some(1));
        assert_eq!(observe(5, 15, standing(0, 15, 3664), 3900), None, "it waits for a snapshot");
        assert_eq!(observe(3, 3, None, 3901), Some(0));
        assert_eq!(observe(3, 3, None, 4000), Some(99));
    }

    #[test]
    fn a_member_without_an_assignment_or_a_poll_makes_no_progress() {
        let progress = Progress::new(Duration::ZERO);
        std::thread::sleep(Duration::from_millis(1));
        assert_eq!(progress.report().unwrap_err().0.len(), 2);
        let patient = Progress::new(Duration::from_mins(1));
        assert_eq!(patient.report(), Ok(()));
        patient.note((0..5).map(|place| place.to_string()).collect());
        assert_eq!(patient.report().unwrap_err().to_string(), "0; 1; 2; and 2 more");
        patient.unassigned();
        assert_eq!(patient.report(), Ok(()), "a rebalance takes its time");
    }
}
