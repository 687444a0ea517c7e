#![doc = include_str!("../README.md")]

pub mod baseline;
pub mod config;
pub mod episode;
pub mod explain;
pub mod logs;
pub mod meaning;
pub mod metrics;
pub mod partition;
pub mod replay;
pub mod sample;
pub mod series;
pub mod snapshot;

pub use config::Settings;
pub use partition::{At, Offsets, Outcome, Partition};
