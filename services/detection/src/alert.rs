//! What a detector reports: a verdict, the alert that it begins, goes on with or ends, and the report that is due.

pub mod certainty;
pub(crate) mod format;
pub mod lifecycle;

pub use lifecycle::{Alert, Report, Turn, Verdict};
