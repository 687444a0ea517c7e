//! Migrations: versioned and checksummed; safe when several services start at once.

use super::{Error, Store};

mod embedded {
    refinery::embed_migrations!("migrations");
}

/// Taken while migrations run, so that of several processes one migrates and the others wait.
const LOCK: i64 = 0x6669_7265;

impl Store {
    /// Brings the schema up to date.
    pub(crate) async fn migrate(&self) -> Result<(), Error> {
        let mut client = self.client().await?;
        client.batch_execute("set statement_timeout to '5min'").await?;
        client.query_one("select pg_advisory_lock($1)", &[&LOCK]).await?;
        // two that create one schema at once would fail, for all that they say "if not exists"
        client.batch_execute("do $$ begin execute format('create schema if not exists %I', current_setting('search_path')); end $$").await?;
        let outcome = embedded::migrations::runner()
            .set_abort_divergent(true)
            .set_abort_missing(false)
            .run_async(&mut **client.as_mut())
            .await;
        // the session's end releases the lock, whatever happened
        drop(deadpool_postgres::Object::take(client));
        match outcome {
            Ok(report) => {
                for migration in report.applied_migrations() {
                    tracing::info!(%migration, "migration applied");
                }
                Ok(())
            }
            Err(error) => Err(Error::Migration(crate::error::chain(&error))),
        }
    }
}
