//! Samples as a table: a row for each time, a column for each series.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use super::{MAX_SERIES, Sample};

/// Most samples of a table.
const MAX_SAMPLES: usize = 10_000_000;
/// Most values of a table, those that are missing included.
const MAX_VALUES: usize = 40_000_000;
/// Distinct times for each time of the longest series, from which on the series do not share their times.
const SHARED_TIMES: usize = 2;

/// Samples of all series, in the order in which the series came.
#[derive(Debug, Default)]
pub(super) struct Samples {
    columns: HashMap<(String, String), usize>,
    series: Vec<(String, String, BTreeMap<i64, f64>)>,
    count: usize,
}

/// Rows in the order of their times.
#[derive(Debug)]
pub(super) struct Table {
    /// Begin of each row.
    pub(super) stamps: Vec<i64>,
    /// Service, metric and a value for each row, NaN where there is none.
    pub(super) columns: Vec<(String, String, Vec<f64>)>,
}

impl Samples {
    /// Adds a sample; of two at the same time the later one counts.
    pub(super) fn add(&mut self, sample: Sample) -> anyhow::Result<()> {
        let Some(value) = sample.usable() else { return Ok(()) };
        let key = (sample.service, sample.metric);
        let column = if let Some(column) = self.columns.get(&key) {
            *column
        } else {
            anyhow::ensure!(self.series.len() < MAX_SERIES, "more than {MAX_SERIES} series");
            self.series.push((key.0.clone(), key.1.clone(), BTreeMap::new()));
            self.columns.insert(key, self.series.len() - 1);
            self.series.len() - 1
        };
        if self.series[column].2.insert(sample.ts_ms, value).is_none() {
            self.count += 1;
            anyhow::ensure!(self.count <= MAX_SAMPLES, "more than {MAX_SAMPLES} samples");
        }
        Ok(())
    }

    /// Returns the rows: one for each time, if the series share their times; else one for each usual interval.
    pub(super) fn table(self) -> anyhow::Result<Table> {
        let times: BTreeSet<i64> =
            self.series.iter().flat_map(|(.., values)| values.keys().copied()).collect();
        let longest = self.series.iter().map(|(.., values)| values.len()).max().unwrap_or(0);
        let interval = if times.len() <= SHARED_TIMES * longest { 1 } else { self.interval_ms() };
        let row_of = |ts_ms: i64| ts_ms.div_euclid(interval) * interval;
        let stamps: Vec<i64> =
            times.iter().map(|&ts_ms| row_of(ts_ms)).collect::<BTreeSet<_>>().into_iter().collect();
        let values = stamps.len().saturating_mul(self.series.len());
        anyhow::ensure!(values <= MAX_VALUES, "more than {MAX_VALUES} values in rows and columns");
        let columns = self.series.into_iter().map(|(service, metric, samples)| {
            let mut column = vec![f64::NAN; stamps.len()];
            for (ts_ms, value) in samples {
                if let Ok(row) = stamps.binary_search(&row_of(ts_ms)) {
                    column[row] = value;
                }
            }
            (service, metric, column)
        });
        Ok(Table { columns: columns.collect(), stamps })
    }

    /// Returns the usual time between two samples of a series, ms.
    fn interval_ms(&self) -> i64 {
        let mut gaps: Vec<i64> = self
            .series
            .iter()
            .flat_map(|(.., values)| values.keys().zip(values.keys().skip(1)))
            .map(|(before, after)| after.saturating_sub(*before))
            .collect();
        gaps.sort_unstable();
        gaps.get(gaps.len() / 2).copied().unwrap_or(1).max(1)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn table(samples: &[(i64, &str, f64)]) -> Table {
        let mut all = Samples::default();
        for &(ts_ms, service, value) in samples {
            let metric = "cpu".to_owned();
            all.add(Sample { ts_ms, service: service.to_owned(), metric, value: Some(value) }).unwrap();
        }
        all.table().unwrap()
    }

    #[test]
    fn shared_times_are_rows() {
        let table = table(&[(0, "a", 1.0), (0, "b", 2.0), (1_000, "a", 3.0), (2_000, "a", f64::NAN)]);
        assert_eq!(table.stamps, [0, 1_000]);
        assert_eq!(table.columns[0].2, [1.0, 3.0]);
        assert!(table.columns[1].2[1].is_nan());
    }

    #[test]
    fn times_that_differ_are_brought_into_rows() {
        let samples: Vec<_> = (0..10)
            .flat_map(|i| [(i * 1_000, "a", 1.0), (i * 1_000 + 300, "b", 2.0), (i * 1_000 + 600, "c", 3.0)])
            .collect();
        let table = table(&samples);
        assert_eq!(table.stamps.len(), 10);
        assert!(table.columns.iter().all(|(.., values)| values.iter().all(|value| value.is_finite())));
    }
}
