//! One input partition: all its series, the context of their services, and what is written down to survive.
//!
//! Nothing here knows Kafka or the wall clock. What a partition decides follows from its records alone, so that the
//! same log yields the same anomalies, also with a restart anywhere in between.

mod log_records;
pub mod metrics;
pub mod task;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::events::{Deployment, Refusal, decode};

use crate::config::Settings;
use crate::metric_profile::Metrics;
use crate::sample::{self, Sample};
use crate::series::Series;
use crate::series::alarm_budget::{Census, Demand};
use crate::service::Service;
use crate::service::clock::Pace;
use crate::service::logs::{Clock, Phrases};
use crate::service::name_index::Index;
use crate::service::outcome::Reason;
pub use crate::service::outcome::{At, Outcome};
use crate::service::regression::{Deployed, Rollout};
use crate::service::silence::Due;
pub use crate::service::state::{Offsets, Record, Snapshot, Version};
use crate::service::state::{PartitionState, ServiceState};

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
    /// Place in `services` by environment and name.
    index: Index,
    /// Service of the last sample: the next one is most often of the same.
    last: usize,
    reader: sample::Reader,
    names: Metrics,
    series: usize,
    newest_ms: Option<i64>,
    pace: Pace,
    /// No service has fallen silent, or been given up, before then.
    due: Due,
    log_clock: Clock,
    /// When services with open log alerts have to be looked at, and their places.
    log_alerts: BTreeSet<(i64, usize)>,
    phrases: Arc<Phrases>,
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
            phrases: Arc::new(Phrases::new(&settings.logs)),
            settings,
            services: Vec::new(),
            index: Index::default(),
            last: 0,
            reader: sample::Reader::default(),
            names: Metrics::default(),
            series: 0,
            newest_ms: None,
            pace: Pace::default(),
            due: Due::NOW,
            log_clock: Clock::default(),
            log_alerts: BTreeSet::new(),
            census: Census::default(),
            demand: Demand::default(),
            applied: Offsets::default(),
            version: 0,
            saved: 0,
        }
    }

    /// Restores a partition from the records of `detection.state` in the order of the log; those of other partitions
    /// are passed over. Of several states of one service the one that reflects most is taken.
    pub fn restore<K: AsRef<str>, V: AsRef<[u8]>>(
        number: i32,
        settings: Arc<Settings>,
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Restored {
        let mut partition = Self::new(number, settings);
        let mut refused = Vec::new();
        // most of what the log holds is older than what is taken: only that is kept, and read in full
        let mut newest: BTreeMap<String, (Offsets, V)> = BTreeMap::new();
        let own = number.to_string();
        for (key, value) in records {
            let key = key.as_ref();
            let (owner, service) = key.split_once('/').unwrap_or((key, ""));
            if owner != own {
                continue;
            }
            let result = if service.is_empty() {
                crate::service::state::read::<PartitionState>(value.as_ref()).map(|state| {
                    if state.applied.metrics >= partition.applied.metrics {
                        partition.applied = state.applied;
                        partition.newest_ms = state.newest_ms;
                        partition.pace = state.pace;
                        partition.log_clock = state.log_clock;
                        partition.census = state.census;
                    }
                })
            } else {
                crate::service::state::applied(value.as_ref()).map(|applied| {
                    // an owner that was paused and woke up may have written its older state last
                    if newest.get(key).is_none_or(|(known, _)| applied.metrics >= known.metrics) {
                        newest.insert(key.to_owned(), (applied, value));
                    }
                })
            };
            if let Err(reason) = result {
                refused.push(format!("{key}: {reason}"));
            }
        }
        for (key, (_, value)) in newest {
            match crate::service::state::read::<ServiceState>(value.as_ref()) {
                Ok(state) => partition.adopt(state),
                Err(reason) => refused.push(format!("{key}: {reason}")),
            }
        }
        partition.reckon();
        Restored { resume: partition.applied, partition, refused }
    }

    /// Takes one record of `raw.metrics`.
    pub fn metrics(&mut self, payload: &[u8], at: At) -> Outcome {
        let mut outcome = Outcome::default();
        self.version += 1;
        if sample::is_tick(payload) {
            self.pace.tick(at.timestamp_ms);
        }
        let mut reader = std::mem::take(&mut self.reader);
        let read = reader.read(payload, |sample| match self.sample(sample, at, &mut outcome) {
            Ok(()) => outcome.used += 1,
            Err(reason) => outcome.dropped.count(reason),
        });
        self.reader = reader;
        outcome.refused = read.err();
        self.listen(at, &mut outcome);
        self.applied.metrics = self.applied.metrics.max(at.offset);
        outcome
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
        let settings = self.settings.clone();
        self.context(&record.environment, &record.service, record.ts_ms, at, |service, outcome| {
            if at.offset > service.restored.deployments && record.is_retirement() {
                let report = service.rhythm.retire(&service.name, &record.version, record.ts_ms, &settings);
                if let Some(report) = report {
                    service.tell(report, outcome);
                }
                return;
            }
            let newer = service.deployed.as_ref().is_none_or(|deployed| deployed.ts_ms <= record.ts_ms);
            let deployed = Deployed { version: record.version.as_str().into(), ts_ms: record.ts_ms };
            if at.offset > service.restored.deployments
                && newer
                && service.deployed.as_ref() != Some(&deployed)
            {
                service.rollout = Rollout::begin(service.rollout.take(), &deployed, &service.series);
                service.deployed = Some(deployed);
            }
        })
    }

    /// Returns what has changed since the last snapshot that was [`Self::saved`]. Anomalies of the records it
    /// reflects must be acknowledged by the broker before it is written.
    pub fn snapshot(&self) -> Snapshot {
        Snapshot { records: self.changed().collect(), version: self.version() }
    }

    /// Returns the records of the snapshot one by one: all at once they are as large as the state itself.
    pub fn changed(&self) -> impl Iterator<Item = Record> {
        let services = self.services.iter().filter(|service| service.version > self.saved);
        let services = services.map(|service| Record {
            key: format!("{}/{}/{}", self.number, service.environment, service.name),
            // a service may still be ahead of the partition: see the module `snapshot`
            value: crate::service::state::write(&service.view(self.applied.max(service.restored))),
        });
        let own = (self.version > self.saved).then(|| {
            let state = PartitionState {
                applied: self.applied,
                newest_ms: self.newest_ms,
                pace: self.pace,
                log_clock: self.log_clock,
                census: self.census,
            };
            Record { key: self.number.to_string(), value: crate::service::state::write(&state) }
        });
        services.chain(own)
    }

    /// Returns how far a snapshot goes that is taken now.
    pub fn version(&self) -> Version {
        Version(self.version)
    }

    /// Notes that all records of the snapshot of this version were acknowledged. Without it the next snapshot contains
    /// them again.
    pub fn saved(&mut self, version: Version) {
        self.saved = self.saved.max(version.0);
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

    /// Returns how long nothing must have come for it to mean something, milliseconds; nothing if it never would.
    pub fn patience_ms(&self) -> Option<i64> {
        let due = self.services.iter().map(|service| service.rhythm.due(&self.settings));
        let remaining_ms = due.fold(Due::NEVER, Due::min).remaining_ms(self.pace.now())?;
        // one more, for it has to be past
        Some(remaining_ms.saturating_add(1).min(self.pace.leap_ms()))
    }

    /// Takes one sample and adds the anomalies that are due.
    fn sample(&mut self, sample: &Sample<'_>, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        if self.is_ahead(sample.ts_ms, at) {
            return Err(Reason::Ahead);
        }
        self.newest_ms = self.newest_ms.max(Some(sample.ts_ms));
        self.pace.sample(sample.ts_ms, at.timestamp_ms);
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
        service.version = self.version;
        if let Some(report) =
            service.rhythm.hear(&service.name, sample.ts_ms, self.pace.now(), &self.settings)
        {
            service.tell(report, outcome);
        }
        self.due = self.due.min(service.rhythm.due(&self.settings));
        let place = if let Some(place) = service.find(&sample.metric) {
            place
        } else {
            if self.series >= self.settings.max_series
                || service.series.len() >= self.settings.max_series_per_service
            {
                return Err(Reason::SeriesLimit);
            }
            self.series += 1;
            let metric = self.names.get(&sample.metric, sample.unit(), &self.settings.metrics);
            service.add(Series::new(metric))
        };
        if let Some(report) = service.listen_to_all(place, sample.ts_ms, &self.settings) {
            service.tell(report, outcome);
        }
        let change =
            service.series[place].observe(sample.ts_ms, sample.value, &self.demand, &self.settings)?;
        if let Some(change) = change {
            service.tell(service.report(place, &change, sample.ts_ms), outcome);
        }
        if let Some(report) = service.compare(place, &self.settings) {
            service.tell(report, outcome);
        }
        service.ask_rules(place, sample.ts_ms, sample.value, &self.settings, outcome);
        Ok(())
    }

    /// Looks for services that have fallen silent, once one may have.
    fn listen(&mut self, at: At, outcome: &mut Outcome) {
        let now = self.pace.now();
        if !self.due.is_past(now) {
            return;
        }
        self.due = Due::NEVER;
        for service in &mut self.services {
            if at.offset > service.restored.metrics
                && let Some(report) = service.rhythm.judge(&service.name, now, &self.settings)
            {
                service.version = self.version;
                service.tell(report, outcome);
            }
            self.due = self.due.min(service.rhythm.due(&self.settings));
        }
    }

    /// Works out what a series has to show that is to fire.
    fn reckon(&mut self) {
        let chances = self.census.a_week() * f64::from(self.settings.partitions);
        self.demand = Demand::of(chances, self.settings.false_alarms_a_week);
    }

    /// Finds the service of a deployment and lets `take` change it.
    fn context(
        &mut self,
        environment: &str,
        name: &str,
        ts_ms: i64,
        at: At,
        take: impl FnOnce(&mut Service, &mut Outcome),
    ) -> Outcome {
        let mut outcome = Outcome::default();
        let found =
            if self.is_ahead(ts_ms, at) { Err(Reason::Ahead) } else { self.service(environment, name) };
        match found {
            Ok(slot) => {
                let service = &mut self.services[slot];
                service.version = self.version;
                take(service, &mut outcome);
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
        if self.services.get(self.last).is_some_and(|service| service.is(environment, name)) {
            return Ok(self.last);
        }
        let services = &self.services;
        if let Some(slot) = self.index.find((environment, name), |slot| services[slot].is(environment, name))
        {
            self.last = slot;
            return Ok(slot);
        }
        if self.services.len() >= self.settings.max_series {
            return Err(Reason::SeriesLimit);
        }
        Ok(self.enter(Service::new(environment, name, self.version)))
    }

    fn adopt(&mut self, state: ServiceState) {
        let service = Service::restore(state, &mut self.names, &self.settings);
        self.series += service.series.len();
        let due_ms = service.logs.as_ref().and_then(|book| book.due_ms());
        let slot = self.enter(service);
        self.log_alerts.extend(due_ms.map(|due_ms| (due_ms, slot)));
    }

    fn enter(&mut self, service: Service) -> usize {
        let slot = self.services.len();
        let services = &self.services;
        let name = (&*service.environment, &*service.name);
        self.index.push(name, |slot| (&services[slot].environment, &services[slot].name));
        self.services.push(service);
        slot
    }
}
