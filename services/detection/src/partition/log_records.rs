//! What a partition makes of `raw.logs`: lines, and time that passes.

use shared::events::raw::event_time;
use shared::events::{LogRecord, Refusal, decode};

use super::{At, Outcome, Partition, source_clock};
use crate::alert::Detector as _;
use crate::sample;
use crate::service::Service;
use crate::service::logs::{LogContext, LogModel, NewLine, Observation};
use crate::service::outcome::Reason;

impl Partition {
    /// Takes one record of `raw.logs`: a line, or a tick (`[]`).
    pub fn log(&mut self, payload: &[u8], at: At) -> Outcome {
        self.version += 1;
        self.applied.logs = self.applied.logs.max(at.offset);
        let mut outcome = Outcome::default();
        if sample::is_tick(payload) {
            self.log_clock.tick(at.stamp_ms());
        } else {
            let record: LogRecord = match decode(payload) {
                Ok(record) => record,
                Err(refusal) => return Outcome::refusing(refusal),
            };
            if let Err(reason) = sample::named("service", &record.service)
                .and_then(|()| sample::named("environment", &record.environment))
                .and_then(|()| event_time(record.ts_ms).map_err(|error| error.to_string()))
            {
                return Outcome::refusing(Refusal::Invalid(reason));
            }
            match self.line(&record, at, &mut outcome) {
                Ok(()) => outcome.used = 1,
                Err(reason) => outcome.dropped.count(reason),
            }
        }
        self.pass_log_time(&mut outcome);
        outcome
    }

    /// Returns how long no line must have come for it to mean something, milliseconds; nothing while no alert is open.
    pub fn log_patience_ms(&self) -> Option<i64> {
        let (due_ms, _) = self.log_alerts.first()?;
        Some(due_ms.saturating_sub(self.log_clock.now_ms()?))
    }

    fn line(&mut self, record: &LogRecord, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        let ts_ms = source_clock::not_after(record.ts_ms, at.stamp_ms());
        let now_ms = self.log_clock.take(ts_ms, at.stamp_ms(), &self.settings)?;
        let slot = self.service(&record.environment, &record.service)?;
        if at.offset > self.services[slot].restored.logs {
            let line = NewLine {
                level: record.level,
                message: &record.message,
                ts_ms,
                trace_id: record.trace_id.as_deref(),
            };
            self.observe_log(slot, Some(line), now_ms, outcome);
        }
        Ok(())
    }

    /// Lets time pass for the services with open alerts, the one that is due first at first.
    fn pass_log_time(&mut self, outcome: &mut Outcome) {
        let Some(now_ms) = self.log_clock.now_ms() else { return };
        // a service that is ahead of the partition has seen this time: it is not due
        while let Some(&(due_ms, slot)) = self.log_alerts.first()
            && due_ms <= now_ms
        {
            self.observe_log(slot, None, now_ms, outcome);
        }
    }

    /// Takes a line of a service, or only the time that has passed for it, adds its anomalies and notes when its log is
    /// due again.
    fn observe_log(&mut self, slot: usize, line: Option<NewLine<'_>>, now_ms: i64, outcome: &mut Outcome) {
        let service = &mut self.services[slot];
        service.version = self.version;
        let Service { name, logs, deployed, .. } = service;
        let model = logs.get_or_insert_with(|| Box::new(LogModel::new(now_ms)));
        let context = LogContext {
            service: name,
            deployed: deployed.as_ref().map(|deployed| (&*deployed.version, deployed.ts_ms)),
            accept_after_ms: self.settings.accept_after_ms(),
            phrases: &self.phrases,
        };
        let before = model.due_ms();
        let reports = model.observe(Observation { line, now_ms, context: &context });
        let after = model.due_ms();
        if before != after {
            before.map(|due_ms| self.log_alerts.remove(&(due_ms, slot)));
            self.log_alerts.extend(after.map(|due_ms| (due_ms, slot)));
        }
        service.publish(reports, outcome);
    }
}
