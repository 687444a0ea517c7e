//! Text for people: numbers and times as they read them, hostile text made harmless, credentials masked, secrets in telemetry replaced, a person
//! erased, Markdown read and written.

pub mod format;
pub mod markdown;
pub mod markup;
pub mod person;
pub mod redact;
pub mod sanitize;
pub mod seal;
pub mod secrets;
