//! One input partition: all its series, the context of their services, and what is written down to survive.
//!
//! Nothing here knows Kafka or the wall clock. What a partition decides follows from its records alone, so that the
//! same log yields the same anomalies, also with a restart anywhere in between.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use shared::clock::from_ms;
use shared::events::anomaly::{Anomaly, Context, Sibling};
use shared::events::{Deployment, LogRecord, Refusal, decode};
use shared::ids::AnomalyId;

use crate::alert::Report;
use crate::config::Settings;
use crate::demand::{Census, Demand};
use crate::explain;
use crate::logs::Book;
use crate::outcome::Reason;
pub use crate::outcome::{At, Outcome};
use crate::sample::{self, Sample};
use crate::series::{Change, Series};
use crate::snapshot::{Deployed, PartitionState, ServiceState, ServiceView};
pub use crate::snapshot::{Offsets, Record, Snapshot};

/// Name and version of the detector, as anomalies carry it.
pub const DETECTOR: &str = "baseline/2";

/// Siblings that an anomaly carries.
const SIBLINGS: usize = 20;

#[derive(Debug)]
struct Service {
    environment: Box<str>,
    name: Box<str>,
    series: Vec<Series>,
    by_metric: HashMap<Box<str>, usize>,
    logs: Book,
    deployed: Option<Deployed>,
    /// What the snapshot it was restored from already reflects.
    restored: Offsets,
    /// Version of the partition at its last change.
    version: u64,
}

/// What a restored partition needs from its caller.
#[derive(Debug)]
pub struct Restored {
    /// The partition.
    pub partition: Partition,
    /// Last records that it reflects: read on from the offsets after these. -1 means from the beginning.
    pub resume: Offsets,
    /// State that could not be read, and why; those series warm up again.
    pub refused: Vec<String>,
}

/// All series of one input partition.
#[derive(Debug)]
pub struct Partition {
    number: i32,
    settings: Arc<Settings>,
    services: Vec<Service>,
    /// Environment, then service, to the place in `services`.
    index: HashMap<Box<str>, HashMap<Box<str>, usize>>,
    series: usize,
    newest_ms: Option<i64>,
    census: Census,
    demand: Demand,
    applied: Offsets,
    /// Counts the records that were taken in.
    version: u64,
    /// Version of the last snapshot that was saved.
    saved: u64,
}

impl Partition {
    /// Begins a partition that has seen nothing.
    pub fn new(number: i32, settings: Arc<Settings>) -> Self {
        Self {
            number,
            settings,
            services: Vec::new(),
            index: HashMap::new(),
            series: 0,
            newest_ms: None,
            census: Census::default(),
            demand: Demand::default(),
            applied: Offsets::default(),
            version: 0,
            saved: 0,
        }
    }

