#![doc = include_str!("../README.md")]

pub mod events;
pub mod formats;
pub mod otlp;
pub mod runbooks;
pub mod samples;
