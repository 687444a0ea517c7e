//! The pipeline as a whole.

mod quiet;
mod scenarios;
