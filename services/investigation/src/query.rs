//! Queries: what confirms or refutes a hypothesis is fetched from the systems that keep metrics, logs, traces and events.
//!
//! Decisions are pure: [`predictions`], [`beliefs`] and [`compare`]. [`source`] is the port, with an adapter for each system, and
//! [`look`] asks.

pub mod adapters;
pub mod beliefs;
pub mod breaker;
pub mod compare;
pub mod findings;
pub mod http;
pub mod look;
pub mod minutes;
pub mod options;
pub mod predictions;
pub mod source;
pub mod words;

pub use look::{Asked, Looker};
pub use options::Options;
pub use source::{Failure, QuerySource};
