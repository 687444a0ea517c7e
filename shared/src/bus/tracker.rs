//! Which offsets may be committed: everything below the lowest record that is not finished.

use std::collections::BTreeMap;
use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::events::Topic;

/// A partition of a topic.
pub type Place = (Topic, i32);

#[derive(Debug, Default)]
struct Partition {
    /// Handed out and not finished: the first record of each ticket, and how many it covers.
    unfinished: BTreeMap<i64, usize>,
    /// One past the highest offset handed out.
    next: i64,
    /// Being worked on right now.
    active: usize,
    /// What was last given to the client to commit.
    stored: i64,
    /// Counts how often its log began anew; a ticket of an earlier log counts for nothing.
    log: u64,
    /// Records that were handed out and not worked on yet.
    waiting: usize,
    /// When something of it last went on.
    moved: Option<Instant>,
}

impl Partition {
    fn safe(&self) -> i64 {
        self.unfinished.first_key_value().map_or(self.next, |(first, _)| *first)
    }

    fn hand_out(&mut self, offset: i64) {
        self.next = self.next.max(offset + 1);
        self.waiting += 1;
    }
}

#[derive(Debug, Default)]
struct State {
    partitions: BTreeMap<Place, Partition>,
    /// Counts revocations; work on a ticket of an earlier epoch must not begin.
    epoch: u64,
    /// Counts assignments; what a ticket of an earlier one did counts for nothing.
    assignment: u64,
}

/// How far an assignment has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Standing {
    /// Counts assignments.
    pub assignment: u64,
    /// Of the partitions that something was read from.
    pub places: BTreeMap<Place, PlaceStanding>,
}

/// How far one partition has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PlaceStanding {
    /// What may be committed.
    pub safe: i64,
    /// One past the highest offset handed out.
    pub next: i64,
    /// Records that were handed out and not worked on yet.
    pub waiting: usize,
    /// When something of it last went on.
    pub moved: Instant,
}

/// Shared by the polling thread and the workers.
#[derive(Debug, Default)]
pub struct Tracker {
    state: Mutex<State>,
    idle: Condvar,
}

/// The right to work on a record, or on some in a row of one partition.
#[derive(Debug)]
pub struct Ticket {
    tracker: std::sync::Arc<Tracker>,
    place: Place,
    first: i64,
    epoch: u64,
    assignment: u64,
    log: u64,
    started: bool,
    /// Records of it that were not worked on yet.
    waiting: usize,
}

impl Tracker {
    fn lock(&self) -> MutexGuard<'_, State> {
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Notes that `offset` is read next. Returns the offset that was expected at least, where it lies before: the topic
    /// was made again, or its end was lost. What was read before counts for nothing then.
    pub fn went_back(&self, place: Place, offset: i64) -> Option<i64> {
        let mut state = self.lock();
        let partition = state.partitions.get_mut(&place).filter(|partition| offset < partition.next)?;
        let before = std::mem::take(partition);
        // work that was started still ends, and is waited for
        *partition = Partition { active: before.active, log: before.log + 1, ..Partition::default() };
        Some(before.next)
    }

    /// Hands out a ticket for a record that was read.
    pub fn issue(self: &std::sync::Arc<Self>, place: Place, offset: i64) -> Ticket {
        let mut state = self.lock();
        let (epoch, assignment) = (state.epoch, state.assignment);
        let partition = state.partitions.entry(place).or_default();
        partition.unfinished.insert(offset, 1);
        partition.hand_out(offset);
        // the records that follow in its ticket come at once
        partition.moved = Some(Instant::now());
        let log = partition.log;
        drop(state);
        Ticket {
            tracker: std::sync::Arc::clone(self),
            place,
            first: offset,
            epoch,
            assignment,
            log,
            started: false,
            waiting: 1,
        }
    }

    /// Returns the epoch of the tickets that are issued now.
    pub fn epoch(&self) -> u64 {
        self.lock().epoch
    }

    /// Voids all tickets that have not been started, and returns the new epoch.
    pub fn void(&self) -> u64 {
        let mut state = self.lock();
        state.epoch += 1;
        state.epoch
    }

    /// Waits until work that was started is finished or given up. Returns whether all was in time.
    pub fn drain(&self, deadline: Duration) -> bool {
        let end = Instant::now() + deadline;
        let mut state = self.lock();
        while state.partitions.values().any(|partition| partition.active > 0) {
            let left = end.saturating_duration_since(Instant::now());
            if left.is_zero() {
                return false;
            }
            state = self.idle.wait_timeout(state, left).unwrap_or_else(PoisonError::into_inner).0;
        }
        true
    }

