//! What is written to `detection.state`: one record per service, one for the catalogue, then one for the partition.
//!
//! The record of a service says up to which input offsets it reflects; the record of the partition, written last, says
//! from where to read again. So a crash between the two only means that some services skip what they have already seen.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde::{Deserialize, Serialize};

use super::Partition;
use super::catalogue::Catalogue;
use crate::config::Settings;
use crate::sections::{Section, Sections, Writer};
use crate::service::Service;
use crate::service::clock::PartitionClock;
use crate::service::silence::ReportingCadence;
use crate::service::state::{LOG, Offsets};

/// The clock that samples and ticks move.
const CLOCK: Section = Section::new("clock", 1);
/// The clock that log lines and their ticks move.
const LOG_CLOCK: Section = Section::new("log_clock", 1);
/// The clock that alerts of other rule engines and their ticks move, milliseconds.
const ALERT_CLOCK: Section = Section::new("alert_clock", 1);
/// Clocks of sources that are ahead.
const SOURCE_CLOCKS: Section = Section::new("source_clocks", 1);
/// How many samples come.
const SAMPLE_RATE: Section = Section::new("sample_rate", 1);

/// A record for `detection.state`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Record {
    /// `PARTITION/ENVIRONMENT/SERVICE`, `PARTITION/catalogue`, or `PARTITION` for the partition itself.
    pub key: String,
    /// Sections of state: see [`sections`](crate::sections).
    pub value: Vec<u8>,
}

/// Everything that has changed since the last snapshot that was saved. The order of the records matters: the
/// partition's own comes last.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Snapshot {
    /// Records to write; none if nothing has changed.
    pub records: Vec<Record>,
    /// How far it goes.
    pub version: Version,
}

/// How far a partition has come, in records that were taken in.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, PartialOrd, Ord)]
pub struct Version(u64);

/// What a restored partition needs from its caller.
#[derive(Debug)]
pub struct Restored {
    /// The partition.
    pub partition: Partition,
    /// Last records that it reflects: read on from the offsets after these. -1 means from the beginning.
    pub resume: Offsets,
    /// State that could not be read, and why; what it held warms up again.
    pub refused: Vec<String>,
}

/// The clock of samples, and their newest event time, milliseconds.
#[derive(Debug, Serialize, Deserialize)]
struct ClockState {
    newest_ms: Option<i64>,
    clock: PartitionClock,
}

impl Partition {
    /// Restores a partition from the records of `detection.state` in the order of the log; those of other partitions
    /// are passed over. Of several states of one service the one that reflects most is taken.
    pub fn restore<K: AsRef<str>, V: AsRef<[u8]>>(
        number: i32,
        settings: Arc<Settings>,
        records: impl IntoIterator<Item = (K, V)>,
    ) -> Restored {
        let mut refused = Vec::new();
        // most of what the log holds is older than what is taken: only that is kept, and read in full
        let mut newest: BTreeMap<String, (Reflected, V)> = BTreeMap::new();
        let own = number.to_string();
        let mut keeps_time = true;
        for (key, value) in records {
            let key = key.as_ref();
            if key.split_once('/').map_or(key, |(owner, _)| owner) != own {
                continue;
            }
            match applied(value.as_ref()) {
                // an owner that was paused and woke up may have written its older state last
                Ok(reflected) => {
                    if newest.get(key).is_none_or(|(known, _)| !reflected.is_before(known)) {
                        newest.insert(key.to_owned(), (reflected, value));
                    }
                }
                Err(reason) => {
                    keeps_time &= key != own;
                    refused.push(format!("{key}: {reason}"));
                }
            }
        }
        let mut partition = Self::new(number, settings);
        // before the services, which are judged by it
        newest.retain(|key, (_, record)| {
            let is_it = Catalogue::is_key(number, key);
            if is_it {
                let (catalogue, reasons) = Catalogue::restore(record.as_ref());
                refused.extend(reasons.into_iter().map(|reason| format!("{key}: {reason}")));
                partition.catalogue = catalogue;
            }
            !is_it
        });
        if let Some((reflected, record)) = newest.remove(&own) {
            (partition.applied, partition.log) = (reflected.offsets, reflected.log);
            keeps_time = partition.go_on(&own, record.as_ref(), &mut refused);
        }
        for (key, (_, record)) in newest {
            match Service::restore(record.as_ref(), &mut partition.names, &partition.settings) {
                Ok((mut service, reasons)) => {
                    refused.extend(reasons.into_iter().map(|reason| format!("{key}: {reason}")));
                    if !keeps_time {
                        // its pauses were measured on a clock that has begun anew
                        service.reporting = ReportingCadence::default();
                    }
                    if service.log < partition.log {
                        // a snapshot of the partition is younger than the service, and reflects all of it
                        service.restored = Offsets::default();
                    }
                    service.ahead_ms =
                        partition.source_clocks.last_ahead_ms(&service.environment, &service.name);
                    partition.adopt(service);
                }
                Err(reason) => refused.push(format!("{key}: {reason}")),
            }
        }
        partition.recompute_threshold();
        Restored { resume: partition.applied, partition, refused }
    }

