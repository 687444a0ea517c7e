#![doc = include_str!("../README.md")]
//!
//! # Rooms
//!
//! `domain, events, text < trace < bus < effects, store < knowledge < service < stage < replay`. A room uses only rooms to its left,
//! or beside it up to the next `<`, and the files of the root that belong to no room (`tests/it/rooms.rs`).

pub mod breaker;
pub mod clock;
mod domain;
pub mod error;
pub mod events;
pub mod failpoint;
pub mod metrics;
pub mod secret;
pub mod text;

#[cfg(feature = "bus")]
pub mod bus;
#[cfg(feature = "store")]
pub mod effects;
#[cfg(feature = "knowledge")]
pub mod knowledge;
#[cfg(feature = "replay")]
pub mod replay;
#[cfg(feature = "rooms")]
pub mod rooms;
#[cfg(feature = "service")]
pub mod service;
#[cfg(feature = "stage")]
pub mod stage;
#[cfg(feature = "store")]
pub mod store;
#[cfg(feature = "testing")]
pub mod testing;
#[cfg(feature = "tls")]
pub mod tls;
#[cfg(feature = "bus")]
mod trace;

pub use domain::{
    agent, audit, calls, catalogue, ending, finding, graph, ids, impact, lifecycle, matchers, oncall, routes,
    runbook, silence, window,
};
