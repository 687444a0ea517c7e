//! Documents over records like those the other stages leave, and the stage over real parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod document;
mod hostile;
mod pipeline;
mod scenario;
mod timeline;
