//! How a command ends when it does not succeed.

use std::io;

/// Why a command ended early. Each is one line on the standard error.
#[derive(Debug, thiserror::Error)]
pub enum CliError {
    /// Something did not answer, or answered with an error.
    #[error("{0}")]
    Failed(String),
    /// The configuration is wrong.
    #[error("{0}")]
    Usage(String),
    /// What was asked for does not exist.
    #[error("{0}")]
    NotFound(String),
    /// A replay has found differences.
    #[error("{0} outputs differ")]
    Differs(u64),
    /// A command was refused.
    #[error("refused: {0}")]
    Refused(String),
    /// A command has no outcome yet.
    #[error("{0}")]
    Unanswered(String),
    /// Whoever read our output has seen enough, e.g. `head`: a quiet end.
    #[error("the output was closed")]
    Closed,
}

impl CliError {
    /// Returns the exit code. A wrong command line ends with 2 as well, by clap.
    pub fn code(&self) -> u8 {
        match self {
            Self::Closed => 0,
            Self::Failed(_) => 1,
            Self::Usage(_) => 2,
            Self::NotFound(_) => 3,
            Self::Differs(_) => 4,
            Self::Refused(_) => 5,
            Self::Unanswered(_) => 6,
        }
    }
}

impl From<io::Error> for CliError {
    fn from(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            Self::Closed
        } else {
            Self::Failed(format!("writing the output: {error}"))
        }
    }
}

impl From<serde_json::Error> for CliError {
    fn from(error: serde_json::Error) -> Self {
        Self::Failed(format!("a stored document cannot be read: {error}"))
    }
}
