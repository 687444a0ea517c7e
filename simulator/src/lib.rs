#![doc = include_str!("../README.md")]

pub mod cli;
pub mod delivery;
pub mod fault;
pub mod noise;
pub mod otlp;
pub mod record;
pub mod run;
pub mod schedule;
pub mod service;
pub mod shop;
pub mod telemetry;

pub use noise::Noise;
pub use run::run;
pub use schedule::{Faults, Outbreak};
pub use shop::{Decoys, Options, Shop, Tick};
