//! Connections.

use std::time::Duration;

use deadpool_postgres::{Hook, HookError, Manager, ManagerConfig, Object, Pool, RecyclingMethod, Runtime};
use serde::{Deserialize, Serialize};
use tokio_postgres::config::{Host, SslMode};

use super::protection::{self, Mode, Protection, Tls};
use super::{Error, describe};
use crate::secret::Secret;
use crate::text::redact::{self, is_loopback};

/// How to reach PostgreSQL.
#[derive(Clone, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Options {
    /// Connection URL, or PostgreSQL's `key=value` form; its password is never printed. `sslmode` says how the
    /// connection is protected, see [`Mode`].
    pub url: String,
    /// Password, if it is not in the URL; never printed.
    pub password: Secret,
    /// Certificates.
    pub tls: Tls,
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
            password: Secret::default(),
            tls: Tls::default(),
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
            .field("url", &redact::mask(&self.url))
            .field("schema", &self.schema)
            .finish_non_exhaustive()
    }
}

impl Options {
    /// Returns everything that is wrong with the options.
    pub fn validate(&self) -> Vec<String> {
        let mut problems = self.tls.files().validate("postgres.tls");
        match self.target() {
            Err(error) => problems.push(format!("postgres.url: {error}")),
            Ok((config, mode)) => {
                if !self.password.is_empty()
                    && self.config().is_ok_and(|config| config.get_password().is_some())
                {
                    problems
                        .push("postgres.password is set, and postgres.url has a password as well".to_owned());
                }
                if self.tls.is_set() && matches!(mode, Mode::Disable | Mode::Prefer) {
                    problems.push(format!(
                        "postgres.tls is set, and postgres.url says sslmode={mode}, which checks no certificate"
                    ));
                }
                if config.get_hosts().is_empty() {
                    problems.push("postgres.url names no host".to_owned());
                }
            }
        }
        problems
    }

    /// Returns what works but is risky, one sentence each.
    pub fn warnings(&self) -> Vec<String> {
        let Ok((config, mode)) = self.target() else { return Vec::new() };
        let away: Vec<&str> = config
            .get_hosts()
            .iter()
            .filter_map(|host| match host {
                Host::Tcp(name) if !is_loopback(name) => Some(name.as_str()),
                _ => None,
            })
            .collect();
        let how = match mode {
            _ if away.is_empty() => return Vec::new(),
            Mode::Disable => "is addressed in plain text",
            Mode::Prefer => {
                "is addressed in plain text where it offers no TLS, and its certificate is not checked"
            }
            Mode::VerifyCa | Mode::VerifyFull => return Vec::new(),
        };
        vec![format!("PostgreSQL at {} {how} (sslmode={mode}); set sslmode=verify-full", away.join(","))]
    }

    fn config(&self) -> Result<tokio_postgres::Config, Error> {
        let (url, _) = protection::split(&self.url);
        url.parse().map_err(|error| Error::Connection(describe(&error)))
    }

    /// Returns what is connected to, and how that is protected.
    fn target(&self) -> Result<(tokio_postgres::Config, Mode), Error> {
        let (_, mode) = protection::split(&self.url);
        let mut config = self.config()?;
        let mode = match mode {
            Some(mode) => mode.map_err(Error::Connection)?,
            // who names certificates wants them checked
            None if self.tls.is_set() => Mode::VerifyFull,
            None => Mode::Prefer,
        };
        config.ssl_mode(match mode {
            Mode::Disable => SslMode::Disable,
            Mode::Prefer => SslMode::Prefer,
            Mode::VerifyCa | Mode::VerifyFull => SslMode::Require,
        });
        if !self.password.is_empty() {
            config.password(self.password.expose());
        }
        Ok((config, mode))
    }
}

/// What a decision may ask of the database; it changes nothing. Cheap to clone.
#[derive(Clone)]
pub struct Reads {
    pool: Pool,
}

impl Reads {
    /// Returns a connection.
    pub(crate) async fn client(&self) -> Result<Object, Error> {
        Ok(self.pool.get().await?)
    }
}

/// The database. Cheap to clone; connects when it is first used. Only the runtime writes, see [`crate::stage::run`].
#[derive(Clone)]
pub struct Store {
    reads: Reads,
    process: std::sync::Arc<str>,
}

impl Store {
    /// Prepares a pool. Does not connect yet, so that a process can start before its database.
    pub fn new(options: &Options, process: &str) -> Result<Self, Error> {
        let (mut config, mode) = options.target()?;
        config.application_name(process);
        config.connect_timeout(Duration::from_millis(options.connect_timeout_ms));
        config.keepalives_idle(Duration::from_secs(10));
        config.tcp_user_timeout(Duration::from_millis(options.statement_timeout_ms + 5_000));
        let protection = Protection::new(&options.tls, mode)?;
        let manager = Manager::from_config(
            config,
            protection,
            ManagerConfig { recycling_method: RecyclingMethod::Fast },
        );
        let schema = options.schema.clone();
        if !schema.bytes().all(|byte| byte.is_ascii_alphanumeric() || byte == b'_') {
            return Err(Error::Connection(format!("schema {schema:?} may only hold letters, digits and _")));
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
            .map_err(|error| Error::Connection(error.to_string()))?;
        Ok(Self { reads: Reads { pool }, process: process.into() })
    }

    /// Returns what a decision may ask.
    pub fn reads(&self) -> &Reads {
        &self.reads
    }

    /// Returns a connection.
    pub(crate) async fn client(&self) -> Result<Object, Error> {
        self.reads.client().await
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
