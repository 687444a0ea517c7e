//! What a partition makes of samples that cannot be used: their services report, and people are to know.

use super::{At, Outcome, Partition};
use crate::sample::{Fault, Sample, Source};
use crate::service::intake::Cause;
use crate::service::outcome::Reason;
use crate::service::silence;

impl Partition {
    /// Takes a sample that was refused.
    pub(super) fn refused(
        &mut self,
        source: Option<Source<'_>>,
        fault: &Fault,
        at: At,
        outcome: &mut Outcome,
    ) {
        if let Some(source) = source {
            self.unusable(source, fault.time_unit.into(), at, outcome);
        }
    }

    /// Takes a sample that was dropped. Most of these say nothing that people have to know.
    pub(super) fn dropped(&mut self, sample: &Sample<'_>, reason: Reason, at: At, outcome: &mut Outcome) {
        outcome.dropped.count(reason);
        let source = Source { service: &sample.service, environment: sample.environment() };
        match reason {
            Reason::Ahead => self.unusable(source, Cause::Ahead, at, outcome),
            Reason::SeriesLimit => self.unusable(source, Cause::SeriesLimit, at, outcome),
            Reason::Duplicate
            | Reason::OutOfOrder
            | Reason::Late
            | Reason::Missing
            | Reason::ReplicaLimit
            | Reason::Buckets => {}
        }
    }

    fn unusable(&mut self, source: Source<'_>, cause: Cause, at: At, outcome: &mut Outcome) {
        outcome.count_unusable(source.service, cause);
        let Ok(slot) = self.service(source.environment, source.service) else { return };
        let service = &mut self.services[slot];
        if at.offset <= service.restored.metrics {
            return;
        }
        service.version = self.version;
        let newest_ms = self.newest_ms.unwrap_or(i64::MIN);
        if cause != Cause::SeriesLimit {
            let event = silence::Event::Sample { ts_ms: newest_ms, now: self.clock.now() };
            service.observe_silence(event, &self.settings, outcome);
            self.due = self.due.min(service.reporting.due(&self.settings));
        }
        // its own time cannot be read, or cannot be trusted
        if let Some(now_ms) = self.newest_ms.max(at.timestamp_ms) {
            service.observe_intake(now_ms, Some(cause), outcome);
        }
    }
}
