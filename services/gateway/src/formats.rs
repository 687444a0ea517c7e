//! The formats: each module reads the body of a request and adds what it holds to a [`Batch`](crate::telemetry::Batch).

mod detail;
mod owner;

pub mod alertmanager;
pub mod deployments;
pub mod generic;
pub mod influx;
pub mod kubernetes;
pub mod otlp;
pub mod remote_write;

#[cfg(test)]
mod documented;

use std::collections::BTreeMap;

/// Why a body as a whole cannot be read. Nothing of it is taken: the batch is to be dropped. Sending
/// it again does not help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Unreadable {
    /// It is not what its content type says.
    #[error("the body cannot be read as {format}: {reason}")]
    Malformed {
        /// Format.
        format: &'static str,
        /// What is wrong.
        reason: String,
    },
    /// It is larger than allowed once it is decompressed.
    #[error("the body is larger than {0} bytes")]
    TooLarge(usize),
    /// Its content type is of another message.
    #[error("content type {found:?} is not read here; send {needed}")]
    MediaType {
        /// What it says.
        found: String,
        /// What is read.
        needed: &'static str,
    },
    /// Its signature is missing or wrong.
    #[error("the signature of the body is missing or wrong")]
    Signature,
}

/// What readers are told besides the body.
#[derive(Debug, Clone)]
pub struct Context<'a> {
    /// Which service and environment items belong to.
    pub identity: &'a crate::identity::Rules,
    /// When the request came, milliseconds since the Unix epoch.
    pub now_ms: i64,
    /// Headers of the request, names in lower case.
    pub headers: &'a BTreeMap<String, String>,
}
