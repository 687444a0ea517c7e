//! The parts, for real; and the telling of what happens in them.

mod console;
mod parts;
mod rooms;
