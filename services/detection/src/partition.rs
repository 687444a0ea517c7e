//! One input partition: all its series, the context of their services, and what is written down to survive.
//!
//! Nothing here knows Kafka or the wall clock. What a partition decides follows from its records alone, so that the
//! same log yields the same anomalies, also with a restart anywhere in between.

mod lines;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use shared::clock::from_ms;
use shared::events::anomaly::{Anomaly, Context, Sibling};
use shared::events::{Deployment, Refusal, decode};
use shared::ids::AnomalyId;

use crate::alert::Report;
use crate::config::Settings;
use crate::demand::{Census, Demand};
use crate::explain;
use crate::index::Index;
use crate::joint::{self, Joint};
use crate::logs::{Book, Clock, Phrases};
use crate::outcome::Reason;
pub use crate::outcome::{At, Outcome};
use crate::pace::Pace;
use crate::regression::Rollout;
use crate::restarts::Restarts;
use crate::rules::{self, Answer};
use crate::sample::{self, Sample};
use crate::series::{Change, Series};
use crate::silence::{Due, Rhythm};
use crate::snapshot::{Deployed, PartitionState, ServiceState, ServiceView};
pub use crate::snapshot::{Offsets, Record, Snapshot, Version};

/// Name and version of the detector, as anomalies carry it.
pub const DETECTOR: &str = "baseline/2";

/// Siblings that an anomaly carries.
const SIBLINGS: usize = 20;

#[derive(Debug)]
struct Service {
    environment: Box<str>,
    name: Box<str>,
    series: Vec<Series>,
    by_metric: Index,
    /// Nothing before the first line.
    logs: Option<Box<Book>>,
    deployed: Option<Deployed>,
    rhythm: Rhythm,
    joint: Option<Box<Joint>>,
    rollout: Option<Box<Rollout>>,
    restarts: Option<Box<Restarts>>,
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
    /// Place in `services` by environment and name.
    index: Index,
    /// Service of the last sample: the next one is most often of the same.
    last: usize,
    reader: sample::Reader,
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
                crate::snapshot::read::<PartitionState>(value.as_ref()).map(|state| {
                    if state.applied.metrics >= partition.applied.metrics {
                        partition.applied = state.applied;
                        partition.newest_ms = state.newest_ms;
                        partition.pace = state.pace;
                        partition.log_clock = state.log_clock;
                        partition.census = state.census;
                    }
                })
            } else {
                crate::snapshot::applied(value.as_ref()).map(|applied| {
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
            match crate::snapshot::read::<ServiceState>(value.as_ref()) {
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
        self.context(&record.environment, &record.service, record.ts_ms, at, |service| {
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
            value: crate::snapshot::write(&ServiceView {
                // a service may still be ahead of the partition: see the module `snapshot`
                applied: self.applied.max(service.restored),
                environment: &service.environment,
                name: &service.name,
                series: &service.series,
                logs: service.logs.as_deref(),
                deployed: service.deployed.as_ref(),
                rhythm: &service.rhythm,
                joint: service.joint.as_deref(),
                rollout: service.rollout.as_deref(),
                restarts: service.restarts.as_deref(),
            }),
        });
        let own = (self.version > self.saved).then(|| {
            let state = PartitionState {
                applied: self.applied,
                newest_ms: self.newest_ms,
                pace: self.pace,
                log_clock: self.log_clock,
                census: self.census,
            };
            Record { key: self.number.to_string(), value: crate::snapshot::write(&state) }
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
            service.add(Series::new(&sample.metric, sample.unit(), &self.settings))
        };
        if let Some(report) = service.listen_to_all(place, sample.ts_ms, &self.settings) {
            service.tell(report, outcome);
        }
        let change =
            service.series[place].observe(sample.ts_ms, sample.value, &self.demand, &self.settings)?;
        if let Some(change) = change {
            outcome.add(service.anomaly(place, &change, sample.ts_ms), change.is_decision);
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
        Ok(self.enter(Service {
            environment: environment.into(),
            name: name.into(),
            series: Vec::new(),
            by_metric: Index::default(),
            logs: None,
            deployed: None,
            rhythm: Rhythm::default(),
            joint: None,
            rollout: None,
            restarts: None,
            restored: Offsets::default(),
            version: self.version,
        }))
    }

    fn adopt(&mut self, state: ServiceState) {
        let mut service = Service {
            environment: state.environment,
            name: state.name,
            series: Vec::new(),
            by_metric: Index::default(),
            logs: state.logs,
            deployed: state.deployed,
            rhythm: state.rhythm,
            joint: state.joint,
            rollout: state.rollout,
            restarts: state.restarts,
            restored: state.applied,
            version: 0,
        };
        for mut series in state.series {
            series.understand(&self.settings);
            service.add(series);
        }
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

impl Service {
    fn add(&mut self, mut series: Series) -> usize {
        let forecasts = self.series.iter().filter(|series| series.is_forecast());
        if series.is_forecast() && forecasts.count() >= rules::FORECASTS {
            series.drop_rule();
        }
        let place = self.series.len();
        let known = &self.series;
        self.by_metric.push(("", &series.metric), |place| ("", &known[place].metric));
        self.series.push(series);
        place
    }

    fn is(&self, environment: &str, name: &str) -> bool {
        *self.name == *name && *self.environment == *environment
    }

    fn find(&mut self, metric: &str) -> Option<usize> {
        let series = &self.series;
        self.by_metric.find(("", metric), |place| *series[place].metric == *metric)
    }

    /// Judges all series together, if a round of them ends with the sample that one of them is about to take.
    fn listen_to_all(&mut self, place: usize, ts_ms: i64, settings: &Settings) -> Option<Report> {
        if self.series.len() < joint::FEWEST {
            return None;
        }
        let before_ms = self.series[place].last_ms();
        let joint = self.joint.get_or_insert_with(|| Box::new(Joint::new(ts_ms)));
        joint.note(&self.name, &self.series, before_ms, ts_ms, settings)
    }

    /// Compares the sample that a series has just taken with what was before a deployment.
    fn compare(&mut self, place: usize, settings: &Settings) -> Option<Report> {
        let rollout = self.rollout.as_mut()?;
        let report = rollout.observe(place, &self.series[place], &self.name, settings);
        if rollout.is_over() {
            self.rollout = None;
        }
        report
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
                logs: self.recent_logs(ts_ms),
            },
        }
    }

    /// Asks the rules about a sample that was just taken.
    fn ask_rules(
        &mut self,
        place: usize,
        ts_ms: i64,
        value: f64,
        settings: &Settings,
        outcome: &mut Outcome,
    ) {
        let series = &mut self.series[place];
        match series.ask(&self.name, value, settings) {
            None => {}
            Some(Answer::Report(report)) => self.tell(*report, outcome),
            Some(Answer::Restarts(count)) => {
                let restarts = self.restarts.get_or_insert_default();
                restarts.add(place, ts_ms, count, series.interval_ms());
            }
        }
        let Some(restarts) = &mut self.restarts else { return };
        let report = rules::ask_restarts(restarts, &self.name, ts_ms);
        if restarts.is_over() {
            self.restarts = None;
        }
        if let Some(report) = report {
            self.tell(report, outcome);
        }
    }

    fn tell(&self, report: Report, outcome: &mut Outcome) {
        let is_decision = report.is_decision;
        outcome.add(self.report(report), is_decision);
    }

    /// Writes down what a rule reports, with all that is known beside it.
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
                logs: self.recent_logs(at_ms),
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