    /// Goes on from the partition's own record. Returns whether its clock does.
    fn go_on(&mut self, key: &str, record: &[u8], refused: &mut Vec<String>) -> bool {
        let mut sections = match Sections::parse(record) {
            Ok(sections) => sections,
            Err(reason) => {
                refused.push(format!("{key}: {reason}"));
                return false;
            }
        };
        let clock: Option<ClockState> = sections.get(CLOCK);
        let keeps_time = clock.is_some();
        if let Some(state) = clock {
            (self.newest_ms, self.clock) = (state.newest_ms, state.clock);
        }
        self.log_clock = sections.get(LOG_CLOCK).unwrap_or_default();
        self.alerts_ms = sections.get(ALERT_CLOCK);
        self.source_clocks = sections.get(SOURCE_CLOCKS).unwrap_or_default();
        self.sample_rate = sections.get(SAMPLE_RATE).unwrap_or_default();
        refused.extend(sections.into_refused().into_iter().map(|reason| format!("{key}: {reason}")));
        keeps_time
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
            // a service may still be ahead of the partition
            value: service.record(self.applied.max(service.restored), self.log.max(service.log)),
        });
        let own = (self.version > self.saved)
            .then(|| Record { key: self.number.to_string(), value: self.own_record() });
        services.chain(self.catalogue.changed(self.number, self.saved, &self.applied)).chain(own)
    }

    fn own_record(&self) -> Vec<u8> {
        let mut sections = Writer::default();
        self.applied.write(&mut sections);
        sections.put_some(LOG, Some(&self.log).filter(|log| **log > 0));
        sections.put(CLOCK, &ClockState { newest_ms: self.newest_ms, clock: self.clock });
        sections.put(LOG_CLOCK, &self.log_clock);
        sections.put_some(ALERT_CLOCK, self.alerts_ms.as_ref());
        sections.put(SAMPLE_RATE, &self.sample_rate);
        sections.put(SOURCE_CLOCKS, &self.source_clocks);
        sections.finish()
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
}

/// How far a record goes.
struct Reflected {
    /// Counts how often the log of an input began anew.
    log: u32,
    offsets: Offsets,
}

impl Reflected {
    fn is_before(&self, other: &Self) -> bool {
        (self.log, self.offsets.metrics) < (other.log, other.offsets.metrics)
    }
}

/// Reads which offsets a record reflects.
fn applied(record: &[u8]) -> Result<Reflected, String> {
    let mut sections = Sections::parse(record)?;
    let log = sections.get(LOG).unwrap_or_default();
    match Offsets::read(&mut sections) {
        Some(offsets) => Ok(Reflected { log, offsets }),
        None => Err(sections.into_refused().pop().unwrap_or_else(|| "the offsets are missing".to_owned())),
    }
}
