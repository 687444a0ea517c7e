//! Claims and their check, and the stage over real parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on fails")]

mod adapters;
mod answers;
mod beliefs;
mod claims;
mod compare;
mod double;
mod edge_times;
mod flips;
mod looks;
mod records;
mod scene;
mod second_look;
mod stage;
