//! Removes rows after their ages, in any agent: whichever has the lock.

use std::sync::Arc;
use std::time::Duration;

use tokio_util::sync::CancellationToken;

use super::Runtime;
use crate::error::Error;
use crate::metrics::runtime;
use crate::stage::Stage;
use crate::store;
use crate::store::retention::Remover;

/// Longest pause after a turn that failed.
const AFTER_FAILURE: Duration = Duration::from_mins(1);

impl<S: Stage> Runtime<S> {
    /// Removes what is old, turn by turn, until the process ends.
    pub(super) async fn retention(self: Arc<Self>, stop: CancellationToken) -> Result<(), Error> {
        let every = Duration::from_mins(u64::from(self.base.common.retention.every_min));
        if every.is_zero() {
            return Ok(());
        }
        while !stop.is_cancelled() {
            let wait = match self.remove_old(&stop).await {
                Ok(()) => every,
                Err(error) => {
                    runtime::RETENTION_FAILURES.add_one([S::NAME]);
                    tracing::warn!(%error, "old rows could not be removed; retrying");
                    every.min(AFTER_FAILURE)
                }
            };
            tokio::select! {
                () = stop.cancelled() => {}
                () = tokio::time::sleep(wait) => {}
            }
        }
        Ok(())
    }

    async fn remove_old(&self, stop: &CancellationToken) -> Result<(), store::Error> {
        let remover = Remover { options: &self.base.common.retention, stop, tries: 0 };
        let count = |table: &'static str, rows| runtime::RETENTION_REMOVED_ROWS.add([table], rows);
        let turn = self.base.store.remove_old(remover, count).await?;
        if !turn.removed.is_empty() {
            tracing::info!(end = ?turn.end, removed = ?turn.removed, "old rows removed");
        }
        for (table, age_s) in self.base.store.reads().oldest_rows().await? {
            runtime::RETENTION_OLDEST_SECONDS.set([table], age_s);
        }
        Ok(())
    }
}