    /// Forgets all partitions, after they were drained and committed, or were lost.
    pub fn clear(&self) {
        let mut state = self.lock();
        state.epoch += 1;
        state.assignment += 1;
        state.partitions.clear();
    }

    /// Returns the offsets that have become safe to commit since the last call.
    pub fn progress(&self) -> Vec<(Place, i64)> {
        let mut state = self.lock();
        let mut progress = Vec::new();
        for (place, partition) in &mut state.partitions {
            let safe = partition.safe();
            if safe > partition.stored {
                partition.stored = safe;
                progress.push((*place, safe));
            }
        }
        progress
    }

    /// Returns how far the present assignment has come.
    pub fn standing(&self) -> Standing {
        let state = self.lock();
        let places = state.partitions.iter().filter_map(|(place, partition)| {
            let standing = PlaceStanding {
                safe: partition.safe(),
                next: partition.next,
                waiting: partition.waiting,
                moved: partition.moved?,
            };
            Some((*place, standing))
        });
        Standing { assignment: state.assignment, places: places.collect() }
    }

    /// Returns the number of records that were read and are not finished.
    pub fn in_flight(&self) -> usize {
        self.lock().partitions.values().map(|partition| partition.unfinished.values().sum::<usize>()).sum()
    }
}

impl Ticket {
    /// Takes in the record that was read next from the same partition. `false` means that the partition was taken away
    /// in between, and perhaps given back: the record is of another assignment and needs a ticket of its own.
    #[must_use]
    pub fn extend(&mut self, offset: i64) -> bool {
        let mut state = self.tracker.lock();
        if state.epoch != self.epoch {
            return false;
        }
        let Some(partition) = state.partitions.get_mut(&self.place) else { return false };
        // an offset that was read before is of a log that begins anew
        if partition.log != self.log || offset < partition.next {
            return false;
        }
        let Some(records) = partition.unfinished.get_mut(&self.first) else { return false };
        *records += 1;
        partition.hand_out(offset);
        self.waiting += 1;
        true
    }

    /// Returns the partition it is for.
    pub fn place(&self) -> Place {
        self.place
    }

    /// Begins the work. `false` means that the partition was taken away: drop the record, someone else will read it.
    #[must_use]
    pub fn start(&mut self) -> bool {
        let mut state = self.tracker.lock();
        if state.epoch != self.epoch {
            return false;
        }
        if !self.started
            && let Some(partition) = state.partitions.get_mut(&self.place)
        {
            partition.active += 1;
            partition.moved = Some(Instant::now());
            self.started = true;
        }
        self.started
    }

    /// Notes that its records were worked on, and only wait for what lets their offsets go.
    pub fn worked(&mut self) {
        let mut state = self.tracker.lock();
        if let Some(partition) = self.partition(&mut state) {
            partition.waiting = partition.waiting.saturating_sub(self.waiting);
            partition.moved = Some(Instant::now());
        }
        drop(state);
        self.waiting = 0;
    }

