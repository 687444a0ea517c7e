//! Errors of a stage. Their class alone decides what happens.

use std::fmt;

use strum::IntoStaticStr;

/// What happens to the event.
#[derive(Debug, Clone, Copy, PartialEq, Eq, IntoStaticStr)]
#[strum(serialize_all = "snake_case")]
pub enum Class {
    /// A dependency is down or cannot do its work: try again, with backoff, however long that takes.
    Unavailable,
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
    /// A dependency is down or cannot do its work; the event is not the cause.
    pub fn unavailable(source: impl Into<anyhow::Error>) -> Self {
        Self { class: Class::Unavailable, source: source.into() }
    }

    /// A condition that may pass, e.g. a conflict with another replica.
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

impl Class {
    /// Returns the name that metrics and logs use.
    pub fn name(self) -> &'static str {
        self.into()
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

/// Returns an error with all that caused it, e.g. `error connecting to server: Connection refused (os error 111)`. A cause
/// that the message already ends with is not repeated.
pub fn chain(error: &dyn std::error::Error) -> String {
    let mut text = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let further = error.to_string();
        if !text.ends_with(&further) {
            text = format!("{text}: {further}");
        }
        cause = error.source();
    }
    text
}

/// Returns what a panic said.
#[cfg(feature = "bus")]
pub(crate) fn panic_message(panic: &(dyn std::any::Any + Send)) -> &str {
    let text = panic.downcast_ref::<&str>().copied();
    text.or_else(|| panic.downcast_ref::<String>().map(String::as_str)).unwrap_or("no message")
}
