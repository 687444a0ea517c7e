//! How many series a service has: a label with ever new values makes ever new ones, which nobody can judge.

use std::collections::{HashMap, HashSet};
use std::hash::{BuildHasher, RandomState};
use std::sync::{Mutex, PoisonError};

use crate::telemetry::Point;

/// Time for which a series counts after it was last seen: at least this long, at most twice as long.
const KEPT_MS: i64 = 3_600_000;
/// Series of all services together. Beyond it the services that are known keep theirs, and others are not counted.
const MAX_SERIES: usize = 2_000_000;

/// The series of the last hour or two, as far as this replica has seen them. They are kept as hashes: one series in
/// 10^13 passes for another one, and is then taken though it should have been refused.
#[derive(Debug, Default)]
pub struct Series {
    hasher: RandomState,
    seen: Mutex<Seen>,
}

#[derive(Debug, Default)]
struct Seen {
    since_ms: i64,
    /// Those of this period and of the one before, by service.
    now: HashMap<String, HashSet<u64>>,
    before: HashMap<String, HashSet<u64>>,
    /// Series in both.
    count: usize,
}

impl Series {
    /// Notes the series of a point at `now_ms`. Returns whether it is one of at most `limit` of its service.
    pub fn admit(&self, point: &Point<'_>, limit: usize, now_ms: i64) -> bool {
        let hash = self.hasher.hash_one((point.environment, point.metric, point.labels));
        let mut seen = self.seen.lock().unwrap_or_else(PoisonError::into_inner);
        seen.turn(now_ms);
        seen.admit(point.service, hash, limit)
    }
}

impl Seen {
    /// Forgets what was not seen for a period.
    fn turn(&mut self, now_ms: i64) {
        if now_ms - self.since_ms < KEPT_MS {
            return;
        }
        self.since_ms = now_ms;
        self.before = std::mem::take(&mut self.now);
        self.count = self.before.values().map(HashSet::len).sum();
    }

    fn admit(&mut self, service: &str, hash: u64, limit: usize) -> bool {
        let now = self.now.get(service);
        if now.is_some_and(|now| now.contains(&hash)) {
            return true;
        }
        let before = self.before.get_mut(service);
        let others = now.map_or(0, HashSet::len) + before.as_ref().map_or(0, |before| before.len());
        let was_known = before.is_some_and(|before| before.remove(&hash));
        if !was_known && others >= limit {
            return false;
        }
        if !was_known {
            if self.count >= MAX_SERIES {
                return true;
            }
            self.count += 1;
        }
        match self.now.get_mut(service) {
            Some(now) => _ = now.insert(hash),
            None => _ = self.now.insert(service.to_owned(), HashSet::from([hash])),
        }
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const HOUR: i64 = KEPT_MS;

    #[test]
    fn a_service_has_so_many_series_and_others_have_theirs() {
        let mut seen = Seen::default();
        let admitted = (0..10).filter(|hash| seen.admit("payment", *hash, 4)).count();
        assert_eq!(admitted, 4);
        assert!(seen.admit("payment", 3, 4) && seen.admit("order", 9, 4));
        assert!(!seen.admit("payment", 9, 4));
    }

    #[test]
    fn what_is_no_longer_sent_makes_room() {
        let mut seen = Seen::default();
        seen.turn(HOUR);
        assert!((0..4).all(|hash| seen.admit("payment", hash, 4)));
        seen.turn(2 * HOUR);
        // known ones stay; what is gone still counts for the rest of this hour
        assert!(seen.admit("payment", 0, 4) && !seen.admit("payment", 7, 4));
        assert_eq!(seen.count, 4);
        seen.turn(3 * HOUR);
        assert_eq!(seen.count, 1);
        assert!((5..8).all(|hash| seen.admit("payment", hash, 4)) && !seen.admit("payment", 8, 4));
    }
}
