//! Figures of the calls of one edge of the service graph: additive, so that what replicas have seen can be summed.

/// Buckets of a [`Calls`]' latency.
pub const LATENCY_BUCKETS: usize = 32;
/// Upper bound of the first bucket, milliseconds. Each further bound is [`BUCKET_GROWTH`] times the one before; the last bucket,
/// from 96 s on, has none.
const FIRST_BOUND_MS: f64 = 0.5;
/// Ratio of a bucket's bounds: an estimate from the middle of a bucket is at most 23 % off.
const BUCKET_GROWTH: f64 = 1.5;

/// Calls of one edge: how many, how many failed, how long they took.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Calls {
    /// Calls.
    pub calls: i64,
    /// Those that failed.
    pub failed: i64,
    /// Sum of their latencies, milliseconds.
    pub latency_ms: f64,
    /// Calls by their latency: see [`Calls::p95_latency_ms`].
    pub latency_buckets: [i64; LATENCY_BUCKETS],
    /// Calls of which the callee's self time is known.
    pub self_calls: i64,
    /// Sum of the self times of the callee, milliseconds.
    pub self_ms: f64,
}

impl Calls {
    /// Adds one call.
    pub fn add(&mut self, latency_ms: f64, is_failed: bool) {
        self.calls += 1;
        self.failed += i64::from(is_failed);
        self.latency_ms += latency_ms;
        self.latency_buckets[bucket(latency_ms)] += 1;
    }

    /// Adds the self time of the callee in one call.
    pub fn add_self(&mut self, self_ms: f64) {
        self.self_calls += 1;
        self.self_ms += self_ms;
    }

    /// Returns whether it holds nothing.
    pub fn is_empty(&self) -> bool {
        self.calls == 0 && self.self_calls == 0
    }

    /// Returns the share of calls that failed, 0 to 1.
    pub fn failed_share(&self) -> Option<f64> {
        mean(self.failed as f64, self.calls)
    }

    /// Returns the mean latency, milliseconds.
    pub fn mean_latency_ms(&self) -> Option<f64> {
        mean(self.latency_ms, self.calls)
    }

    /// Returns the mean self time of the callee, milliseconds.
    pub fn mean_self_ms(&self) -> Option<f64> {
        mean(self.self_ms, self.self_calls)
    }

    /// Returns an estimate of the 95th percentile of the latency, milliseconds: the geometric middle of the bucket in which
    /// it lies.
    pub fn p95_latency_ms(&self) -> Option<f64> {
        let calls: i64 = self.latency_buckets.iter().sum();
        let rank = (calls as f64 * 0.95).ceil() as i64;
        let mut below = 0;
        let at = self.latency_buckets.iter().position(|count| {
            below += count;
            below >= rank
        });
        at.filter(|_| calls > 0).map(|bucket| FIRST_BOUND_MS * BUCKET_GROWTH.powf(bucket as f64 - 0.5))
    }
}

fn mean(sum: f64, count: i64) -> Option<f64> {
    (count > 0).then(|| sum / count as f64)
}

/// Returns the bucket of a latency.
fn bucket(latency_ms: f64) -> usize {
    let number = (latency_ms / FIRST_BOUND_MS).ln() / BUCKET_GROWTH.ln();
    // also where there is no logarithm
    if number > 0.0 { (number.ceil() as usize).min(LATENCY_BUCKETS - 1) } else { 0 }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn figures_are_those_of_the_calls() {
        let mut calls = Calls::default();
        assert_eq!(
            (calls.failed_share(), calls.mean_latency_ms(), calls.p95_latency_ms()),
            (None, None, None)
        );
        for number in 1..=100 {
            calls.add(f64::from(number) * 10.0, number > 90);
        }
        calls.add_self(3.0);
        calls.add_self(5.0);
        assert_eq!(calls.failed_share(), Some(0.1));
        assert_eq!((calls.mean_latency_ms(), calls.mean_self_ms()), (Some(505.0), Some(4.0)));
        let p95 = calls.p95_latency_ms().unwrap();
        assert!((p95 / 950.0).ln().abs() < BUCKET_GROWTH.ln() / 2.0 + 1e-9, "{p95}");
    }

    #[test]
    fn any_latency_has_a_bucket() {
        for latency_ms in [f64::NEG_INFINITY, -1.0, 0.0, 0.5, 1e-300, 1e300, f64::INFINITY, f64::NAN] {
            assert!(bucket(latency_ms) < LATENCY_BUCKETS, "{latency_ms}");
        }
        assert_eq!([0.5, 0.51, 0.75, 0.76].map(bucket), [0, 1, 1, 2]);
    }
}
