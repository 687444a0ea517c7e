//! Text for people: numbers and times as they read them, hostile text made harmless, credentials masked.

pub mod format;
pub mod redact;
pub mod sanitize;