    /// Restores a partition from the records of `detection.state` in the order of the log; those of other partitions
    /// are passed over. Of several states of one service the one that reflects most is taken.
    pub fn restore<'r>(
        number: i32,
        settings: Arc<Settings>,
        records: impl IntoIterator<Item = (&'r str, &'r [u8])>,
    ) -> Restored {
        let mut partition = Self::new(number, settings);
        let mut refused = Vec::new();
        let mut newest: BTreeMap<&str, ServiceState> = BTreeMap::new();
        let own = number.to_string();
        for (key, value) in records {
            let (owner, service) = key.split_once('/').unwrap_or((key, ""));
            if owner != own {
                continue;
            }
            let result = if service.is_empty() {
                crate::snapshot::read::<PartitionState>(value).map(|state| {
                    if state.applied.metrics >= partition.applied.metrics {
                        partition.applied = state.applied;
                        partition.newest_ms = state.newest_ms;
                        partition.census = state.census;
                    }
                })
            } else {
                crate::snapshot::read::<ServiceState>(value).map(|state| {
                    // an owner that was paused and woke up may have written its older state last
                    if newest.get(key).is_none_or(|known| state.applied.metrics >= known.applied.metrics) {
                        newest.insert(key, state);
                    }
                })
            };
            if let Err(reason) = result {
                refused.push(format!("{key}: {reason}"));
            }
        }
        for state in newest.into_values() {
            partition.adopt(state);
        }
        partition.reckon();
        Restored { resume: partition.applied, partition, refused }
    }

    /// Takes one record of `raw.metrics`.
    pub fn metrics(&mut self, payload: &[u8], at: At) -> Outcome {
        let mut outcome = Outcome::default();
        self.version += 1;
        let read = sample::read(payload, |sample| match self.sample(sample, at, &mut outcome) {
            Ok(()) => outcome.used += 1,
            Err(reason) => outcome.dropped.count(reason),
        });
        outcome.refused = read.err();
        self.applied.metrics = self.applied.metrics.max(at.offset);
        outcome
    }

    /// Takes one record of `raw.logs`.
    pub fn log(&mut self, payload: &[u8], at: At) -> Outcome {
        self.version += 1;
        self.applied.logs = self.applied.logs.max(at.offset);
        let record: LogRecord = match decode(payload) {
            Ok(record) => record,
            Err(refusal) => return Outcome::refusing(refusal),
        };
        if let Err(reason) = sample::named("service", &record.service)
            .and_then(|()| sample::named("environment", &record.environment))
        {
            return Outcome::refusing(Refusal::Invalid(reason));
        }
        self.context(&record.environment, &record.service, record.ts_ms, at, |service| {
            if at.offset > service.restored.logs {
                service.logs.add(record.level, &record.message, record.ts_ms);
            }
        })
    }

    /// Takes one record of `raw.deployments`.
    pub fn deployment(&mut self, payload: &[u8], at: At) -> Outcome {
        self.version += 1;
        self.applied.deployments = self.applied.deployments.max(at.offset);
        let record: Deployment = match decode(payload) {
            Ok(record) => record,
            Err(refusal) => return Outcome::refusing(refusal),
        };
        if let Err(reason) = sample::named("service", &record.service)
            .and_then(|()| sample::named("version", &record.version))
            .and_then(|()| sample::named("environment", &record.environment))
        {
            return Outcome::refusing(Refusal::Invalid(reason));
        }
        self.context(&record.environment, &record.service, record.ts_ms, at, |service| {
            let newer = service.deployed.as_ref().is_none_or(|deployed| deployed.ts_ms <= record.ts_ms);
            if at.offset > service.restored.deployments && newer {
                service.deployed =
                    Some(Deployed { version: record.version.as_str().into(), ts_ms: record.ts_ms });
            }
        })
    }

    /// Returns what has changed since the last snapshot that was [`Self::saved`]. Anomalies of the records it
    /// reflects must be acknowledged by the broker before it is written.
    pub fn snapshot(&self) -> Snapshot {
        let mut records: Vec<Record> = self
            .services
            .iter()
            .filter(|service| service.version > self.saved)
            .map(|service| Record {
                key: format!("{}/{}/{}", self.number, service.environment, service.name),
                value: crate::snapshot::write(&ServiceView {
                    // a service may still be ahead of the partition: see the module `snapshot`
                    applied: self.applied.max(service.restored),
                    environment: &service.environment,
                    name: &service.name,
                    series: &service.series,
                    logs: &service.logs,
                    deployed: service.deployed.as_ref(),
                }),
            })
            .collect();
        if self.version > self.saved {
            let state =
                PartitionState { applied: self.applied, newest_ms: self.newest_ms, census: self.census };
            records.push(Record { key: self.number.to_string(), value: crate::snapshot::write(&state) });
        }
        Snapshot { records, version: self.version }
    }

    /// Notes that all records of a snapshot were acknowledged. Without it the next snapshot contains them again.
    pub fn saved(&mut self, snapshot: &Snapshot) {
        self.saved = self.saved.max(snapshot.version);
    }

    /// Returns the last records that were taken in.
    pub fn applied(&self) -> Offsets {
        self.applied
    }

    /// Returns how many series there are.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Returns the newest event time of any sample, milliseconds.
    pub fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    /// Takes one sample and adds the anomalies that are due.
    fn sample(&mut self, sample: &Sample<'_>, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        if self.is_ahead(sample.ts_ms, at) {
            return Err(Reason::Ahead);
        }
        self.newest_ms = self.newest_ms.max(Some(sample.ts_ms));
        // also what a service has seen already: the count follows from the records alone
        if self.census.count(sample.ts_ms) {
            self.reckon();
        }
        let environment = sample.environment();
        let slot = self.service(environment, &sample.service)?;
        let service = &mut self.services[slot];
        if at.offset <= service.restored.metrics {
            return Ok(());
        }
        let place = if let Some(&place) = service.by_metric.get(&*sample.metric) {
            place
        } else {
            if self.series >= self.settings.max_series
                || service.series.len() >= self.settings.max_series_per_service
            {
                return Err(Reason::SeriesLimit);
            }
            self.series += 1;
            service.add(Series::new(&sample.metric, sample.unit(), &self.settings))
        };
        service.version = self.version;
        let change =
            service.series[place].observe(sample.ts_ms, sample.value, &self.demand, &self.settings)?;
        if let Some(change) = change {
            outcome.add(service.anomaly(place, &change, sample.ts_ms), change.is_decision);
        }
        Ok(())
    }

    /// Works out what a series has to show that is to fire.
    fn reckon(&mut self) {
        let chances = self.census.a_week() * f64::from(self.settings.partitions);
        self.demand = Demand::of(chances, self.settings.false_alarms_a_week);
    }

    /// Finds the service of a log line or a deployment and lets `take` change it.
    fn context(
        &mut self,
        environment: &str,
        name: &str,
        ts_ms: i64,
        at: At,
        take: impl FnOnce(&mut Service),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let found =
            if self.is_ahead(ts_ms, at) { Err(Reason::Ahead) } else { self.service(environment, name) };
        match found {
            Ok(slot) => {
                let service = &mut self.services[slot];
                service.version = self.version;
                take(service);
                outcome.used = 1;
            }
            Err(reason) => outcome.dropped.count(reason),
        }
        outcome
    }

    /// Tells whether a time is so far ahead, both of all samples so far and of the record itself, that it would only
    /// block what comes after it.
    fn is_ahead(&self, ts_ms: i64, at: At) -> bool {
        let newest = self.newest_ms.unwrap_or(i64::MIN).max(at.timestamp_ms);
        ts_ms > newest.saturating_add(self.settings.ahead_ms())
    }

    fn service(&mut self, environment: &str, name: &str) -> Result<usize, Reason> {
        if let Some(&slot) = self.index.get(environment).and_then(|services| services.get(name)) {
            return Ok(slot);
        }
        if self.services.len() >= self.settings.max_series {
            return Err(Reason::SeriesLimit);
        }
        Ok(self.enter(Service {
            environment: environment.into(),
            name: name.into(),
            series: Vec::new(),
            by_metric: HashMap::new(),
            logs: Book::default(),
            deployed: None,
            restored: Offsets::default(),
            version: self.version,
        }))
    }

    fn adopt(&mut self, state: ServiceState) {
        let mut service = Service {
            environment: state.environment,
            name: state.name,
            series: Vec::new(),
            by_metric: HashMap::new(),
            logs: state.logs,
            deployed: state.deployed,
            restored: state.applied,
            version: 0,
        };
        for mut series in state.series {
            series.understand(&self.settings);
            service.add(series);
        }
        self.series += service.series.len();
        self.enter(service);
    }

    fn enter(&mut self, service: Service) -> usize {
        let slot = self.services.len();
        self.index.entry(service.environment.clone()).or_default().insert(service.name.clone(), slot);
        self.services.push(service);
        slot
    }
}

