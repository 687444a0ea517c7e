//! What a detector reports: a verdict, the alert that it begins, goes on with or ends, and the report that is due.

pub mod certainty;
pub mod detector;
pub(crate) mod format;
pub mod lifecycle;

pub use detector::Detector;
pub use lifecycle::{Alert, Report, Revision, Subject, Verdict};
