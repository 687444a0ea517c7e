//! Clocks of sources that are ahead.
//!
//! Nothing can be measured after its record was written, so an event time that lies behind the time of its own record
//! says that the clock of its source is ahead, and by how much. A clock that is behind cannot be distinguished from a
//! source that reports late, and is taken as it is. Corrected are clocks that are ahead by no more than `ahead_s`: what
//! is farther ahead is dropped.

use serde::{Deserialize, Serialize};

/// Distance up to which an event time is taken as it is, milliseconds: sources round, and so do brokers.
const SLACK_MS: i64 = 20_000;
/// Samples in a row that have to be farther ahead, or less far, before it is believed that the clock is.
const AHEAD_SAMPLES: u8 = 3;
const SET_SAMPLES: u8 = 32;
/// Sources of a partition whose clocks are followed.
const MAX_SOURCES: usize = 32;

/// The clocks of a partition's sources that are, or have been, ahead.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
pub(super) struct SourceClocks(Vec<SourceClock>);

/// The clock of one source.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
struct SourceClock {
    environment: Box<str>,
    service: Box<str>,
    ahead_ms: i64,
    /// Samples in a row that were farther ahead.
    farther: u8,
    /// Samples in a row that were less far ahead, and the farthest of them.
    nearer: u8,
    farthest_ms: i64,
}

impl SourceClocks {
    /// Returns by how much the clock of a source is ahead, after the sample of an event time in a record of a time.
    pub(super) fn ahead_ms(&mut self, environment: &str, service: &str, ts_ms: i64, record_ms: i64) -> i64 {
        let distance_ms = ts_ms.saturating_sub(record_ms);
        if self.0.is_empty() && distance_ms <= SLACK_MS {
            return 0;
        }
        if let Some(known) = self.0.iter_mut().find(|clock| clock.is(environment, service)) {
            return known.follow(distance_ms);
        }
        if distance_ms <= SLACK_MS {
            return 0;
        }
        if self.0.len() >= MAX_SOURCES
            && let Some(right) = self.0.iter().position(|clock| clock.ahead_ms == 0)
        {
            self.0.remove(right);
        }
        if self.0.len() < MAX_SOURCES {
            self.0.push(SourceClock {
                environment: environment.into(),
                service: service.into(),
                ahead_ms: 0,
                farther: 1,
                nearer: 0,
                farthest_ms: 0,
            });
        }
        // one sample may be an outlier: it is taken to be of the time of its record
        distance_ms
    }

    /// Returns by how much the clock of a source was ahead at its last sample.
    pub(super) fn last_ahead_ms(&self, environment: &str, service: &str) -> i64 {
        self.0.iter().find(|clock| clock.is(environment, service)).map_or(0, |clock| clock.ahead_ms)
    }

    /// Returns the sources whose clocks are, or have been, ahead, and by how much.
    pub(super) fn iter(&self) -> impl Iterator<Item = (&str, i64)> {
        self.0.iter().map(|clock| (&*clock.service, clock.ahead_ms))
    }
}

impl SourceClock {
    fn is(&self, environment: &str, service: &str) -> bool {
        *self.service == *service && *self.environment == *environment
    }

    /// Takes in how far ahead a sample is, and returns what is to be taken from its time. A sample of the present is of
    /// another host of the service, whose clock is right.
    fn follow(&mut self, distance_ms: i64) -> i64 {
        let ahead_ms = self.learn(distance_ms);
        if distance_ms <= SLACK_MS { 0 } else { ahead_ms }
    }

    fn learn(&mut self, distance_ms: i64) -> i64 {
        if distance_ms > self.ahead_ms.saturating_add(SLACK_MS) {
            (self.farther, self.nearer) = (self.farther + 1, 0);
            if self.farther >= AHEAD_SAMPLES {
                (self.ahead_ms, self.farther) = (distance_ms, 0);
            }
            return distance_ms;
        }
        self.farther = 0;
        if distance_ms < self.ahead_ms.saturating_sub(SLACK_MS) {
            self.farthest_ms = if self.nearer == 0 { distance_ms } else { self.farthest_ms.max(distance_ms) };
            self.nearer += 1;
            if self.nearer < SET_SAMPLES {
                return self.ahead_ms;
            }
            self.ahead_ms = if self.farthest_ms > SLACK_MS { self.farthest_ms } else { 0 };
        }
        self.nearer = 0;
        self.ahead_ms
    }
}

/// Returns the event time of a line that was written in a record of a time: never much later than that.
pub(super) fn not_after(ts_ms: i64, record_ms: i64) -> i64 {
    if ts_ms.saturating_sub(record_ms) > SLACK_MS { record_ms } else { ts_ms }
}

#[cfg(test)]
mod tests {
    use super::*;

    const NOW_MS: i64 = 1_750_000_000_000;

    #[test]
    fn a_clock_that_is_ahead_is_corrected_from_its_first_sample_until_it_is_set() {
        let mut clocks = SourceClocks::default();
        let mut corrected = |service: &str, ahead_ms: i64, count: usize| {
            (0..count)
                .map(|i| {
                    let record_ms = NOW_MS + i as i64 * 1000;
                    let ts_ms = record_ms + ahead_ms - (i as i64 % 3) * 50;
                    ts_ms - clocks.ahead_ms("production", service, ts_ms, record_ms) - record_ms
                })
                .collect::<Vec<i64>>()
        };
        assert!(corrected("order", -100, 20).iter().all(|&distance_ms| (-300..=300).contains(&distance_ms)));
        assert!(
            corrected("payment", 240_000, 40).iter().all(|&distance_ms| (-300..=300).contains(&distance_ms))
        );
        assert!(
            corrected("order", 5_000, 20).iter().all(|&distance_ms| (4_000..=5_000).contains(&distance_ms))
        );
        let set = corrected("payment", 0, 40);
        assert!(set[32..].iter().all(|&distance_ms| (-300..=300).contains(&distance_ms)), "{set:?}");
        assert_eq!(clocks.last_ahead_ms("production", "payment"), 0);
    }

    #[test]
    fn what_comes_late_says_nothing_about_a_clock_and_memory_is_bounded() {
        let mut clocks = SourceClocks::default();
        assert_eq!(clocks.ahead_ms("production", "batch", NOW_MS - 3_600_000, NOW_MS), 0);
        assert_eq!(clocks.ahead_ms("production", "batch", NOW_MS, i64::MAX), 0, "a record without a time");
        for i in 0..1000 {
            assert_eq!(clocks.ahead_ms("production", &format!("pod-{i}"), NOW_MS + 60_000, NOW_MS), 60_000);
        }
        assert_eq!(clocks.0.len(), MAX_SOURCES);
        assert_eq!((not_after(NOW_MS + 60_000, NOW_MS), not_after(NOW_MS - 5, NOW_MS)), (NOW_MS, NOW_MS - 5));
    }
}
