//! What `shared` promises, over real parts.

mod knowledge;
mod stage;
mod store;
