//! What the service catalogue states of the services of a partition: the newest record of each on `catalogue.services`.
//!
//! It is kept beside the services: a record may come before the first sample of its service, and holds for the service in
//! each environment.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use shared::events::{CatalogueService, Refusal, decode};

use super::{At, Outcome, Partition, Record};
use crate::sample;
use crate::sections::{Section, Sections, Writer};
use crate::series::rules::slo::Stated;
use crate::service::outcome::Reason;
use crate::service::state::Offsets;

const CATALOGUE: Section = Section::new("catalogue", 1);
/// Most bytes of what is stated: it has to fit into one record of the state.
const MAX_BYTES: usize = 800_000;
/// Bytes of one service beside its name, at most.
const SERVICE_BYTES: usize = 24;

/// What is stated.
#[derive(Debug, Default)]
pub(super) struct Catalogue {
    state: State,
    /// Bytes that it takes at most.
    bytes: usize,
    /// Version of the partition at its last change.
    version: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct State {
    /// Offset of the last record that was taken.
    applied: i64,
    services: BTreeMap<Box<str>, Stated>,
}

impl Default for State {
    fn default() -> Self {
        Self { applied: -1, services: BTreeMap::new() }
    }
}

impl Catalogue {
    /// Key of its record in `detection.state`. Those of services have one part more.
    fn key(partition: i32) -> String {
        format!("{partition}/catalogue")
    }

    /// Returns whether a key is that of its record.
    pub(super) fn is_key(partition: i32, key: &str) -> bool {
        key == Self::key(partition)
    }

    /// Returns its record if it has changed since a version.
    pub(super) fn changed(&self, partition: i32, saved: u64, applied: &Offsets) -> Option<Record> {
        (self.version > saved).then(|| {
            let mut sections = Writer::default();
            applied.write(&mut sections);
            sections.put(CATALOGUE, &self.state);
            Record { key: Self::key(partition), value: sections.finish() }
        })
    }

    /// Goes on from its record. Returns it with what could not be read.
    pub(super) fn restore(record: &[u8]) -> (Self, Vec<String>) {
        let mut sections = match Sections::parse(record) {
            Ok(sections) => sections,
            Err(reason) => return (Self::default(), vec![reason]),
        };
        let state: State = sections.get(CATALOGUE).unwrap_or_default();
        let bytes = state.services.keys().map(|name| name.len() + SERVICE_BYTES).sum();
        (Self { state, bytes, version: 0 }, sections.into_refused())
    }

    fn take(&mut self, name: &str, stated: Option<Stated>) -> Result<(), Reason> {
        let Some(stated) = stated else {
            if self.state.services.remove(name).is_some() {
                self.bytes -= name.len() + SERVICE_BYTES;
            }
            return Ok(());
        };
        if let Some(known) = self.state.services.get_mut(name) {
            *known = stated;
            return Ok(());
        }
        let bytes = self.bytes + name.len() + SERVICE_BYTES;
        if bytes > MAX_BYTES {
            return Err(Reason::SeriesLimit);
        }
        self.bytes = bytes;
        self.state.services.insert(name.into(), stated);
        Ok(())
    }
}

impl Partition {
    /// Takes one record of `catalogue.services`.
    pub fn catalogue(&mut self, payload: &[u8], at: At) -> Outcome {
        let record: CatalogueService = match decode(payload) {
            Ok(record) => record,
            Err(refusal) => return Outcome::refusing(refusal),
        };
        self.stated(&record.service, Some(Stated::from(&record)), at)
    }

    /// Takes the removal of a service from `catalogue.services`.
    pub fn withdrawn(&mut self, service: &str, at: At) -> Outcome {
        self.stated(service, None, at)
    }

    /// Returns the offset of the last record of the catalogue that was taken.
    pub fn catalogue_applied(&self) -> i64 {
        self.catalogue.state.applied
    }

    fn stated(&mut self, name: &str, stated: Option<Stated>, at: At) -> Outcome {
        if let Err(reason) = sample::named("service", name) {
            return Outcome::refusing(Refusal::Invalid(reason));
        }
        let mut outcome = Outcome::default();
        if at.offset <= self.catalogue.state.applied {
            return outcome;
        }
        self.version += 1;
        (self.catalogue.version, self.catalogue.state.applied) = (self.version, at.offset);
        match self.catalogue.take(name, stated) {
            Ok(()) => outcome.used = 1,
            Err(reason) => outcome.dropped.count(reason),
        }
        for slot in 0..self.services.len() {
            if *self.services[slot].name == *name {
                self.state(slot);
            }
        }
        outcome
    }

    /// Lets a service know what the catalogue states of it.
    pub(super) fn state(&mut self, slot: usize) {
        let service = &mut self.services[slot];
        let holds = self.settings.heeds_catalogue(&service.environment);
        let stated = self.catalogue.state.services.get(&service.name).copied();
        service.state(stated.filter(|_| holds));
    }

    /// Forgets it all: its log begins anew.
    pub(super) fn forget_catalogue(&mut self) {
        self.catalogue = super::Catalogue { version: self.version, ..super::Catalogue::default() };
        for slot in 0..self.services.len() {
            self.state(slot);
        }
    }
}
