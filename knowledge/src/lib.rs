#![doc = include_str!("../README.md")]

pub mod content;
pub mod incident;
pub mod lint;
pub mod oncall;
mod problem;
pub mod publish;
pub mod runbook;
pub mod seed;
mod service;
mod yaml;

pub use content::Content;
pub use problem::{Problem, Problems};
