//! What `shared` promises, over real parts.

mod hostile;
mod knowledge;
mod schemas;
mod stage;
mod store;
