//! The real parts, the output of the demo, the lists of agents, and the rooms of the crate.

mod agents;
mod console;
mod parts;
mod rooms;