    /// Returns what is known of its partition; none if that was taken away, or its log began anew.
    fn partition<'a>(&self, state: &'a mut State) -> Option<&'a mut Partition> {
        let is_ours = state.assignment == self.assignment;
        let partition = state.partitions.get_mut(&self.place).filter(|_| is_ours);
        partition.filter(|partition| partition.log == self.log)
    }

    /// Returns whether work on it may still begin.
    pub fn is_current(&self) -> bool {
        self.tracker.lock().epoch == self.epoch
    }

    /// Returns whether the partition is still ours, if only to finish what was begun.
    pub fn is_ours(&self) -> bool {
        self.tracker.lock().assignment == self.assignment
    }

    /// Returns the epoch it was read in.
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Ends the work: the record need not be read again.
    pub fn finish(mut self) {
        self.worked();
        let mut state = self.tracker.lock();
        if let Some(partition) = self.partition(&mut state) {
            partition.unfinished.remove(&self.first);
        }
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        if self.started {
            let mut state = self.tracker.lock();
            if state.assignment == self.assignment
                && let Some(partition) = state.partitions.get_mut(&self.place)
            {
                partition.active = partition.active.saturating_sub(1);
            }
            drop(state);
            self.tracker.idle.notify_all();
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;

    use super::*;

    const PLACE: Place = (Topic::Anomalies, 0);

    #[test]
    fn nothing_beyond_an_unfinished_record_is_committed() {
        let tracker = Arc::new(Tracker::default());
        let mut tickets: Vec<Ticket> = (10..13).map(|offset| tracker.issue(PLACE, offset)).collect();
        assert_eq!(tracker.progress(), [(PLACE, 10)]);
        for ticket in tickets.drain(1..) {
            ticket.finish();
        }
        assert_eq!(tracker.progress(), []);
        tickets.remove(0).finish();
        assert_eq!(tracker.progress(), [(PLACE, 13)]);
        assert_eq!(tracker.progress(), []);
    }

    #[test]
    fn records_of_one_ticket_are_let_go_together() {
        let tracker = Arc::new(Tracker::default());
        let mut ticket = tracker.issue(PLACE, 10);
        // retention and compaction leave holes
        assert!(ticket.extend(11) && ticket.extend(15));
        assert_eq!(tracker.in_flight(), 3);
        assert_eq!(tracker.progress(), [(PLACE, 10)]);
        ticket.finish();
        assert_eq!(tracker.progress(), [(PLACE, 16)]);
        assert_eq!(tracker.in_flight(), 0);
    }

    #[test]
    fn a_log_that_begins_anew_is_committed_from_its_beginning() {
        let tracker = Arc::new(Tracker::default());
        let mut old = tracker.issue(PLACE, 500);
        assert!(old.start());
        assert_eq!(tracker.went_back(PLACE, 501), None, "offsets may leave holes, and begin anywhere");
        assert_eq!(tracker.went_back(PLACE, 3), Some(501));
        let new = tracker.issue(PLACE, 3);
        assert!(!old.extend(4), "4 is of another log");
        old.finish();
        assert_eq!(tracker.progress(), [(PLACE, 3)]);
        assert_eq!(tracker.standing().places[&PLACE].waiting, 1);
        new.finish();
        assert_eq!(tracker.progress(), [(PLACE, 4)]);
        assert!(tracker.drain(Duration::from_millis(20)));
    }

    #[test]
    fn records_that_only_wait_for_a_snapshot_are_no_waiting_work() {
        let tracker = Arc::new(Tracker::default());
        let mut ticket = tracker.issue(PLACE, 10);
        assert!(ticket.extend(11) && ticket.start());
        let waiting = || tracker.standing().places[&PLACE].waiting;
        assert_eq!(waiting(), 2);
        ticket.worked();
        assert_eq!((waiting(), tracker.in_flight()), (0, 2));
        ticket.finish();
        assert_eq!((waiting(), tracker.in_flight()), (0, 0));
    }

    #[test]
    fn a_ticket_takes_in_no_record_of_the_next_assignment() {
        let tracker = Arc::new(Tracker::default());
        let mut ticket = tracker.issue(PLACE, 10);
        tracker.void();
        assert!(!ticket.extend(11), "it must not begin any more, and 11 must not be lost with it");
        tracker.clear();
        let mut ticket = tracker.issue(PLACE, 10);
        tracker.clear();
        assert!(!ticket.extend(11));
    }

    #[test]
    fn a_drain_waits_for_started_work_and_voids_the_rest() {
        let tracker = Arc::new(Tracker::default());
        let mut started = tracker.issue(PLACE, 1);
        let mut waiting = tracker.issue(PLACE, 2);
        assert!(started.start());
        tracker.void();
        assert!(!tracker.drain(Duration::from_millis(20)), "started work is not finished yet");
        assert!(!waiting.start(), "work that had not begun must not begin after a drain");
        let worker = std::thread::spawn(move || started.finish());
        assert!(tracker.drain(Duration::from_secs(5)));
        worker.join().unwrap();
        assert_eq!(tracker.progress(), [(PLACE, 2)]);
    }

    #[test]
    fn work_that_was_given_up_is_read_again() {
        let tracker = Arc::new(Tracker::default());
        let mut ticket = tracker.issue(PLACE, 5);
        assert!(ticket.start());
        drop(ticket);
        assert!(tracker.drain(Duration::from_millis(20)));
        assert_eq!(tracker.progress(), [(PLACE, 5)], "offset 5 itself stays uncommitted");
    }

    #[test]
    fn work_of_a_lost_assignment_counts_for_nothing_in_the_next() {
        let tracker = Arc::new(Tracker::default());
        let mut old = tracker.issue(PLACE, 7);
        assert!(old.start());
        tracker.clear();
        let mut new = tracker.issue(PLACE, 7);
        assert!(new.start() && !old.is_ours() && new.is_ours());
        old.finish();
        assert_eq!(tracker.progress(), [(PLACE, 7)], "offset 7 is still in work");
        assert!(!tracker.drain(Duration::from_millis(20)), "and so a drain waits for it");
    }
}
