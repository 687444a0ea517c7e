//! What the binary does other than to run as a service: commands over files.

pub mod catalogue;
pub mod command;
mod input;
pub mod replay;
pub mod tune;

pub use crate::service::logs::{LineReader, Reading};
