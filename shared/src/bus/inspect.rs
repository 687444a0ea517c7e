//! Looking at the bus from outside: offsets, records of a time, topics. Beside the runtime, for the command line and tests.

pub mod admin;
pub mod lag;
mod observer;
pub mod reader;
pub mod window;
