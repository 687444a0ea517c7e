//! What is expected of a run with one fault.

use std::fmt;

use jiff::Timestamp;
use shared::text::format::counted;

use crate::observe::run_summary::{Cause, MAILS};

/// An expectation that a run with one fault does not meet.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Missing {
    /// No fault started.
    Fault,
    /// No incident was opened.
    Incident,
    /// More than one incident was opened.
    SurplusIncidents {
        /// How many were opened.
        opened: usize,
    },
    /// The incident has no suspect.
    Suspect,
    /// The first suspect is not the service with the fault.
    WrongSuspect {
        /// First suspect.
        suspect: String,
        /// Service with the fault.
        service: String,
    },
    /// The incident was opened before the fault started.
    OpenedEarly {
        /// When it was opened.
        opened: Timestamp,
        /// When the fault started.
        started: Timestamp,
    },
    /// No cause was published.
    Cause,
    /// The last published cause is not the true one.
    WrongCause {
        /// The last published cause.
        published: Cause,
        /// The true cause.
        truth: Cause,
    },
    /// No plan was published.
    Plan,
    /// The fault has not ended.
    FaultEnd,
    /// The incident is not resolved.
    Resolution {
        /// Members that hold it open, in words.
        firing: Vec<String>,
    },
    /// The incident was resolved before the fault ended.
    ResolvedEarly {
        /// When it was resolved.
        resolved: Timestamp,
        /// When the fault ended.
        ended: Timestamp,
    },
    /// No postmortem was published.
    Postmortem,
    /// The number of different mails is not five.
    Mails {
        /// How many arrived.
        arrived: usize,
    },
    /// The mails are not of five kinds.
    MailKinds {
        /// Of how many kinds they are.
        kinds: usize,
    },
    /// Mails arrived more than once.
    MailCopies {
        /// How many further copies arrived.
        copies: usize,
    },
    /// The mails are not in one thread.
    MailThreads {
        /// In how many threads they are.
        threads: usize,
    },
    /// Stages wrote dead letters.
    DeadLetters {
        /// How many.
        letters: usize,
    },
}

impl Missing {
    /// Returns whether the expectation is about mails.
    pub fn is_about_mails(&self) -> bool {
        matches!(
            self,
            Self::Mails { .. } | Self::MailKinds { .. } | Self::MailCopies { .. } | Self::MailThreads { .. }
        )
    }
}

impl fmt::Display for Missing {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Fault => f.write_str("no fault started"),
            Self::Incident => f.write_str("no incident was opened"),
            Self::SurplusIncidents { opened } => {
                write!(f, "{} opened instead of one", counted(*opened, "incident"))
            }
            Self::Suspect => f.write_str("the incident has no suspect"),
            Self::WrongSuspect { suspect, service } => {
                write!(f, "the first suspect is {suspect} instead of {service}")
            }
            Self::OpenedEarly { opened, started } => {
                write!(f, "the incident was opened at {opened}, before the fault started at {started}")
            }
            Self::Cause => f.write_str("no cause was published"),
            Self::WrongCause { published, truth } => {
                write!(f, "the published cause is {published} instead of {truth}")
            }
            Self::Plan => f.write_str("no plan was published"),
            Self::FaultEnd => f.write_str("the fault has not ended"),
            Self::Resolution { firing } if firing.is_empty() => {
                f.write_str("the incident is not resolved, although no member fires")
            }
            Self::Resolution { firing } => write!(f, "the incident is not resolved: {}", firing.join(", ")),
            Self::ResolvedEarly { resolved, ended } => {
                write!(f, "the incident was resolved at {resolved}, before the fault ended at {ended}")
            }
            Self::Postmortem => f.write_str("no postmortem was published"),
            Self::Mails { arrived } => write!(f, "{} arrived instead of {MAILS}", counted(*arrived, "mail")),
            Self::MailKinds { kinds } => {
                write!(f, "the mails are of {} instead of {MAILS}", counted(*kinds, "kind"))
            }
            Self::MailCopies { copies } => write!(f, "{} arrived", counted(*copies, "duplicate mail")),
            Self::MailThreads { threads } => {
                write!(f, "the mails are in {} instead of one", counted(*threads, "thread"))
            }
            Self::DeadLetters { letters } => write!(f, "stages wrote {}", counted(*letters, "dead letter")),
        }
    }
}
