//! PostgreSQL: incidents, audit trail, inbox, outbox, timers and the rows of each stage.

pub mod action_items;
#[cfg(feature = "stage")]
pub mod apply;
#[cfg(feature = "stage")]
mod backlog;
pub mod bundle;
pub mod commands;
mod context;
pub mod edges;
pub mod erasure;
pub mod feedback;
pub mod history;
#[cfg(any(feature = "stage", feature = "knowledge"))]
mod migrate;
pub mod notifications;
mod oncall;
#[cfg(feature = "stage")]
pub mod outbox;
pub mod pool;
pub mod postmortems;
mod prepared;
mod protection;
pub mod read;
#[cfg(feature = "stage")]
pub mod retention;
pub(crate) mod row;
pub mod silences;
#[cfg(feature = "stage")]
mod steps;
pub mod timeline;
#[cfg(feature = "stage")]
pub(crate) mod timers;
pub mod tokens;
pub mod write;

#[cfg(feature = "stage")]
pub use backlog::Backlog;
pub use pool::{Options, Reads, Store};
pub use protection::{Mode, Tls};
pub use read::{Incidents, MAX_DEPLOYMENTS, Neighbourhood, Page, TimelineEntry};
pub use write::{
    ArtifactKind, Attempt, ChannelName, EdgeCalls, Held, Notification, NotificationKind, NotificationState,
    Write,
};

use crate::error;

/// Why the store did not answer.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// No connection could be had.
    #[error("no connection to PostgreSQL: {}", unconnected(.0))]
    Pool(#[from] deadpool_postgres::PoolError),
    /// The connection cannot be set up as it is configured.
    #[error("PostgreSQL: {0}")]
    Connection(String),
    /// A statement failed.
    #[error("PostgreSQL: {}", describe(.0))]
    Query(#[from] tokio_postgres::Error),
    /// A stored row cannot be read.
    #[error("stored row cannot be read: {row}: {reason}")]
    Row {
        /// Table and key.
        row: String,
        /// What is wrong with it.
        reason: String,
    },
    /// A document cannot be written or read as JSON.
    #[error("document: {0}")]
    Document(#[from] serde_json::Error),
    /// The state machine refused.
    #[error(transparent)]
    Illegal(#[from] crate::lifecycle::IllegalTransition),
    /// The decision rests on something that has changed since.
    #[error("{scope} has changed since it was read")]
    Conflict {
        /// What changed.
        scope: String,
    },
    /// An event cannot be written.
    #[error("{0}")]
    Outgoing(String),
    /// Migrations failed.
    #[error("migration: {0}")]
    Migration(String),
}

/// Returns an error with its cause: by itself it reads `db error` or `error connecting to server`.
pub(crate) fn describe(error: &tokio_postgres::Error) -> String {
    error
        .as_db_error()
        .map_or_else(|| error::chain(error), |db| format!("{} ({})", db.message(), db.code().code()))
}

fn unconnected(error: &deadpool_postgres::PoolError) -> String {
    use deadpool_postgres::{HookError, PoolError, TimeoutType};
    match error {
        PoolError::Backend(error) | PoolError::PostCreateHook(HookError::Backend(error)) => describe(error),
        PoolError::Timeout(TimeoutType::Wait) => "all connections are in use".to_owned(),
        PoolError::Timeout(TimeoutType::Create) => "the server did not answer in time".to_owned(),
        error => error::chain(error),
    }
}

impl From<Error> for error::Error {
    fn from(error: Error) -> Self {
        match &error {
            Error::Pool(_) => Self::unavailable(error),
            Error::Conflict { .. } => Self::retry(error),
            // by class of SQLSTATE: what the server refuses for its content will be refused again; lost connections,
            // read-only servers, full disks and shutdowns pass
            Error::Query(query) => match query.code().map(tokio_postgres::error::SqlState::code) {
                Some(code) if code.starts_with("22") || code.starts_with("23") => Self::reject(error),
                Some(code) if ["08", "25", "53", "57", "58"].iter().any(|class| code.starts_with(class)) => {
                    Self::unavailable(error)
                }
                Some(_) => Self::retry(error),
                None => Self::unavailable(error),
            },
            Error::Row { .. } | Error::Document(_) | Error::Illegal(_) | Error::Outgoing(_) => {
                Self::reject(error)
            }
            Error::Connection(_) | Error::Migration(_) => Self::fatal(error),
        }
    }
}