impl Service {
    fn add(&mut self, series: Series) -> usize {
        let place = self.series.len();
        self.by_metric.insert(series.metric.clone(), place);
        self.series.push(series);
        place
    }

    /// Writes down a change of one series with all that is known beside it.
    fn anomaly(&self, place: usize, change: &Change, ts_ms: i64) -> Anomaly {
        let series = &self.series[place];
        let meaning = series.meaning();
        let episode = &change.episode;
        let subject = explain::Subject {
            service: &self.name,
            metric: &series.metric,
            meaning,
            deployed: self.deployed.as_ref().map(|deployed| (&*deployed.version, deployed.ts_ms)),
        };
        Anomaly {
            anomaly_id: AnomalyId::of_episode(
                &self.environment,
                &self.name,
                &series.metric,
                episode.started_ms,
            ),
            revision: episode.revision,
            status: episode.status,
            kind: meaning.kind,
            environment: self.environment.to_string(),
            service: self.name.to_string(),
            metric: series.metric.to_string(),
            unit: meaning.unit.to_string(),
            severity: episode.severity,
            evidence: episode.evidence,
            direction: episode.direction,
            observed: change.observed,
            expected: change.expected,
            started_at: from_ms(episode.started_ms),
            observed_at: from_ms(ts_ms),
            interval_ms: series.interval_ms(),
            detector: DETECTOR.to_owned(),
            explanation: explain::sentence(subject, change, ts_ms),
            context: Context {
                samples: series.points().collect(),
                siblings: self.siblings(place, ts_ms),
                logs: self.logs.recent(ts_ms),
            },
        }
    }

    /// Writes down what a rule reports, with all that is known beside it.
    #[expect(dead_code, reason = "rules come next")]
    fn report(&self, report: Report) -> Anomaly {
        let Report { alert, verdict, at_ms, .. } = report;
        Anomaly {
            anomaly_id: AnomalyId::of_episode(
                &self.environment,
                &self.name,
                &report.metric,
                alert.started_ms,
            ),
            revision: alert.revision,
            status: alert.status,
            kind: report.kind,
            environment: self.environment.to_string(),
            service: self.name.to_string(),
            metric: report.metric.into(),
            unit: report.unit.into(),
            severity: alert.severity,
            evidence: alert.evidence,
            direction: verdict.direction,
            observed: verdict.observed,
            expected: verdict.expected,
            started_at: from_ms(alert.started_ms),
            observed_at: from_ms(at_ms),
            interval_ms: report.interval_ms,
            detector: report.detector.to_owned(),
            explanation: report.explanation,
            context: Context {
                samples: report.points,
                siblings: self.siblings(usize::MAX, at_ms),
                logs: self.logs.recent(at_ms),
            },
        }
    }

    fn siblings(&self, place: usize, ts_ms: i64) -> Vec<Sibling> {
        let others = self.series.iter().enumerate().filter(|(other, _)| *other != place);
        others
            .filter_map(|(_, series)| {
                let (observed, expected) = series.latest(ts_ms)?;
                Some(Sibling { metric: series.metric.to_string(), observed, expected })
            })
            .take(SIBLINGS)
            .collect()
    }
}
