//! The way of a sample to its series: by its name and its unit. A series that is new is begun, where there is room.

use std::sync::Arc;

use shared::events::anomaly::Ended;

use super::{Outcome, Partition};
use crate::metric_profile::units;
use crate::series::Series;
use crate::service::outcome::Reason;

/// One record in so many looks through all services for dead ones, where there is no room for a new series.
const SCAN_RECORDS: i64 = 64;

impl Partition {
    /// Returns the place of a sample's series in its service, and the factor that converts its value to the unit of that
    /// series. A unit that cannot be converted makes another series. `at` is the event time and the offset.
    pub(super) fn series_of(
        &mut self,
        slot: usize,
        (metric, unit): (&str, &str),
        at: (i64, i64),
        outcome: &mut Outcome,
    ) -> Result<(usize, f64), Reason> {
        let Some(place) = self.services[slot].find(metric) else {
            let begun = self.begin(slot, (metric, unit), at, outcome);
            return begun.map(|place| (place, 1.0));
        };
        let series = &self.services[slot].series[place];
        let own = series.unit_as_sent();
        if unit.is_empty() || unit == own {
            return Ok((place, 1.0));
        }
        let known = series.sample_unit();
        if unit == known {
            return Ok((place, 1.0));
        }
        if let Some(factor) = units::factor(unit, known) {
            return Ok((place, factor));
        }
        let name = format!("{metric} ({unit})");
        match self.services[slot].find(&name) {
            Some(place) => Ok((place, 1.0)),
            None => self.begin(slot, (&name, unit), at, outcome).map(|place| (place, 1.0)),
        }
    }

    /// Begins a series: in the place of a dead one, or in a new one.
    fn begin(
        &mut self,
        slot: usize,
        (name, unit): (&str, &str),
        (ts_ms, offset): (i64, i64),
        outcome: &mut Outcome,
    ) -> Result<usize, Reason> {
        let settings = Arc::clone(&self.settings);
        let mut series =
            Series::new(self.names.get(&self.services[slot].name, name, unit, &settings.metrics));
        if let Some(usual_ms) = self.services[slot].reporting.usual_ms() {
            series.begin_late(ts_ms, usual_ms);
        }
        if self.series >= settings.max_series && offset % SCAN_RECORDS == 0 {
            self.make_room(ts_ms, outcome);
        }
        let service = &mut self.services[slot];
        let (own, all) = (service.series.len(), self.series);
        let is_full = own >= settings.max_series_per_service || all >= settings.max_series;
        let is_half_full = 2 * own >= settings.max_series_per_service || 2 * all >= settings.max_series;
        if let Some(place) = is_half_full.then(|| service.dead(ts_ms, !is_full)).flatten() {
            let ended = if is_full { Ended::Forced } else { Ended::SourceGone };
            service.replace(place, series, (ended, ts_ms), outcome);
            return Ok(place);
        }
        if is_full {
            return Err(Reason::SeriesLimit);
        }
        self.series += 1;
        Ok(service.add(series))
    }

    /// Gives up the series of the service that has been dead for longest, if there is one.
    fn make_room(&mut self, now_ms: i64, outcome: &mut Outcome) {
        let dead = (0..self.services.len()).filter_map(|slot| {
            let service = &self.services[slot];
            service.dead_since_ms(now_ms).map(|since_ms| (since_ms, slot))
        });
        if let Some((_, slot)) = dead.min() {
            let service = &mut self.services[slot];
            service.version = self.version;
            self.series -= service.give_up_all(now_ms, outcome);
        }
    }
}
