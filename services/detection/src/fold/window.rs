//! Windows of a group: each ends with a point of one of its replicas, so that a group of one replica is judged as a series
//! without labels is.

use std::collections::VecDeque;

use serde::{Deserialize, Serialize};

/// Shortest window, milliseconds.
const MIN_WINDOW_MS: i64 = 1000;
/// Longest distance of points by which tolerances go, milliseconds.
const MAX_USUAL_MS: i64 = 300_000;
/// Bounds of the time for which a window waits for replicas, milliseconds.
const GRACE_MS: std::ops::RangeInclusive<i64> = 1000..=60_000;
/// Windows that may wait at once.
const MAX_WAITING: usize = 4;

/// The windows of one group.
#[derive(Debug, Default, Serialize, Deserialize)]
pub(super) struct Window {
    /// Replica whose points end the windows, and the time of its last point.
    leader: Option<(u64, i64)>,
    /// End of the last window that is closed.
    pub(super) closed_ms: Option<i64>,
    /// Usual length, milliseconds; 0 before the first window.
    usual_ms: i64,
    /// Ends of the windows that are open.
    ends: VecDeque<i64>,
    /// Replicas for which the first of them waits.
    waiting: u32,
}

impl Window {
    /// Returns the usual length of a window, milliseconds; nothing before the first one has ended.
    pub(super) fn usual_ms(&self) -> Option<i64> {
        (self.usual_ms > 0).then_some(self.usual_ms)
    }

    /// Returns how far a point may lie behind the end of a window and belong to it, milliseconds.
    pub(super) fn reach_ms(&self) -> i64 {
        self.usual_ms / 2
    }

    /// Returns the end of the window that is next to be closed.
    pub(super) fn front(&self) -> Option<i64> {
        self.ends.front().copied()
    }

    /// Returns when it is closed whoever is missing.
    pub(super) fn due_ms(&self) -> Option<i64> {
        self.front().map(|end| end + (self.usual_ms / 2).clamp(*GRACE_MS.start(), *GRACE_MS.end()))
    }

    /// Returns whether it has to be closed by a time: nobody is missing, it has waited for long enough, or too many wait.
    pub(super) fn is_due(&self, clock_ms: i64) -> bool {
        let is_late = self.due_ms().is_some_and(|due_ms| clock_ms >= due_ms);
        !self.ends.is_empty() && (self.waiting == 0 || is_late || self.ends.len() > MAX_WAITING)
    }

    /// Notes a point of a replica. Returns whether it is the end of a window before which there was none open.
    pub(super) fn point(&mut self, replica: u64, ts_ms: i64) -> bool {
        let Some((leader, leader_ms)) = self.leader else {
            self.leader = Some((replica, ts_ms));
            self.closed_ms = Some(self.closed_ms.map_or(ts_ms, |closed_ms| closed_ms.max(ts_ms)));
            return false;
        };
        let patience_ms = if self.usual_ms > 0 { self.usual_ms * 3 / 2 } else { MAX_USUAL_MS };
        if replica != leader && ts_ms - leader_ms <= patience_ms {
            return false;
        }
        self.leader = Some((replica, ts_ms.max(leader_ms)));
        let before_ms = self.ends.back().copied().or(self.closed_ms).unwrap_or(ts_ms);
        let length_ms = ts_ms.saturating_sub(before_ms);
        if length_ms < MIN_WINDOW_MS {
            return false;
        }
        let limited_ms = length_ms.min(MAX_USUAL_MS);
        self.usual_ms = match self.usual_ms {
            0 => limited_ms,
            usual_ms => usual_ms + (limited_ms.clamp(usual_ms / 2, 2 * usual_ms) - usual_ms) / 8,
        };
        self.ends.push_back(ts_ms);
        self.ends.len() == 1
    }

    /// Notes that a replica does not report any more.
    pub(super) fn leave(&mut self, replica: u64) {
        if let Some((leader, leader_ms)) = self.leader
            && leader == replica
        {
            // the next point of any other takes over
            self.leader = Some((leader, leader_ms - 2 * MAX_USUAL_MS));
        }
    }

    /// Returns whether a replica whose last point is of a time has reported for the window that ends then.
    pub(super) fn covers(&self, ts_ms: i64, end_ms: i64) -> bool {
        ts_ms > end_ms - self.reach_ms().max(1)
    }

    /// Returns whether a window that ends then waits for a replica whose last point is of a time. Where all were away, it
    /// waits for those that reported before.
    pub(super) fn awaits(&self, ts_ms: i64, end_ms: i64) -> bool {
        let before_ms = self.closed_ms.unwrap_or(end_ms) - self.usual_ms;
        let since_ms = (end_ms - self.usual_ms * 5 / 2).min(before_ms);
        !self.covers(ts_ms, end_ms) && ts_ms > since_ms
    }

    /// Notes for how many replicas the first window waits.
    pub(super) fn wait_for(&mut self, replicas: u32) {
        self.waiting = replicas;
    }

    /// Notes that one of them has reported.
    pub(super) fn arrived(&mut self) {
        self.waiting = self.waiting.saturating_sub(1);
    }

    /// Closes the first window. Returns its end and its length, milliseconds.
    pub(super) fn close(&mut self) -> Option<(i64, i64)> {
        let end_ms = self.ends.pop_front()?;
        let length_ms = end_ms - self.closed_ms.unwrap_or(end_ms);
        self.closed_ms = Some(end_ms);
        Some((end_ms, length_ms))
    }
}
