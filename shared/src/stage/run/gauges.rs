//! What the runtime shows of a stage beside its counters: what waits in the database, how old events are, and the clocks.

use std::time::Duration;

use super::Runtime;
use crate::bus::Record;
use crate::metrics::runtime;
use crate::stage::Stage;

/// Longest wait for the database to say what waits in it.
const PATIENCE: Duration = Duration::from_secs(5);

impl<S: Stage> Runtime<S> {
    /// Shows what waits in the database. Where it does not answer, the gauges keep their values: `/readyz` says why.
    pub(super) async fn show_backlog(&self) {
        let question = self.base.store.reads().backlog(Some(S::NAME), &*self.base.clock);
        match tokio::time::timeout(PATIENCE, question).await {
            Ok(Ok(backlog)) => {
                runtime::OUTBOX_DEPTH.set([S::NAME], backlog.outbox_rows as f64);
                runtime::OUTBOX_AGE_SECONDS.set([S::NAME], backlog.outbox_age.as_secs_f64());
                runtime::TIMER_LATE_SECONDS.set([S::NAME], backlog.timer_late.as_secs_f64());
                runtime::CLOCK_SKEW_SECONDS.set(["postgres"], backlog.clock_ahead.as_secs_f64());
            }
            Ok(Err(error)) => tracing::debug!(%error, "what waits in the database is not known"),
            Err(_) => tracing::debug!("what waits in the database is not known in time"),
        }
    }

    /// Counts an event that is handled, by the time since its record was written.
    pub(super) fn count_age(&self, record: &Record) {
        runtime::observe_age(S::NAME, record.timestamp_ms, self.base.clock.now());
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::error::Class;

    #[test]
    fn failures_of_every_class_are_counted_from_zero() {
        let classes = [Class::Unavailable, Class::Retry, Class::Reject, Class::Fatal].map(Class::name);
        assert_eq!(classes, runtime::CLASSES);
    }
}
