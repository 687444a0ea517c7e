//! From telemetry to published incidents and their causes in one process, without a bus and a database. Detection, correlation
//! and investigation decide as they do in production; this module does what the runtime does between them.

mod calls;
mod correlation;
mod detection;
mod investigation;
mod replicas;

use anyhow::Result;
use jiff::Timestamp;
use rand::SeedableRng;
use rand::seq::SliceRandom;
use rand_chacha::ChaCha8Rng;
use shared::clock::from_ms;
use shared::events::{Anomaly, Span, Topic, decode};
use simulator::Tick;
use simulator::record::{Record, records};

pub use correlation::{Correlation, Published};
pub use detection::Detection;
pub use investigation::{Investigated, Investigation};
use replicas::Replicas;

/// Part of an interval within which all records of a tick arrive.
const ARRIVALS: f64 = 0.1;

/// Detection and correlation over the same telemetry.
pub struct Pipeline {
    detection: Detection,
    correlation: Correlation,
    investigation: Option<Investigation>,
    /// Through which telemetry comes, if not in our own form.
    replicas: Option<Replicas>,
    /// Order in which records of a tick are read.
    order: ChaCha8Rng,
    interval_ms: u64,
    samples: u64,
    anomalies: Vec<Anomaly>,
}

impl Pipeline {
    /// Begins with nothing known. Ticks are `interval_ms` apart; `seed` decides the order of records within a tick.
    pub fn new(seed: u64, interval_ms: u64) -> Self {
        Self {
            detection: Detection::default(),
            correlation: Correlation::default(),
            investigation: None,
            replicas: None,
            order: ChaCha8Rng::seed_from_u64(seed),
            interval_ms,
            samples: 0,
            anomalies: Vec::new(),
        }
    }

    /// Investigates each incident as well.
    #[must_use]
    pub fn with_investigation(self) -> Self {
        Self { investigation: Some(Investigation::default()), ..self }
    }

    /// Takes telemetry as replicas of each service export it by OTLP, through the gateway's own readers.
    #[must_use]
    pub fn over_otlp(self, seed: u64, replicas: u32) -> Self {
        Self { replicas: Some(Replicas::new(seed, replicas, self.interval_ms)), ..self }
    }

    /// Takes all that a tick reports. Neither partitions nor topics are ordered among each other.
    pub fn tick(&mut self, tick: &Tick) -> Result<()> {
        self.samples += tick.metrics.len() as u64;
        let (spans, mut records): (Vec<Record>, Vec<Record>) = match &mut self.replicas {
            Some(replicas) => replicas.records(tick)?,
            None => records(tick)?,
        }
        .into_iter()
        .partition(|record| record.topic == Topic::RawSpans);
        for span in &spans {
            self.correlation.span(&decode::<Span>(&span.payload)?);
        }
        records.shuffle(&mut self.order);
        let step_ms = self.interval_ms as f64 * ARRIVALS / records.len().max(1) as f64;
        for (place, record) in records.iter().enumerate() {
            let arrives = from_ms(tick.ts_ms + (place as f64 * step_ms) as i64);
            self.record(record, arrives)?;
        }
        Ok(())
    }

    fn record(&mut self, record: &Record, arrives: Timestamp) -> Result<()> {
        self.correlation.pass(arrives)?;
        if record.topic == Topic::RawDeployments {
            self.correlation.deployment(serde_json::from_slice(&record.payload)?);
        }
        for anomaly in self.detection.take(record, arrives) {
            self.correlation.anomaly(&anomaly, arrives)?;
            self.anomalies.push(anomaly);
        }
        match &mut self.investigation {
            Some(investigation) => investigation.follow(&self.correlation, arrives),
            None => Ok(()),
        }
    }

    /// Returns what was published so far, in order.
    pub fn published(&self) -> &[Published] {
        self.correlation.published()
    }

    /// Returns the results of investigations so far, in order.
    pub fn investigated(&self) -> &[Investigated] {
        self.investigation.as_ref().map_or(&[], Investigation::results)
    }

    /// Returns every revision of every anomaly so far, in the order of the decisions.
    pub fn anomalies(&self) -> &[Anomaly] {
        &self.anomalies
    }

    /// Returns how many samples were taken.
    pub fn samples(&self) -> u64 {
        self.samples
    }
}
