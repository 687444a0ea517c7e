//! The real parts, the output of the demo, and the rooms of the crate.

mod console;
mod parts;
mod rooms;
