//! One input partition: all its series, the context of their services, and what is written down to survive.
//!
//! Nothing here knows Kafka or the wall clock. What a partition decides follows from its records alone, so that the
//! same log yields the same anomalies, also with a restart anywhere in between.

mod catalogue;
mod folding;
mod inquiries;
mod log_records;
pub mod metrics;
mod rule_alerts;
mod series_of;
mod source_clock;
mod state;
pub mod task;
mod unusable;

use std::collections::BTreeSet;
use std::sync::Arc;

use shared::events::raw::event_time;
use shared::events::{Deployment, Refusal, Topic, decode};

use crate::config::Settings;
use crate::fold::Folded;
use crate::metric_profile::Metrics;
use crate::sample::{self, Element, Sample};
use crate::series::alarm_budget::{FiringThreshold, SampleRate};
use crate::service::clock::{Moment, PartitionClock};
use crate::service::logs::{LogClock, Phrases};
use crate::service::name_index::NameIndex;
use crate::service::outcome::Reason;
pub use crate::service::outcome::{At, Outcome};
use crate::service::regression::{Deployed, Rollout};
use crate::service::silence::{self, Due};
use crate::service::state::Offsets;
use crate::service::{Routed, Service};
use catalogue::Catalogue;
use source_clock::SourceClocks;
pub use state::{Record, Restored, Snapshot, Version};

