//! The pipeline as a whole.

mod hostile;
mod outages;
mod quiet;
mod scenarios;
