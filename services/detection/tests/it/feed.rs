//! Samples of a few services, given to a partition round by round as tests make them up.

use std::fmt::Write as _;
use std::sync::Arc;

use detection::partition::Record;
use detection::service::outcome::Unusable;
use detection::{At, Partition, Settings};
use shared::events::anomaly::{Anomaly, Status};

use crate::shop::{Noise, START_MS, Source};

/// One sample, as it is written into the record of its service.
#[derive(Clone)]
pub(crate) struct Row {
    pub(crate) service: &'static str,
    pub(crate) metric: String,
    pub(crate) value: String,
    pub(crate) unit: Option<&'static str>,
}

/// Returns a sample without a unit.
pub(crate) fn row(service: &'static str, metric: &str, value: f64) -> Row {
    Row { service, metric: metric.to_owned(), value: value.to_string(), unit: None }
}

impl Row {
    pub(crate) fn in_unit(self, unit: &'static str) -> Self {
        Self { unit: Some(unit), ..self }
    }

    fn write(&self, ts: &str) -> String {
        let Self { service, metric, value, .. } = self;
        let mut text = format!(r#"{{"service":"{service}","metric":"{metric}","value":{value},"ts_ms":{ts}"#);
        if let Some(unit) = self.unit {
            let _ = write!(text, r#","unit":"{unit}""#);
        }
        text + "}"
    }
}

/// A partition, and what it has reported.
pub(crate) struct Feed {
    pub(crate) partition: Partition,
    pub(crate) now_ms: i64,
    pub(crate) every_ms: i64,
    pub(crate) noise: Source,
    pub(crate) told: Vec<Anomaly>,
    pub(crate) used: u64,
    pub(crate) dropped: u64,
    pub(crate) refused: Vec<String>,
    pub(crate) unusable: Vec<Unusable>,
    offset: i64,
    /// What was written to `detection.state`.
    state: Vec<Record>,
}

impl Feed {
    pub(crate) fn new(every_ms: i64) -> Self {
        Self::with(Settings { partitions: 1, ..Settings::default() }, every_ms)
    }

    pub(crate) fn with(settings: Settings, every_ms: i64) -> Self {
        Self {
            partition: Partition::new(0, Arc::new(settings)),
            now_ms: START_MS,
            every_ms,
            noise: Source::new(Noise::Gaussian, 7),
            told: Vec::new(),
            used: 0,
            dropped: 0,
            refused: Vec::new(),
            unusable: Vec::new(),
            offset: 0,
            state: Vec::new(),
        }
    }

    /// Gives rounds of samples. `rows` is told the number of the round and a source of noise.
    pub(crate) fn rounds(&mut self, count: i64, mut rows: impl FnMut(i64, &mut Source) -> Vec<Row>) {
        for round in 0..count {
            let rows = rows(round, &mut self.noise);
            for of_service in rows.chunk_by(|a, b| a.service == b.service) {
                let ts = self.now_ms.to_string();
                let written: Vec<String> = of_service.iter().map(|row| row.write(&ts)).collect();
                self.record(&format!("[{}]", written.join(",")), Some(self.now_ms));
            }
            self.now_ms += self.every_ms;
        }
    }

    /// Gives one record.
    pub(crate) fn record(&mut self, payload: &str, timestamp_ms: Option<i64>) {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms };
        let outcome = self.partition.metrics(payload.as_bytes(), at);
        crate::words::check(&outcome.anomalies);
        self.told.extend(outcome.anomalies);
        self.used += u64::from(outcome.used);
        self.dropped += outcome.dropped.total();
        self.refused.extend(outcome.refused.map(|refusal| refusal.to_string()));
        self.unusable.extend(outcome.unusable);
    }

    /// Gives one record of the service catalogue.
    pub(crate) fn catalogue(&mut self, payload: &str) {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms: Some(self.now_ms) };
        let outcome = self.partition.catalogue(payload.as_bytes(), at);
        assert!(outcome.anomalies.is_empty());
        self.refused.extend(outcome.refused.map(|refusal| refusal.to_string()));
    }

    /// Takes a service out of the service catalogue.
    pub(crate) fn withdraw(&mut self, service: &str) {
        self.offset += 1;
        let at = At { offset: self.offset, timestamp_ms: Some(self.now_ms) };
        assert_eq!(self.partition.withdrawn(service, at).used, 1);
    }

    /// Returns what was reported of a metric.
    pub(crate) fn of(&self, metric: &str) -> Vec<&Anomaly> {
        self.told.iter().filter(|one| one.metric == metric).collect()
    }

    /// Returns what has fired, as service and metric.
    pub(crate) fn fired(&self) -> Vec<(&str, &str)> {
        let firing = self.told.iter().filter(|one| one.status == Status::Firing);
        let mut fired: Vec<(&str, &str)> =
            firing.map(|one| (one.service.as_str(), one.metric.as_str())).collect();
        fired.sort_unstable();
        fired.dedup();
        fired
    }

    /// Returns what is reported, one line each.
    pub(crate) fn lines(&self) -> String {
        let line = |one: &Anomaly| {
            let (status, severity) = (one.status, one.severity.label());
            let at_s = (one.observed_at.as_millisecond() - START_MS) / 1000;
            format!("{at_s} s {status} {severity} {} {}: {}\n", one.service, one.metric, one.explanation)
        };
        self.told.iter().map(line).collect()
    }

    /// Goes on from its own snapshots.
    pub(crate) fn restart(&mut self) {
        self.state.extend(self.partition.snapshot().records);
        let records = self.state.iter().map(|record| (record.key.as_str(), record.value.as_slice()));
        let settings = Settings { partitions: 1, ..Settings::default() };
        let restored = Partition::restore(0, Arc::new(settings), records);
        assert!(restored.refused.is_empty(), "{:?}", restored.refused);
        self.partition = restored.partition;
    }
}

/// Returns what a healthy service reports in a round.
pub(crate) fn healthy(service: &'static str, rate: f64, noise: &mut Source) -> Vec<Row> {
    vec![
        row(service, "request_rate", rate * (1.0 + 0.04 * noise.draw())),
        row(service, "latency_p99_ms", 240.0 * (1.0 + 0.04 * noise.draw())),
        row(service, "cpu_percent", 24.0 + noise.draw()),
    ]
}
