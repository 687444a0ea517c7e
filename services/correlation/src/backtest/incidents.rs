//! Incidents of a stream of samples.

use std::collections::HashMap;
use std::io::BufRead;

use serde::{Deserialize, Serialize};
use shared::events::Category;

use super::{MAX_SERIES, MAX_SERVICES, Sample, lines};
use crate::cause::Deployed;
use crate::cause::incidents::{Change, End, Opened, Row, Stream, Topology, WARM_UP_ROWS};

/// Shortest row, ms: samples of the same minute are one row.
pub const ROW_MS: i64 = 60_000;

/// A suspect of an incident.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Ranked {
    /// Service.
    pub service: String,
    /// Its best category.
    pub category: Category,
    /// Evidence, summed over the rows that led to the incident, nats.
    pub score: f64,
    /// Probability that the service is the cause.
    pub probability: f64,
    /// Probability of the category, given that the service is the cause.
    pub category_probability: f64,
}

/// An incident as it stood when it was opened.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct Incident {
    /// Event time.
    pub ts_ms: i64,
    /// Services about which anything was observed.
    pub services: Vec<String>,
    /// Evidence of the first suspect, nats.
    pub score: f64,
    /// Suspects, best first.
    pub ranking: Vec<Ranked>,
}

impl From<Opened> for Incident {
    fn from(opened: Opened) -> Self {
        let ranking = opened.suspects.into_iter().map(|suspect| Ranked {
            service: suspect.service,
            category: suspect.category,
            score: suspect.nats,
            probability: suspect.probability,
            category_probability: suspect.category_probability,
        });
        Self { ts_ms: opened.ts_ms, services: opened.members, score: opened.nats, ranking: ranking.collect() }
    }
}

/// What a stream came to.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize)]
pub struct Summary {
    /// Samples that were used.
    pub used: u64,
    /// Samples without a usable value.
    pub unusable: u64,
    /// Samples of a row that had passed already.
    pub late: u64,
    /// Lines that are not a sample.
    pub refused: u64,
    /// Samples of series beyond the most that are kept.
    pub beyond: u64,
    /// Rows.
    pub rows: u64,
    /// Series.
    pub series: u64,
    /// Incidents.
    pub incidents: u64,
    /// Incidents that ended because the change lasted and was taken for the new normal.
    pub absorbed: u64,
}

/// Samples that become rows of a stream.
#[derive(Debug)]
struct Rows {
    stream: Stream,
    places: HashMap<String, HashMap<String, usize>>,
    /// Whether services and calls are given; without, each service that reports is one.
    is_given: bool,
    row_ms: i64,
    /// Begin of the row that is being filled, and the time of its first sample.
    current: Option<(i64, i64)>,
    /// Sum and number of the samples of each series in that row.
    values: Vec<(f64, f64)>,
    summary: Summary,
}

/// What a stream is run with.
#[derive(Debug, Clone)]
pub struct Options {
    /// Services and calls; without, each service that reports stands alone.
    pub topology: Option<Topology>,
    /// Changes that were rolled out.
    pub deployments: Vec<Deployed>,
    /// Rows to learn from before anything is judged.
    pub warm_up_rows: usize,
    /// Length of a row, ms.
    pub row_ms: i64,
}

impl Default for Options {
    fn default() -> Self {
        Self { topology: None, deployments: Vec::new(), warm_up_rows: WARM_UP_ROWS, row_ms: ROW_MS }
    }
}

/// Runs a stream of samples, in the order of their times, and gives each incident to `opened` when it opens.
pub fn run(
    samples: impl BufRead,
    options: Options,
    mut opened: impl FnMut(Incident) -> anyhow::Result<()>,
    mut progress: impl FnMut(&Summary),
) -> anyhow::Result<Summary> {
    let Options { topology, deployments, warm_up_rows, row_ms } = options;
    let mut rows = Rows {
        is_given: topology.is_some(),
        stream: Stream::new(topology.unwrap_or_default(), warm_up_rows).with_deployments(deployments),
        places: HashMap::new(),
        row_ms: row_ms.max(1),
        current: None,
        values: Vec::new(),
        summary: Summary::default(),
    };
    lines::each(samples, |sample: Result<Sample, _>| {
        let Ok(sample) = sample else {
            rows.summary.refused += 1;
            return Ok(());
        };
        if let Some(incident) = rows.take(&sample) {
            opened(incident)?;
        }
        progress(&rows.summary);
        Ok(())
    })?;
    if let Some(incident) = rows.finish() {
        opened(incident)?;
    }
    Ok(rows.summary)
}

impl Rows {
    /// Takes a sample. The first of a later row ends the current one.
    fn take(&mut self, sample: &Sample) -> Option<Incident> {
        let Some(value) = sample.usable() else {
            self.summary.unusable += 1;
            return None;
        };
        let begin = sample.ts_ms.div_euclid(self.row_ms);
        let mut incident = None;
        match self.current {
            Some((current, _)) if begin < current => {
                self.summary.late += 1;
                return None;
            }
            Some((current, _)) if begin == current => {}
            _ => {
                incident = self.finish();
                self.current = Some((begin, sample.ts_ms));
            }
        }
        if let Some(place) = self.place(sample) {
            self.summary.used += 1;
            let (sum, count) = &mut self.values[place];
            *sum += value;
            *count += 1.0;
        } else {
            self.summary.beyond += 1;
        }
        incident
    }

    /// Returns the place of a series in each row.
    fn place(&mut self, sample: &Sample) -> Option<usize> {
        if let Some(place) = self.places.get(&sample.service).and_then(|metrics| metrics.get(&sample.metric))
        {
            return Some(*place);
        }
        let is_new = !self.places.contains_key(&sample.service);
        if self.values.len() >= MAX_SERIES || (is_new && self.places.len() >= MAX_SERVICES) {
            return None;
        }
        if is_new && !self.is_given {
            self.stream.add_service(&sample.service);
        }
        let place = self.stream.add_series(&sample.service, &sample.metric);
        self.places.entry(sample.service.clone()).or_default().insert(sample.metric.clone(), place);
        self.values.resize(place + 1, (0.0, 0.0));
        self.summary.series += 1;
        Some(place)
    }

    /// Ends the current row.
    fn finish(&mut self) -> Option<Incident> {
        let (_, ts_ms) = self.current.take()?;
        let mean = |(sum, count): &(f64, f64)| if *count > 0.0 { sum / count } else { f64::NAN };
        let row: Row = self.values.iter().map(mean).collect();
        self.values.fill((0.0, 0.0));
        self.summary.rows += 1;
        match self.stream.observe(ts_ms, row)? {
            Change::Opened(opened) => {
                self.summary.incidents += 1;
                Some(opened.into())
            }
            Change::Closed(end) => {
                self.summary.absorbed += u64::from(end == End::Absorbed);
                None
            }
        }
    }
}
