//! Plans over the runbooks and the catalogue that are shipped, and the stage over real parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod context;
mod finding;
mod pipeline;
mod planning;
