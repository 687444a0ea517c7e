//! How often a series is zero.

use super::Series;
use crate::stats::sparse::Sparse;

/// Memory of how often a series is zero, in samples.
const SPARSE_MEMORY_SAMPLES: f64 = 3000.0;

impl Series {
    /// Learns whether the series is zero most of the time. Returns how far the sample lies beyond what such a series
    /// usually is, in spreads; nothing for another.
    pub(super) fn sparse_distance(&mut self, value: f64) -> Option<f64> {
        let seen = self.intervals;
        if seen == 0 {
            self.sparse = Sparse::begin(value);
        }
        let is_sparse = self.sparse.is_sparse(seen) && self.sparse.is_known();
        let distance = is_sparse.then(|| self.sparse.distance(value));
        // an outage is no habit, however long it lasts
        if !self.episode.as_ref().is_some_and(|episode| episode.has_fired()) {
            let rate = (1.0 / (f64::from(seen) + 1.0)).max(1.0 / SPARSE_MEMORY_SAMPLES);
            self.sparse.learn(value, rate, SPARSE_MEMORY_SAMPLES);
        }
        distance
    }
}
