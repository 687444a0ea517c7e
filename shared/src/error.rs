//! Errors of a stage. Their class alone decides what happens.

use std::fmt;

/// What happens to the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Class {
    /// Try again, with backoff, until the bound; then as [`Class::Reject`].
    Retry,
    /// To the dead-letter topic, with the reason.
    Reject,
    /// Stop the process with a failure; the supervisor restarts it.
    Fatal,
}

/// An error with its class.
#[derive(Debug)]
pub struct Error {
    class: Class,
    source: anyhow::Error,
}

impl Error {
    /// A condition that may pass: a dependency is down or slow.
    pub fn retry(source: impl Into<anyhow::Error>) -> Self {
        Self { class: Class::Retry, source: source.into() }
    }

    /// The event itself cannot be handled, now or later.
    pub fn reject(source: impl Into<anyhow::Error>) -> Self {
        Self { class: Class::Reject, source: source.into() }
    }

    /// The process cannot go on.
    pub fn fatal(source: impl Into<anyhow::Error>) -> Self {
        Self { class: Class::Fatal, source: source.into() }
    }

    /// Returns what happens to the event.
    pub fn class(&self) -> Class {
        self.class
    }
}

impl fmt::Display for Error {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{:#}", self.source)
    }
}

impl std::error::Error for Error {
    fn source(&self) -> Option<&(dyn std::error::Error + 'static)> {
        self.source.source()
    }
}
