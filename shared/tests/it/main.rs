//! What `shared` promises, over real parts.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod backlog;
mod context;
mod dead_letters;
mod edges;
mod erasure;
mod evolution;
mod hostile;
mod knowledge;
mod poison;
mod replay;
mod reranking;
mod retention;
mod rooms;
mod rows;
mod schemas;
mod secure;
mod stage;
mod store;
mod ticks;
mod topics;
