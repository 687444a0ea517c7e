#![doc = include_str!("../README.md")]

pub mod agent;
pub mod audit;
pub mod clock;
pub mod events;
pub mod ids;
pub mod llm;

#[cfg(feature = "bus")]
pub mod bus;
#[cfg(feature = "stage")]
pub mod effects;
#[cfg(feature = "knowledge")]
pub mod knowledge;
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

pub mod address;
pub mod catalogue;
pub mod error;
pub mod figures;
pub mod finding;
pub mod gap;
pub mod graph;
pub mod plain;
pub mod secret;
