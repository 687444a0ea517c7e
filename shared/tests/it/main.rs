//! What `shared` promises, over real parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod hostile;
mod knowledge;
mod schemas;
mod stage;
mod store;
