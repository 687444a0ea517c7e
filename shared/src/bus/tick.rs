//! Ticks: records without samples that say in the log itself that time has passed while nothing else came.

use std::time::{Duration, Instant};

use crate::events::Topic;

/// What a tick says: an array of no samples.
pub const TICK: &[u8] = b"[]";
/// How often a partition is asked whether it is due.
pub(super) const LOOK: Duration = Duration::from_secs(1);
/// Shortest time without a record after which one is written.
pub const SHORTEST: Duration = Duration::from_secs(5);

/// When something was last heard on each topic of one partition.
pub(super) struct Ticker {
    heard: Vec<(Topic, Instant)>,
}

impl Ticker {
    pub(super) fn new(topics: &[Topic]) -> Self {
        let now = Instant::now();
        Self { heard: topics.iter().map(|topic| (*topic, now)).collect() }
    }

    /// Notes that a record came.
    pub(super) fn observe(&mut self, topic: Topic) {
        for (_, heard) in self.heard.iter_mut().filter(|(of, _)| *of == topic) {
            *heard = Instant::now();
        }
    }

    /// Returns the topics to which a tick is to be written now. `patience` is how long one may be quiet.
    pub(super) fn due(&mut self, patience: impl Fn(Topic) -> Option<Duration>) -> Vec<Topic> {
        let mut due = Vec::new();
        for (topic, heard) in &mut self.heard {
            let quiet = heard.elapsed();
            let is_due = quiet >= SHORTEST && patience(*topic).is_some_and(|patience| quiet >= patience);
            if is_due {
                // the next one counts from here, also if this one is slow to come back
                *heard = Instant::now();
                due.push(*topic);
            }
        }
        due
    }
}
