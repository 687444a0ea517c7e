//! Compares what was acknowledged with what was written and with what detection used.

use std::collections::BTreeMap;

use anyhow::{Context, Result};
use serde::Serialize;
use shared::events::MetricSample;

use super::producers::{METRIC, POINT_EVERY_MS};

/// Points that are named in a report, at most.
const NAMED: usize = 10;

/// Numbered points on the topic: by service and number, how often each.
#[derive(Debug, Default)]
pub struct Written {
    points: BTreeMap<String, BTreeMap<u64, u64>>,
    strange: Vec<String>,
}

impl Written {
    /// Adds the samples of a record.
    pub fn add(&mut self, payload: &[u8], begin_ms: i64) -> Result<()> {
        let samples: Vec<MetricSample> = serde_json::from_slice(payload).context("reading a record")?;
        for sample in samples {
            let number = sample.value as u64;
            let is_whole = sample.value == number as f64 && sample.metric == METRIC;
            if is_whole && sample.ts_ms == begin_ms + number as i64 * POINT_EVERY_MS {
                *self.points.entry(sample.service).or_default().entry(number).or_default() += 1;
            } else {
                self.strange.push(format!("{sample:?}"));
            }
        }
        Ok(())
    }

    /// Returns how many points there are, with copies.
    pub fn total(&self) -> u64 {
        self.points.values().flat_map(BTreeMap::values).sum()
    }

    /// Returns how many points there are that differ.
    pub fn distinct(&self) -> u64 {
        self.points.values().map(|points| points.len() as u64).sum()
    }
}

/// What must not happen.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Violation {
    /// Acknowledged points are not on the topic.
    Lost {
        /// How many.
        points: usize,
        /// Some of them.
        examples: Vec<String>,
    },
    /// Something is on the topic that nobody sent.
    Strange(Vec<String>),
    /// Detection used more or fewer points than were acknowledged.
    Used {
        /// Points that detection used.
        used: u64,
        /// Points that were acknowledged.
        acknowledged: u64,
    },
}

/// Returns what is violated. All requests were acknowledged in the end, so every point is.
pub fn violations(acknowledged: &BTreeMap<String, u64>, written: &Written, used: u64) -> Vec<Violation> {
    let mut violations = Vec::new();
    let is_there = |service: &str, number: &u64| {
        written.points.get(service).is_some_and(|points| points.contains_key(number))
    };
    let lost: Vec<String> = acknowledged
        .iter()
        .flat_map(|(service, count)| (0..*count).map(move |number| (service, number)))
        .filter(|(service, number)| !is_there(service, number))
        .map(|(service, number)| format!("{service} {number}"))
        .collect();
    if !lost.is_empty() {
        let examples = lost.iter().take(NAMED).cloned().collect();
        violations.push(Violation::Lost { points: lost.len(), examples });
    }
    let unsent = written.points.iter().flat_map(|(service, points)| {
        let count = acknowledged.get(service).copied().unwrap_or_default();
        points.range(count..).map(move |(number, _)| format!("{service} {number}"))
    });
    let strange: Vec<String> = written.strange.iter().cloned().chain(unsent).take(NAMED).collect();
    if !strange.is_empty() {
        violations.push(Violation::Strange(strange));
    }
    let acknowledged = acknowledged.values().sum();
    if used != acknowledged {
        violations.push(Violation::Used { used, acknowledged });
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;

    fn written(samples: &[MetricSample]) -> Written {
        let mut written = Written::default();
        written.add(&serde_json::to_vec(samples).unwrap(), 5_000).unwrap();
        written
    }

    fn point(number: u64) -> MetricSample {
        MetricSample::of("a", METRIC, number as f64, 5_000 + number as i64 * POINT_EVERY_MS)
    }

    #[test]
    fn each_kind_of_violation_is_found_and_copies_are_none() {
        let two = BTreeMap::from([("a".to_owned(), 2)]);
        let whole = written(&[point(0), point(1), point(0)]);
        assert_eq!((whole.total(), whole.distinct()), (3, 2));
        assert_eq!(violations(&two, &whole, 2), []);
        assert_eq!(violations(&two, &whole, 3), [Violation::Used { used: 3, acknowledged: 2 }]);
        let lost = Violation::Lost { points: 1, examples: vec!["a 1".to_owned()] };
        assert_eq!(violations(&two, &written(&[point(0)]), 2), [lost]);
        let moved = MetricSample { ts_ms: 7_000, ..point(0) };
        for strange in [point(2), moved] {
            let found = violations(&two, &written(&[point(0), point(1), strange]), 2);
            assert!(matches!(&found[..], [Violation::Strange(which)] if which.len() == 1), "{found:?}");
        }
    }
}
