//! Claims and their check, and the stage over real parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod claims;
mod flips;
mod records;
mod scene;
mod stage;
