//! The way of a labelled sample: to the window of its group, and what comes of that window to its series.

use super::{Outcome, Partition};
use crate::fold::{Folded, Point, Taken};
use crate::sample::{Detail, Sample};
use crate::service::Routed;
use crate::service::intake::Cause;
use crate::service::outcome::Reason;

impl Partition {
    /// Takes a labelled sample. `at` is its event time and the offset of its record.
    pub(super) fn fold(
        &mut self,
        slot: usize,
        (sample, detail): (&Sample<'_>, &Detail<'_>),
        at: (i64, i64),
        outcome: &mut Outcome,
    ) -> Result<(), Reason> {
        let mut folded = std::mem::take(&mut self.folded);
        let service = &mut self.services[slot];
        let name = (&*sample.metric, sample.unit());
        let point = Point::new(&sample.service, name, (at.0, sample.value), detail);
        let fold = service.fold.get_or_insert_default();
        let taken = fold.take(&point, &self.settings, &mut folded);
        if fold.is_empty() {
            service.fold = None;
        }
        if taken.is_ok() && !sample.is_missing() {
            service.observe_intake(at.0, None, outcome);
        }
        for one in folded.drain(..) {
            self.judge_folded(slot, &one, at.1, outcome);
        }
        self.folded = folded;
        match taken {
            Ok(_) if sample.is_missing() => return Err(Reason::Missing),
            Ok(Taken::Own) => outcome.folded[0] += 1,
            Ok(Taken::Other) => outcome.folded[1] += 1,
            Ok(Taken::Nothing) => {}
            Err(left) => return Err(left.into()),
        }
        Ok(())
    }

    /// Judges a value of a folded series.
    fn judge_folded(&mut self, slot: usize, folded: &Folded, offset: i64, outcome: &mut Outcome) {
        let Folded { name, ts_ms, value } = folded;
        let judged = match self.series_of(slot, (&name.series, &name.unit), (*ts_ms, offset), outcome) {
            Ok((place, factor)) => {
                let routed = Routed { place, ts_ms: *ts_ms, value: factor * value };
                let service = &mut self.services[slot];
                service.sample(routed, &self.threshold, &self.settings, outcome).map_err(Reason::from)
            }
            Err(reason) => Err(reason),
        };
        let Err(reason) = judged else { return };
        outcome.dropped.count(reason);
        if reason == Reason::SeriesLimit {
            let service = &mut self.services[slot];
            outcome.count_unusable(&service.name.clone(), Cause::SeriesLimit);
            service.observe_intake(*ts_ms, Some(Cause::SeriesLimit), outcome);
        }
    }

    /// Returns whether a sample counts as one for the budget of false alarms. Of labelled samples those of one metric in a row
    /// do: what comes of them is folded. That has to follow from the records alone, also for services whose state is ahead.
    pub(super) fn counts(&mut self, sample: &Sample<'_>) -> bool {
        if sample.detail().is_none() {
            return true;
        }
        let hash = crate::fold::hash_of(&sample.service, &sample.metric);
        std::mem::replace(&mut self.counted, hash) != hash
    }
}
