//! What the demo prints.

pub mod console;
pub mod narration;
