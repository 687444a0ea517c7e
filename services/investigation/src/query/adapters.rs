//! An adapter for each system.

mod calls;
pub mod cloudwatch;
pub mod elasticsearch;
pub mod jaeger;
pub mod kubernetes;
pub mod loki;
pub mod prometheus;
pub mod tempo;
pub mod victorialogs;
