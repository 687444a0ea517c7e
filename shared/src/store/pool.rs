//! Connections.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use serde::{Deserialize, Serialize};
use tokio_postgres::NoTls;

use super::Error;
use crate::address;

/// How to reach PostgreSQL.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Connection URL, or PostgreSQL's `key=value` form; its password is never printed.
    pub url: String,
    /// Schema all tables live in.
    pub schema: String,
    /// Most connections of this process.
    pub max_connections: usize,
    /// Longest wait for a connection, milliseconds.
    pub connect_timeout_ms: u64,
    /// Longest time one statement may take, milliseconds.
    pub statement_timeout_ms: u64,
}

impl Default for Options {
    fn default() -> Self {
        Self {
            url: "postgres://firewatch@127.0.0.1:5432/firewatch".to_owned(),
            schema: "public".to_owned(),
            max_connections: 8,
            connect_timeout_ms: 5_000,
            statement_timeout_ms: 15_000,
        }
    }
}

impl std::fmt::Debug for Options {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Options")
            .field("url", &address::mask(&self.url))
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

/// The database. Cheap to clone; connects when it is first used.
#[derive(Clone)]
pub struct Store {
    pool: Pool,
    process: std::sync::Arc<str>,
}

impl Store {
    /// Prepares a pool. Does not connect yet, so that a process can start before its database.
    pub fn new(options: &Options, process: &str) -> Result<Self, Error> {
        let mut config: tokio_postgres::Config = options.url.parse()?;
        config.application_name(process);
        config.connect_timeout(Duration::from_millis(options.connect_timeout_ms));
        config.keepalives_idle(Duration::from_secs(10));
        config.tcp_user_timeout(Duration::from_millis(options.statement_timeout_ms + 5_000));
        let manager =
            Manager::from_config(config, NoTls, ManagerConfig { recycling_method: RecyclingMethod::Fast });
        let schema = options.schema.clone();
        if !schema.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Error::Migration(format!("schema {schema:?} may only hold letters, digits and _")));
        }
        let timeout = options.statement_timeout_ms;
        let pool = Pool::builder(manager)
            .max_size(options.max_connections)
            .wait_timeout(Some(Duration::from_millis(options.connect_timeout_ms)))
            .create_timeout(Some(Duration::from_millis(options.connect_timeout_ms)))
            .recycle_timeout(Some(Duration::from_millis(options.connect_timeout_ms)))
            .runtime(Runtime::Tokio1)
            .post_create(Hook::async_fn(move |client, _| {
                // an acknowledged commit must outlive a crash of the server, whatever its default is
                let settings = format!(
                    "set search_path to {schema}; set statement_timeout to {timeout}; \
                     set idle_in_transaction_session_timeout to {timeout}; \
                     select set_config('synchronous_commit', 'on', false) \
                     where current_setting('synchronous_commit') = 'off'"
                );
                Box::pin(async move { client.batch_execute(&settings).await.map_err(HookError::Backend) })
            }))
            .build()
            .map_err(|error| Error::Migration(error.to_string()))?;
        Ok(Self { pool, process: process.into() })
    }

    /// Returns a connection.
    pub async fn client(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }

    /// Returns the name of this process, by which others know its rows.
    pub fn process(&self) -> &str {
        &self.process
    }

    /// Asks whether the database answers.
    pub async fn ping(&self) -> Result<(), Error> {
        self.client().await?.simple_query("select 1").await?;
        Ok(())
    }
}
