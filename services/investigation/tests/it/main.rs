//! Tests of investigation.

mod claims;
mod flips;
mod scene;
mod stage;
