//! What a partition makes of `raw.logs`: lines, and time that passes.

use shared::events::{LogRecord, Refusal, decode};

use super::{At, Outcome, Partition};
use crate::sample;
use crate::service::Service;
use crate::service::logs::{Book, Scene};
use crate::service::outcome::Reason;

impl Partition {
    /// Takes one record of `raw.logs`: a line, or a tick (`[]`).
    pub fn log(&mut self, payload: &[u8], at: At) -> Outcome {
        self.version += 1;
        self.applied.logs = self.applied.logs.max(at.offset);
        let mut outcome = Outcome::default();
        if sample::is_tick(payload) {
            self.log_clock.tick(at.timestamp_ms);
        } else {
            let record: LogRecord = match decode(payload) {
                Ok(record) => record,
                Err(refusal) => return Outcome::refusing(refusal),
            };
            if let Err(reason) = sample::named("service", &record.service)
                .and_then(|()| sample::named("environment", &record.environment))
            {
                return Outcome::refusing(Refusal::Invalid(reason));
            }
            match self.line(&record, at, &mut outcome) {
                Ok(()) => outcome.used = 1,
                Err(reason) => outcome.dropped.count(reason),
            }
        }
        self.look_at_logs(&mut outcome);
        outcome
    }

    /// Returns how long no line must have come for it to mean something, milliseconds; nothing while no alert is open.
    pub fn log_patience_ms(&self) -> Option<i64> {
        let (due_ms, _) = self.log_alerts.first()?;
        Some(due_ms.saturating_sub(self.log_clock.now_ms()?))
    }

    fn line(&mut self, record: &LogRecord, at: At, outcome: &mut Outcome) -> Result<(), Reason> {
        let now_ms = self.log_clock.take(record.ts_ms, at.timestamp_ms, &self.settings)?;
        let slot = self.service(&record.environment, &record.service)?;
        if at.offset > self.services[slot].restored.logs {
            self.with_book(slot, now_ms, outcome, |book, scene| {
                book.take(record.level, &record.message, record.ts_ms, now_ms, scene)
            });
        }
        Ok(())
    }

    /// Lets the services with open alerts see what time it is, the one that is due first at first.
    fn look_at_logs(&mut self, outcome: &mut Outcome) {
        let Some(now_ms) = self.log_clock.now_ms() else { return };
        // a service that is ahead of the partition has seen this time: it is not due
        while let Some(&(due_ms, slot)) = self.log_alerts.first()
            && due_ms <= now_ms
        {
            self.with_book(slot, now_ms, outcome, |book, scene| book.look(now_ms, scene));
        }
    }

    /// Lets `change` change the log of a service, tells what it reports and notes when to look at it again.
    fn with_book(
        &mut self,
        slot: usize,
        now_ms: i64,
        outcome: &mut Outcome,
        change: impl FnOnce(&mut Book, &Scene<'_>) -> Vec<crate::alert::Report>,
    ) {
        let service = &mut self.services[slot];
        service.version = self.version;
        let Service { name, logs, deployed, .. } = service;
        let book = logs.get_or_insert_with(|| Box::new(Book::new(now_ms)));
        let scene = Scene {
            service: name,
            deployed: deployed.as_ref().map(|deployed| (&*deployed.version, deployed.ts_ms)),
            accept_after_ms: self.settings.accept_after_ms(),
            phrases: &self.phrases,
        };
        let before = book.due_ms();
        let reports = change(book, &scene);
        let after = book.due_ms();
        if before != after {
            before.map(|due_ms| self.log_alerts.remove(&(due_ms, slot)));
            self.log_alerts.extend(after.map(|due_ms| (due_ms, slot)));
        }
        for report in reports {
            self.services[slot].tell(report, outcome);
        }
    }
}
