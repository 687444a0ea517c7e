//! One run: its folders, what was fetched for it, what is recorded of it, its progress lines, and its supervisor.

pub mod fetch;
pub mod layout;
pub mod progress;
pub mod state;
pub(crate) mod supervisor;
pub mod text;