/// All series of one input partition.
#[derive(Debug)]
pub struct Partition {
    number: i32,
    settings: Arc<Settings>,
    services: Vec<Service>,
    /// Place in `services` by environment and name.
    index: NameIndex,
    /// Service of the last sample: the next one is most often of the same.
    last: usize,
    reader: sample::Reader,
    names: Metrics,
    series: usize,
    /// Metric of the last labelled sample of the record: those of its replicas count as one.
    counted: u64,
    folded: Vec<Folded>,
    newest_ms: Option<i64>,
    clock: PartitionClock,
    source_clocks: SourceClocks,
    /// No service has fallen silent, or been given up, before then.
    due: Due,
    log_clock: LogClock,
    /// When services with open log alerts have to be looked at, and their places.
    log_alerts: BTreeSet<(i64, usize)>,
    /// Time of the newest record of `raw.alerts`, milliseconds.
    alerts_ms: Option<i64>,
    phrases: Arc<Phrases>,
    sample_rate: SampleRate,
    threshold: FiringThreshold,
    /// Partitions among which all series are spread.
    partitions: u32,
    catalogue: Catalogue,
    applied: Offsets,
    /// Counts how often the log of an input began anew.
    log: u32,
    /// Whether there are other partitions to be asked before a service counts as silent.
    asks: bool,
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
            partitions: settings.partitions,
            phrases: Arc::new(Phrases::new(&settings.logs)),
            settings,
            services: Vec::new(),
            index: NameIndex::default(),
            last: 0,
            reader: sample::Reader::default(),
            names: Metrics::default(),
            series: 0,
            counted: 0,
            folded: Vec::new(),
            newest_ms: None,
            clock: PartitionClock::default(),
            source_clocks: SourceClocks::default(),
            due: Due::NOW,
            log_clock: LogClock::default(),
            log_alerts: BTreeSet::new(),
            alerts_ms: None,
            sample_rate: SampleRate::default(),
            threshold: FiringThreshold::default(),
            catalogue: Catalogue::default(),
            applied: Offsets::default(),
            log: 0,
            asks: false,
            version: 0,
            saved: 0,
        }
    }

    /// Takes one record of `raw.metrics`.
    pub fn metrics(&mut self, payload: &[u8], at: At) -> Outcome {
        let mut outcome = Outcome::default();
        self.version += 1;
        if sample::is_tick(payload) {
            self.clock.tick(at.stamp_ms());
        }
        self.counted = 0;
        let mut reader = std::mem::take(&mut self.reader);
        let read = reader.read(payload, |element| match element {
            Element::Sample(sample) => match self.sample(sample, at, &mut outcome) {
                Ok(()) => outcome.used += 1,
                Err(reason) => self.dropped(sample, reason, at, &mut outcome),
            },
            Element::Refused(source, fault) => self.refused(source, fault, at, &mut outcome),
        });
        self.reader = reader;
        outcome.refused = read.err();
        self.judge_silences(at, &mut outcome);
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
            .and_then(|()| event_time(record.ts_ms).map_err(|error| error.to_string()))
        {
            return Outcome::refusing(Refusal::Invalid(reason));
        }
        let mut outcome = Outcome::default();
        match self.deployed(&record, at, &mut outcome) {
            Ok(()) => outcome.used = 1,
            Err(reason) => outcome.dropped.count(reason),
        }
        outcome
    }

    /// Returns the last records that were taken in.
    pub fn applied(&self) -> Offsets {
        self.applied
    }

    /// Notes that the log of an input begins anew, with offsets that were taken before.
    pub fn begin_anew(&mut self, topic: Topic) {
        self.version += 1;
        if topic == Topic::CatalogueServices {
            return self.forget_catalogue();
        }
        self.log += 1;
        self.applied.forget(topic);
        let log = self.log;
        for service in self.services.iter_mut().filter(|service| service.log < log) {
            service.restored.forget(topic);
        }
    }

    /// Returns how many series there are.
    pub fn series(&self) -> usize {
        self.series
    }

    /// Returns the services whose clocks are, or have been, ahead, and by how many milliseconds.
    pub fn clocks_ahead(&self) -> impl Iterator<Item = (&str, i64)> {
        self.source_clocks.iter()
    }

    /// Returns the newest event time of any sample, milliseconds.
    pub fn newest_ms(&self) -> Option<i64> {
        self.newest_ms
    }

    /// Returns how long nothing must have come for it to mean something, milliseconds; nothing if it never would.
    pub fn patience_ms(&self) -> Option<i64> {
        let due = self.services.iter().map(|service| service.silence_due(&self.settings));
        let remaining_ms = due.fold(Due::NEVER, Due::min).remaining_ms(self.clock.now())?;
        // one more, for it has to be past
        Some(remaining_ms.saturating_add(1).min(self.clock.leap_ms()))
    }

    /// Takes one sample and adds the anomalies that are due. In this order: the clock, the way to its service and series,
    /// and what the service makes of it.
    fn sample(&mut self, sample: &Sample<'_>, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        if self.is_ahead(sample.ts_ms, at) {
            return Err(Reason::Ahead);
        }
        let (environment, stamp_ms) = (sample.environment(), at.stamp_ms());
        let ahead_ms = self.source_clocks.ahead_ms(environment, &sample.service, sample.ts_ms, stamp_ms);
        let ts_ms = sample.ts_ms.saturating_sub(ahead_ms);
        let counts = self.counts(sample);
        let now = self.advance_clock(ts_ms, at, counts);
        let told_ms = self.source_clocks.last_ahead_ms(environment, &sample.service).min(ahead_ms);
        let slot = self.service(environment, &sample.service)?;
        let service = &mut self.services[slot];
        if at.offset <= service.restored.metrics {
            return Ok(());
        }
        (service.version, service.ahead_ms) = (self.version, told_ms);
        // the service reports, also where there is no room for one more of its series
        service.inquiry = None;
        service.pass_time(ts_ms, outcome);
        let event = silence::Event::Sample { ts_ms, now };
        service.observe_silence(event, &self.settings, outcome);
        self.due = self.due.min(service.reporting.due(&self.settings));
        if let Some(detail) = sample.detail() {
            return self.fold(slot, (sample, detail), (ts_ms, at.offset), outcome);
        }
        if sample.is_missing() {
            return Err(Reason::Missing);
        }
        let name = (&*sample.metric, sample.unit());
        let (place, factor) = self.series_of(slot, name, (ts_ms, at.offset), outcome)?;
        let service = &mut self.services[slot];
        service.observe_intake(ts_ms, None, outcome);
        let routed = Routed { place, ts_ms, value: factor * sample.value };
        Ok(service.sample(routed, &self.threshold, &self.settings, outcome)?)
    }

    /// Moves the clock on by a sample, and returns where it stands.
    fn advance_clock(&mut self, ts_ms: i64, at: At, counts: bool) -> Moment {
        self.newest_ms = self.newest_ms.max(Some(ts_ms));
        self.clock.sample(ts_ms, at.stamp_ms());
        // also what a service has seen already: the count follows from the records alone
        if counts && self.sample_rate.count(ts_ms) {
            self.recompute_threshold();
        }
        self.clock.now()
    }

    /// Takes a deployment, or the retirement of a service.
    fn deployed(&mut self, record: &Deployment, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        if self.is_ahead(record.ts_ms, at) {
            return Err(Reason::Ahead);
        }
        let slot = self.service(&record.environment, &record.service)?;
        let service = &mut self.services[slot];
        service.version = self.version;
        if at.offset <= service.restored.deployments {
            return Ok(());
        }
        if record.is_retirement() {
            let event = silence::Event::Retired { version: &record.version, ts_ms: record.ts_ms };
            service.observe_silence(event, &self.settings, outcome);
            return Ok(());
        }
        let newer = service.deployed.as_ref().is_none_or(|deployed| deployed.ts_ms <= record.ts_ms);
        let deployed = Deployed { version: record.version.as_str().into(), ts_ms: record.ts_ms };
        if newer && service.deployed.as_ref() != Some(&deployed) {
            service.rollout = Rollout::begin(service.rollout.take(), &deployed, &service.series);
            service.deployed = Some(deployed);
        }
        Ok(())
    }

    /// Notes among how many partitions all series are spread.
    pub fn spread_among(&mut self, partitions: u32) {
        if self.partitions != partitions {
            self.partitions = partitions;
            self.recompute_threshold();
        }
    }

    /// Works out what a series has to show that is to fire.
    fn recompute_threshold(&mut self) {
        let chances = self.sample_rate.a_week() * f64::from(self.partitions);
        self.threshold = FiringThreshold::of(chances, self.settings.false_alarms_a_week);
    }

    /// Returns whether a time is so far ahead, both of all samples so far and of the record itself, that it would only
    /// block what comes after it.
    fn is_ahead(&self, ts_ms: i64, at: At) -> bool {
        let newest = self.newest_ms.unwrap_or(i64::MIN).max(at.stamp_ms());
        ts_ms > newest.saturating_add(self.settings.ahead_ms())
    }

    fn service(&mut self, environment: &str, name: &str) -> Result<usize, Reason> {
        if self.services.get(self.last).is_some_and(|service| service.is(environment, name)) {
            return Ok(self.last);
        }
        if let Some(slot) = self.find(environment, name) {
            self.last = slot;
            return Ok(slot);
        }
        if self.services.len() >= self.settings.max_series {
            return Err(Reason::SeriesLimit);
        }
        Ok(self.enter(Service::new(environment, name, self.version)))
    }

    fn find(&mut self, environment: &str, name: &str) -> Option<usize> {
        let services = &self.services;
        self.index.find((environment, name), |slot| services[slot].is(environment, name))
    }

    fn adopt(&mut self, service: Service) {
        self.series += service.series.len();
        let due_ms = service.logs.as_ref().and_then(|model| model.due_ms());
        let slot = self.enter(service);
        self.log_alerts.extend(due_ms.map(|due_ms| (due_ms, slot)));
    }

    fn enter(&mut self, service: Service) -> usize {
        let slot = self.services.len();
        let services = &self.services;
        let name = (&*service.environment, &*service.name);
        self.index.push(name, |slot| (&services[slot].environment, &services[slot].name));
        self.services.push(service);
        self.state(slot);
        slot
    }
}
